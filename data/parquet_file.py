"""A Parquet file, cut into stretches of rows: a row group may hold a million of them, and is never held whole."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from duosent.data.retries import DeadSourceError
from duosent.data.source_access import CHUNK, SourceAccess
from duosent.data.stretches import Damage, Stretch, UnreadableFileError
from duosent.processing.reasons import reason_of

# Rows decoded at once, and the bytes that they should have together at most.
BATCH_ROWS, BATCH_BYTES = 1000, 2**24


class ParquetTable:
    """The rows of a Parquet file. Stretches of one row group that are read one after the other are read on; Parquet
    has no way into the middle of a group, so any other one is read from the group's beginning.

    Where a page is damaged, the rest of its group is.

    Raises:
        UnreadableFileError: if it is no whole Parquet file.
        OSError: if the file cannot be read.
    """

    def __init__(self, access: SourceAccess, url: str):
        self._source = access.open(url, in_order=False)
        try:
            # Without buffers a column's part of a group is read at once, and before all others where it is pre-read.
            self._file = pq.ParquetFile(
                self._source, pre_buffer=False, buffer_size=CHUNK, page_checksum_verification=True
            )
        except DeadSourceError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFileError(reason_of(error)) from error
        self.column_names = self._file.schema_arrow.names
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._reading: tuple[int, tuple[str, ...]] | None = None  # row group and columns
        self._rest: pa.RecordBatch | None = None  # decoded, and not given out
        self._position = 0  # rows of the group that were given out
        self._damage: dict[tuple, tuple[int, str]] = {}  # where a reading broke off, and why

    def stretches(self, rows: int) -> Iterator[Stretch]:
        for group in range(self._file.num_row_groups):
            held = self._file.metadata.row_group(group).num_rows
            for before in range(0, held, rows):
                yield Stretch(group, before, min(rows, held - before))

    def rows(self, stretch: Stretch, columns: list[str] | None = None) -> Iterator[dict | Damage]:
        """
        Args:
            columns: those that are wanted; None for all.
        """
        reading = stretch.start, tuple(self.column_names if columns is None else columns)
        self._go_to(reading, stretch.size)
        left = stretch.rows
        while left and (batch := self._next(left)) is not None:
            left -= len(batch)
            yield from _as_rows(batch)
        if left:
            _, reason = self._damage[reading]
            yield from [Damage(reason)] * left

    def close(self) -> None:
        self._file.close()
        self._source.close()

    def _go_to(self, reading: tuple[int, tuple[str, ...]], row: int) -> None:
        """Stand before a row of a group, or where reading broke off before it."""
        broken = reading in self._damage and self._damage[reading][0] <= row
        if not broken and (self._reading != reading or self._position > row):
            group, names = reading
            held = self._file.metadata.row_group(group)
            row_bytes = held.total_byte_size // max(1, held.num_rows) + 1
            size = max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes))
            self._batches = self._file.iter_batches(size, row_groups=[group], columns=list(names))
            self._rest, self._position = None, 0
        self._reading = reading
        while self._position < row and self._next(row - self._position) is not None:
            pass

    def _next(self, most: int) -> pa.RecordBatch | None:
        """The next rows, so many at most; None where the group breaks off."""
        if self._reading in self._damage and self._damage[self._reading][0] <= self._position:
            return None
        if self._rest is None:
            try:
                self._rest = next(self._batches).select(list(self._reading[1]))
            except DeadSourceError:
                self._reading = None
                raise
            except StopIteration:
                self._damage[self._reading] = self._position, "its row group ends before it"
                return None
            except (pa.ArrowException, OSError) as error:
                self._damage[self._reading] = self._position, f"its row group cannot be read on: {reason_of(error)}"
                return None
        batch, rest = self._rest.slice(0, most), self._rest.slice(most)
        self._rest = rest if len(rest) else None
        self._position += len(batch)
        return batch


def _as_rows(batch: pa.RecordBatch) -> list[dict | Damage]:
    try:
        batch.validate(full=True)  # words that are no UTF-8 would else be met far from here
        return batch.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        if len(batch) == 1:
            return [Damage(f"it cannot be read: {reason_of(error)}")]
    return [row for number in range(len(batch)) for row in _as_rows(batch.slice(number, 1))]


__all__ = ["ParquetTable"]
