"""Work done in a thread ahead of whoever needs what it gives."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
# Seconds after which a thread that waits looks whether anybody still wants what it has.
LOOK_UP = 0.1
# Seconds that a thread which is no longer needed is waited for, should it be amid a long reading.
PATIENCE = 5.0


def read_ahead(items: Iterable[T], ahead: int) -> Iterator[T]:
    """The items in their order, up to `ahead` of them made before they are asked for.

    What the items raise is raised here, where it belongs in the order. When nobody asks any more, the thread ends.

    Args:
        items: run through in a thread of its own, which begins with the first item that is asked for.
        ahead: > 0.
    """
    made: queue.Queue = queue.Queue(ahead)
    stopped = threading.Event()

    def put(entry: tuple) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                return made.put(entry, timeout=LOOK_UP)

    def work() -> None:
        try:
            for item in items:
                put((item, None, False))
                if stopped.is_set():
                    return
            put((None, None, True))
        except BaseException as error:  # raised again by the reader
            put((None, error, True))

    thread = threading.Thread(target=work, name="read_ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, last = made.get()
            if error is not None:
                raise error
            if last:
                return
            yield item
    finally:
        stopped.set()
        thread.join(PATIENCE)


__all__ = ["read_ahead"]
