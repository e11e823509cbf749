"""A CSV, TSV or JSON Lines file, cut into stretches of whole records."""

from collections.abc import Iterator

from duosent.data.csv_rows import SEPARATORS, CsvError, column_names, filled, skip_byte_order_mark
from duosent.data.source_access import SourceAccess
from duosent.data.stretches import Damage, Stretch, UnreadableFileError
from duosent.data.text_records import csv_records, json_lines, json_records, lines

# Objects whose keys are looked at for the names of the columns.
OBJECTS_LOOKED_AT = 1000


class CsvFile:
    """A CSV or TSV file, every cell as the words that stand there, None for an empty one.

    Args:
        kind: "csv" or "tsv".

    Raises:
        UnreadableFileError: if the header cannot be read.
        OSError: if the file cannot.
    """

    def __init__(self, access: SourceAccess, url: str, kind: str):
        self._file = access.open(url)
        self._separator = SEPARATORS[f".{kind}"]
        skip_byte_order_mark(self._file)
        start = self._file.tell()
        size, header = next(csv_records(lines(self._file), self._separator), (0, []))
        if isinstance(header, str):
            raise UnreadableFileError(f"the header: {header}")
        try:
            self.column_names = column_names(header)
        except CsvError as error:
            raise UnreadableFileError(str(error)) from error
        self._start = start + size

    def stretches(self, rows: int) -> Iterator[Stretch]:
        self._file.seek(self._start)
        sizes = (size for size, _ in csv_records(lines(self._file), self._separator))
        return stretches_of(sizes, self._start, rows)

    def rows(self, stretch: Stretch, columns: list[str] | None = None) -> Iterator[dict | Damage]:
        self._file.seek(stretch.start)
        names = self.column_names
        for _, cells in csv_records(lines(self._file, stretch.size), self._separator):
            if isinstance(cells, str):
                yield Damage(cells)
            elif len(cells) > len(names):
                yield Damage(f"it has {len(cells)} cells, the header has {len(names)}")
            else:
                yield dict(zip(names, filled(cells, len(names), 0), strict=True))

    def close(self) -> None:
        self._file.close()


class JsonLinesFile:
    """A JSON Lines file. Objects need not have the same keys: its columns are those of the first of them.

    Raises:
        OSError: if the file cannot be read.
    """

    def __init__(self, access: SourceAccess, url: str):
        self._file = access.open(url)
        names = {}
        for number, (_, row) in enumerate(json_records(lines(self._file))):
            if number == OBJECTS_LOOKED_AT:
                break
            names |= dict.fromkeys(row) if isinstance(row, dict) else {}
        self.column_names = list(names)

    def stretches(self, rows: int) -> Iterator[Stretch]:
        self._file.seek(0)
        return stretches_of((size for size, _ in json_lines(lines(self._file))), 0, rows)

    def rows(self, stretch: Stretch, columns: list[str] | None = None) -> Iterator[dict | Damage]:
        self._file.seek(stretch.start)
        for _, row in json_records(lines(self._file, stretch.size)):
            yield Damage(row) if isinstance(row, str) else row

    def close(self) -> None:
        self._file.close()


def stretches_of(sizes: Iterator[int], start: int, rows: int) -> Iterator[Stretch]:
    """Records of these sizes, so many at once."""
    size = count = 0
    failure = None
    try:
        for length in sizes:
            size, count = size + length, count + 1
            if count == rows:
                yield Stretch(start, size, count)
                start, size, count = start + size, 0, 0
    except (OSError, UnreadableFileError) as error:  # what was read before it counts
        failure = error
    if count:
        yield Stretch(start, size, count)
    if failure is not None:
        raise failure


__all__ = ["OBJECTS_LOOKED_AT", "CsvFile", "JsonLinesFile", "stretches_of"]
