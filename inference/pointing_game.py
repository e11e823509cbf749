"""The pointing game (Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016).

A map scores a hit where its largest value lies on the part of the post that decides. What chance gives is the share of
words, or of cells, that would have been hits.
"""

import numpy as np

from duosent.inference.picture_maps import mean_over_patches


def deciding_words(words: list[str], rationale: frozenset[str]) -> np.ndarray:
    """`(W,)` bool, which words of a post are among those that decide, case and punctuation aside."""
    deciding = {_bare(word) for word in rationale}
    return np.array([_bare(word) in deciding for word in words], bool)


def deciding_cells(pixels: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """`(C,)` bool, the cells of which one half or more lies on the part that decides.

    Args:
        pixels: `(height, width)` bool; of any size, since the model sees the whole picture.
        grid: rows and columns of cells.
    """
    for axis in (0, 1):  # no cell without a pixel
        pixels = pixels.repeat(-(-grid[axis] // pixels.shape[axis]), axis)
    return mean_over_patches(pixels, grid).ravel() >= 0.5


def hit(scores: np.ndarray, deciding: np.ndarray) -> float:
    """1 where the largest score is a deciding unit's, else 0; of several that are largest, their share of hits."""
    return float(deciding[scores == scores.max()].mean())


def _bare(word: str) -> str:
    """A word of nothing but signs, such as an emoji, stays what it is."""
    return "".join(letter for letter in word.lower() if letter.isalnum()) or word.lower()


__all__ = ["deciding_cells", "deciding_words", "hit"]
