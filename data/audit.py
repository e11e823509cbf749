"""What to know of a data set before training on it: doubles, leaks between parts, conflicting labels, bad rows."""

from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np

from duosent.data.clean_splits import check_clean_dir, write_clean
from duosent.data.doubles import Doubles
from duosent.data.label_columns import Labels, fixed_by, label_order
from duosent.data.pairs import spelt_alike
from duosent.data.reading import read_splits
from duosent.data.survey import Survey, survey_posts


def audit(source: str | Path, clean_dir: str | Path | None = None, **columns) -> dict:
    """Read a data set once and report what its user should know; a bad row is named and stops nothing.

    Two posts are doubles in their texts, in their pictures, or as whole posts (both sides alike, or one side alike
    where neither post has the other); exactly or nearly (`duosent.data.doubles`), and what is alike exactly is so
    nearly too. What is missing or cannot be read is like nothing.

    Args:
        source: what `load_pairs` takes.
        clean_dir: where `duosent.data.clean_splits.write_clean` writes the parts without leaks; None writes nothing.
        columns: keywords of `duosent.data.survey.survey_posts`: `text_column`, `label_columns`, `image_distance`, ...

    Returns: a dict for JSON. Posts are named by `{"split", "row", "id"}`, rows counted from 1.
        `splits`: part -> `posts`, `texts`, `pictures` (those that can be read), `bad_rows`, and how long the texts
            (`characters`, `words`) and how large the pictures (`width`, `height`, in pixels) are.
        `labels`: column -> `counts` (part -> label -> posts, a post of several labels counted for each), `unlabelled`
            (part -> posts) and `spelt_alike` (groups of labels that differ in case or white space alone).
        `determines`: `column`, `other`, `labels` (what each label of the column says of the other) of every column of
            labels that fixes another one, without exception.
        `doubles`: side ("text", "image", "post") -> level ("exact", "near") -> `posts` (part -> part -> posts of the
            one that have a double in the other) and `groups` (lists of posts that are alike or linked by such).
        `leaks`: part -> other part -> posts of the one whose text or picture, exactly or nearly, stands in the other.
        `conflicts`: side -> level -> column -> groups of doubles that do not all have the same label there.
        `texts`: posts without words where their part has a column of texts (`empty`), with `one_word`, or with links
            and names alone (`bare`).
        `bad_rows`: the posts that `load_pairs` would refuse, or whose picture breaks off, each with its `reason`.
        `plain_pictures`: posts whose picture is too plain for a perceptual hash.
        `clean`: what `write_clean` did; only with `clean_dir`.

    Raises:
        DataError: if the data cannot be read at all, a column is not there, or `clean_dir` cannot be used.
    """
    splits = read_splits(source)
    if clean_dir is not None:
        check_clean_dir(clean_dir, source, list(splits))
    survey = survey_posts(str(source), splits, **columns)
    found = report(survey)
    return found if clean_dir is None else found | {"clean": write_clean(survey, clean_dir)}


def report(survey: Survey) -> dict:
    """What `audit` returns, without `clean`."""
    bad = np.zeros(len(survey.ids), bool)
    bad[list(survey.bad)] = True
    groups = {
        side: {level: doubles.groups() for level, doubles in levels.items()} for side, levels in survey.doubles.items()
    }
    return {
        "data": survey.source,
        "columns": survey.columns,
        "splits": {split: _part(survey, survey.split == number, bad) for number, split in enumerate(survey.splits)},
        "labels": {column: _label_counts(survey, labels) for column, labels in survey.labels.items()},
        "determines": _determined(survey.labels),
        "doubles": {
            side: {
                level: {
                    "posts": _posts_with_doubles(survey, doubles),
                    "groups": [[survey.name(post) for post in group] for group in groups[side][level]],
                }
                for level, doubles in levels.items()
            }
            for side, levels in survey.doubles.items()
        },
        "leaks": _leaks(survey),
        "conflicts": {
            side: {
                level: {column: _conflicts(survey, found, labels) for column, labels in survey.labels.items()}
                for level, found in levels.items()
            }
            for side, levels in groups.items()
        },
        "texts": {
            "empty": _names(survey, (survey.characters <= 0) & _has_column(survey, "text")),
            "one_word": _names(survey, survey.words == 1),
            "bare": _names(survey, survey.bare),
        },
        "bad_rows": [survey.name(post) | {"reason": reason} for post, reason in survey.bad.items()],
        "plain_pictures": _names(survey, survey.plain),
    }


def _has_column(survey: Survey, side: str) -> np.ndarray:
    """`(N,)` bool, posts of a part that has such a column at all."""
    return np.array([side in survey.columns[split] for split in survey.splits])[survey.split]


def _names(survey: Survey, posts: np.ndarray) -> list[dict]:
    return [survey.name(post) for post in np.flatnonzero(posts)]


def _part(survey: Survey, posts: np.ndarray, bad: np.ndarray) -> dict:
    """The figures of one part; `posts` and `bad` are `(N,)` bool."""
    written, readable = posts & (survey.characters > 0), posts & (survey.width > 0)
    lengths = {"characters": survey.characters[written], "words": survey.words[written]}
    sizes = {"width": survey.width[readable], "height": survey.height[readable]}
    return {
        "posts": int(posts.sum()),
        "texts": int(written.sum()),
        "pictures": int(readable.sum()),
        "bad_rows": int((posts & bad).sum()),
        **{name: spread(values) for name, values in (lengths | sizes).items()},
    }


def spread(values: np.ndarray) -> dict | None:
    """`min`, `median`, `mean`, `p95` and `max` of `(N,)` values; None for no values."""
    if not len(values):
        return None
    low, median, high, largest = np.percentile(values, [0, 50, 95, 100])
    return {
        "min": int(low),
        "median": float(median),
        "mean": float(values.mean()),
        "p95": float(high),
        "max": int(largest),
    }


def _label_counts(survey: Survey, labels: list[Labels]) -> dict[str, dict]:
    """Every part has all labels, in one order."""
    parts, unlabelled = [Counter() for _ in survey.splits], [0] * len(survey.splits)
    for split, row in zip(survey.split.tolist(), labels, strict=True):
        unlabelled[split] += row is None
        parts[split].update(row or ())
    order = label_order({label for part in parts for label in part})
    return {
        "counts": {
            split: {label: part[label] for label in order} for split, part in zip(survey.splits, parts, strict=True)
        },
        "unlabelled": dict(zip(survey.splits, unlabelled, strict=True)),
        "spelt_alike": spelt_alike(order),
    }


def _determined(labels: dict[str, list[Labels]]) -> list[dict]:
    found = []
    for column, other in permutations(labels, 2):
        says = fixed_by(labels[column], labels[other])
        if says is not None:
            named = {", ".join(here): ", ".join(there) for here, there in sorted(says.items())}
            found.append({"column": column, "other": other, "labels": named})
    return found


def _posts_with_doubles(survey: Survey, doubles: Doubles) -> dict[str, dict[str, int]]:
    posts = {split: {} for split in survey.splits}
    for number, split in enumerate(survey.splits):
        alike = doubles.partner(survey.split == number) >= 0
        for other_number, other in enumerate(survey.splits):
            posts[other][split] = int((alike & (survey.split == other_number)).sum())
    return posts


def _leaks(survey: Survey) -> dict[str, dict[str, int]]:
    """Near doubles hold the exact ones, and those of one side hold those of whole posts."""
    leaks = {split: {} for split in survey.splits}
    sides = [survey.doubles[side]["near"] for side in ("text", "image")]
    for number, split in enumerate(survey.splits):
        alike = np.any([side.partner(survey.split == number) >= 0 for side in sides], axis=0)
        for other_number, other in enumerate(survey.splits):
            if other != split:
                leaks[other][split] = int((alike & (survey.split == other_number)).sum())
    return leaks


def _conflicts(survey: Survey, groups: list[np.ndarray], labels: list[Labels]) -> list[list[dict]]:
    conflicts = []
    for group in groups:
        labelled = [post for post in group if labels[post] is not None]
        if len({labels[post] for post in labelled}) > 1:
            conflicts.append([survey.name(post) | {"labels": list(labels[post])} for post in labelled])
    return conflicts


__all__ = ["audit", "report", "spread"]
