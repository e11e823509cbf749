"""Posts with texts of similar length side by side while they are answered, and their answers in the old order."""

from collections.abc import Iterable, Iterator
from operator import itemgetter

from datasets import Dataset
from torch.utils.data import Sampler

from duosent.training.length_groups import text_lengths

# Posts are sorted among so many batches, whose answers are held until the last of them is there.
BATCHES_SORTED = 50


class LengthWindows(Sampler[list[int]]):
    """Batches of places: stretches of rows, each sorted by the length of its texts.

    Args:
        rows: as `load_pairs` gives them; no picture is read.
        processor: an `ImageTextProcessor`, which counts the tokens.
        batch_size: > 0.
    """

    def __init__(self, rows: Dataset, processor, batch_size: int):
        self._rows, self._processor, self._batch_size = rows, processor, batch_size
        self.window = batch_size * BATCHES_SORTED

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self._rows), self.window):
            places = range(start, min(start + self.window, len(self._rows)))
            lengths = text_lengths(self._rows.select(places), self._processor)
            order = sorted(places, key=lambda place, start=start, lengths=lengths: lengths[place - start])
            for first in range(0, len(order), self._batch_size):
                yield order[first : first + self._batch_size]


def in_order(batches: Iterable[list[tuple]], window: int, rows: int) -> Iterator[list[tuple]]:
    """What became of rows, stretch by stretch in their order.

    Args:
        batches: tuples that begin with the place of a row, each row once, in the batches of `LengthWindows`.
        window: rows of a stretch.
        rows: in all.
    """
    gathered: list[tuple] = []
    given = 0
    for batch in batches:
        gathered += batch
        if len(gathered) == min(window, rows - given):
            yield sorted(gathered, key=itemgetter(0))
            given, gathered = given + len(gathered), []


__all__ = ["LengthWindows", "in_order"]
