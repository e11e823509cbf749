"""Files cut into blocks of rows that can be read one by one, in any order, without what stands before them."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, Features, Value

from duosent.data.csv_rows import SEPARATORS, CsvError, column_names, csv_rows, filled, skip_byte_order_mark
from duosent.data.reading import DataError, json_row, with_origin
from duosent.processing.reasons import reason_of

# Rows of a block of a text file; a block of Parquet is one of its row groups.
BLOCK_ROWS = 1000


class Block(NamedTuple):
    """Where some rows of a file stand.

    Args:
        start: the row group of a Parquet file, the first byte of a text file.
        size: bytes in a text file; 0 for Parquet.
        first: number of rows of the file before it.
        rows: number of rows, >= 1.
    """

    start: int
    size: int
    first: int
    rows: int


class ParquetBlocks:
    """The row groups of a Parquet file.

    Raises:
        DataError: if it cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                self._features = Features.from_arrow_schema(file.schema_arrow)
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
        self.column_names = list(self._features)
        self.blocks = _number((group, 0, size) for group, size in enumerate(sizes))

    def read(self, block: Block, columns: list[str] | None = None) -> Iterator[Dataset]:
        """The rows of a block, all columns or these, `BLOCK_ROWS` at a time."""
        names = columns or self.column_names
        info = DatasetInfo(features=Features({name: self._features[name] for name in names}))
        number = 1 + block.first
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(BLOCK_ROWS, row_groups=[block.start], columns=names):
                    table = pa.Table.from_batches([batch]).select(names)
                    table.validate(full=True)  # as where the file is read whole
                    yield with_origin(Dataset(table, info=info), self.path, number)
                    number += len(table)
                if number != 1 + block.first + block.rows:
                    got = number - 1 - block.first
                    raise OSError(f"row group {block.start} must hold {block.rows} rows, got {got}")
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from error


class CsvBlocks:
    """Rows of a CSV or TSV file, every cell as the words that stand there.

    Raises:
        DataError: if it cannot be read; the sentence names file and row.
    """

    def __init__(self, path: Path):
        self.path, self._separator = path, SEPARATORS[path.suffix.lower()]
        try:
            with path.open("rb") as file:
                skip_byte_order_mark(file)
                rows = csv_rows(file, self._separator)
                start, header = next(rows, (0, []))
                self.column_names = column_names(header)
                self.blocks = _number(self._sizes(rows, start))
        except (CsvError, OSError) as error:
            raise _unreadable(path, error) from error

    def _sizes(self, rows: Iterator[tuple[int, list[str]]], start: int) -> Iterator[tuple[int, int, int]]:
        """First byte, bytes and rows of each block."""
        count, position = 0, start
        for number, (position, cells) in enumerate(rows, start=2):
            filled(cells, len(self.column_names), number)
            count += 1
            if count == BLOCK_ROWS:
                yield start, position - start, count
                start, count = position, 0
        yield start, position - start, count

    def read(self, block: Block, columns: list[str] | None = None) -> Iterator[Dataset]:
        """The rows of a block, all columns or these."""
        with self.path.open("rb") as file:
            file.seek(block.start)
            content = io.BytesIO(file.read(block.size))
        names, first = self.column_names, 2 + block.first
        rows = enumerate(csv_rows(content, self._separator, first), start=first)
        try:
            table = [filled(cells, len(names), number) for number, (_, cells) in rows]
        except CsvError as error:
            raise _unreadable(self.path, error) from error
        cells = dict(zip(names, zip(*table, strict=True), strict=True))
        cells = {name: cells[name] for name in columns or names}
        read = Dataset.from_dict(cells, features=Features({name: Value("string") for name in cells}))
        yield with_origin(read, self.path, first)


class JsonLinesBlocks:
    """Rows of a JSON Lines file.

    Raises:
        DataError: if it cannot be read; the sentence names file and line.
    """

    def __init__(self, path: Path):
        self.path = path
        schemas, sizes, batch, start, position = [], [], [], 0, 0
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    position += len(line)
                    if number == 1 and line.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
                        raise DataError(f"{path} must hold one JSON object a line to be streamed, not one list.")
                    row = json_row(line.removesuffix(b"\n"), path, number)
                    batch += [] if row is None else [row]
                    if len(batch) == BLOCK_ROWS:
                        schemas.append(_schema(batch))
                        sizes.append((start, position - start, len(batch)))
                        start, batch = position, []
                if batch:
                    schemas.append(_schema(batch))
                sizes.append((start, position - start, len(batch)))
            # A column may be missing, or empty, in whole blocks.
            self._schema = pa.unify_schemas(schemas, promote_options="permissive")
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            raise _unreadable(path, error) from error
        self.column_names = self._schema.names
        self.blocks = _number(sizes)

    def read(self, block: Block, columns: list[str] | None = None) -> Iterator[Dataset]:
        """The rows of a block, all columns or these."""
        with self.path.open("rb") as file:
            file.seek(block.start)
            lines = file.read(block.size).split(b"\n")
        read = [json_row(line, self.path, number) for number, line in enumerate(lines, start=1)]
        schema = pa.schema([self._schema.field(name) for name in columns or self.column_names])
        table = pa.Table.from_pylist([row for row in read if row is not None], schema=schema)
        yield with_origin(Dataset(table), self.path, 1 + block.first)


def block_file(path: Path) -> ParquetBlocks | CsvBlocks | JsonLinesBlocks:
    """The blocks of a file, by its ending.

    Raises:
        DataError: if it cannot be read, or holds no rows.
    """
    ending = path.suffix.lower()
    if ending == ".parquet":
        file = ParquetBlocks(path)
    elif ending in SEPARATORS:
        file = CsvBlocks(path)
    else:
        file = JsonLinesBlocks(path)
    if not file.blocks:
        raise DataError(f"{path} holds no rows.")
    return file


def _schema(rows: list[dict]) -> pa.Schema:
    """All columns, where `pa.Table.from_pylist` takes those of the first row."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([(name, pa.array([row.get(name) for row in rows]).type) for name in names])


def _number(sizes) -> list[Block]:
    """`(start, size, rows)` -> blocks, those without rows left out."""
    blocks, first = [], 0
    for start, size, rows in sizes:
        if rows:
            blocks.append(Block(start, size, first, rows))
        first += rows
    return blocks


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read: {reason_of(error)}.")


__all__ = ["Block", "CsvBlocks", "JsonLinesBlocks", "ParquetBlocks", "block_file"]
