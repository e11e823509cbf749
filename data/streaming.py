"""Rows read block by block in a new order each epoch, and dealt out to processes and their workers without rest.

The order of an epoch is one sequence: the blocks of all files, shuffled. A process has a stretch of it, a worker of
that process a part of the stretch, and each shuffles its rows once more through a buffer. So each row is read once,
and a block by as few readers as can be.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from datasets import Dataset
from torch.utils.data import IterableDataset, get_worker_info

from duosent.data.blocks import block_file


class StreamedPairs(IterableDataset):
    """The rows of one part, in the order of its files, without ever holding them all.

    Args:
        files: Parquet, CSV, TSV or JSON Lines.
        reader: raw rows and the number of the first of them in the part, from 1 -> rows as `load_pairs` gives them;
            its `label_source` and `labels` are those of `duosent.data.pairs.SplitReader`.

    Raises:
        DataError: if a file cannot be read, or holds no rows.
    """

    def __init__(self, files: list[Path], reader: Callable[[Dataset, int], Dataset]):
        self._reader = reader
        opened = [block_file(path) for path in files]
        self._blocks = [(file, block) for file in opened for block in file.blocks]
        self._firsts, self._rows = [], 0
        for _, block in self._blocks:
            self._firsts.append(self._rows)
            self._rows += block.rows
        file, block = self._blocks[0]
        self.features = reader(next(file.read(block)), 1).features

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[dict]:
        return self.stretch(list(range(len(self._blocks))), 0, self._rows)

    def labels(self, name: str) -> list:
        """The labels of all rows in their order, as the rows hold them; of the files only that column is read."""
        found = []
        for file, block in self._blocks:
            for rows in file.read(block, [self._reader.label_source(name)]):
                found += self._reader.labels(rows, name)
        return found

    def shuffled_blocks(self, rng: random.Random) -> list[int]:
        """Numbers of the blocks in a new order."""
        order = list(range(len(self._blocks)))
        rng.shuffle(order)
        return order

    def stretch(self, order: list[int], start: int, stop: int) -> Iterator[dict]:
        """Rows `start` to `stop`, the latter not included, of the blocks in this order."""
        position = 0
        for number in order:
            file, block = self._blocks[number]
            if position < stop and start < position + block.rows:
                first, row = self._firsts[number] + 1, position
                for piece in file.read(block):
                    low, high = max(start - row, 0), min(stop - row, len(piece))
                    if low < high:
                        yield from self._reader(piece, first).data.slice(low, high - low).to_pylist()
                    first, row = first + len(piece), row + len(piece)
            position += block.rows


def labels_of(rows: Dataset | StreamedPairs, name: str) -> list:
    """All labels of a part: class indices, lists of them, or None for none."""
    return rows.labels(name) if isinstance(rows, StreamedPairs) else rows[name][:]


class StreamedBatches(IterableDataset):
    """The batches of one process, each a list of rows; for a `DataLoader` with `batch_size=None`.

    All processes have the same number of batches, so that none waits for another in vain, and together all rows, each
    once. Where the rows do not go up in full batches, the last batches of the processes are shorter, of one length but
    for one row; where there are fewer rows left than processes, some of the last batches are one row longer.

    Args:
        rows: the part.
        batch_size: rows of a process at once.
        buffer_size: rows among which the next one is drawn; 1 leaves the rows of a block in their order.
        seed: with the epoch it decides the order.
        process, processes: which of how many.
        drop_last: leave out the rows that fill no batch.

    Raises:
        ValueError: for fewer rows than processes.
    """

    def __init__(
        self,
        rows: StreamedPairs,
        batch_size: int,
        buffer_size: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
        drop_last: bool = False,
    ):
        self.rows, self.batch_size, self.buffer_size, self.seed = rows, batch_size, buffer_size, seed
        self.process = process
        full, rest = divmod(len(rows), batch_size * processes)
        if not full and rest < processes:
            raise ValueError(f"The training part must have a row for each process, got {rest} and {processes}.")
        extra = [0] * processes
        if not drop_last:
            extra = [rest // processes + (number < rest % processes) for number in range(processes)]
        self._start = process * full * batch_size + sum(extra[:process])
        self._size = full * batch_size + extra[process]
        # Fewer rows than processes lengthen the last batches.
        self._batches = full + (not drop_last and rest >= processes)
        # Seen by workers that live longer than an epoch.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[dict]]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        # The loader asks its workers in turn: the first of them have a batch more.
        each, more = divmod(self._batches, workers)
        first = number * each + min(number, more)
        count = each + (number < more)
        if not count:
            return
        last = first + count == self._batches
        start = self._start + first * self.batch_size
        stop = self._start + self._size if last else start + count * self.batch_size

        epoch = f"{self.seed}:{int(self._epoch)}"
        order = self.rows.shuffled_blocks(random.Random(epoch))
        rng = random.Random(f"{epoch}:{self.process}:{number}")
        rows = shuffled(self.rows.stretch(order, start, stop), self.buffer_size, rng)
        for _ in range(count - 1):
            yield [next(rows) for _ in range(self.batch_size)]
        yield list(rows)


def shuffled(rows: Iterator[dict], buffer_size: int, rng: random.Random) -> Iterator[dict]:
    """All rows, each drawn from the next `buffer_size` of them."""
    buffer = []
    for row in rows:
        if len(buffer) < buffer_size:
            buffer.append(row)
            continue
        place = rng.randrange(buffer_size)
        drawn, buffer[place] = buffer[place], row
        yield drawn
    rng.shuffle(buffer)
    yield from buffer


__all__ = ["StreamedBatches", "StreamedPairs", "labels_of"]
