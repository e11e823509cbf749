"""Small pictures for tests: no two of `blocks` are alike, and a copy of one is near it."""

import io

import numpy as np
from PIL import Image


def blocks(seed: int, size: int = 64) -> Image.Image:
    """A picture of 8 x 8 coloured blocks, unlike that of any other seed."""
    colours = np.random.RandomState(seed).randint(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(colours.repeat(size // 8, axis=0).repeat(size // 8, axis=1))


def encoded(picture: Image.Image, file_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def near_copy(picture: Image.Image) -> bytes:
    """Half the size, JPEG."""
    return encoded(picture.resize((picture.width // 2, picture.height // 2)), "JPEG", quality=60)
