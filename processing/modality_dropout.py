"""Posts that lose a side in training, so that a model learns to do without."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from duosent.processing.row_draws import RowDraws

SIDES = ("text", "image")


@dataclass
class ModalityDropout(RowDraws):
    """A collator for training: the batch of the collator inside, some posts of it without their words or picture.

    A post with both sides loses one of them, either as likely, by setting `text_present` or `image_present`; one that
    has a single side keeps it.

    Args:
        collator: makes the batch, with `text_present` and `image_present`.
        rate: probability that a post loses a side, in [0, 1].
        seed: of the draws.
    """

    collator: Callable[[list[dict]], dict[str, Tensor]]
    rate: float

    purpose: ClassVar[str] = "modality_dropout"

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        """
        Args:
            rows: as the collator takes them, each with an `id`.

        Raises:
            ValueError: for a row without an id, or one that the collator refuses.
        """
        lost = [self._lost_side(row) for row in rows]
        batch = self.collator(rows)
        whole = batch["text_present"] & batch["image_present"]  # (B,)
        for side in SIDES:
            batch[f"{side}_present"] = batch[f"{side}_present"] & ~(whole & torch.tensor([s == side for s in lost]))
        return batch

    def _lost_side(self, row: dict) -> str | None:
        name = f"modality {self._draw_name(row)}"
        rng = random.Random(name.encode("utf-8", "surrogatepass"))
        loses, side = rng.random() < self.rate, rng.choice(SIDES)
        return side if loses else None


__all__ = ["ModalityDropout"]
