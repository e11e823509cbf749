"""All that a process must be told to score shards of a table; it can be pickled to another one."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from duosent.data.rejected import Rejected
from duosent.data.source_reader import SourceReader
from duosent.inference.answer_rows import AnswerRows
from duosent.inference.backends import default_device, load_backend
from duosent.inference.score_batches import BatchSize
from duosent.inference.score_folder import ScoreFolder, Shard
from duosent.inference.score_shards import ShardScorer
from duosent.inference.token_batches import picture_tokens, usual_budget
from duosent.training.checkpoints import CallError

# Where a post keeps the file that it is from.
FILE = "__file__"


@dataclass(frozen=True)
class ScoreJob:
    """
    Args:
        checkpoint, backend, device, dtype: see `load_backend`.
        answers: keywords of `AnswerRows`.
        reader: of the source.
        batch_size, batch_tokens, num_workers: see `duosent.inference.score_table.predict_table`.

    Raises:
        CallError: for a size out of its range.
    """

    checkpoint: str
    backend: str
    device: str | None
    dtype: str | None
    answers: dict
    reader: SourceReader
    batch_size: int
    batch_tokens: int | None
    num_workers: int

    def __post_init__(self):
        lowest = {"batch_size": 1, "batch_tokens": 1, "num_workers": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise CallError(f"{name} must be >= {least}, got {value}.")

    def scorer(self, folder: ScoreFolder) -> ShardScorer:
        """Load the checkpoint.

        Args:
            folder: of the answers.

        Raises:
            CallError: if there is no such checkpoint, or it cannot be asked for such answers.
        """
        model, processor = load_backend(self.checkpoint, self.backend, self.device, self.dtype)
        rows = AnswerRows(model, **self.answers)
        height, width = processor.empty_side("image", 1)["pixel_values"].shape[-2:]
        patches = picture_tokens(model.config, height, width)
        tokens = self.batch_tokens or usual_budget(self.batch_size, patches)
        size = BatchSize(self.batch_size, tokens, patches)
        return ShardScorer(folder, rows, processor, self.read, self.fetch, size, self.num_workers)

    def read(self, shard: Shard) -> Iterator[dict | Rejected]:
        """The posts of a shard, each with its file, or why they are none."""
        for piece in shard.pieces:
            for post in self.reader.read(piece):
                yield post if isinstance(post, Rejected) else post | {FILE: piece.file}

    def fetch(self, post: dict) -> dict | Rejected:
        """A post of `read` with the bytes of its picture, or why it has none."""
        return self.reader.fetch(post, post[FILE])


def own_device(device: str | None, local_rank: int) -> str | None:
    """Of several processes on a machine each has an accelerator of its own, where one is not named by its number."""
    kind = torch.device(device or default_device())
    if kind.type == "cpu" or kind.index is not None:
        return device
    return f"{kind.type}:{local_rank % torch.accelerator.device_count()}"


__all__ = ["ScoreJob", "own_device"]
