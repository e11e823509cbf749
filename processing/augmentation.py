"""Training posts, a little different in each epoch: pictures here, words in `synonyms.py`."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.transforms import v2

from duosent.processing.collator import ImageTextCollator
from duosent.processing.row_draws import RowDraws
from duosent.processing.synonyms import SynonymReplacement


@dataclass
class PictureAugmentation:
    """Mirror a picture, move it within its frame, and erase a rectangle of it, in this order.

    It works on what the image processor gives, a picture of the model's size, normalised. Mirroring and moving are the
    same there as before; the border and the rectangle are 0, the mean colour that the normalisation takes away.

    Args:
        flip: probability of mirroring left and right, in [0, 1].
        crop: border put around the picture before a cut of the old size is taken from a random place, as a share of
            the side, in [0, 0.5]; 0 leaves the picture where it is. An eighth is the 4 pixels around 32 of He et
            al. (2016).
        erasing: probability of erasing a rectangle, in [0, 1]. The rectangle has 2 to 33 % of the area, and is 0.3 to
            3.3 times as high as wide (Zhong et al., 2020, as in torchvision).

    Raises:
        ValueError: for a value out of its range.
    """

    flip: float = 0.5
    crop: float = 0.125
    erasing: float = 0.5

    def __post_init__(self):
        for name, largest in (("flip", 1), ("crop", 0.5), ("erasing", 1)):
            if not 0 <= getattr(self, name) <= largest:
                raise ValueError(f"{name} must lie in [0, {largest}], got {getattr(self, name)}.")

    def __call__(self, picture: Tensor, seed: int) -> Tensor:
        """
        Args:
            picture: `(3, height, width)`, normalised; it is not changed.
            seed: decides everything; torch's own random state stays as it is.

        Returns: `(3, height, width)`
        """
        height, width = picture.shape[-2:]
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which would seed the GPUs too, whose state nobody brings back.
            torch.default_generator.manual_seed(seed)
            if self.flip:
                picture = v2.RandomHorizontalFlip(self.flip)(picture)
            if self.crop:
                border = [round(self.crop * width), round(self.crop * height)]
                picture = v2.RandomCrop((height, width), border)(picture)
            if self.erasing:
                picture = v2.RandomErasing(self.erasing)(picture)
        return picture


@dataclass
class AugmentingCollator(RowDraws):
    """A collator for training: the batch of the collator inside, its rows augmented. A side that a post lacks stays
    missing.

    Args:
        collator: makes the batch.
        pictures: changes `pixel_values`; None for none.
        words: changes `text`; None for none.
        seed: >= 0.
    """

    collator: ImageTextCollator
    pictures: PictureAugmentation | None = None
    words: SynonymReplacement | None = None

    purpose: ClassVar[str] = "augmentation"

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        """
        Args:
            rows: as in `ImageTextCollator`, each with an `id`.

        Raises:
            ValueError: for a row without an id, or one that the collator refuses.
        """
        seeds = [self._seeds(row) for row in rows]
        if self.words is not None:
            rows = [self._in_other_words(row, seed) for row, (seed, _) in zip(rows, seeds, strict=True)]
        batch = self.collator(rows)
        if self.pictures is not None:
            for index, (_, seed) in enumerate(seeds):
                if batch["image_present"][index]:
                    batch["pixel_values"][index] = self.pictures(batch["pixel_values"][index], seed)
        return batch

    def _seeds(self, row: dict) -> tuple[int, int]:
        """For the words and for the picture."""
        digest = hashlib.blake2b(self._draw_name(row).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")

    def _in_other_words(self, row: dict, seed: int) -> dict:
        # What is no text goes on to the processor, which says so.
        if not isinstance(row.get("text"), str):
            return row
        target = row.get("target")
        return {**row, "text": self.words(row["text"], seed, target if isinstance(target, str) else None)}


__all__ = ["AugmentingCollator", "PictureAugmentation"]
