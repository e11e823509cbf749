"""Colours over a picture and words: blue for what the answer rests on, orange for what speaks against it.

The two are told apart by every kind of colour vision, and readable on light and on dark pages.
"""

import html

import numpy as np
from PIL import Image

BLUE, ORANGE = (33, 102, 172), (179, 88, 6)
# What is strongest covers this share of what is below.
STRONGEST = 0.75
# Of a score. Where nothing changes it by more, there is nothing to colour.
FAINTEST = 0.0005
LARGEST_SIDE = 640


def strongest(*heats: np.ndarray | None) -> float:
    """The largest change, by which the colours of picture and words are scaled alike; 0 if it is too faint."""
    largest = max((float(np.abs(heat).max()) for heat in heats if heat is not None and heat.size), default=0.0)
    return largest if largest >= FAINTEST else 0.0


def colour_picture(picture: Image.Image, heat: np.ndarray, scale: float) -> Image.Image:
    """
    Args:
        picture: in RGB; its colours give way to greys.
        heat: `(rows, columns)` over the whole picture.
        scale: the change that gets the full colour; 0 for no colours.
    """
    shown = picture.copy()
    shown.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    grey = np.asarray(shown.convert("L"), dtype=float)[..., None]  # (height, width, 1)
    share = heat / scale if scale else np.zeros_like(heat)
    # As the picture was cut into cells: a pixel's cell is the last one that does not begin behind it.
    rows, columns = (
        np.searchsorted([size * number // cells for number in range(cells)], np.arange(size), side="right") - 1
        for size, cells in zip((shown.height, shown.width), heat.shape, strict=True)
    )
    share = share[rows][:, columns][..., None].clip(-1, 1)  # (height, width, 1)
    colour = np.where(share > 0, BLUE, ORANGE)
    weight = np.abs(share) * STRONGEST
    return Image.fromarray(((1 - weight) * grey + weight * colour).round().astype(np.uint8))


def colour_words(spans: list[str], heat: np.ndarray | None, scale: float) -> str:
    """HTML. What a screen reader says, and a pointer shows, is each piece's change in points of a hundred."""
    if heat is None:
        return f'<p class="words">{html.escape("".join(spans))}</p>'
    pieces = []
    for span, value in zip(spans, heat.tolist(), strict=True):
        colour = ", ".join(map(str, BLUE if value > 0 else ORANGE))
        alpha = min(abs(value) / scale, 1) * STRONGEST if scale else 0
        style = f"background: rgba({colour}, {alpha:.3f})"
        pieces.append(f'<span style="{style}" title="{100 * value:+.1f} points">{html.escape(span)}</span>')
    return f'<p class="words">{"".join(pieces)}</p>'
