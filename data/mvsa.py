"""MVSA-Single and MVSA-Multiple: tweets, words and picture labelled apart, by one person or by three."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from datasets import Features, Image, Value

from duosent.data.published import PublishedData, PublishedRow, find_published, read_label, read_lines
from duosent.data.reading import DataError, split_of
from duosent.data.splits import FOLDS, stratified_folds

# Also the numbers of the published lists.
LABELS = ("positive", "neutral", "negative")
PARTS = ("train", "validation", "test")
LABEL_FILE = "labelResultAll.txt"
SOURCE = "MVSA (Niu, Zhu, Pang, El Saddik, Sentiment Analysis on Multi-view Social Data, MMM 2016)"
RULE = (
    "of three annotators the majority of each side, none drops the pair; equal labels stay, neutral gives way to the "
)
RULE += "other one, positive against negative drops the pair"
COLUMNS = ("id", "text", "image", "label", "text_label", "image_label")
# How the words may be read; the first is what they are written in.
ENCODINGS = {"gb18030": ("gb18030", "strict"), "utf-8-ignore": ("utf-8", "ignore")}


class Labels(NamedTuple):
    """What the annotators say of a pair; None where they do not agree."""

    text: str | None
    image: str | None


def read_mvsa(
    raw_dir: Path,
    annotators: int,
    split_files: list[Path] | None = None,
    fold: int = 1,
    seed: int = 0,
    text_encoding: str = "gb18030",
) -> PublishedData:
    """Read `labelResultAll.txt` and `data/{id}.txt|.jpg`.

    With published lists, parts and post labels are theirs, and what stands in none of them is dropped. Where there
    is no `labelResultAll.txt` but a `dataset_image` folder, the lists' own texts are read, and the post's label is
    the only one.

    Args:
        raw_dir: the published folder, or the one above it.
        annotators: 1 (MVSA-Single) or 3 (MVSA-Multiple).
        split_files: the published JSON lists (`train.json`, `dev.json`, `test.json`) or the folder that holds them;
            None divides by `stratified_folds`.
        fold, seed: of `stratified_folds`.
        text_encoding: "gb18030", what the texts are written in, or "utf-8-ignore", as published work often read them.

    Raises:
        DataError: if files are missing or damaged; the sentence names file and line.
    """
    lists = _read_lists(split_files) if split_files else None
    bare = raw_dir / "dataset_image"
    folders = ["MVSA_Single"] if annotators == 1 else ["MVSA", "MVSA_Multiple"]
    if lists is not None and bare.is_dir() and not (raw_dir / LABEL_FILE).is_file():
        return _read_bare(bare, lists, split_files)
    names = [LABEL_FILE, *(f"{folder}/{LABEL_FILE}" for folder in folders)]
    label_file = find_published(raw_dir, names, "MVSA")

    votes = _read_labels(label_file, annotators)
    merged = {row: merge(*labels) for row, labels in votes.items()}
    kept = {row: label for row, label in merged.items() if label is not None}
    reasons = {row: _why_dropped(votes[row]) for row, label in merged.items() if label is None}
    facts = {"text_encoding": text_encoding}
    if lists is None:
        parts = stratified_folds(kept, fold, seed)
        split = f"{FOLDS} folds stratified by label, seed {seed}, fold {fold}: 8 : 1 : 1"
    else:
        parts = {row: part for part, entries in lists.items() for row in entries}
        listed = {row: entry["label"] for entries in lists.values() for row, entry in entries.items()}
        differ = sum(merged.get(row) != label for row, label in listed.items())
        facts["labels_that_differ_from_the_rule"] = differ
        reasons = {row: "in none of the published lists" for row in votes if row not in parts}
        kept, split = listed, "published lists"
    names = [part for part in PARTS if part in parts.values()]
    return PublishedData(
        source=SOURCE,
        rule=RULE if lists is None else f"{RULE}; label and part as in the published lists",
        split=split,
        labels=("label", "text_label", "image_label"),
        features=Features({name: Image() if name == "image" else Value("string") for name in COLUMNS}),
        parts={
            name: partial(
                _rows,
                label_file.parent / "data",
                {row: kept[row] for row, part in parts.items() if part == name},
                votes,
                text_encoding,
            )
            for name in names
        },
        files=[label_file, *_list_files(split_files or [])],
        dropped=[{"id": row, "reason": reason} for row, reason in reasons.items()],
        facts=facts,
    )


def majority(votes: list[str]) -> str | None:
    """What more than half of the annotators say; None where there is no such label."""
    label, count = Counter(votes).most_common(1)[0]
    return label if 2 * count > len(votes) else None


def merge(text: str | None, image: str | None) -> str | None:
    """The label of a pair out of those of its sides; None drops the pair."""
    if text is None or image is None or {text, image} == {"positive", "negative"}:
        return None
    return image if text == "neutral" else text


def _why_dropped(labels: Labels) -> str:
    missing = [side for side, label in labels._asdict().items() if label is None]
    return f"no majority for the {' and the '.join(missing)}" if missing else "positive against negative"


def _read_labels(path: Path, annotators: int) -> dict[str, Labels]:
    lines = read_lines(path)
    header = next(lines, (1, ""))[1]
    names = [name.strip().lower() for name in header.lstrip("\\").split("\t")]
    if names[0] != "id" or "image,text" in names:
        raise DataError(f"{path}, line 1, must be the header ID and text,image, got {header[:80]!r}.")
    votes, seen = {}, {}
    for number, line in lines:
        where = f"{path}, line {number}"
        row, *cells = [cell.strip() for cell in line.split("\t")]
        cells = [cell for cell in cells if cell]
        if not row.isdecimal():
            raise DataError(f"{where}: the ID must be a whole number, got {row[:80]!r}.")
        if row in seen:
            raise DataError(f"{where}: the ID {row} stands on line {seen[row]} already.")
        seen[row] = number
        pairs = [cell.split(",") for cell in cells]
        if len(pairs) != annotators or any(len(pair) != 2 for pair in pairs):
            kind = "one pair" if annotators == 1 else f"{annotators} pairs"
            raise DataError(f"{where}, must have the ID and {kind} of labels text,image, got {line[:80]!r}.")
        text, image = (
            majority([read_label(pair[side], LABELS, name, where) for pair in pairs])
            for side, name in enumerate(("the text's label", "the picture's label"))
        )
        votes[row] = Labels(text, image)
    if not votes:
        raise DataError(f"{path} holds no rows.")
    return votes


def _rows(folder: Path, kept: dict[str, str], votes: dict[str, Labels], encoding: str) -> Iterator[PublishedRow]:
    for row, label in kept.items():
        text, problem = None, None
        if row not in votes:
            problem = f"the published list names it, {LABEL_FILE} does not"
        else:
            text, problem = _read_text(folder / f"{row}.txt", encoding)
        sides = votes.get(row, Labels(None, None))
        values = {"id": row, "text": text, "label": label, "text_label": sides.text, "image_label": sides.image}
        yield PublishedRow(values, folder / f"{row}.jpg", problem)


def _read_text(path: Path, encoding: str) -> tuple[str | None, str | None]:
    """The words of a tweet, or why they cannot be read."""
    codec, errors = ENCODINGS[encoding]
    try:
        return path.read_bytes().decode(codec, errors).strip(), None
    except FileNotFoundError:
        return None, f"there is no file {path.name}"
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{path.name} is not {codec.upper()}: {error}"


def _list_files(split_files: list[Path]) -> list[Path]:
    """The files of the lists; of a folder those that are named after a part."""
    return [
        file
        for path in split_files
        for file in (
            [inside for inside in sorted(path.glob("*.json")) if split_of(inside)] if path.is_dir() else [path]
        )
    ]


def _read_lists(split_files: list[Path]) -> dict[str, dict[str, dict]]:
    """Entries `{"text", "label"}` by id by part.

    Raises:
        DataError: for a file that is no such list, or an id that stands in two places.
    """
    lists: dict[str, dict[str, dict]] = {}
    home: dict[str, Path] = {}
    for path in _list_files(split_files):
        part = split_of(path)
        if part is None:
            raise DataError(f"{path} must be named after its part: train.json, dev.json or test.json.")
        try:
            entries = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}.") from error
        if not isinstance(entries, list) or not entries:
            raise DataError(f"{path} must be a JSON list of posts.")
        for number, entry in enumerate(entries, start=1):
            where = f"{path}, entry {number}"
            if not isinstance(entry, dict) or "id" not in entry or "emotion_label" not in entry:
                raise DataError(f"{where}, must have id and emotion_label.")
            row, label = str(entry["id"]), entry["emotion_label"]
            if type(label) is not int or label not in range(len(LABELS)):
                raise DataError(f"{where}: emotion_label must be 0, 1 or 2, got {label!r}.")
            if row in home:
                raise DataError(f"{where}: the id {row} stands in {home[row]} already.")
            home[row] = path
            lists.setdefault(part, {})[row] = {"text": entry.get("text"), "label": LABELS[label]}
    if "train" not in lists:
        raise DataError(f"The published lists must hold a train.json, got {', '.join(map(str, split_files))}.")
    return lists


def _read_bare(pictures: Path, lists: dict[str, dict[str, dict]], split_files: list[Path]) -> PublishedData:
    columns = ("id", "text", "image", "label")
    return PublishedData(
        source=f"{SOURCE}, texts and labels from published lists",
        rule="text, label and part as in the published lists",
        split="published lists",
        labels=("label",),
        features=Features({name: Image() if name == "image" else Value("string") for name in columns}),
        parts={part: partial(_bare_rows, pictures, lists[part]) for part in PARTS if part in lists},
        files=_list_files(split_files),
    )


def _bare_rows(pictures: Path, entries: dict[str, dict]) -> Iterator[PublishedRow]:
    for row, entry in entries.items():
        problem = None if isinstance(entry["text"], str) else "the published list has no text of it"
        yield PublishedRow({"id": row, **entry}, pictures / f"{row}.jpg", problem)


__all__ = ["ENCODINGS", "majority", "merge", "read_mvsa"]
