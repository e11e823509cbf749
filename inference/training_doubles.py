"""Which posts of an evaluated part stand in the training part too, by their words or their picture."""

from dataclasses import dataclass

import numpy as np

from duosent.data.clean_splits import RESPECTS
from duosent.data.reading import DataError, read_splits
from duosent.data.survey import survey_posts
from duosent.training.checkpoints import CallError

SIDES = ("text_column", "image_column", "target_column", "id_column", "base_image_dir", "label_separator")


@dataclass(frozen=True)
class TrainingDoubles:
    """
    Args:
        part: the name of the training part.
        rows: how many posts it has.
        doubled: `(N,)` bool, which posts have a double there.
        found: of each of these its place, and of each respect in which it has a double ("the same text as", ...) `as`,
            `row` (from 1), `id` and `labels` (by column) of the training post.
    """

    part: str
    rows: int
    doubled: np.ndarray
    found: dict[int, list[dict]]


def find_training_doubles(data: str, split: str, training_split: str, columns: dict) -> TrainingDoubles | None:
    """Read every post of the two parts once, and its picture.

    Exactly alike is said before nearly; of several training posts that are alike the first one is named.

    Args:
        data: what `load_pairs` takes.
        split, training_split: two of its parts.
        columns: keywords of `load_pairs` that choose columns.

    Returns: None if one of the parts is not there, or both are one.

    Raises:
        CallError: if the data cannot be read.
    """
    try:
        splits = read_splits(data, [split, training_split])
        if len(splits) < 2:
            return None
        labels = columns.get("label_columns") or [columns.get("label_column") or "label"]
        sides = {name: columns[name] for name in SIDES if columns.get(name) is not None}
        survey = survey_posts(data, splits, label_columns=labels, **sides)
    except DataError as error:
        raise CallError(str(error)) from error
    names = list(splits)
    training = survey.split == names.index(training_split)
    here = np.flatnonzero(survey.split == names.index(split))
    partners = {
        respect: survey.doubles[respect[0]][respect[1]].partner(training)[here].tolist() for respect in RESPECTS
    }
    found: dict[int, list[dict]] = {}
    for place in range(len(here)):
        for (side, level), partner in partners.items():
            if partner[place] < 0 or (level == "near" and partners[side, "exact"][place] >= 0):
                continue
            post = survey.name(partner[place])
            given = {column: list(rows[partner[place]] or ()) for column, rows in survey.labels.items()}
            found.setdefault(place, []).append(
                {"as": RESPECTS[side, level], "row": post["row"], "id": post["id"], "labels": given}
            )
    doubled = np.zeros(len(here), bool)
    doubled[list(found)] = True
    return TrainingDoubles(training_split, int(training.sum()), doubled, found)


__all__ = ["TrainingDoubles", "find_training_doubles"]
