"""What is drawn for a row in training, by its id."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(kw_only=True)
class RowDraws:
    """Base of collators that draw something for each row, anew in each epoch.

    What is drawn depends on the seed, the epoch and the row's id alone: neither the rest of the batch, nor the number
    of worker processes or GPUs, nor an interruption of the training changes it. Rows of one id share their draws.
    """

    purpose: ClassVar[str]  # as it is called in the sentence about a row without an id
    seed: int = 0
    # In shared memory: worker processes that live for several epochs read it too.
    _epoch: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64).share_memory_(), repr=False)

    def set_epoch(self, epoch: int) -> None:
        """Another epoch, other draws; between two epochs, when no worker is at work."""
        self._epoch.fill_(epoch)

    def _draw_name(self, row: dict) -> str:
        """What a row's draws in this epoch follow from.

        Raises:
            ValueError: for a row without an id.
        """
        if row.get("id") is None:
            raise ValueError(f"Each row must have an id for {self.purpose}, which draws by it, got a row without.")
        return f"{self.seed} {self._epoch.item()} {row['id']}"


__all__ = ["RowDraws"]
