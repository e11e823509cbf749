"""Several labels in one model: each task's answer, alone or so that together they do not contradict one another."""

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from duosent.modeling.losses import IGNORED_LABEL
from duosent.training.checkpoints import CallError


def label_combinations(columns: Sequence[Sequence[int | None]]) -> list[list[int]] | None:
    """What occurs together: the distinct rows in which every task has a label, sorted; None where there is none.

    Args:
        columns: one a task, class indices of the posts; None or -100 for none.
    """
    rows = set(zip(*columns, strict=True))
    whole = sorted(row for row in rows if None not in row and IGNORED_LABEL not in row)
    return [list(row) for row in whole] or None


def check_consistent(config) -> None:
    """
    Raises:
        CallError: for the config of a model that cannot be asked for answers that go together.
    """
    if config.tasks is None:
        raise CallError("consistent must go with a model of several labels, got one that gives a single one.")
    if config.label_combinations is None:
        raise CallError(
            "consistent needs a model that knows what occurs together: its training had no post with all labels."
        )


def task_answers(logits: np.ndarray, config, consistent: bool = False) -> np.ndarray:
    """Logits `(N, L)` to class indices `(N, tasks)`.

    Args:
        config: the model's, with `tasks`.
        consistent: of the combinations of labels that occurred in training, take the most probable one under the
            product of the tasks' probabilities (of equal ones the first); else each task's own best.
    """
    ends = np.cumsum(config.task_sizes())[:-1]
    spans = [log_softmax(span.astype(np.float64), axis=-1) for span in np.split(logits, ends, axis=-1)]
    if not consistent:
        return np.stack([span.argmax(axis=-1) for span in spans], axis=-1)
    combinations = np.array(config.label_combinations)  # (C, tasks)
    joint = sum(span[:, combinations[:, task]] for task, span in enumerate(spans))  # (N, C)
    return combinations[joint.argmax(axis=-1)]


def contradicting(answers: np.ndarray, config) -> np.ndarray:
    """`(N,)` bool: whose answers `(N, tasks)` never occurred together in training."""
    known = set(map(tuple, config.label_combinations))
    return np.array([tuple(answer) not in known for answer in answers.tolist()])


__all__ = ["check_consistent", "contradicting", "label_combinations", "task_answers"]
