"""What a reader of published files gives, whatever the data set: rows, the rule of their labels, the source."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from datasets import Features

from duosent.data.reading import DataError


class PublishedRow(NamedTuple):
    """One row as published.

    Args:
        values: its columns but the picture; `id` is one of them.
        picture: the file of its picture, which need not be there.
        problem: why the row cannot be read, whatever its picture; None where nothing is wrong.
    """

    values: dict
    picture: Path
    problem: str | None = None


@dataclass
class PublishedData:
    """A data set as its authors published it.

    Args:
        source: who published it, and where.
        rule: how the labels follow from the published files.
        split: where the parts come from.
        labels: columns whose values are counted.
        features: columns of the table, `image` among them.
        parts: by name, what gives the rows of a part, the same ones in the same order at every call.
        files: the published files that the rows come from, pictures and texts of single rows left out.
        dropped: `{"id", "reason"}` of each row that the rule leaves out.
        beside: what else belongs to the table, by the name of its JSON file.
        facts: what else is worth knowing of how the files were read.
    """

    source: str
    rule: str
    split: str
    labels: tuple[str, ...]
    features: Features
    parts: dict[str, Callable[[], Iterator[PublishedRow]]]
    files: list[Path]
    dropped: list[dict] = field(default_factory=list)
    beside: dict[str, list] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from 1; without line ends, a byte-order mark or empty lines at the end.

    Only a line feed, with or without a carriage return before it, ends a line: texts hold every other sign that
    Unicode counts as one.

    Raises:
        DataError: for a line that is not in this encoding.
    """
    empty = []
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.rstrip(b"\n").removesuffix(b"\r").decode(encoding)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}, line {number}, is not {encoding.upper()}: byte {raw[error.start]:#04x} at {error.start}."
                ) from error
            line = line.removeprefix("\ufeff") if number == 1 else line
            if not line.strip():
                empty.append((number, line))
                continue
            yield from empty
            empty = []
            yield number, line


def find_published(raw_dir: Path, names: list[str], what: str) -> Path:
    """The first of some relative paths that is there.

    Raises:
        DataError: if the folder or all of them are missing.
    """
    if not raw_dir.is_dir():
        raise DataError(f"There is no folder {raw_dir}.")
    for name in names:
        if (raw_dir / name).exists():
            return raw_dir / name
    raise DataError(f"{raw_dir} holds no {what}: {' or '.join(names)} is missing.")


def read_label(value: str, labels: tuple[str, ...], column: str, where: str) -> str:
    """A label as the papers write it, in whatever letters it stands.

    Raises:
        DataError: if it is none of `labels`.
    """
    label = value.strip().lower()
    if label not in labels:
        raise DataError(f"{where}: {column} must be one of {', '.join(labels)}, got {value[:80]!r}.")
    return label


__all__ = ["PublishedData", "PublishedRow", "find_published", "read_label", "read_lines"]
