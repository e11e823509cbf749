"""The shards that a process takes, scored one after the other."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from operator import itemgetter

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from duosent.data.rejected import Rejected
from duosent.inference.answer_rows import AnswerRows
from duosent.inference.post_logits import readable_posts
from duosent.inference.score_batches import BatchSize, Inputs, inputs_of
from duosent.inference.score_claims import claim
from duosent.inference.score_folder import ScoreFolder, Shard
from duosent.processing.processing_image_text import ImageTextProcessor

UNREAD = "neither a text nor a picture that the model reads"
REJECTED_SCHEMA = pa.schema([("id", pa.string()), ("reason", pa.string())])


@dataclass
class TakenShard:
    """A shard that this process has claimed, and what is known of its rows, each with its place in front."""

    shard: Shard
    lock: FileLock
    answered: list[tuple[int, dict]] = field(default_factory=list)
    rejected: list[tuple[int, dict]] = field(default_factory=list)

    def reject(self, place: int, post: str, reason: str) -> None:
        self.rejected.append((place, {"id": post, "reason": reason}))


@dataclass
class ShardScorer:
    """Scores shards that nobody else is scoring and that are not finished, and writes them.

    Args:
        folder: of the answers.
        rows: what the model answers.
        processor: the model's `ImageTextProcessor`.
        read: gives the rows of a shard.
        fetch: see `RowsToInputs`.
        size: of the batches.
        num_workers: see `inputs_of`.
    """

    folder: ScoreFolder
    rows: AnswerRows
    processor: ImageTextProcessor
    read: Callable[[Shard], Iterator[dict | Rejected]]
    fetch: Callable[[dict], dict | Rejected]
    size: BatchSize
    num_workers: int

    def __call__(self, shards: Iterable[Shard], watch: Callable[[int, int, int], None]) -> int:
        """Score shards in this order.

        Args:
            watch: is told, batch by batch, the number of a shard, how many of its rows have been dealt with, and how
                many of these were rejected.

        Returns: how many it took.
        """
        taken: dict[int, TakenShard] = {}
        number = 0
        claimed = self._claimed(shards, taken)
        made = inputs_of(claimed, self.read, self.processor, self.fetch, self.size, self.num_workers)
        try:
            with closing(made):
                for inputs in made:
                    shard = taken[inputs.shard]
                    refused = self._answer(shard, inputs)
                    watch(inputs.shard, len(inputs.read) + len(inputs.rejected), refused)
                    if inputs.last:
                        self._write(shard)
                        taken.pop(inputs.shard).lock.release()
                        number += 1
        finally:
            for shard in taken.values():
                shard.lock.release()
        return number

    def _claimed(self, shards: Iterable[Shard], taken: dict[int, TakenShard]) -> Iterator[Shard]:
        for shard in shards:
            if self.folder.record(shard) is not None:
                continue
            lock = claim(self.folder.folder, shard.name)
            if lock is None:
                continue
            if self.folder.record(shard) is not None:  # since the first look
                lock.release()
                continue
            self.folder.tidy(shard)
            taken[shard.number] = TakenShard(shard, lock)
            yield shard

    def _answer(self, taken: TakenShard, inputs: Inputs) -> int:
        """Returns: how many rows of the batch were rejected."""
        before = len(taken.rejected)
        for row in inputs.rejected:
            taken.reject(row.place, row.id, row.reason)
        if inputs.batch is not None:
            readable = readable_posts(self.rows.model, inputs.batch).tolist()
            for (place, post), answer, there in zip(inputs.read, self.rows.rows(inputs.batch), readable, strict=True):
                if there:
                    taken.answered.append((place, {"id": post, **answer}))
                else:
                    taken.reject(place, post, UNREAD)
        return len(taken.rejected) - before

    def _write(self, taken: TakenShard) -> None:
        predictions = _parquet(taken.answered, self.rows.schema)
        rejected = _parquet(taken.rejected, REJECTED_SCHEMA) if taken.rejected else None
        self.folder.write_shard(taken.shard, predictions, rejected, len(taken.answered), len(taken.rejected))


def _parquet(rows: list[tuple[int, dict]], schema: pa.Schema) -> bytes:
    """A file of rows in the order of the input."""
    content = io.BytesIO()
    table = pa.Table.from_pylist([row for _, row in sorted(rows, key=itemgetter(0))], schema)
    pq.write_table(table, content)
    return content.getvalue()


__all__ = ["ShardScorer"]
