"""`load_pairs`: anyone's posts -> rows of `id`, `text`, `image`, `label` and whatever else is known of them."""

import difflib
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Image, List, Value
from tqdm import tqdm

from duosent.data.blocks import block_file
from duosent.data.reading import FILE_NAME, FOLDER, ORIGIN, DataError, download_files, read_splits, split_files
from duosent.data.streaming import StreamedPairs
from duosent.processing.reasons import reason_of

# Checking opens each picture: with more rows than this a bar shows how far it is.
ROWS_BEFORE_A_BAR = 2000


def load_pairs(
    source: str,
    text_column: str = "text",
    image_column: str = "image",
    label_column: str | None = "label",
    text_label_column: str | None = None,
    image_label_column: str | None = None,
    target_column: str | None = None,
    id_column: str | None = None,
    labels: list[str] | dict[str, list[str]] | None = None,
    label_separator: str | None = None,
    base_image_dir: str | None = None,
    check_rows: bool = True,
    streaming: bool = False,
    parts: list[str] | None = None,
    label_columns: list[str] | None = None,
) -> DatasetDict | dict[str, StreamedPairs]:
    """Load posts of words and pictures.

    Args:
        source: a file or folder of Parquet, CSV, TSV or JSON Lines, a folder of pictures with a metadata file, or a
            Hub name; see `duosent.data.reading.read_splits`. `dev` and `val` become `validation`.
        text_column, image_column: columns of the two sides. A picture is bytes, a path relative to its file, or a
            `datasets.Image`; a metadata file's `file_name` serves where there is no image column. One of the two may
            be absent from the data as a whole, and a cell may be empty.
        label_column: column of the post's label; None to read no label at all.
        text_label_column, image_label_column, target_column, id_column: further columns; None for `text_label`,
            `image_label`, `target` and `id` where the data has them. A row without an id is `<split>-<n>`, n from 1.
        labels: names of the labels in their order. None takes them from the training part (else from the only part):
            names of a `ClassLabel` as they are, whole numbers by size, words by the alphabet; two words that differ in
            case or white space alone are refused. With `label_columns` by column.
        label_separator: what separates several labels in one cell of text, such as "|".
        base_image_dir: what picture paths start from, in place of the folder of their file.
        check_rows: refuse rows without any side and pictures that cannot be opened.
        streaming: read the rows when they are wanted, and check them then; the files of a Hub name are brought into
            the Hub's cache first. JSON must be JSON Lines.
        parts: which parts to load; None for all. The names of the labels are those of the training part all the same.
        label_columns: for several labels in one model, the column of each task, in place of `label_column`. Labels of
            one side alone are then not read.

    Returns: a `DatasetDict`, or with `streaming` a dict of `StreamedPairs`, which give the same rows; `label` is a
        `ClassLabel`, or a list of it where cells hold several labels, and the other two label columns likewise. With
        `label_columns` each of those is a `ClassLabel` under its own name, None where the cell is empty.
        `image` is a `datasets.Image` that is not decoded.

    Raises:
        DataError: in one sentence that names file, row and reason: a missing column, an unknown label, a picture
            that cannot be read, a row of nothing.
    """
    columns = {
        "text": text_column,
        "image": image_column,
        "label": label_column,
        "text_label": text_label_column,
        "image_label": image_label_column,
        "target": target_column,
        "id": id_column,
    }
    if label_columns is not None:
        _check_label_columns(label_columns, columns, labels, label_separator)
        columns |= {"label": None} | {column: column for column in label_columns}
    reader = PairReader(source, columns, labels, label_separator, base_image_dir, check_rows, label_columns)
    if streaming:
        return _stream(source, reader, parts)
    names_wanted = reader.reads_labels and labels is None
    raw = read_splits(source, None if parts is None or names_wanted else parts)
    if names_wanted:
        named = raw["train"] if "train" in raw else next(iter(raw.values()))
        reader.name_labels(lambda column: [reader.choose(named)])
    pairs = DatasetDict()
    for split, rows in raw.items():
        if parts is None or split in parts:
            pairs[split] = reader(rows, split)
    return pairs


@dataclass
class PairReader:
    """Raw rows, as `read_splits` gives them, to rows of pairs; the arguments are those of `load_pairs`."""

    source: str
    columns: dict[str, str | None]
    labels: list[str] | dict[str, list[str]] | None
    label_separator: str | None
    base_image_dir: str | None
    check_rows: bool
    label_columns: list[str] | None = None

    @property
    def reads_labels(self) -> bool:
        return self.label_columns is not None or self.columns["label"] is not None

    def name_labels(self, rows_with: Callable[[str], Iterable[Dataset]]) -> None:
        """Take the names of the labels from rows, given in pieces that hold the column asked for."""
        if self.label_columns is None:
            self.labels = label_names(rows_with("label"), self.label_separator)
        else:
            self.labels = {column: label_names(rows_with(column), None, column) for column in self.label_columns}

    def choose(self, rows: Dataset) -> Dataset:
        return _choose(rows, self.columns, self.source)

    def __call__(self, rows: Dataset, split: str, first: int = 1) -> Dataset:
        """
        Args:
            rows: of one split, or some of them.
            split: its name, for rows without an id.
            first: number of the first of the rows in the split.
        """
        rows = self.choose(rows)
        labels = self.label_columns or ["label", "text_label", "image_label"]
        if self.reads_labels:
            rows = self.encode_labels(rows, labels)
        rows = _with_ids(_with_pictures(rows, self.base_image_dir), split, first, labels)
        if self.check_rows:
            _check_rows(rows)
        return rows.remove_columns([FOLDER, ORIGIN])

    def encode_labels(self, rows: Dataset, columns: list[str]) -> Dataset:
        """Columns of labels as class indices, those of them that are there."""
        if self.label_columns is None:
            return _encode_labels(rows, self.labels, self.label_separator)
        for column in columns:
            rows = _encode_task(rows, column, self.labels[column])
        return rows


@dataclass
class SplitReader:
    """A `PairReader` for the blocks of one split."""

    reader: PairReader
    split: str

    def __call__(self, rows: Dataset, first: int) -> Dataset:
        return self.reader(rows, self.split, first)

    def label_source(self, name: str) -> str:
        """The column of the data that gives the labels of this name."""
        return self.reader.columns[name]

    def labels(self, rows: Dataset, name: str) -> list:
        """The labels of raw rows that hold that column alone."""
        source = self.label_source(name)
        rows = rows if source == name else rows.rename_column(source, name)
        return self.reader.encode_labels(rows, [name])[name][:]


def _stream(source: str, reader: PairReader, parts: list[str] | None) -> dict[str, StreamedPairs]:
    files = split_files(source) or download_files(str(source))
    if reader.reads_labels and reader.labels is None:
        named = files.get("train") or next(iter(files.values()))
        reader.name_labels(lambda column: _column_alone(named, reader, column))
    return {
        split: StreamedPairs(paths, SplitReader(reader, split))
        for split, paths in files.items()
        if parts is None or split in parts
    }


def _column_alone(files: list[Path], reader: PairReader, name: str) -> Iterable[Dataset]:
    """One column, block by block, under the name that it has here."""
    column = reader.columns[name]
    for path in files:
        file = block_file(path)
        for block in file.blocks:
            if column not in file.column_names:
                reader.choose(next(file.read(block)))  # which says so
            for rows in file.read(block, [column]):
                yield rows if column == name else rows.rename_column(column, name)


def _check_label_columns(wanted: list[str], columns: dict, labels, separator: str | None) -> None:
    """Refuse what does not go with several labels in one model."""
    if not wanted or len(set(wanted)) < len(wanted):
        raise DataError(f"label_columns must be different columns, at least one, got {', '.join(wanted) or 'none'}.")
    for name in wanted:
        if name in ("id", "text", "image", "target"):
            raise DataError(f"label_columns must not be called {name}, which is the name of another column of pairs.")
    given = {"label_separator": separator, "text_label_column": columns["text_label"]}
    given |= {"image_label_column": columns["image_label"]}
    given |= {"label_column": None if columns["label"] == "label" else columns["label"]}
    for option, value in given.items():
        if value is not None:
            raise DataError(
                f"{option} must not be given beside label_columns: a post has one label of each, got {value}."
            )
    if labels is not None and (not isinstance(labels, dict) or list(labels) != list(wanted)):
        raise DataError(f"labels must name the labels of {', '.join(wanted)} in this order, got {labels}.")


def choose_columns(present: list[str], columns: dict[str, str | None], source) -> dict[str, str]:
    """The columns of the data that serve as `id`, `text`, `image`, `label`, ...

    Args:
        present: names of the data's columns.
        columns: what each is wanted from, by its name here; None for one that is taken only where the data has it
            under that name (a label of one side only where labels are wanted at all).
        source: of the data, for the message.

    Returns: name here -> column of the data, for those that are there.

    Raises:
        DataError: for a column that was asked for and is not there.
    """
    wanted = dict(columns)
    if wanted["image"] == "image" and "image" not in present and FILE_NAME in present:
        wanted["image"] = FILE_NAME
    for name in ("text_label", "image_label", "target", "id"):
        labelled = wanted.get("label") is not None
        if wanted.get(name) is None and name in present and (labelled or not name.endswith("label")):
            wanted[name] = name
    # A side may be absent from the data as a whole, if it was not asked for by another name.
    for side, other in (("text", "image"), ("image", "text")):
        if wanted[side] == side and side not in present and wanted[other] in present:
            wanted[side] = None
    chosen = {name: column for name, column in wanted.items() if column is not None}
    for name, column in chosen.items():
        if column not in present:
            raise DataError(no_column(source, column, name, present))
    return chosen


def no_column(source, column: str, name: str, present: list[str]) -> str:
    """The sentence that says so, with the nearest column that there is."""
    visible = [other for other in present if other not in (FOLDER, ORIGIN)]
    nearest = difflib.get_close_matches(column, visible, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    return f"{source} has no column {column} ({name}), only {', '.join(visible)}{hint}"


def _choose(rows: Dataset, columns: dict[str, str | None], source) -> Dataset:
    """The columns that pairs have, under their names."""
    chosen = choose_columns(rows.column_names, columns, source) | {name: name for name in (FOLDER, ORIGIN)}
    names = {column: name for name, column in chosen.items()}
    if len(names) == len(chosen):
        # The table stays a file in memory: a worker process that is not forked gets its path, not the rows.
        return rows.select_columns(list(names)).rename_columns(names)
    table = pa.table({name: rows.data.column(column) for name, column in chosen.items()})
    features = Features({name: rows.features[column] for name, column in chosen.items()})
    return Dataset(table, info=DatasetInfo(features=features))


def label_names(parts: Iterable[Dataset], separator: str | None = None, column: str = "label") -> list[str]:
    """Names of the labels of a split, given in one piece or in several, in their order; see `load_pairs`."""
    values, origin = set(), None
    for rows in parts:
        feature = rows.features[column]
        inner = feature.feature if isinstance(feature, List) else feature
        if isinstance(inner, ClassLabel):
            return list(inner.names)
        values |= {value for cell in rows[column] for value in cell_values(cell, separator)}
        origin = origin or rows[0][ORIGIN]
    if not values:
        raise DataError(f"The column of labels must hold at least one label, got only empty cells ({origin}).")
    if all(is_whole_number(value) for value in values):
        return [str(value) for value in sorted({int(value) for value in values})]
    names = sorted(str(value) for value in values)
    for group in spelt_alike(names):  # which would split a class in silence
        labels = " and ".join(map(repr, group))
        file = origin.rsplit(", row ", 1)[0]
        raise DataError(f"{file}: the labels {labels} must be spelt alike, they differ in case or white space alone.")
    return names


def spelt_alike(names: list[str]) -> list[list[str]]:
    """The groups of two labels or more that differ in case or white space alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(name.split()).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def is_whole_number(value) -> bool:
    """True for 7 and for "7": labels that are put in order by size."""
    if isinstance(value, str):
        return re.fullmatch(r"-?\d+", value) is not None
    return isinstance(value, int) and not isinstance(value, bool)


def cell_values(cell, separator: str | None) -> list:
    """The labels in a cell: none, one or several."""
    if cell is None or cell == "":
        return []
    if isinstance(cell, list):
        return cell
    if separator is not None and isinstance(cell, str):
        return [part.strip() for part in cell.split(separator) if part.strip()]
    return [cell]


def _encode_labels(rows: Dataset, names: list[str], separator: str | None) -> Dataset:
    several = isinstance(rows.features["label"], List) or separator is not None
    for column in ("label", "text_label", "image_label"):
        if column in rows.column_names:
            rows = _encode_column(rows, column, names, separator, several)
    return rows


def _encode_task(rows: Dataset, column: str, names: list[str]) -> Dataset:
    if isinstance(rows.features[column], List):
        raise DataError(f"{rows[0][ORIGIN]}: {column} must hold one label a cell to be one of several columns.")
    return _encode_column(rows, column, names, None, several=False)


def _encode_column(rows: Dataset, column: str, names: list[str], separator: str | None, several: bool) -> Dataset:
    """A column of labels as class indices; `several` as lists of them."""
    index_of = {name: index for index, name in enumerate(names)}
    feature = rows.features[column]
    inner = feature.feature if isinstance(feature, List) else feature
    own_names = inner.names if isinstance(inner, ClassLabel) else None
    encoded = []
    for position, cell in enumerate(rows[column]):
        indices = []
        for value in cell_values(cell, separator):
            name = str(value) if own_names is None else own_names[value]
            if isinstance(value, str) and name not in index_of and is_whole_number(value):
                name = str(int(value))
            if name not in index_of:
                raise DataError(
                    f"{rows[position][ORIGIN]}: {column} {name!r} is not one of the labels {', '.join(names)}."
                )
            indices.append(index_of[name])
        if several:
            encoded.append(None if cell is None else sorted(indices))
        else:
            encoded.append(indices[0] if indices else None)
    kind = ClassLabel(names=list(names))
    return rows.remove_columns(column).add_column(column, encoded, feature=List(kind) if several else kind)


def _with_pictures(rows: Dataset, base_image_dir: str | None) -> Dataset:
    """The picture column as undecoded `datasets.Image`, paths absolute."""
    if "image" not in rows.column_names:
        empty = [{"bytes": None, "path": None}] * len(rows)
        return rows.add_column("image", empty, feature=Image(decode=False))
    rows = undecoded(rows, "image")
    # Piece by piece, for all in one array would be a copy of all pictures.
    pieces = rows.data.column("image").chunks
    paths = [path for piece in pieces for path in piece.field("path").to_pylist()]
    on_disk = [missing for piece in pieces for missing in piece.field("bytes").is_null().to_pylist()]
    if not any(missing and path for missing, path in zip(on_disk, paths, strict=True)):
        return rows
    resolved = [
        resolve_path(path, base_image_dir or folder) if missing and path else path
        for path, folder, missing in zip(paths, rows[FOLDER], on_disk, strict=True)
    ]
    inside = pa.concat_arrays([piece.field("bytes") for piece in pieces])
    pictures = pa.StructArray.from_arrays([inside, pa.array(resolved, pa.string())], names=["bytes", "path"])
    return rows.remove_columns("image").add_column("image", pictures, feature=Image(decode=False))


def undecoded(rows: Dataset, column: str) -> Dataset:
    """The same rows with a column of bytes, paths or images as `datasets.Image` that is not decoded.

    Raises:
        DataError: for a column of another kind.
    """
    feature = rows.features[column]
    if not isinstance(feature, Image):
        allowed = isinstance(feature, dict) or getattr(feature, "dtype", None) in ("string", "binary", "large_string")
        if not allowed:
            raise DataError(f"{rows[0][ORIGIN]}: {column} must hold bytes, a path or an image, got {feature}.")
    return rows.cast_column(column, Image(decode=False))


def resolve_path(path: str, folder: str) -> str:
    """Absolute, but for an address on the web, which stays what it is and is refused where it is read."""
    return path if path.startswith(("http://", "https://")) else str(Path(folder) / path)


def _with_ids(rows: Dataset, split: str, first: int, labels: list[str]) -> Dataset:
    if "text" not in rows.column_names:
        rows = rows.add_column("text", [None] * len(rows), feature=Value("string"))
    for column in ("text", "target"):
        if column in rows.column_names and rows.features[column] != Value("string"):
            rows = rows.cast_column(column, Value("string"))
    given = [None] * len(rows)
    if "id" in rows.column_names:
        given = rows["id"]
        rows = rows.remove_columns("id")
    ids = [f"{split}-{first + index}" if value is None else str(value) for index, value in enumerate(given)]
    rows = rows.add_column("id", ids, feature=Value("string"))
    order = ["id", "text", "image", *labels, "target", FOLDER, ORIGIN]
    return rows.select_columns([column for column in order if column in rows.column_names])


def _check_rows(rows: Dataset) -> None:
    table = rows.data.table.select(["image", "text", ORIGIN])
    posts = (row for batch in table.to_batches(max_chunksize=1000) for row in batch.to_pylist())
    hidden = len(rows) < ROWS_BEFORE_A_BAR
    for row in tqdm(posts, "checking pictures", len(rows), unit="post", disable=hidden, leave=False):
        picture = row["image"]
        if picture is None or (picture["bytes"] is None and picture["path"] is None):
            if not (row["text"] or "").strip():
                raise DataError(f"{row[ORIGIN]}: a post must have a text or a picture, got neither.")
            continue
        reason = _why_unreadable(picture)
        if reason:
            raise DataError(f"{row[ORIGIN]}: the picture cannot be read: {reason}.")


def _why_unreadable(picture: dict) -> str | None:
    """What is wrong with a picture's head; None where it opens. Its pixels are not decoded."""
    path = picture["path"]
    if picture["bytes"] is None and path.startswith(("http://", "https://")):
        return f"{path} is an address on the web, which is not fetched"
    if picture["bytes"] is None and not Path(path).is_file():
        return f"there is no file {path}"
    try:
        with PIL.Image.open(path if picture["bytes"] is None else io.BytesIO(picture["bytes"])):
            return None
    except PIL.UnidentifiedImageError:
        name = f"{len(picture['bytes'])} bytes" if picture["bytes"] is not None else path
        return f"{name} are in no picture format that is known"
    except Exception as error:  # Pillow raises whatever a format's reader meets
        return reason_of(error)


__all__ = [
    "DataError",
    "cell_values",
    "choose_columns",
    "is_whole_number",
    "label_names",
    "load_pairs",
    "no_column",
    "resolve_path",
    "spelt_alike",
    "undecoded",
]
