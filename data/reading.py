"""A file, a folder or a Hub name -> raw rows by split, columns as they stand there."""

import json
import re
from pathlib import Path

from datasets import Dataset, DatasetDict, Features, Value, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from duosent.data.csv_rows import SEPARATORS, column_names, csv_rows, filled, skip_byte_order_mark
from duosent.processing.reasons import reason_of

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".json")
METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"
# Where the raw rows keep the folder that their picture paths start from, one for each row.
FOLDER = "__folder__"
# And the file and line that a row came from, for messages.
ORIGIN = "__origin__"


class DataError(ValueError):
    """Rows that cannot be read or do not fit; the message names file, row and reason."""


def read_splits(source: str | Path, parts: list[str] | None = None) -> DatasetDict:
    """Raw rows by split, and two columns more: `__folder__`, where picture paths start, `__origin__`, file and row.

    Args:
        source: a file (Parquet, CSV, TSV, JSON Lines); a folder of such files named after their splits (`train.csv`,
            `dev-00000-of-00002.parquet`, `test/part.jsonl`); a folder of pictures with a metadata file that has a
            column `file_name`, one a folder; or a name on the Hub.
        parts: the splits that are wanted; None for all.

    Raises:
        DataError: if there is nothing of that kind, or a file cannot be read.
    """
    files = split_files(source)
    if files is None:
        splits = _from_hub(str(source))
        return DatasetDict({split: rows for split, rows in splits.items() if parts is None or split in parts})
    wanted = [split for split in files if parts is None or split in parts]
    return DatasetDict({split: _join([_read(file) for file in files[split]]) for split in wanted})


def split_files(source: str | Path) -> dict[str, list[Path]] | None:
    """The files of each split, in order; None where the source is neither a file nor a folder. See `read_splits`.

    Raises:
        DataError: for a file of another kind, or a folder that holds nothing.
    """
    path = Path(source)
    if path.is_file():
        if path.suffix.lower() not in ENDINGS:
            raise DataError(f"{path} must end in one of {', '.join(ENDINGS)}.")
        return {split_of(path) or "train": [path]}
    if not path.is_dir():
        return None
    return _files_by_split(path)


def split_of(path: Path) -> str | None:
    """The split that a file or folder is named after; None for another name."""
    match = re.match(r"[a-z]+", path.name.lower())
    rest = path.name[match.end() : match.end() + 1] if match else ""
    return SPLIT_NAMES.get(match.group()) if match and rest in ("", "-", "_", ".") else None


def _files_by_split(folder: Path) -> dict[str, list[Path]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    groups = tables_by_split(files, folder, ENDINGS)
    if None not in groups:
        return groups
    tables = groups[None]
    if not tables:
        raise DataError(f"{folder} holds no file that ends in one of {', '.join(ENDINGS)}.")
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables[:4])
        raise DataError(f"{folder} must hold files named after their splits (train, validation, test), got {names}.")
    return {"train": tables}


def tables_by_split(paths: list[Path], folder: Path, endings: tuple[str, ...]) -> dict[str | None, list[Path]]:
    """The files of each split: the metadata files where there are any, else those that are named after splits; else
    all tables under None, of which there may be none.

    Args:
        paths: of all files in the folder, in order.
        endings: of tables, in small letters.
    """
    metadata = [path for name in METADATA for path in paths if path.name == name]
    if metadata:
        return _group(metadata, folder)
    tables = [path for path in paths if path.suffix.lower() in endings]
    named = [path for path in tables if _split_in_path(path, folder)]
    return _group(named, folder) if named else {None: tables}


def _group(paths: list[Path], folder: Path) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(_split_in_path(path, folder) or "train", []).append(path)
    return {split: groups[split] for split in _in_order(groups)}


def _split_in_path(path: Path, folder: Path) -> str | None:
    """The split named by the file, or by the nearest folder above it."""
    for part in (path, *path.parents):
        if part == folder:
            return None
        if split := split_of(part):
            return split
    return None


def _in_order(names) -> list[str]:
    known = ["train", "validation", "test"]
    return [name for name in known if name in names] + sorted(name for name in names if name not in known)


def _join(parts: list[Dataset]) -> Dataset:
    try:
        return concatenate_datasets(parts) if len(parts) > 1 else parts[0]
    except (ValueError, TypeError) as error:
        raise DataError(f"The files of one split must have the same columns: {reason_of(error)}") from error


def _read(path: Path) -> Dataset:
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            rows = Dataset.from_parquet(str(path))
            rows.data.table.validate(full=True)  # words that are no UTF-8 would else be met far from here
        elif ending in SEPARATORS:
            rows = _read_csv(path, SEPARATORS[ending])
        else:
            rows = _read_json_lines(path)
    except DataError:
        raise
    except Exception as error:  # whatever pyarrow says of a broken file
        raise DataError(f"{path} cannot be read: {reason_of(error)}.") from error
    if len(rows) == 0:
        raise DataError(f"{path} holds no rows.")
    if path.name in METADATA and FILE_NAME not in rows.column_names:
        raise DataError(f"{path} has no column {FILE_NAME}, only {', '.join(rows.column_names)}.")
    # Lines of a CSV are counted with its header, rows of the others from 1.
    return with_origin(rows, path, 2 if ending in SEPARATORS else 1)


def with_origin(rows: Dataset, path: Path, first: int) -> Dataset:
    """With the columns `__folder__` and `__origin__`; `first` is the number of the first row."""
    rows = rows.add_column(FOLDER, [str(path.parent.resolve())] * len(rows))
    return rows.add_column(ORIGIN, [f"{path}, row {first + index}" for index in range(len(rows))])


def _read_csv(path: Path, separator: str) -> Dataset:
    """Every cell as the words that stand there: no "NA" is lost, no "007" becomes 7; an empty cell is None."""
    with path.open("rb") as file:
        skip_byte_order_mark(file)
        rows = (cells for _, cells in csv_rows(file, separator))
        names = column_names(next(rows, []))
        table = [filled(cells, len(names), number) for number, cells in enumerate(rows, start=2)]
    columns = dict(zip(names, zip(*table, strict=True), strict=True)) if table else dict.fromkeys(names, ())
    return Dataset.from_dict(columns, features=Features({name: Value("string") for name in names}))


def _read_json_lines(path: Path) -> Dataset:
    content = path.read_bytes()
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return Dataset.from_list(json.loads(content.decode("utf-8-sig")))
    lines = (json_row(line, path, number) for number, line in enumerate(content.split(b"\n"), start=1))
    rows = [row for row in lines if row is not None]
    names = dict.fromkeys(name for row in rows for name in row)
    return Dataset.from_dict({name: [row.get(name) for row in rows] for name in names})


def json_row(line: bytes, path: Path, number: int) -> dict | None:
    """The row in a line of JSON Lines, None in an empty one.

    Args:
        line: without its line feed.
        path, number: where it stands, for the message.

    Raises:
        DataError: if there is no JSON object.
    """
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


def download_files(name: str) -> dict[str, list[Path]]:
    """The files of each split of a data set on the Hub, as they lie in its repository, brought into the Hub's cache.

    Raises:
        DataError: if the Hub gives no such data set, or it holds no file that can be read.
    """
    return split_files(download_folder(name))


def download_folder(name: str) -> Path:
    """The repository of a data set on the Hub, brought into the Hub's cache.

    Raises:
        DataError: if the Hub gives no such data set.
    """
    _check_hub_name(name)
    try:
        return Path(snapshot_download(name, repo_type="dataset"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise _not_on_hub(name, error) from error


def _check_hub_name(name: str) -> None:
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).suffix in ENDINGS:
        raise DataError(f"There is no file or folder {name}.")


def _not_on_hub(name: str, error: Exception) -> DataError:
    return DataError(f"{name} is neither a file or folder here nor a data set that the Hub gives: {reason_of(error)}.")


def _from_hub(name: str) -> DatasetDict:
    _check_hub_name(name)
    try:
        loaded = load_dataset(name)
    except (DatasetNotFoundError, FileNotFoundError, ConnectionError, OSError, ValueError) as error:
        raise _not_on_hub(name, error) from error
    splits = DatasetDict()
    for split, rows in loaded.items():
        rows = rows.add_column(FOLDER, [""] * len(rows))
        rows = rows.add_column(ORIGIN, [f"{name}, {split}, row {index}" for index in range(1, len(rows) + 1)])
        splits[SPLIT_NAMES.get(split, split)] = rows
    return splits


__all__ = [
    "ENDINGS",
    "FILE_NAME",
    "FOLDER",
    "ORIGIN",
    "DataError",
    "download_files",
    "download_folder",
    "json_row",
    "read_splits",
    "split_files",
    "split_of",
    "tables_by_split",
    "with_origin",
]
