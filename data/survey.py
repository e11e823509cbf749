"""One pass over every post of a data set: what is in it, what is wrong with it, and what it shares with others."""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, DatasetDict
from tqdm import tqdm

from duosent.data.doubles import DISTANCE, Doubles, both, check_distance, near_pairs, picture_keys, text_keys
from duosent.data.label_columns import Labels, find_label_columns, known_labels, read_labels
from duosent.data.pairs import ROWS_BEFORE_A_BAR, choose_columns, no_column, resolve_path, undecoded
from duosent.data.reading import FOLDER, DataError
from duosent.processing.pictures import open_picture
from duosent.processing.text_cleaning import clean_text

NEITHER = "a post must have a text or a picture, got neither"


@dataclass
class Survey:
    """What is known of all posts, one after another through the parts; `N` posts in all.

    Args:
        source: the name of the data.
        splits: their raw rows.
        columns: part -> what its columns are: `{"text": column, "image": column, ...}`.
        base_image_dir: what picture paths start from, in place of the folder of their file.
        split: `(N,)`, which part a post is in, its place in `splits`.
        row: `(N,)`, which row of its part, from 1.
        ids: N ids.
        characters, words: `(N,)`, the length of the text; 0 for a blank one, -1 where there is none.
        bare: `(N,)` bool, a text of which cleaning leaves nothing: links and names alone.
        width, height: `(N,)`, pixels; -1 for a picture that is not there or cannot be read.
        plain: `(N,)` bool, a picture without a perceptual hash that can be relied on.
        labels: column -> the labels of N posts.
        bad: place -> why `load_pairs` would refuse the post, or how its picture breaks off.
        doubles: side ("text", "image", "post") -> level ("exact", "near") -> the posts that are alike; what is alike
            exactly is so nearly.
    """

    source: str
    splits: DatasetDict
    columns: dict[str, dict[str, str]]
    base_image_dir: str | None
    split: np.ndarray
    row: np.ndarray
    ids: list[str]
    characters: np.ndarray
    words: np.ndarray
    bare: np.ndarray
    width: np.ndarray
    height: np.ndarray
    plain: np.ndarray
    labels: dict[str, list[Labels]]
    bad: dict[int, str]
    doubles: dict[str, dict[str, Doubles]]

    def name(self, post: int) -> dict:
        """Where a post stands, for a report."""
        return {"split": list(self.splits)[self.split[post]], "row": int(self.row[post]), "id": self.ids[post]}


def survey_posts(
    source: str,
    splits: DatasetDict,
    text_column: str = "text",
    image_column: str = "image",
    label_columns: list[str] | None = None,
    text_label_column: str | None = None,
    image_label_column: str | None = None,
    target_column: str | None = None,
    id_column: str | None = None,
    label_separator: str | None = None,
    base_image_dir: str | None = None,
    image_distance: int = DISTANCE,
) -> Survey:
    """Read every post once, decoding one picture at a time; a row that cannot be read is noted and stops nothing.

    Args:
        source: the name of the data, for messages.
        splits: what `read_splits` gives.
        label_columns: None for those that `find_label_columns` finds. The label of the text and that of the picture
            are read beside those that are named.
        image_distance: how many of the 64 bits of their hashes may differ in pictures that are nearly the same.
        others: as in `load_pairs`.

    Raises:
        DataError: for a column that is not there, or that cannot hold pictures.
        ValueError: for an `image_distance` that is not from 0 to 16.
    """
    check_distance(image_distance)
    sides = {"text": text_column, "image": image_column, "target": target_column, "id": id_column}
    columns = {split: choose_columns(rows.column_names, sides, source) for split, rows in splits.items()}
    views = [text_label_column, image_label_column]
    labels, bad_labels = _survey_labels(source, splits, columns, label_columns, views, label_separator)

    posts = _Posts()
    total = sum(len(rows) for rows in splits.values())
    with tqdm(total=total, desc="audit", unit="post", disable=total < ROWS_BEFORE_A_BAR, leave=False) as bar:
        for number, (split, rows) in enumerate(splits.items()):
            for row, post in enumerate(_sides(rows, columns[split], base_image_dir), start=1):
                posts.add(number, row, post.pop("id", f"{split}-{row}"), **post)
                bar.update()
    return Survey(
        source=source,
        splits=splits,
        columns=columns,
        base_image_dir=base_image_dir,
        labels=labels,
        bad=dict(sorted((bad_labels | posts.bad).items())),
        **posts.arrays(image_distance),
    )


def _sides(rows: Dataset, columns: dict[str, str], base_image_dir: str | None) -> Iterator[dict]:
    """The sides of each post as they stand there; a picture's path starts from its folder."""
    rows = rows.select_columns([*dict.fromkeys(columns.values()), FOLDER])
    if "image" in columns:
        rows = undecoded(rows, columns["image"])
    for row in rows:  # a few at a time are read from the disk
        post = {name: row[column] for name, column in columns.items()}
        for name in ("id", "text", "target"):
            if name in post and (post[name] is not None or name == "id"):
                post[name] = str(post[name])
        post["image"] = whole_path(post.get("image"), base_image_dir or row[FOLDER])
        yield post


def whole_path(picture: dict | None, folder: str) -> dict | None:
    """A cell of the picture column with its path from a folder; None for an empty one."""
    if picture is None or (picture["bytes"] is None and picture["path"] is None):
        return None
    if picture["bytes"] is None and picture["path"]:
        return {"bytes": None, "path": resolve_path(picture["path"], folder)}
    return picture


def _survey_labels(
    source, splits, columns, wanted, views, separator
) -> tuple[dict[str, list[Labels]], dict[int, str]]:
    """The labels of all posts by column, and the posts whose labels `load_pairs` would not know."""
    everywhere = dict.fromkeys(column for rows in splits.values() for column in rows.column_names)
    for column in [*(wanted or []), *views]:
        if column is not None and column not in everywhere:
            raise DataError(no_column(source, column, "label", list(everywhere)))
    main = wanted or [column for column in ("label",) if column in everywhere]
    views = [view or name for view, name in zip(views, ("text_label", "image_label"), strict=True)]
    views = [view for view in views if view in everywhere]
    taken = {column for part in columns.values() for column in part.values()}
    found = find_label_columns(splits, taken, separator) if not wanted else []
    labels = {
        column: {split: read_labels(rows, column, separator) for split, rows in splits.items()}
        for column in dict.fromkeys([*main, *views, *found])
    }

    first = "train" if "train" in splits else next(iter(splits))
    starts = dict(zip(splits, np.cumsum([0, *map(len, splits.values())]).tolist(), strict=False))
    bad = {}
    for column in [*main, *(views if main else [])]:
        namer = column if column in main else main[0]
        known = known_labels(splits[first], namer, labels[namer][first])
        for split, rows in labels[column].items():
            for place, row in enumerate(rows if known else [], start=starts[split]):
                for label in set(row or ()) - set(known):
                    bad[place] = f"{column} {label!r} is not one of the labels {', '.join(known)}"
    return {column: [row for part in parts.values() for row in part] for column, parts in labels.items()}, bad


class _Posts:
    """What `survey_posts` gathers: a few numbers a post, and a number for each text and picture that it has met."""

    def __init__(self):
        self.bad: dict[int, str] = {}
        self.ids: list[str] = []
        self.figures = array("q")
        self.numbers: dict[str, dict] = {name: {} for name in ("text", "near_text", "image", "near_image")}

    def add(self, split: int, row: int, id: str, text: str | None = None, image=None, target: str | None = None):
        keys = text_keys(text, target)
        width, height, plain = -1, -1, False
        image_node = near_image_node = -1
        if image is not None:
            try:
                picture = open_picture(image)
            except ValueError as error:
                self.bad[len(self.ids)] = f"the picture cannot be read: {str(error).rstrip('.')}"
                pixels, bits = f"unreadable {len(self.ids)}", None  # like no other
            else:
                (width, height), (pixels, bits) = picture.size, picture_keys(picture)
                plain = bits is None
            image_node = self._number("image", pixels)
            near_image_node = self._number("near_image", pixels if bits is None else bits)
        elif keys is None:
            self.bad[len(self.ids)] = NEITHER
        text_nodes = (-1, -1)
        if keys is not None:
            digests = [hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest() for key in keys]
            text_nodes = (self._number("text", digests[0]), self._number("near_text", digests[1]))
        characters, words = (-1, -1) if text is None else (len(text.strip()), len(text.split()))
        self.ids.append(id)
        bare = keys is not None and not clean_text(text)
        figures = (split, row, characters, words, bare, width, height, plain)
        self.figures.extend((*figures, *text_nodes, image_node, near_image_node))

    def _number(self, name: str, key) -> int:
        return self.numbers[name].setdefault(key, len(self.numbers[name]))

    def arrays(self, image_distance: int) -> dict:
        """The fields of `Survey` that are arrays, and those that rest on them."""
        names = ("split", "row", "characters", "words", "bare", "width", "height", "plain", *self.numbers)
        figures = dict(zip(names, np.array(self.figures).reshape(-1, len(names)).T, strict=True))
        text, near_text, image, near_image = (figures.pop(name) for name in self.numbers)
        flags = {name: figures[name].astype(bool) for name in ("bare", "plain")}

        hashes = {key: number for key, number in self.numbers["near_image"].items() if isinstance(key, int)}
        pairs = near_pairs(np.array(list(hashes), np.uint64), image_distance)
        edges = np.array(list(hashes.values()), np.int64)[pairs]
        levels = {
            "exact": {"text": Doubles(text), "image": Doubles(image)},
            "near": {"text": Doubles(near_text), "image": Doubles(near_image, edges)},
        }
        for level in levels.values():
            level["post"] = both(level["text"], level["image"])
        doubles = {side: {level: levels[level][side] for level in levels} for side in ("text", "image", "post")}
        return figures | flags | {"ids": self.ids, "doubles": doubles}


__all__ = ["Survey", "survey_posts", "whole_path"]
