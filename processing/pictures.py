"""Any picture that a post may hold -> PIL in RGB, as a person would see it."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# What 16 bits have above 8: 65535 / 255.
SIXTEEN_TO_EIGHT_BITS = 257


def open_picture(picture) -> Image.Image:
    """Open a picture and bring it to RGB.

    The rotation of its EXIF data is carried out, of an animation the first frame is taken, what is transparent shows
    white, and 16 bits a channel are scaled to 8.

    Args:
        picture: path, bytes of a file, `{"bytes": ..., "path": ...}` as `datasets` gives it, PIL image, or array
            (NumPy or torch) of shape
            `(height, width)`, `(height, width, 1 | 3 | 4)` or `(1 | 3 | 4, height, width)`; whole numbers from 0 to
            255, or floats from 0 to 1.

    Raises:
        ValueError: in one sentence, if it cannot be read. An address on the web is never fetched.
    """
    if isinstance(picture, dict):
        inside = picture.get("bytes")
        picture = picture.get("path") if inside is None else inside
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        raise ValueError(f"{picture} is an address on the web, which is not fetched: give a path, bytes or an image.")
    if not isinstance(picture, Image.Image):
        picture = _read(picture)
    try:
        picture.seek(0)
        return _to_rgb(ImageOps.exif_transpose(picture))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"The picture is damaged: {_one_line(error)}.") from error


def _read(picture) -> Image.Image:
    if isinstance(picture, bytes | bytearray | memoryview):
        return _open(io.BytesIO(picture), f"{len(picture)} bytes")
    if isinstance(picture, str | Path):
        if not Path(picture).is_file():
            raise ValueError(f"There is no file {picture}.")
        return _open(picture, picture)
    if hasattr(picture, "__array__"):
        return _from_array(np.asarray(picture))
    raise ValueError(f"A picture must be a path, bytes, a PIL image or an array, got {type(picture).__name__}.")


def _open(file, name) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Half the limit at which Pillow refuses a picture: large, but readable.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file)
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} cannot be read as a picture: no format that is known.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read as a picture: {_one_line(error)}.") from error


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        raise ValueError(f"An array must be (height, width) with 1, 3 or 4 channels, got shape {array.shape}.")
    if array.dtype == bool:
        array = array * 255
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(f"An array of floats must lie in [0, 1], got {array.min():g} to {array.max():g}.")
        array = (array * 255).round()
    elif array.min() < 0 or array.max() > 255:
        raise ValueError(f"An array of whole numbers must lie in [0, 255], got {array.min()} to {array.max()}.")
    return Image.fromarray(array.astype(np.uint8))


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _deep_to_eight_bits(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _deep_to_eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow clips what lies above 255; scale it. Floats from 0 to 1 are shares of white."""
    values = np.asarray(picture, dtype=np.float64)
    if picture.mode == "F" and values.max() <= 1:
        values = values * 255
    elif picture.mode.startswith("I;16") or values.max() > 255:
        values = values / SIXTEEN_TO_EIGHT_BITS
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


__all__ = ["open_picture"]
