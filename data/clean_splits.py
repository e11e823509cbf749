"""The parts of a data set without leaks: no text and no picture of one part stands in another one too."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, List, Value
from tqdm import tqdm

from duosent.data.pairs import ROWS_BEFORE_A_BAR, undecoded
from duosent.data.reading import ENDINGS, FILE_NAME, FOLDER, ORIGIN, DataError
from duosent.data.survey import Survey, whole_path

REMOVED = "removed.parquet"
# A double stays where it is used last: the parts that measure keep their posts, so that figures stay comparable.
LAST_USED_FIRST = ("test", "validation", "train")
# In which respects a post may leak, and how that is said.
RESPECTS = {
    ("text", "exact"): "the same text as",
    ("text", "near"): "nearly the same text as",
    ("image", "exact"): "the same picture as",
    ("image", "near"): "nearly the same picture as",
}
# Rows at a time: their pictures lie in memory together.
BATCH = 64
DOUBLE = {"side": Value("string"), "level": Value("string"), "split": Value("string"), "row": Value("int64")}
WHY = {
    "removed_from": Value("string"),
    "removed_row": Value("int64"),
    "removed_because": Value("string"),
    "removed_as_double_of": List(DOUBLE | {"id": Value("string")}),
}


def check_clean_dir(clean_dir: str | Path, source: str | Path, splits: list[str]) -> None:
    """Refuse a folder in which the clean parts would be read together with something else, or would harm the data.

    Args:
        source, splits: the name of the data and those of its parts.

    Raises:
        DataError: if a part is none of train, validation and test, so that its file would not be found again; if the
            folder lies in the data or the data in it; if it holds a table that is none of those that are written.
    """
    unknown = [split for split in splits if split not in LAST_USED_FIRST]
    if unknown:
        raise DataError(f"clean_dir takes data whose parts are train, validation and test, got {', '.join(unknown)}.")
    folder, data = Path(clean_dir).resolve(), Path(source).resolve()
    if data.exists() and (folder == data or folder in data.parents or data in folder.parents):
        raise DataError(f"clean_dir must be a folder apart from the data {source}, got {clean_dir}.")
    own = {folder / f"{split}.parquet" for split in splits} | {folder / REMOVED}
    strange = [file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file not in own]
    if strange:
        raise DataError(
            f"clean_dir {clean_dir} holds {min(strange).name}, which would be read together with the posts."
        )


def write_clean(survey: Survey, clean_dir: str | Path) -> dict:
    """Write `train.parquet`, `validation.parquet` and `test.parquet` without leaks, for `load_pairs`.

    Out of the training part goes what stands in validation or test too, out of validation what stands in test: by its
    text or its picture, exactly or nearly. Doubles within a part stay. Bad rows go from every part. All columns are
    kept, and pictures lie in the files. `removed.parquet` holds the posts that went, with part, row (from 1), reason,
    and the posts that stayed in their place. A part of which nothing is left has no file.

    Args:
        survey: of the data; its parts are among train, validation and test (`check_clean_dir`).
        clean_dir: the folder; files of these names in it are replaced.

    Returns: `{"dir": folder, "removed_file": file, "splits": {part: {"kept", "leaks", "bad_rows"}}, "labels_lost":
        {column: labels that no training post has any more}}`.
    """
    folder = Path(clean_dir)
    folder.mkdir(parents=True, exist_ok=True)
    kept, partners = _choose(survey)
    parts = {split: _embedding(rows, survey.columns[split]) for split, rows in survey.splits.items()}
    features = {split: _features(rows) for split, rows in parts.items()}
    removed_features = _common(list(features.values())) | WHY
    with (
        pq.ParquetWriter(folder / REMOVED, Features(removed_features).arrow_schema) as removed_writer,
        tqdm(total=len(kept), unit="post", desc="write", disable=len(kept) < ROWS_BEFORE_A_BAR, leave=False) as bar,
    ):
        for number, (split, rows) in enumerate(parts.items()):
            posts = np.flatnonzero(survey.split == number)
            image = survey.columns[split].get("image")
            image = "image" if image == FILE_NAME else image
            file = folder / f"{split}.parquet"
            file.unlink(missing_ok=True)
            if kept[posts].any():
                schema = features[split].arrow_schema
                with pq.ParquetWriter(file, schema) as writer:
                    for table in _tables(rows, survey.row[posts[kept[posts]]] - 1, image, survey.base_image_dir):
                        writer.write_table(table.select(schema.names).cast(schema))
                        bar.update(len(table))
            gone = posts[~kept[posts]]
            for table in _tables(rows, survey.row[gone] - 1, image, survey.base_image_dir):
                here, gone = gone[: len(table)], gone[len(table) :]
                removed_writer.write_table(_with_reasons(table, removed_features, survey, here, partners))
                bar.update(len(table))
    return {
        "dir": str(folder),
        "removed_file": str(folder / REMOVED),
        "splits": _counts(survey, kept),
        "labels_lost": _labels_lost(survey, kept),
    }


def _choose(survey: Survey) -> tuple[np.ndarray, dict[int, list[tuple[str, str, int]]]]:
    """Which posts stay, `(N,)` bool, and of each that leaks the sides, levels and posts that stay in its place."""
    kept = np.ones(len(survey.ids), bool)
    kept[list(survey.bad)] = False
    staying, partners = np.zeros(len(kept), bool), {}
    for split in LAST_USED_FIRST:
        if split not in survey.splits:
            continue
        here = kept & (survey.split == list(survey.splits).index(split))
        for side, level in RESPECTS:
            partner = survey.doubles[side][level].partner(staying)
            for post in np.flatnonzero(here & (partner >= 0)).tolist():
                known = partners.setdefault(post, [])
                if (side, "exact") not in [found[:2] for found in known]:
                    known.append((side, level, int(partner[post])))
        kept[list(partners)] = False
        staying |= here & kept
    return kept, partners


def _embedding(rows: Dataset, columns: dict[str, str]) -> Dataset:
    """The rows with their picture column ready to take the content of files; beside a `file_name` it is a new one."""
    image = columns.get("image")
    if image == FILE_NAME:
        rows, image = rows.add_column("image", rows[FILE_NAME]), "image"
    return rows if image is None else undecoded(rows, image)


def _features(rows: Dataset) -> Features:
    """What is written: the data's own columns, and pictures that `datasets` decodes."""
    own = {name: kind for name, kind in rows.features.items() if name not in (FOLDER, ORIGIN)}
    return Features({name: Image() if isinstance(kind, Image) else kind for name, kind in own.items()})


def _common(parts: list[Features]) -> dict:
    """The columns of all parts; one of several kinds becomes words."""
    common = {}
    for features in parts:
        for name, kind in features.items():
            common[name] = kind if common.get(name, kind) == kind else Value("string")
    return common


def _tables(rows: Dataset, chosen: np.ndarray, image: str | None, base_image_dir: str | None) -> Iterator[pa.Table]:
    """The chosen rows, a few at a time, with the content of their pictures."""
    if not len(chosen):
        return
    for table in rows.select(chosen).with_format("arrow").iter(BATCH):
        if image is not None:
            cells = zip(table[image].to_pylist(), table[FOLDER].to_pylist(), strict=True)
            pictures = [_with_content(cell, base_image_dir or folder) for cell, folder in cells]
            place = table.column_names.index(image)
            table = table.set_column(place, image, pa.array(pictures, Image().pa_type))
        yield table


def _with_content(picture: dict | None, folder: str) -> dict | None:
    """A path that starts from a root is of no use with the content: of such a one the name of the file stays."""
    found = whole_path(picture, folder)
    if found is None:
        return None
    path = picture["path"]
    try:
        content = Path(found["path"]).read_bytes() if found["bytes"] is None else found["bytes"]
    except OSError:  # one of the rows that are removed for it
        return picture
    return {"bytes": content, "path": Path(path).name if path and Path(path).is_absolute() else path}


def _with_reasons(table: pa.Table, features: dict, survey: Survey, posts: np.ndarray, partners: dict) -> pa.Table:
    schema = Features(features).arrow_schema
    columns = {}
    for name, kind in features.items():
        if name not in table.column_names:
            columns[name] = pa.nulls(len(table), schema.field(name).type)
        elif kind == Value("string"):
            columns[name] = pa.array([cell if cell is None else str(cell) for cell in table[name].to_pylist()])
        else:
            columns[name] = table[name]
    doubles = [
        [{"side": side, "level": level} | survey.name(other) for side, level, other in partners.get(post, [])]
        for post in posts.tolist()
    ]
    columns |= {
        "removed_from": pa.array([survey.name(post)["split"] for post in posts]),
        "removed_row": pa.array(survey.row[posts]),
        "removed_because": pa.array([_reason(survey, post, partners) for post in posts.tolist()]),
        "removed_as_double_of": pa.array(doubles, schema.field("removed_as_double_of").type),
    }
    return pa.table(columns).cast(schema)


def _reason(survey: Survey, post: int, partners: dict) -> str:
    if post in survey.bad:
        return survey.bad[post]
    named = [(RESPECTS[side, level], survey.name(other)) for side, level, other in partners[post]]
    return ", ".join(f"{words} {other['split']} row {other['row']} ({other['id']})" for words, other in named)


def _counts(survey: Survey, kept: np.ndarray) -> dict[str, dict[str, int]]:
    bad = np.zeros(len(kept), bool)
    bad[list(survey.bad)] = True
    parts = {split: survey.split == number for number, split in enumerate(survey.splits)}
    return {
        split: {
            "kept": int((here & kept).sum()),
            "leaks": int((here & ~kept & ~bad).sum()),
            "bad_rows": int((here & bad).sum()),
        }
        for split, here in parts.items()
    }


def _labels_lost(survey: Survey, kept: np.ndarray) -> dict[str, list[str]]:
    if "train" not in survey.splits:
        return {}
    train = np.flatnonzero(survey.split == list(survey.splits).index("train"))
    lost = {}
    for column, labels in survey.labels.items():
        before, after = (
            {label for post in posts for label in labels[post] or ()} for posts in (train, train[kept[train]])
        )
        if before - after:
            lost[column] = sorted(before - after)
    return lost


__all__ = ["check_clean_dir", "write_clean"]
