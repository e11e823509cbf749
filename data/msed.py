"""MSED: stock photographs with title and caption, labelled for sentiment, emotion and desire."""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets import Features, Image, Value

from duosent.data.published import PublishedData, PublishedRow, find_published, read_label, read_lines
from duosent.data.reading import DataError

PARTS = {"train": "train", "dev": "validation", "test": "test"}
COLUMNS = ("title", "caption", "sentiment", "emotion", "desire")
LABELS = {
    "sentiment": ("positive", "neutral", "negative"),
    "emotion": ("happiness", "neutral", "sad", "anger", "fear", "disgust"),
    "desire": ("none", "family", "romance", "curiosity", "social-contact", "vengeance", "tranquility"),
}


def read_msed(raw_dir: Path) -> PublishedData:
    """Read `{train,dev,test}/{part}.csv`; row n, from 1, goes with `{part}/images/n.jpg`.

    `text` is the title, and the caption after a blank where the two differ. The id is `{part}-{n}`. A part that is
    not there is left out, but for train.

    Raises:
        DataError: if files are missing or damaged; the sentence names file and line.
    """
    find_published(raw_dir, ["train/train.csv"], "MSED")
    files = {part: raw_dir / part / f"{part}.csv" for part in PARTS}
    found = {part: file for part, file in files.items() if file.is_file()}
    return PublishedData(
        source="MSED (Jia et al., Beyond Emotion: A Multi-Modal Dataset for Human Desire Understanding, NAACL 2022), "
        "repository MSEDdataset/MSED",
        rule="text is the title, followed by the caption where the two differ; labels as published",
        split="as published: train, dev (validation), test",
        labels=tuple(LABELS),
        features=Features(
            {"id": Value("string"), "text": Value("string"), "image": Image()}
            | {column: Value("string") for column in COLUMNS}
        ),
        parts={PARTS[part]: partial(_rows, part, file) for part, file in found.items()},
        files=list(found.values()),
    )


def _rows(part: str, path: Path) -> Iterator[PublishedRow]:
    lines = read_lines(path)
    header = next(lines, (1, ""))[1]
    places = _places(path, _cells(path, 1, header))
    width = len(_cells(path, 1, header))
    for row, (number, line) in enumerate(lines, start=1):
        cells = _cells(path, number, line)
        if len(cells) != width:
            raise DataError(f"{path}, line {number}, must have {width} cells, got {len(cells)}.")
        values = {column: cells[place] for column, place in places.items()}
        for column, labels in LABELS.items():
            values[column] = read_label(values[column], labels, column, f"{path}, line {number}")
        same = values["title"] == values["caption"]
        text = values["title"] if same else f"{values['title']} {values['caption']}"
        yield PublishedRow({"id": f"{part}-{row}", "text": text, **values}, path.parent / "images" / f"{row}.jpg")


def _places(path: Path, header: list[str]) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    for column in COLUMNS:
        if names.count(column) != 1:
            what = "no column" if column not in names else "more than one column"
            raise DataError(f"{path}, line 1, has {what} {column.title()}, only {', '.join(header)}.")
    return {column: names.index(column) for column in COLUMNS}


def _cells(path: Path, number: int, line: str) -> list[str]:
    """One line is one row, so that a stray quote cannot swallow the lines after it: no published cell holds one."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {number}, has a quote that is not closed or stands alone: {error}.") from error


__all__ = ["read_msed"]
