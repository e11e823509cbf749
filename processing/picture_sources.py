"""Where a picture may come from: what is in memory, a file, base64, an address on the web; each only if allowed."""

import base64
import binascii
import io
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from duosent.processing.pictures import ADDRESS, open_picture
from duosent.processing.processing_image_text import is_missing
from duosent.processing.reasons import reason_of
from duosent.processing.web_download import download, shortened

# What browsers show. Pillow knows more, and for some of it (EPS) starts other programs.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "WEBP")
BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
# Characters; the smallest GIF there can be has 47.
SHORTEST_BASE64 = 40


@dataclass(frozen=True)
class PictureSources:
    """What is allowed to whoever hands over a picture.

    The limits hold for what comes as base64 or from the web; what is in memory or on this machine's own disk is read
    as `open_picture` reads it.

    Args:
        allow_paths: take the path of a file. Where others send the posts, it must be False: they could try what files
            there are.
        allow_urls: fetch a picture from http:// or https://.
        allow_private: fetch it from loop-back and private networks too.
        max_bytes: of a picture, > 0.
        max_pixels: of a picture, > 0.
        timeout: seconds for a whole download, > 0.

    Raises:
        ValueError: for a limit out of its range.
    """

    allow_paths: bool = True
    allow_urls: bool = False
    allow_private: bool = False
    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    timeout: float = 10.0

    def __post_init__(self):
        for name in ("allow_paths", "allow_urls", "allow_private"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}.")
        for name, kinds in {"max_bytes": int, "max_pixels": int, "timeout": int | float}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < float("inf"):
                kind = "number" if name == "timeout" else "whole number"
                raise ValueError(f"{name} must be a {kind} > 0, got {value!r}.")

    def open(self, picture) -> Image.Image | None:
        """The picture in RGB; None where there is none.

        Args:
            picture: what `open_picture` takes; or a string with an address on the web, base64, or a data: URI of it.

        Raises:
            ValueError: in one sentence, for what is not allowed, too large, or no picture.
        """
        if is_missing(picture):
            return None
        if isinstance(picture, dict) and picture.get("bytes") is None:
            picture = picture.get("path", picture)
        if isinstance(picture, Path):
            picture = str(picture)
        return self._from_text(picture) if isinstance(picture, str) else open_picture(picture)

    def _from_text(self, picture: str) -> Image.Image:
        if picture[:5].lower() == "data:":
            return self._from_data_uri(picture)
        if ADDRESS.match(picture):
            return self._from_web(picture)
        if self.allow_paths and os.path.isfile(picture):
            return open_picture(picture)
        if len(picture) >= SHORTEST_BASE64 and BASE64.fullmatch(without_space(picture)):
            return self._from_base64(picture)
        if self.allow_paths:
            raise ValueError(f"There is no file {shortened(picture) or repr(picture)}.")
        raise ValueError(f"A picture must be base64 or an address on the web, got {shortened(picture)!r}.")

    def fetch(self, url: str) -> bytes:
        """The file of a picture on the web, whose head says that it is one; its pixels are not decoded.

        Raises:
            ValueError: as `open`.
        """
        if not self.allow_urls:
            raise ValueError(f"An address on the web is fetched only with allow_urls=True, got {shortened(url)}.")
        content = download(url, self.max_bytes, self.timeout, self.allow_private)
        self._checked(content, shortened(url))
        return content

    def _from_web(self, url: str) -> Image.Image:
        return open_picture(self.fetch(url))

    def _from_data_uri(self, uri: str) -> Image.Image:
        head, comma, encoded = uri[5:].partition(",")
        kind, *parameters = head.lower().split(";")
        if not comma or parameters[-1:] != ["base64"] or not (kind == "" or kind.startswith("image/")):
            raise ValueError(f"A data: URI must begin with data:image/...;base64, got {shortened(uri, 60)}.")
        return self._from_base64(encoded)

    def _from_base64(self, encoded: str) -> Image.Image:
        encoded = without_space(encoded)
        size = len(encoded.rstrip("=")) * 3 // 4
        if size > self.max_bytes:
            raise ValueError(f"A picture must have {self.max_bytes} bytes at most, got base64 of {size}.")
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            reason = reason_of(error)
            raise ValueError(f"A picture must be whole base64, got {shortened(encoded, 40)}: {reason}.") from error
        return open_picture(self._checked(content, f"base64 of {size} bytes"))

    def _checked(self, content: bytes, name: str) -> Image.Image:
        """A picture of a format and size that are taken; its pixels are not decoded."""
        Image.init()
        known = [kind for kind in FORMATS if kind in Image.OPEN]
        try:
            with warnings.catch_warnings():
                # What is too large is told below.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                picture = Image.open(io.BytesIO(content), formats=known)
        except UnidentifiedImageError as error:
            raise ValueError(f"{name} must be a picture ({', '.join(known)}), got none of these.") from error
        # Of a broken file Pillow says whatever its decoder met.
        except Exception as error:
            raise ValueError(f"{name} cannot be read as a picture: {reason_of(error)}.") from error
        if picture.width * picture.height > self.max_pixels:
            size = f"{picture.width} x {picture.height}"
            raise ValueError(f"{name} must have {self.max_pixels} pixels at most, got {size}.")
        return picture


def without_space(encoded: str) -> str:
    """Base64 may be written in lines."""
    return "".join(encoded.split())


__all__ = ["PictureSources"]
