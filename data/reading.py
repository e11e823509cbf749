"""A file, a folder or a Hub name -> raw rows by split, columns as they stand there."""

import json
import re
from pathlib import Path

import pandas as pd
from datasets import Dataset, DatasetDict, Features, Value, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetNotFoundError

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


def read_splits(source: str | Path) -> DatasetDict:
    """Raw rows by split, and two columns more: `__folder__`, where picture paths start, `__origin__`, file and row.

    Args:
        source: a file (Parquet, CSV, TSV, JSON Lines); a folder of such files named after their splits (`train.csv`,
            `dev-00000-of-00002.parquet`, `test/part.jsonl`); a folder of pictures with a metadata file that has a
            column `file_name`, one a folder; or a name on the Hub.

    Raises:
        DataError: if there is nothing of that kind, or a file cannot be read.
    """
    path = Path(source)
    if path.is_file():
        if path.suffix.lower() not in ENDINGS:
            raise DataError(f"{path} must end in one of {', '.join(ENDINGS)}.")
        files = {split_of(path) or "train": [path]}
    elif path.is_dir():
        files = _files_by_split(path)
    else:
        return _from_hub(str(source))
    return DatasetDict({split: _join([_read(file) for file in files[split]]) for split in _in_order(files)})


def split_of(path: Path) -> str | None:
    """The split that a file or folder is named after; None for another name."""
    match = re.match(r"[a-z]+", path.name.lower())
    rest = path.name[match.end() : match.end() + 1] if match else ""
    return SPLIT_NAMES.get(match.group()) if match and rest in ("", "-", "_", ".") else None


def _files_by_split(folder: Path) -> dict[str, list[Path]]:
    metadata = [path for name in METADATA for path in sorted(folder.rglob(name))]
    if metadata:
        return _group(metadata, folder)
    tables = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix.lower() in ENDINGS]
    named = [path for path in tables if _split_in_path(path, folder)]
    if named:
        return _group(named, folder)
    if not tables:
        raise DataError(f"{folder} holds no file that ends in one of {', '.join(ENDINGS)}.")
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables[:4])
        raise DataError(f"{folder} must hold files named after their splits (train, validation, test), got {names}.")
    return {"train": tables}


def _group(paths: list[Path], folder: Path) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(_split_in_path(path, folder) or "train", []).append(path)
    return groups


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
        raise DataError(f"The files of one split must have the same columns: {_one_line(error)}") from error


def _read(path: Path) -> Dataset:
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            rows = Dataset.from_parquet(str(path))
        elif ending in (".csv", ".tsv"):
            rows = _read_csv(path, "," if ending == ".csv" else "\t")
        else:
            rows = _read_json_lines(path)
    except DataError:
        raise
    except Exception as error:  # whatever pandas or pyarrow say of a broken file
        raise DataError(f"{path} cannot be read: {_one_line(error)}.") from error
    if len(rows) == 0:
        raise DataError(f"{path} holds no rows.")
    if path.name in METADATA and FILE_NAME not in rows.column_names:
        raise DataError(f"{path} has no column {FILE_NAME}, only {', '.join(rows.column_names)}.")
    # Lines of a CSV are counted with its header, rows of the others from 1.
    first = 2 if ending in (".csv", ".tsv") else 1
    rows = rows.add_column(FOLDER, [str(path.parent.resolve())] * len(rows))
    return rows.add_column(ORIGIN, [f"{path}, row {first + index}" for index in range(len(rows))])


def _read_csv(path: Path, separator: str) -> Dataset:
    """Every cell as the words that stand there: no "NA" is lost, no "007" becomes 7; an empty cell is None."""
    table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if isinstance(table.index, pd.MultiIndex) or not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{path} has rows with more cells than its header has names.")
    columns = {name: [cell if cell != "" else None for cell in table[name]] for name in table.columns}
    return Dataset.from_dict(columns, features=Features({name: Value("string") for name in columns}))


def _read_json_lines(path: Path) -> Dataset:
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        return Dataset.from_list(json.loads(text))
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}, is no JSON: {error.msg} at column {error.colno}.") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}, must hold an object, got {type(row).__name__}.")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return Dataset.from_dict({name: [row.get(name) for row in rows] for name in names})


def _from_hub(name: str) -> DatasetDict:
    looks_like_a_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).suffix in ENDINGS
    if looks_like_a_path:
        raise DataError(f"There is no file or folder {name}.")
    try:
        loaded = load_dataset(name)
    except (DatasetNotFoundError, FileNotFoundError, ConnectionError, OSError, ValueError) as error:
        raise DataError(
            f"{name} is neither a file or folder here nor a data set that the Hub gives: {_one_line(error)}."
        ) from error
    splits = DatasetDict()
    for split, rows in loaded.items():
        rows = rows.add_column(FOLDER, [""] * len(rows))
        rows = rows.add_column(ORIGIN, [f"{name}, {split}, row {index}" for index in range(1, len(rows) + 1)])
        splits[SPLIT_NAMES.get(split, split)] = rows
    return splits


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


__all__ = ["FILE_NAME", "FOLDER", "ORIGIN", "DataError", "read_splits"]
