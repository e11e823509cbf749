"""A `.json` file that holds one list of objects, read element by element."""

from collections.abc import Iterator

import ijson

from duosent.data.csv_rows import skip_byte_order_mark
from duosent.data.source_access import SourceAccess
from duosent.data.stretches import Damage, Stretch, UnreadableFileError
from duosent.data.text_file import OBJECTS_LOOKED_AT, stretches_of
from duosent.processing.reasons import reason_of


def holds_list(access: SourceAccess, url: str) -> bool:
    """
    Raises:
        OSError: if the file cannot be read.
    """
    with access.open(url) as file:
        skip_byte_order_mark(file)
        return file.read(1024).lstrip().startswith(b"[")


class JsonList:
    """The elements of a list as rows. There is no way into its middle: stretches that are read one after the other are
    read on, any other one from the beginning. Where it is no JSON it breaks off.

    Raises:
        OSError: if the file cannot be read.
    """

    def __init__(self, access: SourceAccess, url: str):
        self._file = access.open(url)
        self._begin()
        names = {}
        try:
            for number, row in enumerate(self._elements):
                if number == OBJECTS_LOOKED_AT:
                    break
                names |= dict.fromkeys(row) if isinstance(row, dict) else {}
        except (ijson.JSONError, UnicodeDecodeError):  # said where the elements are counted
            pass
        self.column_names = list(names)
        self._begin()

    def stretches(self, rows: int) -> Iterator[Stretch]:
        """The start of each is the number of elements before it."""
        self._begin()
        return stretches_of((1 for _ in self._next()), 0, rows)

    def rows(self, stretch: Stretch, columns: list[str] | None = None) -> Iterator[dict | Damage]:
        if self._position > stretch.start:
            self._begin()
        for row in self._next():
            if self._position > stretch.start:
                yield row if isinstance(row, dict) else Damage(f"it must be an object, got {type(row).__name__}")
            if self._position == stretch.start + stretch.rows:
                return

    def close(self) -> None:
        self._file.close()

    def _begin(self) -> None:
        self._file.seek(0)
        skip_byte_order_mark(self._file)
        self._elements, self._position = ijson.items(self._file, "item", use_float=True), 0

    def _next(self) -> Iterator:
        """The elements that are left; what was given is counted before it is given."""
        try:
            for row in self._elements:
                self._position += 1
                yield row
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise UnreadableFileError(f"it breaks off: {reason_of(error)}") from error


__all__ = ["JsonList", "holds_list"]
