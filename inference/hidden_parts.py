"""One post with some of its words or some cells of its picture hidden, in many ways at once.

A hidden word is left out, as if it had never been written, and a text of none is a missing one; a hidden cell gets the
picture's mean colour, so that it shows nothing and does not stand out. Shape letters: `V` versions of the post, `T`
tokens, `W` words, `C` cells.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from duosent.inference.picture_maps import cell_of_pixels

# Padded tokens have nothing to say but where they are.
TOKENS = ("input_ids", "token_type_ids", "attention_mask")


@dataclass(frozen=True)
class PostParts:
    """A post and what can be hidden of it.

    Args:
        batch: a collator's, of this post alone.
        words: for each word the places of its tokens in `input_ids`; tokens of no word always stay.
        grid: rows and columns of the picture's cells, row by row.
        pad_token_id: of the tokenizer.
    """

    batch: dict[str, Tensor]
    words: list[list[int]]
    grid: tuple[int, int]
    pad_token_id: int

    def with_words(self, shown: np.ndarray) -> dict[str, Tensor]:
        """The post with these words alone, beside its whole picture.

        Args:
            shown: `(V, W)` bool.

        Returns: a batch of `V` posts.
        """
        kept = self.batch["attention_mask"].bool().repeat(len(shown), 1)  # (V, T)
        for word, places in enumerate(self.words):
            kept[:, places] &= torch.from_numpy(shown[:, [word]])
        # What stays moves up to the front, in its order: a gap would tell that something was there.
        order = (~kept).long().argsort(dim=1, stable=True)
        kept = kept.gather(1, order)
        versions = self._repeated(len(shown))
        for name in TOKENS:
            if name in versions:
                versions[name] = versions[name].gather(1, order)
        versions["input_ids"] = versions["input_ids"].masked_fill(~kept, self.pad_token_id)
        versions["attention_mask"] = kept.to(versions["attention_mask"].dtype)
        versions["text_present"] = versions["text_present"] & torch.from_numpy(shown.any(axis=1))
        return versions

    def with_cells(self, shown: np.ndarray) -> dict[str, Tensor]:
        """The post with these cells of its picture alone, beside all its words.

        Args:
            shown: `(V, C)` bool.

        Returns: a batch of `V` posts.
        """
        [picture] = self.batch["pixel_values"]  # (3, height, width)
        mask = torch.from_numpy(shown[:, cell_of_pixels(self.grid, *picture.shape[1:])])  # (V, height, width)
        mean = picture.mean(dim=(1, 2), keepdim=True)  # (3, 1, 1)
        return self._repeated(len(shown)) | {"pixel_values": torch.where(mask.unsqueeze(1), picture, mean)}

    def _repeated(self, versions: int) -> dict[str, Tensor]:
        return {name: tensor.expand(versions, *tensor.shape[1:]) for name, tensor in self.batch.items()}


__all__ = ["PostParts"]
