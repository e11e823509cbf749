"""Any picture that a post may hold -> PIL in RGB, as a person would see it."""

import io
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError

from duosent.processing.reasons import reason_of

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)
EIGHT_BITS, SIXTEEN_BITS, THIRTY_TWO_BITS = 2**8 - 1, 2**16 - 1, 2**31 - 1
# What undoes each orientation of the EXIF standard; 1 is upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Those of them that make a row of pixels a column.
TURNED = (5, 6, 7, 8)
# Reduced decoding leaves so many times the pixels that are wanted on either side: what it takes away is then hardly
# more than what the resizing behind it takes away anyhow.
MARGIN = 2


class Resizing(NamedTuple):
    """What is done to a picture behind its decoding.

    Attributes:
        height, width: that it gets, each > 0.
        resample: Pillow's number of the way.
    """

    height: int
    width: int
    resample: int


def open_picture(picture, resizing: Resizing | None = None) -> Image.Image:
    """Open a picture and bring it to RGB.

    The rotation of its EXIF data is carried out, of an animation the first frame is taken, what is transparent shows
    white, and 16 bits a channel are scaled to 8. What is handed over is not changed.

    Args:
        picture: path, bytes of a file, `{"bytes": ..., "path": ...}` as `datasets` gives it, PIL image, or array
            (NumPy or torch) of shape `(height, width)`, `(height, width, 1 | 3 | 4)` or `(1 | 3 | 4, height, width)`,
            in case of doubt the former; whole numbers from 0 to 255, unsigned 16 bits from 0 to 65535, or floats from
            0 to 1.
        resizing: what will be done to the picture. A JPEG file is then decoded at a half, a quarter or an eighth of
            its size, if that still has `MARGIN` times the pixels on either side, and comes resized; any other
            picture, or with None, comes in the size that it has.

    Raises:
        ValueError: in one sentence, if it cannot be read. An address on the web is never fetched.
    """
    name = "The picture"
    if isinstance(picture, dict):
        if not {"bytes", "path"} & set(picture):
            keys = ", ".join(map(str, picture)) or "nothing"
            raise ValueError(f"A picture given as a dict must have bytes or path, got {keys}.")
        inside, path = picture.get("bytes"), picture.get("path")
        name = path or name
        picture = path if inside is None else inside
    if isinstance(picture, str | Path):
        name = picture = _check_path(str(picture))
    elif isinstance(picture, bytes | bytearray | memoryview) and name == "The picture":
        name = f"{len(picture)} bytes"
    ours = isinstance(picture, str | bytes | bytearray | memoryview)
    if ours:
        picture = _open(picture, name)
    elif isinstance(picture, torch.Tensor):
        picture = _from_array((picture.float() if picture.is_floating_point() else picture).detach().cpu().numpy())
    elif not isinstance(picture, Image.Image):
        if not hasattr(picture, "__array__"):
            kind = type(picture).__name__
            raise ValueError(f"A picture must be a path, bytes, a PIL image or an array, got {kind}.")
        picture = _from_array(np.asarray(picture))

    if 0 in picture.size:
        raise ValueError(f"{name} must have pixels, got {picture.width} x {picture.height}.")
    try:
        frame = picture.tell()
        picture.seek(0)
        reduced = _reduce(picture, resizing) if ours and resizing is not None else None
        picture.load()
        upright = UPRIGHT.get(_orientation(picture))
        rgb = _to_rgb(picture)
        if reduced is not None:
            rgb = rgb.resize(*reduced)
        picture.seek(frame)
    # Of a broken file Pillow says whatever its decoder met: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise ValueError(f"{name} is damaged: {reason_of(error)}.") from error
    return rgb if upright is None else rgb.transpose(upright)


def _check_path(path: str) -> str:
    shown = path if len(path) <= 300 else f"{path[:60]}…"
    if ADDRESS.match(path):
        raise ValueError(f"{shown} is an address on the web, which is not fetched: give a path, bytes or an image.")
    try:
        found = Path(path).is_file()
    except OSError:  # a name too long for the file system
        found = False
    if not found:
        raise ValueError(f"There is no file {shown or repr(shown)}.")
    return path


def _open(source: str | bytes | bytearray | memoryview, name: str) -> Image.Image:
    try:
        # All of a file at once, so that it is closed whatever happens.
        content = Path(source).read_bytes() if isinstance(source, str) else source
        with warnings.catch_warnings():
            # Half the limit at which Pillow refuses a picture: large, but readable.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} cannot be read as a picture: no format that is known.") from error
    except Exception as error:  # as in open_picture
        raise ValueError(f"{name} cannot be read as a picture: {reason_of(error)}.") from error


def _reduce(picture: Image.Image, resizing: Resizing) -> tuple | None:
    """Let a JPEG file that is not loaded yet be decoded with fewer pixels.

    Returns: the arguments of the `resize` that is then due: size, way, and what of the decoded picture is the
        picture, for behind its right and lower edge there may be the rest of a pixel. None where nothing is reduced.
    """
    height, width, way = resizing
    if _orientation(picture) in TURNED:
        height, width = width, height
    wanted = MARGIN * width, MARGIN * height
    if picture.width < 2 * wanted[0] or picture.height < 2 * wanted[1]:
        return None
    drafted = picture.draft(None, wanted)  # None of any other format
    return None if drafted is None else ((width, height), way, drafted[1])


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        raise ValueError(f"An array must be (height, width) with 1, 3 or 4 channels, got shape {array.shape}.")
    if array.dtype == bool:
        array = array * EIGHT_BITS
    elif array.dtype == np.uint16:
        array = (array * (EIGHT_BITS / SIXTEEN_BITS)).round()
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(f"An array of floats must lie in [0, 1], got {array.min():g} to {array.max():g}.")
        array = (array * EIGHT_BITS).round()
    elif not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"An array must hold whole numbers or floats, got {array.dtype}.")
    elif array.min() < 0 or array.max() > EIGHT_BITS:
        raise ValueError(f"An array of whole numbers must lie in [0, 255], got {array.min()} to {array.max()}.")
    return Image.fromarray(array.astype(np.uint8))


def _orientation(picture: Image.Image) -> int | None:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken EXIF data say nothing of the picture beside them
        return None


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _deep_to_rgb(picture)
    if picture.has_transparency_data:
        if picture.mode == "La":  # Pillow knows no other way
            picture = picture.convert("LA")
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _deep_to_rgb(picture: Image.Image) -> Image.Image:
    """Pillow clips what lies above 255; scale it. In mode I and F the largest value tells which depth it is."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    depths = (SIXTEEN_BITS,) if picture.mode.startswith("I;16") else (EIGHT_BITS, SIXTEEN_BITS, THIRTY_TWO_BITS)
    if picture.mode == "F":
        depths = (1, *depths)
    white = next((depth for depth in depths if values.max() <= depth), values.max())
    levels = (values * (EIGHT_BITS / white)).round().clip(0, EIGHT_BITS)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        levels[values == transparent] = EIGHT_BITS
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


__all__ = ["Resizing", "open_picture"]
