"""Twitter-2015 and Twitter-2017: what a tweet with a picture feels about a target that it names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets import Features, Image, Value

from duosent.data.published import PublishedData, PublishedRow, find_published, read_lines
from duosent.data.reading import DataError

PARTS = {"train": "train", "dev": "validation", "test": "test"}
LABELS = {"0": "negative", "1": "neutral", "2": "positive"}
TARGET = "$T$"


def read_twitter(raw_dir: Path, year: int) -> PublishedData:
    """Read `{train,dev,test}.tsv`, one row a target, and their pictures in `twitter{year}_images/`.

    The folder may be the one of the files or the one above (`twitter{year}/train.tsv`); the pictures stand beside the
    files or one folder above. The id is `{part}-{index}`. A part that is not there is left out, but for train.

    Args:
        raw_dir: the published folder.
        year: 2015 or 2017.

    Raises:
        DataError: if files are missing or damaged; the sentence names file and line.
    """
    train = find_published(raw_dir, ["train.tsv", f"twitter{year}/train.tsv"], f"Twitter-{year}")
    folder, name = train.parent, f"twitter{year}_images"
    pictures = next((above / name for above in (folder, folder.parent) if (above / name).is_dir()), folder / name)
    found = {part: folder / f"{part}.tsv" for part in PARTS if (folder / f"{part}.tsv").is_file()}
    columns = ("id", "text", "image", "label", "target")
    return PublishedData(
        source=f"Twitter-{year} with targets (Yu and Jiang, Adapting BERT for Target-Oriented Multimodal Sentiment "
        "Classification, IJCAI 2019), repository jefferyYu/TomBERT",
        rule="one row a target, whose place in the text is $T$; 0 is negative, 1 neutral, 2 positive",
        split="as published: train, dev (validation), test",
        labels=("label",),
        features=Features({name: Image() if name == "image" else Value("string") for name in columns}),
        parts={PARTS[part]: partial(_rows, part, file, pictures) for part, file in found.items()},
        files=list(found.values()),
    )


def _rows(part: str, path: Path, pictures: Path) -> Iterator[PublishedRow]:
    lines, seen = read_lines(path), {}
    # The header's names repeat, and in one file one is missing: only that it is a header is looked at.
    header = next(lines, (1, ""))[1]
    if not header.lower().startswith("index"):
        raise DataError(f"{path}, line 1, must be a header that begins with index, got {header[:80]!r}.")
    for number, line in lines:
        where = f"{path}, line {number}"
        cells = line.split("\t")  # no quoting: a lone " is a word of the tweet
        if len(cells) != 5:
            raise DataError(f"{where}, must have 5 cells (index, label, picture, text, target), got {len(cells)}.")
        index, label, picture, text, target = (cell.strip() for cell in cells)
        if not index.isdecimal():
            raise DataError(f"{where}: the index must be a whole number, got {index[:80]!r}.")
        if index in seen:
            raise DataError(f"{where}: the index {index} stands on line {seen[index]} already.")
        seen[index] = number
        if label not in LABELS:
            raise DataError(f"{where}: the label must be 0, 1 or 2, got {label[:80]!r}.")
        if not picture or Path(picture).name != picture:
            raise DataError(f"{where}: the picture must be the name of a file, got {picture[:80]!r}.")
        if text.count(TARGET) != 1:
            raise DataError(f"{where}: the text must hold {TARGET} once, got {text.count(TARGET)} times.")
        if not target:
            raise DataError(f"{where}: the target must not be empty.")
        values = {"id": f"{part}-{index}", "text": text, "label": LABELS[label], "target": target}
        yield PublishedRow(values, pictures / picture)


__all__ = ["read_twitter"]
