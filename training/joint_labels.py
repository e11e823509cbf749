"""Several labels in one model: what occurs together, and answers that do not contradict one another."""

from collections.abc import Sequence

import numpy as np
import torch

from duosent.modeling.label_scores import best_labels, why_not_consistent
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
    reason = why_not_consistent(config)
    if reason is not None:
        raise CallError(reason)


def task_answers(logits: np.ndarray, config, consistent: bool = False) -> np.ndarray:
    """Logits `(N, L)` to class indices `(N, tasks)`, as `best_labels` with tensors."""
    return best_labels(torch.tensor(logits), config, consistent).numpy()


def contradicting(answers: np.ndarray, config) -> np.ndarray:
    """`(N,)` bool: whose answers `(N, tasks)` never occurred together in training."""
    known = set(map(tuple, config.label_combinations))
    return np.array([tuple(answer) not in known for answer in answers.tolist()])


__all__ = ["check_consistent", "contradicting", "label_combinations", "task_answers"]
