"""A picture inside a page."""

import base64
import io

from PIL import Image


def jpeg_address(picture: Image.Image, quality: int) -> str:
    """A picture as a `data:` address of a JPEG.

    Args:
        picture: in RGB.
        quality: of the JPEG, from 1 to 95.
    """
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


__all__ = ["jpeg_address"]
