"""Where the deciding part of a post is known: the words and the pixels that its label rests on.

A data set may hold them in two columns beside the others: `text_rationale`, a list of words, and `image_rationale`,
the bytes of a picture of any size that is white on the part that decides and black elsewhere. The word is that of
DeYoung et al. (ERASER: A Benchmark to Evaluate Rationalized NLP Models, ACL 2020).
`duosent demo` writes posts that have both.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from duosent.data.reading import read_splits

TEXT_RATIONALE, IMAGE_RATIONALE = "text_rationale", "image_rationale"


@dataclass(frozen=True)
class Rationale:
    """The deciding part of a post.

    Args:
        words: lower-case words; None where the words do not decide, or nothing is known of them.
        pixels: `(height, width)` bool, True on the deciding part of the picture; None likewise.
    """

    words: frozenset[str] | None = None
    pixels: np.ndarray | None = None


def load_rationales(source: str, split: str) -> list[Rationale] | None:
    """The rationales of the posts of a split, in the order of `load_pairs`; None where the data has neither column.

    Args:
        source: what `load_pairs` takes.
        split: name of the part, as `load_pairs` names it.
    """
    rows = read_splits(source, [split])[split]
    if not {TEXT_RATIONALE, IMAGE_RATIONALE} & set(rows.column_names):
        return None
    nothing = [None] * len(rows)
    words = rows[TEXT_RATIONALE] if TEXT_RATIONALE in rows.column_names else nothing
    masks = rows[IMAGE_RATIONALE] if IMAGE_RATIONALE in rows.column_names else nothing
    return [Rationale(_words(of_text), _pixels(mask)) for of_text, mask in zip(words, masks, strict=True)]


def _words(words: list[str] | None) -> frozenset[str] | None:
    return frozenset(word.lower() for word in words) if words else None


def _pixels(mask: bytes | None) -> np.ndarray | None:
    return None if mask is None else np.array(Image.open(io.BytesIO(mask)).convert("L")) > 127


__all__ = ["IMAGE_RATIONALE", "TEXT_RATIONALE", "Rationale", "load_rationales"]
