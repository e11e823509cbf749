"""Files cut into blocks of rows that can be read one by one, in any order, without what stands before them."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, Features, Value

from duosent.data.reading import DataError, with_origin

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
                    yield with_origin(Dataset(table, info=info), self.path, number)
                    number += len(table)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from error


class CsvBlocks:
    """Rows of a CSV or TSV file, every cell as the words that stand there.

    Raises:
        DataError: if it cannot be read; the sentence names file and row.
    """

    def __init__(self, path: Path, separator: str):
        self.path, self._separator = path, separator
        try:
            with path.open("rb") as file:
                self._header_size, self.blocks = self._scan(file)
                file.seek(0)
                self.column_names = list(self._parse(file.read(self._header_size), header=0).columns)
        except (csv.Error, UnicodeDecodeError, OSError, pd.errors.EmptyDataError) as error:
            raise _unreadable(path, error) from error

    def _scan(self, file: BinaryIO) -> tuple[int, list[Block]]:
        """Bytes of the header, and the blocks after it."""
        position = 0

        def lines() -> Iterator[str]:
            nonlocal position
            for line in file:
                position += len(line)
                yield line.decode("utf-8")

        reader = csv.reader(lines(), delimiter=self._separator)
        width = len(next(reader, []))
        header_size = start = position
        sizes, rows, total = [], 0, 0
        for cells in reader:
            if not cells:  # an empty line
                continue
            rows, total = rows + 1, total + 1
            if len(cells) > width:
                raise DataError(f"{self.path}, row {total + 1}, has more cells than the header has names.")
            if rows == BLOCK_ROWS:
                sizes.append((start, position - start, rows))
                start, rows = position, 0
        sizes.append((start, position - start, rows))
        return header_size, _number(sizes)

    def _parse(self, content: bytes, **options) -> pd.DataFrame:
        return pd.read_csv(
            io.BytesIO(content),
            sep=self._separator,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            index_col=False,
            **options,
        )

    def read(self, block: Block, columns: list[str] | None = None) -> Iterator[Dataset]:
        """The rows of a block, all columns or these."""
        with self.path.open("rb") as file:
            file.seek(block.start)
            table = self._parse(file.read(block.size), header=None, names=self.column_names)
        cells = {
            name: [cell if isinstance(cell, str) and cell != "" else None for cell in table[name]]
            for name in columns or self.column_names
        }
        rows = Dataset.from_dict(cells, features=Features({name: Value("string") for name in cells}))
        yield with_origin(rows, self.path, 2 + block.first)


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
                    row = _json_row(line, path, number)
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
            lines = file.read(block.size).splitlines()
        read = [_json_row(line, self.path, number) for number, line in enumerate(lines, start=1)]
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
    elif ending in (".csv", ".tsv"):
        file = CsvBlocks(path, "," if ending == ".csv" else "\t")
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


def _json_row(line: bytes, path: Path, number: int) -> dict | None:
    text = line.decode("utf-8-sig")
    if not text.strip():
        return None
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}, is no JSON: {error.msg} at column {error.colno}.") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {number}, must hold an object, got {type(row).__name__}.")
    return row


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read: {' '.join(str(error).split()).rstrip('.') or type(error).__name__}.")


__all__ = ["Block", "CsvBlocks", "JsonLinesBlocks", "ParquetBlocks", "block_file"]
