"""Where the path in a row's cell leads to, and the picture that lies there."""

import posixpath
from pathlib import Path
from urllib.parse import urljoin

from duosent.data.reading import DataError
from duosent.data.source_access import SourceAccess, is_remote
from duosent.processing.picture_sources import PictureSources
from duosent.processing.pictures import ADDRESS
from duosent.processing.reasons import reason_of
from duosent.processing.web_download import shortened

WEB = ("http", "https")
# Object stores that a cell may name. fsspec knows far more, of which some run programs or reach into this machine and
# its network, which is not for a table's cells to choose.
STORES = ("s3", "s3a", "gs", "gcs", "hf", "az", "abfs", "abfss", "adl")


def picture_place(path: str, folder: str, allow_urls: bool) -> str:
    """The absolute path or the URL of a picture.

    Args:
        path: what the cell holds.
        folder: that it starts from, a path or a URL.
        allow_urls: whether it may be an address on the web.

    Raises:
        ValueError: for a place that is not read from.
    """
    if not ADDRESS.match(path):
        if not is_remote(folder):
            return str(Path(folder) / path)
        path = _below(folder, path)
    protocol = _protocol(path)
    if protocol in WEB:
        if not allow_urls:
            raise ValueError(f"{shortened(path)} is an address on the web, which is read only by --fetch-images")
    elif "::" in path or not (protocol in STORES or (is_remote(folder) and protocol == _protocol(folder))):
        raise ValueError(f"{shortened(path)} is no address that pictures are read from")
    return path


def read_picture(place: str, access: SourceAccess) -> bytes:
    """The file of a picture.

    Args:
        place: of `picture_place`, which has allowed it.

    Raises:
        ValueError: in one sentence that names it, if it cannot be read.
    """
    if _protocol(place) in WEB:
        try:
            return access.call(place, PictureSources(allow_urls=True).fetch, place)
        except OSError as error:  # it names the address
            raise ValueError(f"{reason_of(error)}.") from error
    try:
        return access.read(place)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {shortened(place, 300)}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise ValueError(f"{shortened(place, 300)} cannot be read: {reason}.") from error


def _protocol(url: str) -> str:
    return url.partition(":")[0].lower()


def _below(folder: str, path: str) -> str:
    """A relative path from a remote folder.

    Raises:
        ValueError: if it leads out of the bucket.
    """
    protocol, _, root = folder.partition("://")
    if protocol.lower() in WEB:
        return urljoin(f"{folder}/", path)
    joined = posixpath.normpath(posixpath.join(root, path))
    if path.startswith("/") or joined.split("/")[0] != root.split("/")[0]:
        raise ValueError(f"{shortened(path)} must be a path below {folder}, or a URL")
    return f"{protocol}://{joined}"


__all__ = ["picture_place", "read_picture"]
