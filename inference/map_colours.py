"""Colours of maps that every kind of colour vision tells apart.

Cividis (Nunez, Anderton and Renslow, PLOS ONE, 2018) for what is 0 or more: it grows lighter from end to end. Blue and
orange for what has a sign.
"""

import numpy as np
from PIL import Image

# Eleven colours of cividis, from 0 to 1.
CIVIDIS = np.array(
    [
        *((0, 34, 78), (17, 54, 109), (53, 69, 107), (79, 87, 108), (102, 105, 112)),
        *((125, 124, 120), (148, 142, 119), (174, 163, 113), (200, 184, 102), (228, 207, 91), (254, 232, 56)),
    ]
)
BLUE, ORANGE = (33, 102, 172), (179, 88, 6)
# What is weakest and what is strongest of a map covers this share of the picture below.
FAINT, STRONG = 0.3, 0.8


def shares(values: np.ndarray) -> np.ndarray:
    """Of the largest magnitude, from -1 to 1; NaN stays, and all 0 stays 0."""
    largest = np.nanmax(np.abs(values), initial=0.0)
    return values / largest if largest > 0 else np.asarray(values, dtype=float)


def colours(share: np.ndarray, signed: bool) -> np.ndarray:
    """Shares `(...)` -> red, green and blue `(..., 3)`, from 0 to 255"""
    if signed:
        return np.where(share[..., None] > 0, BLUE, ORANGE).astype(float)
    ends = np.linspace(0, 1, len(CIVIDIS))
    return np.stack([np.interp(share, ends, channel) for channel in CIVIDIS.T], axis=-1)


def opacity(share: np.ndarray, signed: bool) -> np.ndarray:
    """How far a colour hides what is below: of signed maps the more, the stronger; of others at least `FAINT`."""
    return np.abs(share) * STRONG if signed else FAINT + (STRONG - FAINT) * share


def colour_picture(picture: Image.Image, pixels: np.ndarray, signed: bool) -> Image.Image:
    """A map over the greys of its picture.

    Args:
        picture: in RGB.
        pixels: `(height, width)`; where it is NaN, nothing is drawn.
    """
    grey = np.asarray(picture.convert("L"), dtype=float)[..., None]  # (height, width, 1)
    share = shares(pixels)
    seen = ~np.isnan(share)
    share = np.where(seen, share, 0.0)
    cover = (opacity(share, signed) * seen)[..., None]
    return Image.fromarray(((1 - cover) * grey + cover * colours(share, signed)).round().astype(np.uint8))


__all__ = ["colour_picture", "colours", "opacity", "shares"]
