"""Files here and elsewhere, by one way to open, read and list them, each with retries."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fsspec.core import url_to_fs
from fsspec.spec import AbstractFileSystem

from duosent.data.reading import DataError
from duosent.data.retries import DeadSourceError, Retries, passes_elsewhere, passes_on_disk
from duosent.processing.reasons import reason_of

# Bytes asked for at once.
CHUNK = 2**20
# What brings the file system of a protocol, where duosent itself does not.
EXTRAS = {"s3": "duosent[s3]", "s3a": "duosent[s3]", "gs": "duosent[gs]", "gcs": "duosent[gs]"}


def is_remote(url: str) -> bool:
    """False for a path of this machine."""
    return "://" in url


@dataclass(frozen=True)
class SourceAccess:
    """How files are reached. It can be pickled to other processes; it holds nothing open.

    Args:
        storage_options: of the file system of fsspec, such as `{"anon": True}`; they may hold secrets, are given to
            remote file systems alone, and are shown nowhere.
        retries: what is done about errors that pass.
    """

    storage_options: dict = field(default_factory=dict, repr=False)
    retries: Retries = field(default_factory=Retries, repr=False)

    def file_system(self, url: str) -> tuple[AbstractFileSystem, str]:
        """The file system of a URL, and the path in it. fsspec keeps one for each process and set of options.

        Raises:
            DataError: for a protocol that nobody here knows.
        """
        try:
            return url_to_fs(url, **self.storage_options)
        except ImportError as error:
            brings = EXTRAS.get(urlsplit(url).scheme)
            hint = f", which {brings} brings" if brings else ""
            raise DataError(f"{url} needs a package that is not installed{hint}: {reason_of(error)}.") from error
        except (ValueError, TypeError) as error:
            raise DataError(f"{url} cannot be opened: {reason_of(error)}.") from error

    def call(self, url: str, do: Callable, *arguments):
        """What `do(*arguments)` gives, tried again where it fails in passing.

        Raises:
            OSError: whatever went wrong.
        """
        if not is_remote(url):
            return self.retries("disk", passes_on_disk, do, *arguments)
        parts = urlsplit(url)
        try:
            return self.retries(f"{parts.scheme}://{parts.netloc}", passes_elsewhere, do, *arguments)
        except (OSError, DataError):
            raise
        except Exception as error:  # each client has errors of its own
            raise OSError(reason_of(error)) from error

    def info(self, url: str) -> dict:
        """What the file system says of a file or folder: `size`, `type`, and more of its own.

        Raises:
            OSError: FileNotFoundError where there is nothing.
        """
        return self.call(url, self._info, url)

    def open(self, url: str, in_order: bool = True) -> io.BufferedReader:
        """A file for reading, whose every read is tried again where it fails in passing.

        Args:
            in_order: it will be read from one end to the other, so that more than asked for may be fetched ahead.

        Raises:
            OSError: if it cannot be opened.
        """
        return io.BufferedReader(RetriedFile(self, url, in_order), CHUNK)

    def read(self, url: str) -> bytes:
        """All of a file.

        Raises:
            OSError: if it cannot be read.
        """
        with self.open(url) as file:
            return file.read()

    def open_once(self, url: str, in_order: bool) -> tuple[io.IOBase, int | None]:
        """A file and its size, None where that is not known; not tried again."""
        if not is_remote(url):
            file = open(url, "rb", buffering=0)  # noqa: SIM115  (RetriedFile closes it)
            return file, os.fstat(file.fileno()).st_size
        system, path = self.file_system(url)
        options = {} if in_order else {"cache_type": "none"}
        file = system.open(path, "rb", **options)
        size = getattr(file, "size", None)
        return file, system.info(path).get("size") if size is None else size

    def _info(self, url: str) -> dict:
        system, path = self.file_system(url)
        return system.info(path)


class RetriedFile(io.RawIOBase):
    """The bytes of a file: where reading fails in passing it is opened anew and read on from the same place."""

    def __init__(self, access: SourceAccess, url: str, in_order: bool):
        self._access, self._url, self._in_order = access, url, in_order
        self._position, self._file = 0, None
        access.call(url, self._open)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            if self._size is None:
                raise io.UnsupportedOperation(f"the size of {self._url} is not known")
            offset += self._size
        self._position = max(0, offset)
        return self._position

    def readinto(self, buffer) -> int:
        content = self._access.call(self._url, self._read_once, len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._drop()
        super().close()

    def _open(self) -> None:
        self._file, self._size = self._access.open_once(self._url, self._in_order)

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _read_once(self, size: int) -> bytes:
        try:
            if self._file is None:
                self._open()
            self._file.seek(self._position)
            content = self._file.read(size) or b""
        except Exception:
            self._drop()
            raise
        if size and not content and self._size is not None and self._position < self._size:
            self._drop()
            left = self._size - self._position
            raise ConnectionError(f"{self._url} broke off {left} bytes before its end")
        return content


__all__ = ["DeadSourceError", "SourceAccess", "is_remote"]
