"""Reading that fails in passing is tried again, with growing pauses; what is not there is not."""

import errno
import http.client
from collections import Counter
from collections.abc import Callable

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from duosent.processing.reasons import reason_of
from duosent.processing.web_download import PassingDownloadError

RETRIES = 5
# Of the pause before the first retry; each further one is twice as long.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# What a disk, a network drive or a connection says that may be well again soon.
PASSING = {
    errno.EIO,
    errno.EAGAIN,
    errno.EINTR,
    errno.EBUSY,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.EPIPE,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.EHOSTDOWN,
}
LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError)
# Of those of HTTP's answers that blame the request, the ones that may be another next time.
PASSING_REFUSALS = (http.client.REQUEST_TIMEOUT, http.client.TOO_EARLY, http.client.TOO_MANY_REQUESTS)
# A place whose calls fail so often one after the other is asked but once a call until it answers again: a million
# pictures on a dead server would else be a million times all pauses.
PATIENCE = 3


class DeadSourceError(OSError):
    """What could not be read, however often it was tried."""


class Retries:
    """How often and after which pauses reading is tried again.

    Pauses grow exponentially, each with up to `first_pause` more by chance, so that many processes do not come back
    all at once.

    Args:
        times: retries after the first try, >= 0.
        first_pause: seconds, >= 0.

    Raises:
        ValueError: for a number out of its range.
    """

    def __init__(self, times: int = RETRIES, first_pause: float = FIRST_PAUSE):
        if isinstance(times, bool) or not isinstance(times, int) or times < 0:
            raise ValueError(f"retries must be a whole number >= 0, got {times!r}.")
        if not first_pause >= 0:
            raise ValueError(f"first_pause must be >= 0 seconds, got {first_pause!r}.")
        self.times, self.first_pause = times, first_pause
        self._failed = Counter()

    def __reduce__(self):
        return Retries, (self.times, self.first_pause)

    def __call__(self, place: str, is_passing: Callable[[BaseException], bool], do: Callable, *arguments):
        """What `do(*arguments)` gives.

        Args:
            place: what fails as a whole where it fails: a server, a bucket, this machine's disk.
            is_passing: whether an error may be gone next time.

        Raises:
            DeadSourceError: after the last try.
            Exception: what `do` raised, if that will not pass.
        """
        times = 0 if self._failed[place] >= PATIENCE else self.times
        trying = Retrying(
            stop=stop_after_attempt(1 + times),
            wait=wait_exponential(self.first_pause, max=LONGEST_PAUSE) + wait_random(0, self.first_pause),
            retry=retry_if_exception(is_passing),
            reraise=True,
        )
        try:
            result = trying(do, *arguments)
        except Exception as error:
            if not is_passing(error):
                raise
            self._failed[place] += 1
            tries = f"{1 + times} tries" if times else "1 try"
            raise DeadSourceError(f"{reason_of(error)} (after {tries})") from error
        del self._failed[place]
        return result


def passes_on_disk(error: BaseException) -> bool:
    """Whether an error of this machine's file system may be gone next time."""
    return isinstance(error, TimeoutError | ConnectionError) or getattr(error, "errno", None) in PASSING


def passes_elsewhere(error: BaseException) -> bool:
    """Whether an error of another machine may be gone next time: all but what says that a thing is not there, is not
    allowed, or was asked for wrongly. Each client has errors of its own, by which no list could name what passes.
    """
    if isinstance(error, PassingDownloadError):
        return True
    if not isinstance(error, Exception) or isinstance(error, LASTING):
        return False
    if "Credential" in type(error).__name__:  # of boto and Google, which need not be installed
        return False
    status = _status(error)
    if status is not None and 400 <= status < 500:
        return status in PASSING_REFUSALS
    return not isinstance(error, TypeError | ValueError | LookupError | AttributeError | ImportError)


def _status(error: Exception) -> int | None:
    """The number of an HTTP answer, where the error has one, as clients keep it."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int):
                return value
    return None


__all__ = ["RETRIES", "DeadSourceError", "Retries", "passes_elsewhere", "passes_on_disk"]
