"""Files cut into pieces of rows that can be read by themselves, by any process, and put into a manifest.

    files = source_files("posts/*.csv")
    planned = source_pieces(files)                     # reads each text file and tar once, of Parquet the footer
    with PieceReader() as reader:
        for piece in planned:
            for row in reader.read(piece):             # piece.outcomes of them, dict or Rejected

A manifest keeps `piece.as_json()`, a list of seven values, and gets the piece back by
`Piece.from_json(values, files)`, with the files of the same source listed anew: how they are reached, with its
secrets, is in no manifest.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from duosent.data.json_list import JsonList, holds_list
from duosent.data.parquet_file import ParquetTable
from duosent.data.reading import FOLDER, ORIGIN
from duosent.data.rejected import Rejected
from duosent.data.source_files import SourceFile
from duosent.data.stretches import Damage, Stretch, UnreadableFileError
from duosent.data.tar_samples import TarSamples
from duosent.data.text_file import CsvFile, JsonLinesFile
from duosent.processing.reasons import reason_of

PIECE_ROWS = 1000
# Where a raw row keeps its place in the whole input.
PLACE = "__place__"


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a file; or a file, or the rest of one, that cannot be read.

    Args:
        file: where they stand.
        start, size: see `Stretch`.
        first: number of rows of the file before it.
        rows: number of rows, damaged ones among them; 0 where there is a reason.
        place: of its first row in the whole input, from 0: files in their order, then rows. What cannot be read has
            one place.
        reason: why the file cannot be read; None where it can.
    """

    file: SourceFile
    start: int
    size: int
    first: int
    rows: int
    place: int
    reason: str | None = None

    @property
    def outcomes(self) -> int:
        """How many rows and rejections it gives."""
        return self.rows if self.reason is None else 1

    def as_json(self) -> list:
        return [self.file.number, self.start, self.size, self.first, self.rows, self.place, self.reason]

    @staticmethod
    def from_json(values: list, files: list[SourceFile]) -> "Piece":
        number, *others = values
        return Piece(files[number], *others)


def source_pieces(files: Iterable[SourceFile], piece_rows: int = PIECE_ROWS) -> Iterator[Piece]:
    """The pieces of all files, in order; see `pieces`."""
    place = 0
    for file in files:
        for piece in pieces(file, piece_rows, place):
            yield piece
            place = piece.place + piece.outcomes


def pieces(file: SourceFile, piece_rows: int = PIECE_ROWS, place: int = 0) -> Iterator[Piece]:
    """The pieces of a file, none of one without rows. Damage is told when they are read, and raises nothing.

    Args:
        piece_rows: rows of a piece at most, > 0; only samples of a tar with damage between them stay together.
        place: of the file's first row in the whole input.
    """
    if file.reason is not None:
        yield Piece(file, 0, 0, 0, 0, place, file.reason)
        return
    first = 0
    try:
        opened = open_file(file)
        try:
            for start, size, rows in opened.stretches(piece_rows):
                yield Piece(file, start, size, first, rows, place + first)
                first += rows
        finally:
            opened.close()
    except (UnreadableFileError, OSError) as error:
        where = f" behind row {file.first_row + first - 1}" if first else ""
        yield Piece(file, 0, 0, first, 0, place + first, f"{file.url} cannot be read{where}: {reason_of(error)}.")


class PieceReader:
    """Reads pieces, and keeps the file of the last one open for the next one. For one thread at a time; where a
    process has forked, each opens the file anew.

    It can be pickled, without the open file.
    """

    def __init__(self):
        self._opened, self._of = None, None

    def __getstate__(self) -> dict:
        return {"_opened": None, "_of": None}

    def __enter__(self) -> "PieceReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def read(self, piece: Piece, columns: list[str] | None = None) -> Iterator[dict | Rejected]:
        """The rows of a piece in their order, each exactly once, as a row or as a rejection: `piece.outcomes` in all.
        Whatever the file holds, or however it fails, nothing is raised.

        Args:
            columns: of Parquet, those that are wanted; None for all.

        Returns: rows as they stand in the file, of text every cell as its words, and besides `__place__`, the number
            of the row in the whole input, `__folder__`, where picture paths start, and `__origin__`, file and row.
        """
        if piece.reason is not None:
            yield Rejected(piece.place, piece.file.url, piece.reason)
            return
        given, reason = 0, "it is no longer there: the file has changed while it was read"
        try:
            opened = self.open(piece.file)
            for found in opened.rows(Stretch(piece.start, piece.size, piece.rows), columns):
                yield _outcome(piece, given, found)
                given += 1
                if given == piece.rows:
                    return
        except (UnreadableFileError, OSError) as error:
            self.close()
            reason = f"the file cannot be read: {reason_of(error)}"
        yield from refused(piece, reason, given)

    def open(self, file: SourceFile):
        """
        Raises:
            UnreadableFileError, OSError: if that cannot be done.
        """
        wanted = file.url, os.getpid()
        if self._of != wanted:
            self.close()
            self._opened, self._of = open_file(file), wanted
        return self._opened

    def close(self) -> None:
        opened, of = self._opened, self._of
        self._opened, self._of = None, None
        if of is not None and of[1] == os.getpid():
            opened.close()


def read_piece(piece: Piece) -> Iterator[dict | Rejected]:
    """The rows of one piece; of several `PieceReader` reads them faster."""
    with PieceReader() as reader:
        yield from reader.read(piece)


def open_file(file: SourceFile) -> ParquetTable | CsvFile | JsonLinesFile | JsonList | TarSamples:
    """
    Raises:
        UnreadableFileError: if it is not what its name says.
        OSError: if it cannot be read.
    """
    if file.kind == "parquet":
        return ParquetTable(file.access, file.url)
    if file.kind in ("csv", "tsv"):
        return CsvFile(file.access, file.url, file.kind)
    if file.kind == "tar":
        return TarSamples(file.access, file.url)
    if file.url.lower().endswith(".json") and holds_list(file.access, file.url):
        return JsonList(file.access, file.url)
    return JsonLinesFile(file.access, file.url)


def refused(piece: Piece, reason: str, first: int = 0) -> Iterator[Rejected]:
    """The rows of a piece, from one of them on, each rejected for the same reason."""
    for number in range(first, piece.rows):
        yield _outcome(piece, number, Damage(reason))


def row_id(file: SourceFile, place: int) -> str:
    """What a row without an id is called."""
    return f"{file.split}-{1 + place}"


def _outcome(piece: Piece, number: int, found: dict | Damage) -> dict | Rejected:
    """
    Args:
        number: of the row in the piece, from 0.
    """
    place = piece.place + number
    origin = f"{piece.file.url}, row {piece.file.first_row + piece.first + number}"
    if isinstance(found, Damage):
        return Rejected(place, found.id or row_id(piece.file, place), f"{origin}: {found.reason}.")
    return {**found, PLACE: place, FOLDER: piece.file.folder, ORIGIN: origin}


__all__ = ["PIECE_ROWS", "PLACE", "Piece", "PieceReader", "pieces", "read_piece", "refused", "row_id", "source_pieces"]
