"""Rows of CSV and TSV files: one reader for files that are read whole and for files that are read block by block."""

import codecs
import csv
from collections.abc import Iterator
from typing import BinaryIO

SEPARATORS = {".csv": ",", ".tsv": "\t"}
# Of the csv module 131,072, which a long text may pass.
LONGEST_CELL = 2**31 - 1


class CsvError(ValueError):
    """A row that is none, named by its number: the header is row 1."""


def skip_byte_order_mark(file: BinaryIO) -> None:
    """Go to the first byte of the text itself."""
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)


def csv_rows(file: BinaryIO, separator: str, first: int = 1) -> Iterator[tuple[int, list[str]]]:
    """The rows from where the file stands, each with the position behind it; empty lines are left out.

    A cell is what stands there, word for word. A quote that is not closed, or that closes before a cell's end, is an
    error: read on, it would make one cell of many rows.

    Args:
        file: open for bytes of UTF-8.
        first: number of the first row, for messages.

    Raises:
        CsvError: where a row is damaged.
    """
    csv.field_size_limit(LONGEST_CELL)
    position, number = file.tell(), first

    def lines() -> Iterator[str]:
        nonlocal position
        for line in file:
            position += len(line)
            yield line.decode("utf-8")

    try:
        for cells in csv.reader(lines(), delimiter=separator, strict=True):
            if cells:
                yield position, cells
                number += 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise CsvError(f"row {number}: {error}") from error


def column_names(header: list[str]) -> list[str]:
    """The names in a header, in their order; a column without one is called after its place, from 1.

    Raises:
        CsvError: if a name stands there twice or holds a zero byte, which would end it in Arrow.
    """
    names = [name or f"unnamed {place}" for place, name in enumerate(header, start=1)]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise CsvError(f"the header has the column {name!r} twice")
        if "\0" in name:
            raise CsvError(f"the header has a zero byte in the column {name!r}")
    return names


def filled(cells: list[str], width: int, number: int) -> list[str | None]:
    """The cells of a row, None for an empty one and for one that is missing at the end.

    Raises:
        CsvError: for more cells than the header has names.
    """
    if len(cells) > width:
        raise CsvError(f"row {number} has {len(cells)} cells, the header has {width}")
    return [cell or None for cell in cells] + [None] * (width - len(cells))


__all__ = ["SEPARATORS", "CsvError", "column_names", "csv_rows", "filled", "skip_byte_order_mark"]
