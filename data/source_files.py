"""A file, a folder, a glob or a URL of posts -> its files in a fixed order, here or elsewhere, each with what tells
whether it has changed.

    files = source_files("s3://bucket/posts/*.parquet", storage_options={"anon": True})
"""

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import urlsplit

from fsspec.utils import glob_translate

from duosent.data.reading import DataError, download_folder, split_of, tables_by_split
from duosent.data.retries import DeadSourceError, Retries
from duosent.data.source_access import SourceAccess, is_remote
from duosent.processing.reasons import reason_of

KINDS = {".parquet": "parquet", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl", ".tar": "tar"}
SOURCE_ENDINGS = tuple(KINDS)
MAGIC = re.compile(r"[*?\[]")
# What file systems call the mark of a file's content, or its time of change; the first that is there tells most.
MARKS = ("ETag", "etag", "checksum", "md5Hash", "md5", "blob_id", "mtime_ns", "LastModified", "mtime", "created")


@dataclass(frozen=True)
class SourceFile:
    """
    Args:
        number: of the file in the source, from 0.
        url: of a remote file; the absolute path of one on this machine.
        kind: "parquet", "csv", "tsv", "jsonl" or "tar".
        split: what its rows without an id are called after.
        identity: `size` in bytes and a mark of the content as the file system gives it (etag, checksum, or the time
            of the last change), to be compared as a whole; empty if the file system gives nothing.
        access: how it is reached.
        reason: why it cannot be read, where that is known from the listing; it is then a file or a folder.
    """

    number: int
    url: str
    kind: str
    split: str
    identity: dict = field(hash=False)
    access: SourceAccess = field(repr=False, compare=False)
    reason: str | None = None

    @property
    def folder(self) -> str:
        """Where paths of pictures start."""
        return self.url.rpartition("/")[0]

    @property
    def first_row(self) -> int:
        """The number of the first row in messages: the header of a CSV file is row 1."""
        return 2 if self.kind in ("csv", "tsv") else 1

    def as_json(self) -> dict:
        """What belongs in a manifest. How it is reached, with its secrets, does not."""
        return {"url": self.url, "kind": self.kind, "split": self.split, "identity": self.identity}


def source_files(
    source: str | Path,
    split: str | None = None,
    storage_options: dict | None = None,
    retries: Retries | None = None,
) -> list[SourceFile]:
    """The files of a source.

    Args:
        source: a file or folder of Parquet, CSV, TSV, JSON Lines or WebDataset tars; a glob of such files
            (`posts/*.parquet`, `**` for folders in folders); the URL of one of these that fsspec knows
            (`s3://`, `gs://`, `hf://datasets/`, `memory://`, ...); or the name of a data set on the Hub, which is
            brought into the Hub's cache. A folder gives its metadata files (`metadata.csv` and the like) if it has
            any, else the files that are named after splits, else all.
        split: which one to take; needed where a folder has several. Of a glob None takes all files.
        storage_options: of the file system; see `SourceAccess`.
        retries: see `Retries`; None for the default.

    Returns: the files; behind them, each with the reason, the folders whose listing stays dead.

    Raises:
        DataError: in one sentence, if there is nothing of that kind.
    """
    access = SourceAccess(storage_options or {}, retries or Retries())
    source = str(source)
    if not is_remote(source):
        groups, dead = _found_here(source), {}
    elif "::" in source:
        raise DataError(f"{source} must be one URL, not a chain of several.")
    else:
        listing = _Listing(source, access)
        groups, dead = listing.groups(), listing.dead
    chosen = _of_split(groups, split, source) if any(groups.values()) or not dead else []
    files = [_described(number, url, name, access) for number, (url, name) in enumerate(chosen)]
    for url, reason in dead.items():
        files.append(SourceFile(len(files), url, "folder", split or "train", {}, access, reason))
    return files


def _found_here(source: str) -> dict[str | None, list[str]]:
    """Paths by split; under None those that no split name was looked for."""
    if os.path.isfile(source):
        return {split_of(Path(source)) or "train": [_checked(os.path.abspath(source))]}
    if not os.path.isdir(source) and MAGIC.search(source):
        matches = sorted(os.path.abspath(path) for path in glob.glob(source, recursive=True) if os.path.isfile(path))
        return {None: _tables(matches, source)}
    folder = Path(os.path.abspath(source)) if os.path.isdir(source) else download_folder(source)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return _in_folder(paths, folder, source)


class _Listing:
    """The files of a remote source.

    Attributes:
        dead: folders that could not be listed, each with the reason.
    """

    def __init__(self, source: str, access: SourceAccess):
        self._source, self._access = source, access
        self._system, self._path = access.file_system(source)
        self._system.invalidate_cache()  # which would not see that a file has changed
        self.dead: dict[str, str] = {}

    def groups(self) -> dict[str | None, list[str]]:
        """URLs by split; under None those that no split name was looked for."""
        try:
            return self._found()
        except DeadSourceError as error:
            self.dead[self._source] = f"{self._source} cannot be listed: {reason_of(error)}."
            return {None: []}
        except FileNotFoundError as error:
            raise DataError(f"There is no file or folder {self._source}.") from error
        except OSError as error:
            raise DataError(f"{self._source} cannot be listed: {reason_of(error)}.") from error

    def _found(self) -> dict[str | None, list[str]]:
        path, source = self._path, self._source
        magic = re.search(r"[*]" if _is_web(source) else MAGIC, path)
        if magic:
            root = path[: magic.start()].rpartition("/")[0]
            depth = None if "**" in path else path[len(root) :].strip("/").count("/")
            pattern = self._pattern(path)
            names = [name for name in self._walk(root, depth) if pattern.match(name)]
            return {None: [self._url(name) for name in _tables(sorted(names), source, bool(self.dead))]}
        if self._access.info(source)["type"] == "file":
            return {split_of(PurePosixPath(path)) or "train": [_checked(self._url(path))]}
        names = [PurePosixPath(name) for name in sorted(self._walk(path))]
        groups = _in_folder(names, PurePosixPath(path), source, bool(self.dead))
        return {split: [self._url(name) for name in found] for split, found in groups.items()}

    def _pattern(self, path: str) -> re.Pattern:
        try:
            return re.compile(glob_translate(path))
        except ValueError as error:
            raise DataError(f"{self._source} is no pattern of files: {reason_of(error)}.") from error

    def _walk(self, folder: str, depth: int | None = None) -> Iterator[str]:
        """Paths of all files below a folder; fsspec's own walk leaves out, in silence, what cannot be listed.

        Args:
            depth: how many folders further down; None for all.
        """
        for entry in self._access.call(self._source, self._entries, folder):
            name = entry["name"]
            if entry["type"] != "directory":
                yield name
            elif name.strip("/") != folder.strip("/") and depth != 0:
                try:
                    yield from self._walk(name, None if depth is None else depth - 1)
                except OSError as error:
                    self.dead[self._url(name)] = f"{self._url(name)} cannot be listed: {reason_of(error)}."

    def _entries(self, folder: str) -> list[dict]:
        return self._system.ls(folder, detail=True)

    def _url(self, path: str) -> str:
        """A path of this machine stays a path."""
        protocols = self._system.protocol
        here = "file" in ([protocols] if isinstance(protocols, str) else protocols)
        return os.path.abspath(path) if here else self._system.unstrip_protocol(path)


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _ending(url: str) -> str:
    return PurePosixPath(urlsplit(url).path if _is_web(url) else url).suffix.lower()


def _in_folder(
    paths: list[PurePath], folder: PurePath, source: str, may_be_none: bool = False
) -> dict[str | None, list[str]]:
    groups = tables_by_split(paths, folder, SOURCE_ENDINGS)
    if groups == {None: []} and not may_be_none:
        raise DataError(f"{source} holds no file that ends in one of {', '.join(SOURCE_ENDINGS)}.")
    return {split or "train": [str(path) for path in found] for split, found in groups.items()}


def _checked(path: str) -> str:
    if _ending(path) not in SOURCE_ENDINGS:
        raise DataError(f"{path} must end in one of {', '.join(SOURCE_ENDINGS)}.")
    return path


def _tables(paths: list[str], source: str, may_be_none: bool = False) -> list[str]:
    """What a glob found that can be read."""
    tables = [path for path in paths if _ending(path) in SOURCE_ENDINGS]
    if not tables and not may_be_none:
        raise DataError(f"{source} matches no file that ends in one of {', '.join(SOURCE_ENDINGS)}.")
    return tables


def _of_split(groups: dict[str | None, list[str]], split: str | None, source: str) -> list[tuple[str, str]]:
    """Each file with the split that it is of."""
    if None in groups:
        groups_of_files = [(path, split_of(PurePosixPath(path)) or "train") for path in groups[None]]
        chosen = [(path, name) for path, name in groups_of_files if split in (None, name)]
        known = sorted({name for _, name in groups_of_files})
    else:
        known = list(groups)
        if split is None and len(known) > 1:
            raise DataError(f"split must be given for data with several parts: one of {', '.join(known)}.")
        name = known[0] if split is None else split
        chosen = [(path, name) for path in groups.get(name, [])]
    if not chosen:
        raise DataError(f"{source} has no {split} part, only {', '.join(known)}.")
    return chosen


def _described(number: int, url: str, split: str, access: SourceAccess) -> SourceFile:
    return SourceFile(number, url, KINDS[_ending(url)], split, _identity(url, access), access)


def _identity(url: str, access: SourceAccess) -> dict:
    try:
        if not is_remote(url):
            found = access.call(url, os.stat, url)
            return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
        info = access.info(url)
    except OSError:  # said of its rows when they are read
        return {}
    marks = {name: str(info[name]) for name in MARKS if info.get(name) is not None}
    return {"size": info.get("size"), **dict(list(marks.items())[:1])}


__all__ = ["SourceFile", "source_files"]
