"""Pictures small enough that many go into one page."""

import base64
import io

import PIL.Image

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
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


__all__ = ["thumbnail"]
