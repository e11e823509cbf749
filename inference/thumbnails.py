"""Pictures small enough that many go into one page."""

import PIL.Image

from duosent.inference.jpeg_address import jpeg_address
from duosent.processing.pictures import open_picture

# Pixels of the longer side: sharp at half of that on a phone's screen.
SIZE = 240
QUALITY = 70


def thumbnail(picture) -> str | None:
    """A picture as a `data:` address of a small JPEG; None where there is none, or it cannot be read.

    Args:
        picture: what `open_picture` takes, or a cell of the picture column; None for none.
    """
    if picture is None or (isinstance(picture, dict) and picture.get("bytes") is None and not picture.get("path")):
        return None
    try:
        small = open_picture(picture)
    except ValueError:
        return None
    small.thumbnail((SIZE, SIZE), PIL.Image.Resampling.LANCZOS)
    return jpeg_address(small, QUALITY)


__all__ = ["thumbnail"]
