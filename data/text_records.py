"""Records of CSV, TSV and JSON Lines, one by one, whatever damage stands between them: what is none is told by its
reason, and reading goes on with the next line.

A record depends on the bytes from its first one on alone, never on what stands before it: a file may be cut between
any two and be read from there.

A quote that is not closed takes the lines behind it into its cell, up to the next quote. Where that leaves no whole
record, only the line with the open quote is lost. Where it does (the next quote ends a cell just so), no reader can
tell it from a text of several lines.
"""

import codecs
import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from duosent.data.csv_rows import LONGEST_CELL

# Bytes; so far a quote may stay open, and so much of a file without line feeds is ever held.
LONGEST_RECORD = 2**24
NO_UTF8 = "it holds bytes that are no UTF-8"
BAD_QUOTES = "it is no CSV: a quote is not closed or does not close its cell, or a carriage return stands in a cell"
TOO_LONG = f"it is longer than {LONGEST_RECORD} bytes"


def lines(file: BinaryIO, size: int | None = None) -> Iterator[tuple[int, bytes | None]]:
    """The lines from where the file stands, each with its bytes; None in place of one that is too long.

    Args:
        size: bytes to read; None for all.
    """
    left = size
    while left is None or left > 0:
        line = file.readline(LONGEST_RECORD + 1)
        length = len(line)
        if length > LONGEST_RECORD:
            length += _skip_line(file, line)
            line = None
        if not length:
            return
        left = left if left is None else left - length
        yield length, line


def _skip_line(file: BinaryIO, part: bytes) -> int:
    """Go on to the next line; how many bytes that was."""
    skipped = 0
    while part and not part.endswith(b"\n"):
        part = file.readline(LONGEST_RECORD)
        skipped += len(part)
    return skipped


def csv_records(counted: Iterable[tuple[int, bytes | None]], separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """Bytes and cells of each record, or in place of the cells why it is none; empty lines belong to what follows.

    Args:
        counted: what `lines` gives.
    """
    csv.field_size_limit(LONGEST_CELL)
    counted = iter(counted)
    waiting: deque[tuple[int, bytes | None]] = deque()
    before = 0
    while True:
        taken: list[tuple[int, bytes | None]] = []
        try:
            cells = next(csv.reader(_fed(counted, waiting, taken), delimiter=separator, strict=True), None)
            if cells is None:
                return
            _check_utf8(taken)
        except UnicodeDecodeError:
            cells = NO_UTF8
        except csv.Error:
            cells = TOO_LONG if taken[0][1] is None else BAD_QUOTES
            waiting.extendleft(reversed(taken[1:]))
            del taken[1:]
        size = sum(length for length, _ in taken)
        if cells == []:
            before += size
            continue
        yield before + size, cells
        before = 0


def _fed(counted: Iterator, waiting: deque, taken: list) -> Iterator[str]:
    """The lines of one record, written down as they are taken; what is no UTF-8 is told when the record is whole."""
    size = 0
    while True:
        length, line = waiting.popleft() if waiting else next(counted, (0, b""))
        if not length:
            return
        taken.append((length, line))
        size += length
        if line is None or size > LONGEST_RECORD:
            raise csv.Error
        yield line.decode("utf-8", "surrogateescape")


def _check_utf8(taken: list[tuple[int, bytes | None]]) -> None:
    for _, line in taken:
        line.decode("utf-8")


def json_records(counted: Iterable[tuple[int, bytes | None]]) -> Iterator[tuple[int, dict | str]]:
    """Bytes and object of each line that is not empty, or in place of the object why there is none; empty lines belong
    to what follows.

    Args:
        counted: what `lines` gives.
    """
    for size, line in json_lines(counted):
        yield size, TOO_LONG if line is None else json_object(line)


def json_lines(counted: Iterable[tuple[int, bytes | None]]) -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not empty; the bytes of empty ones are counted to the next."""
    before = 0
    for length, line in counted:
        if line is not None and not line.removeprefix(codecs.BOM_UTF8).strip():
            before += length
            continue
        yield before + length, line
        before = 0


def json_object(line: bytes) -> dict | str:
    """What stands in bytes of JSON, or why there is none."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return NO_UTF8
    except json.JSONDecodeError as error:
        return f"it is no JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError):
        return "it is no JSON that can be read: a number too long, or brackets too deep"
    return row if isinstance(row, dict) else f"it must hold an object, got {type(row).__name__}"


__all__ = ["NO_UTF8", "csv_records", "json_lines", "json_object", "json_records", "lines"]
