"""Colours over a picture and words: blue for what the answer rests on, orange for what speaks against it.

The two are told apart by every kind of colour vision, and readable on light and on dark pages.
"""

import html

import numpy as np
from PIL import Image

BLUE, ORANGE = (33, 102, 172), (179, 88, 6)
# What is strongest covers this share of what is below.
STRONGEST = 0.75
# In log-odds. Where nothing changes them by more, there is nothing to colour.
FAINTEST = 0.01


def colour_picture(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """
    Args:
        picture: in RGB; its colours give way to greys.
        heat: `(rows, columns)` over the whole picture.
    """
    grey = np.asarray(picture.convert("L"), dtype=float)[..., None]  # (height, width, 1)
    share = shares(heat)
    # As the picture was cut into cells: a pixel's cell is the last one that does not begin behind it.
    rows, columns = (
        np.searchsorted([size * number // cells for number in range(cells)], np.arange(size), side="right") - 1
        for size, cells in zip((picture.height, picture.width), heat.shape, strict=True)
    )
    share = share[rows][:, columns][..., None]  # (height, width, 1)
    colour = np.where(share > 0, BLUE, ORANGE)
    weight = np.abs(share) * STRONGEST
    return Image.fromarray(((1 - weight) * grey + weight * colour).round().astype(np.uint8))


def colour_words(spans: list[str], heat: np.ndarray | None, without: list[float]) -> str:
    """HTML.

    Args:
        heat: `(len(spans),)`, or None for no colours.
        without: the score without each piece, which a pointer shows.
    """
    if heat is None:
        return f'<p class="words">{html.escape("".join(spans))}</p>'
    pieces = []
    for span, share, score in zip(spans, shares(heat).tolist(), without, strict=True):
        colour = ", ".join(map(str, BLUE if share > 0 else ORANGE))
        style = f"background: rgba({colour}, {abs(share) * STRONGEST:.3f})"
        pieces.append(f'<span style="{style}" title="{100 * score:.1f} % without it">{html.escape(span)}</span>')
    return f'<p class="words">{"".join(pieces)}</p>'


def shares(heat: np.ndarray) -> np.ndarray:
    """Of the strongest part, from -1 to 1; all 0 if that is too faint."""
    largest = np.abs(heat).max()
    return heat / largest if largest >= FAINTEST else np.zeros_like(heat)
