"""Rows of a source -> posts that can be scored: `id`, `text`, `image`, `target`, or the reason why there is none.

    files = source_files("s3://bucket/posts/*.parquet")
    reader = SourceReader({"text": "tweet"})
    reader.check(files)                                # a column that is not there is told before anything is read
    for piece in source_pieces(files):
        for post in reader.read(piece):                # `Rejected`, or a post whose picture may still be far away
            if isinstance(post, dict):
                post = reader.fetch(post, piece.file)  # the post with its picture's bytes, or `Rejected`

A reader can be pickled to worker processes, and lives through a fork. It is for one thread at a time.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from duosent.data.pairs import choose_columns
from duosent.data.reading import FILE_NAME, FOLDER, ORIGIN, DataError
from duosent.data.rejected import Rejected
from duosent.data.remote_pictures import picture_place, read_picture
from duosent.data.source_files import SourceFile
from duosent.data.source_pieces import PLACE, Piece, PieceReader, refused, row_id
from duosent.data.stretches import UnreadableFileError
from duosent.data.tar_samples import KEY
from duosent.processing.processing_image_text import whole_characters
from duosent.processing.reasons import reason_of

DEFAULT_COLUMNS = {"text": "text", "image": "image", "target": None, "id": None}
# Columns that are taken where a row has them; the objects of JSON Lines and the samples of a tar need not be alike.
OPTIONAL = ("target", "id")


@dataclass
class SourceReader:
    """
    Args:
        columns: what `id`, `text`, `image` and `target` are taken from, by these names. One that is not given, or
            None, is the column of that name, where there is one. One of the two sides may be absent.
        base_image_dir: a folder, or the URL of one, that picture paths start from, in place of the folder of their
            file.
        allow_urls: fetch pictures from http:// and https://, by the rules of `PictureSources`.

    Raises:
        DataError: for a name in `columns` that is none of these.
    """

    columns: dict[str, str | None] = field(default_factory=dict)
    base_image_dir: str | None = None
    allow_urls: bool = False

    def __post_init__(self):
        unknown = [name for name in self.columns if name not in DEFAULT_COLUMNS]
        if unknown:
            raise DataError(f"columns must be of {', '.join(DEFAULT_COLUMNS)}, got {', '.join(unknown)}.")
        given = {name: column for name, column in self.columns.items() if column is not None}
        self.columns = DEFAULT_COLUMNS | given
        self._pieces = PieceReader()
        self._chosen: dict[str, dict[str, str]] = {}

    def check(self, files: Iterable[SourceFile]) -> None:
        """Look for the columns in each file; a file that cannot be read is left to be rejected.

        Raises:
            DataError: for a column that was asked for and is not there.
        """
        for file in files:
            try:
                if file.reason is None:
                    self._choose(file)
            except (UnreadableFileError, OSError):
                self._pieces.close()
        self._pieces.close()

    def read(self, piece: Piece) -> Iterator[dict | Rejected]:
        """The posts of a piece in order, each exactly once, as a post or as a rejection: `piece.outcomes` in all. Of
        what the file holds nothing is raised.

        Returns: posts with `place`, the number of the row in the whole input from 0; `id`, which is
            `<split>-<place + 1>` where the row has none; `text` and `target`, words or None; `image`,
            `{"bytes", "path"}`, both None where there is no picture. The path is absolute, or a URL; what it leads to
            is read by `fetch`.
        """
        if piece.reason is not None:
            yield from self._pieces.read(piece)
            return
        try:
            chosen = self._choose(piece.file)
        except (UnreadableFileError, OSError, DataError) as error:
            self._pieces.close()
            yield from refused(piece, f"the file cannot be read: {reason_of(error)}")
            return
        for row in self._pieces.read(piece, list(dict.fromkeys(chosen.values()))):
            yield row if isinstance(row, Rejected) else self._post(row, chosen, piece.file)

    def fetch(self, post: dict, file: SourceFile) -> dict | Rejected:
        """The post with the bytes of its picture, which is read where it lies, with retries. Safe in several threads.

        Args:
            post: of `read`.
            file: that it is from, which says how remote pictures are reached.
        """
        picture = post["image"]
        if picture["bytes"] is not None or picture["path"] is None:
            return post
        try:
            content = read_picture(picture["path"], file.access)
        except ValueError as error:
            return Rejected(post["place"], post["id"], str(error))
        return {**post, "image": {"bytes": content, "path": picture["path"]}}

    def _choose(self, file: SourceFile) -> dict[str, str]:
        """Columns of a file by their names here.

        Raises:
            DataError: for one that was asked for and is not there.
            UnreadableFileError, OSError: if the file cannot be read.
        """
        if file.url not in self._chosen:
            wanted, present = dict(self.columns), self._pieces.open(file).column_names
            if file.kind == "tar" and wanted["id"] is None:
                wanted["id"] = KEY
            self._chosen[file.url] = _chosen(file, present, wanted)
        return self._chosen[file.url]

    def _post(self, row: dict, chosen: dict[str, str], file: SourceFile) -> dict | Rejected:
        cells = {name: row.get(column) for name, column in chosen.items()}
        place, given = row[PLACE], cells.get("id")
        post = {"place": place, "id": row_id(file, place) if given is None else whole_characters(str(given))}
        try:
            post["text"] = _words(cells.get("text"), "text")
            post["image"] = self._picture(cells.get("image"), row[FOLDER])
            post["target"] = _words(cells.get("target"), "target")
        except ValueError as error:
            return Rejected(place, post["id"], f"{row[ORIGIN]}: {reason_of(error)}.")
        return post

    def _picture(self, cell, folder: str) -> dict:
        if isinstance(cell, dict) and {"bytes", "path"} & set(cell):
            inside, path = cell.get("bytes"), cell.get("path")
        else:
            inside, path = (None, cell) if isinstance(cell, str | None) else (cell, None)
        if not isinstance(inside, bytes | None) or not isinstance(path, str | None):
            raise ValueError(f"image must hold bytes, a path or an image, got {type(cell).__name__}")
        if inside is None and path:
            return {"bytes": None, "path": picture_place(path, self.base_image_dir or folder, self.allow_urls)}
        return {"bytes": inside, "path": path or None}


def _chosen(file: SourceFile, present: list[str], wanted: dict[str, str | None]) -> dict[str, str]:
    if file.kind in ("jsonl", "tar"):
        with contextlib.suppress(DataError):  # which would name columns that nobody has seen
            return choose_columns(_may_be_present(present), wanted, file.url)
    elif not present:  # an empty file
        return {}
    return choose_columns(present, wanted, file.url)


def _may_be_present(seen: list[str]) -> list[str]:
    """The columns of rows that need not be alike, of which some were looked at."""
    if not seen:  # no row was readable
        return ["text", "image", *OPTIONAL]
    sides = ["text", "image"] if {"text", "image"} & set(seen) else []
    if FILE_NAME in seen and "image" not in seen:  # which serves in its place
        sides = ["text"]
    return list(dict.fromkeys([*seen, *sides, *OPTIONAL]))


def _words(value, name: str) -> str | None:
    """A cell as `datasets` makes words of it."""
    if value is None or isinstance(value, str):
        return value
    try:
        return pa.scalar(value).cast(pa.string()).as_py()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold words, got {type(value).__name__}") from error


__all__ = ["SourceReader"]
