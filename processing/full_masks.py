"""Masks that hide nothing are left out of a batch: what reads it then knows so without asking the device."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

# What says that all of a side is there, where it is not in the batch.
MASKS = ("attention_mask", "text_present", "image_present")


def without_full_masks(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch without the masks that are 1 throughout; to be called while it lies on the CPU."""
    return {name: tensor for name, tensor in batch.items() if name not in MASKS or not tensor.all()}


@dataclass
class FullMasksLeftOut:
    """The batch of the collator inside, `without_full_masks`.

    Args:
        collator: makes the batch.
    """

    collator: Callable[[list[dict]], dict[str, Tensor]]

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        return without_full_masks(self.collator(rows))


__all__ = ["FullMasksLeftOut", "without_full_masks"]
