"""The posts of a part beside what a model answered to them, and the ways to part them into slices."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from datasets import Dataset

from duosent.inference.answered_posts import AnsweredPosts
from duosent.inference.error_slices import (
    UNKNOWN,
    Slicing,
    by_doubles,
    by_length,
    by_side_answers,
    by_side_labels,
    length_edges,
    word_counts,
)
from duosent.inference.training_doubles import TrainingDoubles


@dataclass(frozen=True)
class EvaluatedPart:
    """
    Args:
        rows: the N posts, as `load_pairs` gives them.
        ids: theirs.
        answered: the answers, by task.
        sides: the answers to `text` (words only), `image` (picture only) and `shuffled_images`, by task; None where
            these were not asked for. Posts without one of their sides have no label there.
        doubles: which posts stand in the training part too; None where that was not asked for.
    """

    rows: Dataset
    ids: list[str]
    answered: dict[str, AnsweredPosts]
    sides: dict[str, dict[str, AnsweredPosts]] | None
    doubles: TrainingDoubles | None = None

    @cached_property
    def words(self) -> Dataset:
        """The rows without their pictures."""
        return self.rows.remove_columns([name for name in ("image",) if name in self.rows.column_names])

    def slicings(self, task: str, like: dict | None = None) -> dict[str, Slicing]:
        """The ways to part the posts that have a label of a task.

        Args:
            like: slices of another evaluation: texts are cut at its lengths.

        Returns: `length`, and where it can be known `agreement` (of words and picture) and `doubles`.
        """
        posts = self.answered[task].places
        texts = self.rows["text"][:] if "text" in self.rows.column_names else [None] * len(self.rows)
        words = word_counts(texts)[posts]
        edges = like["length"].get("edges", []) if like and "length" in like else length_edges(words)
        found = {"length": by_length(words, edges)}
        agreement = self._agreement(task)
        if agreement is not None:
            found["agreement"] = agreement
        if self.doubles is not None:
            found["doubles"] = by_doubles(self.doubles.doubled, self.doubles.part).of(posts)
        return found

    def _agreement(self, task: str) -> Slicing | None:
        """By the labels of the data where any post has one of each side, else by the model's own answers to each."""
        posts = self.answered[task].places
        if {"label", "text_label", "image_label"} <= set(self.rows.column_names):
            labels = (self.rows[name][:] for name in ("label", "text_label", "image_label"))
            by_labels = by_side_labels(*([column[post] for post in posts] for column in labels))
            if self.sides is None or any(by_labels.names[place] != UNKNOWN for place in by_labels.place):
                return by_labels
        if self.sides is None:
            return None
        both = np.isin(posts, self.sides["text"][task].places)
        answers = []
        for side in ("text", "image"):
            given = np.zeros((len(posts), len(self.answered[task].labels)), bool)
            given[both] = self.sides[side][task].answered
            answers.append(given)
        return by_side_answers(*answers, both)


__all__ = ["EvaluatedPart"]
