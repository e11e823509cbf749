"""What there is to say of prepared posts before others get them: a folder of Parquet with the pictures inside.

The pictures are read once, a few at a time, however many there are; labels by their columns alone.
"""

import hashlib
import io
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, List, Value
from tqdm import tqdm

from duosent.data.audit import spread
from duosent.data.blocks import block_file
from duosent.data.doubles import text_keys
from duosent.data.label_columns import ALWAYS, label_order, read_labels
from duosent.data.pairs import ROWS_BEFORE_A_BAR, choose_columns, no_column
from duosent.data.prepare import CARD, UNFINISHED
from duosent.data.reading import DataError, split_files
from duosent.data.survey import NEITHER
from duosent.processing.reasons import reason_of

# Rows at a time: their pictures lie in memory together.
BATCH = 64
# Bytes of a column that are read ahead; without it pyarrow reads all pictures of a row group at once.
READ_AHEAD = 2**20
# A path that starts from a root or a home, and so tells of the machine.
ABSOLUTE = re.compile(r"[/\\~]|[A-Za-z]:[\\/]")

# What helps against most of what is refused here.
WRITTEN_BY = "`duosent audit {} --write-clean DIR`"


def describe(
    folder: str | Path,
    text_column: str = "text",
    image_column: str = "image",
    label_columns: list[str] | None = None,
) -> dict:
    """Read what `duosent prepare` or `duosent audit --write-clean` left, and see to it that others can read it too.

    Args:
        folder: its parts as `load_pairs` finds them, all of them Parquet, with the same columns.
        text_column, image_column: columns of the two sides; one of the two may be absent from the data as a whole.
        label_columns: further columns of labels. Others are never counted: their words might be those of a post.

    Returns: a dict for JSON.
        `folder`: the folder.
        `record`: what `dataset.json` holds; empty where there is none.
        `columns`: column -> what its cells are, such as "string".
        `sides`: "text", "image", "target", "id" -> the column, where there is one.
        `splits`: part -> `files` (in order), `rows`, `texts` (rows with words), `pictures` (rows with one), and how
            long the texts (`characters`, `words`) and how large the pictures (`width`, `height`, in pixels, as
            stored) are: `min`, `median`, `mean`, `p95`, `max`, or None.
        `labels`: column -> `counts` (part -> label -> rows, a row of several labels counted for each) and
            `unlabelled` (part -> rows), for `label`, `text_label`, `image_label`, each `ClassLabel`, the columns
            that `dataset.json` counts, and `label_columns`.
        `doubles`: "text", "image" -> part -> other part -> rows of the one whose text (word for word, about the same
            target) or picture (byte for byte) stands in the other.

    Raises:
        DataError: in one sentence: no such folder, no Parquet, parts of other columns, no column of a side, a row
            that `load_pairs` would refuse, a picture given as a path or under a path of this machine, a
            `dataset.json` that cannot be read or counts other rows.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    files = _parquet_files(folder)
    features = _common_features(files)
    wanted = {"text": text_column, "image": image_column, "target": None, "id": None}
    sides = choose_columns(list(features), wanted, folder)
    record = _read_record(folder)
    columns = _label_columns(folder, features, sides, record, label_columns or [])
    rows = {split: sum(_rows_of(path) for path in paths) for split, paths in files.items()}
    _check_record(folder / CARD, record, rows)
    pictures = _picture_columns(folder, features, sides)
    total = sum(rows.values())
    with tqdm(total=total, desc="read", unit="post", disable=total < ROWS_BEFORE_A_BAR, leave=False) as bar:
        parts = {split: _Part(paths, pictures, sides, folder, bar) for split, paths in files.items()}
    return {
        "folder": str(folder),
        "record": record,
        "columns": {name: _kind(feature) for name, feature in features.items()},
        "sides": sides,
        "splits": {split: {"files": list(map(str, files[split])), **part.figures()} for split, part in parts.items()},
        "labels": {column: _count_labels(files, column, features[column]) for column in columns},
        "doubles": {
            side: {
                split: {other: _shared(part.keys[side], parts[other].keys[side]) for other in parts if other != split}
                for split, part in parts.items()
            }
            for side in ("text", "image")
            if side in sides
        },
    }


def _parquet_files(folder: Path) -> dict[str, list[Path]]:
    if (folder / UNFINISHED).exists():
        raise DataError(f"{folder} is not finished: give duosent prepare the same command again.")
    if not any(folder.rglob("*.parquet")):
        raise DataError(f"{folder} holds no Parquet file: {WRITTEN_BY.format(folder)} writes such files.")
    files = split_files(folder)
    for path in (path for paths in files.values() for path in paths):
        if path.suffix.lower() != ".parquet":
            raise DataError(f"{path} must be Parquet: {WRITTEN_BY.format(folder)} writes such files.")
        if path.is_symlink():
            raise DataError(f"{path} must be a file, not a link, which may lead to anything.")
    return files


def _rows_of(path: Path) -> int:
    return sum(block.rows for block in block_file(path).blocks)


def _common_features(files: dict[str, list[Path]]) -> Features:
    """Those of every file: the Hub's readers take no data set whose files differ in their columns."""
    first, common = None, Features()
    for path in (path for paths in files.values() for path in paths):
        try:
            features = Features.from_arrow_schema(pq.read_schema(path))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read: {reason_of(error)}.") from error
        if first is None:
            first, common = path, features
        for name in [*common, *features]:
            if common.get(name) != features.get(name):
                here, there = (_kind(found.get(name)) for found in (features, common))
                raise DataError(f"{path} must have the columns of {first}: {name} is {here} here and {there} there.")
    return common


def _kind(feature) -> str:
    """What a column's cells are, in words."""
    if feature is None:
        return "no column"
    if isinstance(feature, List):
        return f"list of {_kind(feature.feature)}"
    if isinstance(feature, ClassLabel):
        return f"class label of {feature.num_classes} names"
    if _holds_pictures(feature):
        return "picture"
    return feature.dtype if isinstance(feature, Value) else type(feature).__name__


def _holds_pictures(feature) -> bool:
    return isinstance(feature, Image) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def _picture_columns(folder: Path, features: Features, sides: dict[str, str]) -> list[str]:
    """That of the side, and every other one: none may hold paths of this machine."""
    side = sides.get("image")
    kind = _kind(features[side]) if side is not None else "picture"
    if kind not in ("picture", "string", "large_string", "binary", "large_binary"):
        raise DataError(f"{folder}: {side} must hold pictures, got {kind}.")
    return [name for name, feature in features.items() if name == side or _holds_pictures(feature)]


def _read_record(folder: Path) -> dict:
    file = folder / CARD
    if not file.is_file() or file.is_symlink():
        return {}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {reason_of(error)}.") from error
    if not isinstance(record, dict):
        raise DataError(f"{file} must hold an object, got {type(record).__name__}.")
    parts = record.get("parts", {})
    objects = {"parts": parts, "dropped": record.get("dropped", {})}
    objects |= {f"parts.{split}": part for split, part in parts.items()} if isinstance(parts, dict) else {}
    for name, value in objects.items():
        if not isinstance(value, dict):
            raise DataError(f"{file}: {name} must be an object, got {type(value).__name__}.")
    return record


def _check_record(file: Path, record: dict, rows: dict[str, int]) -> None:
    if "parts" not in record:
        return
    counted = {split: part.get("rows") for split, part in record["parts"].items()}
    for split in [*counted, *rows]:
        if counted.get(split) != rows.get(split):
            here, there = counted.get(split, 0), rows.get(split, 0)
            raise DataError(
                f"{file} counts {here} rows of {split}, but its files hold {there}: prepare the data again, or take "
                "dataset.json away."
            )


def _label_columns(folder: Path, features: Features, sides: dict, record: dict, given: list[str]) -> list[str]:
    for column in given:
        if column not in features:
            raise DataError(no_column(folder, column, "label", list(features)))
    counted = {column for part in record.get("parts", {}).values() for column in part.get("labels", {})}
    wanted = {*ALWAYS, *given, *counted} - set(sides.values())
    inner = {name: kind.feature if isinstance(kind, List) else kind for name, kind in features.items()}
    return [name for name in features if name in wanted or isinstance(inner[name], ClassLabel)]


def _count_labels(files: dict[str, list[Path]], column: str, feature) -> dict[str, dict]:
    """Every part has all labels, in one order; of the files only this column is read."""
    counts, unlabelled = {split: Counter() for split in files}, dict.fromkeys(files, 0)
    for split, paths in files.items():
        for file in map(block_file, paths):
            for block in file.blocks:
                for rows in file.read(block, [column]):
                    for labels in read_labels(rows, column):
                        unlabelled[split] += labels is None
                        counts[split].update(labels or ())
    inner = feature.feature if isinstance(feature, List) else feature
    found = {label for part in counts.values() for label in part}
    order = list(inner.names) if isinstance(inner, ClassLabel) else label_order(found)
    return {
        "counts": {split: {label: part[label] for label in order} for split, part in counts.items()},
        "unlabelled": unlabelled,
    }


class _Part:
    """What one pass over the sides of a part finds."""

    def __init__(self, files: list[Path], pictures: list[str], sides: dict[str, str], folder: Path, bar: tqdm):
        self.rows = self.texts = self.pictures = 0
        self.sizes = {name: array("q") for name in ("characters", "words", "width", "height")}
        self.keys: dict[str, Counter[bytes]] = {"text": Counter(), "image": Counter()}
        self._sides, self._pictures, self._hint = sides, pictures, WRITTEN_BY.format(folder)
        words = [sides[name] for name in ("text", "target") if name in sides]
        for path in files:
            for number, row in enumerate(_rows(path, [*words, *pictures]), start=1):
                self._add(f"{path}, row {number}", row)
                bar.update()

    def _add(self, where: str, row: dict) -> None:
        self.rows += 1
        pictures = {column: self._picture(where, column, row[column]) for column in self._pictures}
        picture = pictures.get(self._sides.get("image"))
        text, target = (self._words(row, side) for side in ("text", "target"))
        keys = text_keys(text, target)
        if keys is not None:
            self.texts += 1
            self.sizes["characters"].append(len(text.strip()))
            self.sizes["words"].append(len(text.split()))
            self.keys["text"][_digest(keys[0].encode(errors="surrogatepass"))] += 1
        if picture is not None:
            self.pictures += 1
            width, height = self._size(where, picture)
            self.sizes["width"].append(width)
            self.sizes["height"].append(height)
            self.keys["image"][_digest(picture)] += 1
        if keys is None and picture is None:
            raise DataError(f"{where}: {NEITHER}; {self._hint} writes the data without such rows.")

    def _words(self, row: dict, side: str) -> str | None:
        cell = row.get(self._sides.get(side))
        return None if cell is None else str(cell)

    def _picture(self, where: str, column: str, cell) -> bytes | None:
        """The content of a picture's file; None for no picture."""
        if isinstance(cell, str | bytes):
            cell = {
                "bytes": cell if isinstance(cell, bytes) else None,
                "path": cell if isinstance(cell, str) else None,
            }
        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            return None
        if cell["bytes"] is None:
            raise DataError(
                f"{where}: {column} is the path {cell['path']}, which nobody else can read; {self._hint} puts the "
                "pictures into the files."
            )
        if ABSOLUTE.match(cell["path"] or ""):
            raise DataError(
                f"{where}: {column} has the path {cell['path']}, which tells of this machine; {self._hint} keeps "
                "the names of the pictures alone."
            )
        return cell["bytes"]

    def _size(self, where: str, picture: bytes) -> tuple[int, int]:
        try:
            with PIL.Image.open(io.BytesIO(picture)) as opened:  # its head alone is read
                return opened.size
        except PIL.UnidentifiedImageError:
            reason = f"{len(picture)} bytes are in no picture format that is known"
        except Exception as error:  # Pillow raises whatever a format's reader meets
            reason = reason_of(error)
        raise DataError(
            f"{where}: the picture cannot be read: {reason}; {self._hint} writes the data without such rows."
        )

    def figures(self) -> dict:
        spreads = {name: spread(np.array(values)) for name, values in self.sizes.items()}
        return {"rows": self.rows, "texts": self.texts, "pictures": self.pictures, **spreads}


def _rows(path: Path, columns: list[str]) -> Iterator[dict]:
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_AHEAD) as file:
            for batch in file.iter_batches(BATCH, columns=columns):
                batch.validate(full=True)  # words that are no UTF-8 would else be met far from here
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.") from error


def _shared(here: Counter[bytes], there: Counter[bytes]) -> int:
    """Rows of the one that have their like in the other."""
    return sum(here[key] for key in here.keys() & there.keys())


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


__all__ = ["describe"]
