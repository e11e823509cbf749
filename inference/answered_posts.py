"""Posts with their true labels, a model's answers and its scores, task by task: what an evaluation is looked into by.

Shape letters: `N` posts of a part, `n` those of them that have a label of the task, `L` labels.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

# What a task is called where there is only one.
ONLY_TASK = "label"


@dataclass(frozen=True)
class AnsweredPosts:
    """
    Args:
        labels: names.
        several: whether a post may have several labels, or none.
        places: `(n,)`, which posts of the part these are.
        truth, answered: `(n, L)` bool.
        scores: `(n, L)` probabilities.
    """

    labels: list[str]
    several: bool
    places: np.ndarray
    truth: np.ndarray
    answered: np.ndarray
    scores: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """`(n,)` bool; of several labels a post every one must be right."""
        return (self.truth == self.answered).all(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """`(n,)`, the probability that a post's whole answer is right by the scores; of several labels a post that of
        labels that know nothing of one another."""
        if self.several:
            return np.where(self.answered, self.scores, 1 - self.scores).prod(axis=1)
        return (self.scores * self.answered).sum(axis=1)

    def words(self, flags: np.ndarray) -> str:
        """The labels of one post, `(L,)` bool, for people."""
        return ", ".join(label for label, flag in zip(self.labels, flags, strict=True) if flag) or "none"


def read_answered(table: pa.Table, figures: dict) -> dict[str, AnsweredPosts]:
    """The answers of each task, by its name (`label` where there is only one).

    Args:
        table: of `predictions_table`.
        figures: the `metrics.json` of the same answers; a task without posts is in neither.
    """
    if "tasks" not in figures:
        return {ONLY_TASK: _read(table, figures["labels"], "", "score_")}
    return {
        task: _read(table, of_task["labels"], f"_{task}", f"score_{task}:")
        for task, of_task in figures["tasks"].items()
    }


def _read(table: pa.Table, labels: list[str], ending: str, score: str) -> AnsweredPosts:
    true, given = (table.column(f"{name}{ending}").to_pylist() for name in ("true_label", "label"))
    several = pa.types.is_list(table.schema.field(f"label{ending}").type)
    places = np.array([place for place, label in enumerate(true) if label is not None], np.int64)
    scores = np.stack([table.column(f"{score}{label}").to_numpy() for label in labels], axis=1)
    return AnsweredPosts(
        labels, several, places, _flags(true, places, labels), _flags(given, places, labels), scores[places]
    )


def _flags(cells: list, places: np.ndarray, labels: list[str]) -> np.ndarray:
    """`(n, L)` bool of cells that hold a label or a list of them."""
    chosen = [[cells[place]] if isinstance(cells[place], str) else cells[place] for place in places]
    return np.array([[label in cell for label in labels] for cell in chosen], bool).reshape(-1, len(labels))


__all__ = ["ONLY_TASK", "AnsweredPosts", "read_answered"]
