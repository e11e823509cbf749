"""Which columns of a raw table hold labels, the labels of every row, and which column fixes which."""

from collections.abc import Iterator

import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, List, Value

from duosent.data.pairs import cell_values, is_whole_number
from duosent.data.reading import FOLDER, ORIGIN

# A column of more values is a title, a name or a number of something, rather than a label.
MOST_LABELS = 50
ALWAYS = ("label", "text_label", "image_label")
# The labels of one row, in order; None where the cell is empty.
Labels = tuple[str, ...] | None


def find_label_columns(splits: DatasetDict, taken: set[str], separator: str | None = None) -> list[str]:
    """The columns that look like labels, in the order of the table.

    These are `label`, `text_label` and `image_label`; each `ClassLabel`; and each column of words, whole numbers or
    truth values (or of lists of them) that has from 2 to 50 values and two rows or more for each value on average.

    Args:
        splits: raw rows.
        taken: columns that are something else: text, picture, target, id.
        separator: between several labels in one cell of text.
    """
    columns = dict.fromkeys(column for rows in splits.values() for column in rows.column_names)
    return [
        column
        for column in columns
        if column not in taken | {FOLDER, ORIGIN}
        and (column in ALWAYS or _looks_like_labels(splits, column, separator))
    ]


def _looks_like_labels(splits: DatasetDict, column: str, separator: str | None) -> bool:
    parts = [rows for rows in splits.values() if column in rows.column_names]
    kinds = [_inner(rows.features[column]) for rows in parts]
    if any(isinstance(kind, ClassLabel) for kind in kinds):
        return True
    if not all(
        isinstance(kind, Value) and kind.dtype.startswith(("string", "large_string", "int", "uint", "bool"))
        for kind in kinds
    ):
        return False
    values, filled = set(), 0
    for rows in parts:
        for chunk in rows.data.column(column).chunks:
            filled += len(chunk) - chunk.null_count
            cells = chunk.flatten() if isinstance(rows.features[column], List) else chunk
            values |= {value for cell in cells.unique().to_pylist() for value in cell_values(cell, separator)}
            if len(values) > MOST_LABELS:
                return False
    return 2 <= len(values) <= filled / 2


def _inner(feature):
    return feature.feature if isinstance(feature, List) else feature


def read_labels(rows: Dataset, column: str, separator: str | None = None) -> list[Labels]:
    """The labels of every row by their names, as `load_pairs` reads them; all None if there is no such column.

    A negative `ClassLabel` stands for no label, as data sets of the Hub have it.
    """
    if column not in rows.column_names:
        return [None] * len(rows)
    kind = _inner(rows.features[column])
    names = kind.names if isinstance(kind, ClassLabel) else None
    seen: dict[Labels, Labels] = {}  # one tuple for all rows that have the same labels
    labels = []
    for cell in _cells(rows.data.column(column)):
        values = [value for value in cell_values(cell, separator) if value is not None]
        if names is None:
            found = {str(int(value)) if is_whole_number(value) else str(value) for value in values}
        else:
            found = {names[value] for value in values if value >= 0}
        empty = not isinstance(cell, list) and not found
        row = None if empty else tuple(sorted(found))
        labels.append(seen.setdefault(row, row))
    return labels


def _cells(column: pa.ChunkedArray) -> Iterator:
    for chunk in column.chunks:
        yield from chunk.to_pylist()


def known_labels(rows: Dataset, column: str, labels: list[Labels]) -> list[str]:
    """The labels that `load_pairs` would take from a part, given its rows' labels: those of the column's `ClassLabel`
    or, where it has none, those that occur."""
    kind = _inner(rows.features[column]) if column in rows.column_names else None
    if isinstance(kind, ClassLabel):
        return list(kind.names)
    return label_order({label for row in labels for label in row or ()})


def label_order(labels: set[str]) -> list[str]:
    """Whole numbers by size, words by the alphabet."""
    return sorted(labels, key=int) if all(map(is_whole_number, labels)) else sorted(labels)


def fixed_by(one: list[Labels], other: list[Labels]) -> dict[Labels, Labels] | None:
    """What each value of one column says of the other column; None where it says nothing.

    It says something if no value of the one goes with two values of the other, and the other has two or more, over the
    rows in which both are filled.
    """
    seen: dict[Labels, Labels] = {}
    for here, there in zip(one, other, strict=True):
        if here is not None and there is not None and seen.setdefault(here, there) != there:
            return None
    return seen if len(set(seen.values())) > 1 else None


__all__ = ["Labels", "find_label_columns", "fixed_by", "known_labels", "label_order", "read_labels"]
