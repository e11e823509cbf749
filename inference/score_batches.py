"""The rows of shards -> batches of a model's inputs, made in a thread or in processes while the model is at work.

Rows are read one after the other. Among `WINDOW` batches' worth of them those with texts of similar length are put
side by side, within one shard alone: what stands beside a row depends neither on other shards nor on who reads it.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from torch import Tensor
from torch.utils.data import DataLoader

from duosent.data.rejected import Rejected
from duosent.inference.read_ahead import read_ahead
from duosent.inference.score_folder import Shard
from duosent.inference.token_batches import token_batches
from duosent.processing.collator import ImageTextCollator
from duosent.processing.pictures import open_picture
from duosent.processing.processing_image_text import ImageTextProcessor, is_missing, resizing_of
from duosent.processing.reasons import reason_of

# Batches among whose rows texts of similar length are looked for; as many rows are held, with their pictures' bytes.
WINDOW = 16
# Batches made before the model asks for them; with workers, so many for each.
AHEAD = 2


class Rows(NamedTuple):
    """Rows of one shard that make a batch.

    Attributes:
        shard: number of the one that they are of.
        rows: as a `SourceReader` gives them.
        rejected: rows that could not be read, met on the way to these.
        last: whether the shard ends here.
    """

    shard: int
    rows: list[dict]
    rejected: list[Rejected]
    last: bool


class Inputs(NamedTuple):
    """What becomes of `Rows`.

    Attributes:
        read: place and id of each row of the batch.
        batch: a collator's; None for no row.
        rejected: the others.
    """

    shard: int
    read: list[tuple[int, str]]
    batch: dict[str, Tensor] | None
    rejected: list[Rejected]
    last: bool


@dataclass
class BatchSize:
    """How large batches may be; see `token_batches`.

    Args:
        posts: > 0.
        tokens: of words and pictures together, > 0.
        picture_tokens: of a picture.
    """

    posts: int
    tokens: int
    picture_tokens: int


def inputs_of(
    shards: Iterable[Shard],
    read: Callable[[Shard], Iterator[dict | Rejected]],
    processor: ImageTextProcessor,
    fetch: Callable[[dict], dict | Rejected],
    size: BatchSize,
    num_workers: int,
) -> Iterator[Inputs]:
    """The inputs of shards, one after the other. Shards are asked for as soon as they are to be read.

    Args:
        read: gives the rows of a shard.
        fetch: see `RowsToInputs`.
        num_workers: processes that decode and tokenise; with 0 the thread does it that reads.
    """
    rows = batches_of_rows(shards, read, processor, size)
    prepare = RowsToInputs(processor, fetch)
    if not num_workers:
        with closing(read_ahead(map(prepare, rows), AHEAD)) as inputs:
            yield from inputs
        return
    # The thread begins when the loader asks for the first rows, and then the processes are there: a fork takes no
    # thread along.
    with closing(read_ahead(rows, AHEAD)) as read_rows:
        yield from DataLoader(
            _Prepared(prepare),
            sampler=_Once(read_rows),
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=num_workers,
            prefetch_factor=AHEAD,
            worker_init_fn=_end_with_parent,
        )


def batches_of_rows(
    shards: Iterable[Shard],
    read: Callable[[Shard], Iterator[dict | Rejected]],
    processor: ImageTextProcessor,
    size: BatchSize,
) -> Iterator[Rows]:
    """Args: see `inputs_of`."""
    for shard in shards:
        found = read(shard)
        while window := list(islice(found, WINDOW * size.posts)):
            rows = [row for row in window if not isinstance(row, Rejected)]
            rejected = [row for row in window if isinstance(row, Rejected)]
            lengths = _lengths(rows, processor)
            for places in token_batches(lengths, size.picture_tokens, size.posts, size.tokens):
                yield Rows(shard.number, [rows[place] for place in places], rejected, False)
                rejected = []
            if rejected:
                yield Rows(shard.number, [], rejected, False)
        yield Rows(shard.number, [], [], True)


def _lengths(rows: list[dict], processor: ImageTextProcessor) -> list[int]:
    if not rows:
        return []
    return processor.text_lengths([row.get("text") for row in rows], [row.get("target") for row in rows])


@dataclass
class RowsToInputs:
    """A collator that sets unreadable rows aside, with the reason, where `ImageTextCollator` would stop.

    Args:
        processor: an `ImageTextProcessor`.
        fetch: a row with its picture's bytes, or the reason why it has none.
    """

    processor: ImageTextProcessor
    fetch: Callable[[dict], dict | Rejected]

    def __post_init__(self):
        self._collator = ImageTextCollator(self.processor)
        self._resizing = resizing_of(self.processor.image_processor) if self.processor.reduced_decoding else None

    def __call__(self, item: Rows) -> Inputs:
        opened, rejected = [], list(item.rejected)
        for row in map(self.fetch, item.rows):
            try:
                if isinstance(row, Rejected):
                    rejected.append(row)
                else:
                    opened.append(self._opened(row))
            except ValueError as error:
                rejected.append(_rejected(row, error))
        try:
            batch = self._collator(opened) if opened else None
        except Exception:  # image processors raise whatever a strange picture makes them do
            opened, refused = self._apart(opened)
            rejected += refused
            batch = self._collator(opened) if opened else None
        return Inputs(item.shard, [(row["place"], row["id"]) for row in opened], batch, rejected, item.last)

    def _opened(self, row: dict) -> dict:
        """With the picture decoded as the processor does it, so that a bad one costs no other row a second time."""
        picture = row["image"]
        return row | {"image": None if is_missing(picture) else open_picture(picture, self._resizing)}

    def _apart(self, rows: list[dict]) -> tuple[list[dict], list[Rejected]]:
        """Each row by itself: which can be read, and why the others cannot."""
        read, rejected = [], []
        for row in rows:
            try:
                self._collator([row])
                read.append(row)
            except Exception as error:
                rejected.append(_rejected(row, error))
        return read, rejected


def _rejected(row: dict, error: Exception) -> Rejected:
    return Rejected(row["place"], row["id"], f"{reason_of(error)}.")


@dataclass
class _Prepared:
    """A data set whose index is what an item is made of: what a `DataLoader` sends to its processes."""

    prepare: RowsToInputs

    def __getitem__(self, rows: Rows) -> Inputs:
        return self.prepare(rows)


@dataclass
class _Once:
    """A sampler that can be run through once."""

    rows: Iterator[Rows]

    def __iter__(self) -> Iterator[Rows]:
        return self.rows


def _end_with_parent(worker: int) -> None:
    """End this process when the one that it works for dies. A loader's own processes look whether their parent is
    alive, which where there is no fork is another one.
    """

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, name="end_with_parent", daemon=True).start()


def _as_it_is(inputs: Inputs) -> Inputs:
    return inputs


__all__ = ["BatchSize", "Inputs", "inputs_of"]
