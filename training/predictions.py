"""The answers to an evaluated part, post by post: what runs are compared by."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from duosent.modeling.label_scores import label_names, label_scores
from duosent.training.joint_labels import task_answers
from duosent.training.metrics import IGNORED, answers


def predictions_file(folder: str | Path, part: str) -> Path:
    """Where a run leaves its answers to a part: `predictions_<part>.parquet`."""
    return Path(folder) / f"predictions_{part}.parquet"


def predictions_table(
    ids: list[str], logits: np.ndarray, references: np.ndarray, config, consistent: bool = False
) -> pa.Table:
    """The columns of `duosent predict` and the true label: `id`, `true_label`, `label`, `score_<label>` of each label.

    Args:
        ids: of the posts, in the order of the other arguments.
        logits: `(N, L)`.
        references: `(N,)` class indices, or `(N, L)` of 0 and 1, or with tasks `(N, tasks)`; -100 for no label, which
            becomes null.
        config: the model's, for the names of the labels, `problem_type` and `tasks`.
        consistent: with tasks, see `task_answers`.

    Returns: N rows. `true_label` and `label` are words, or lists of words where a post may have several labels. With
        tasks there are `true_label_<task>` and `label_<task>` of each, and `score_<task>:<label>`.
    """
    logits, references = np.asarray(logits, np.float32), np.asarray(references)
    if config.tasks is not None:
        labels = _of_tasks(logits, references, config, consistent)
    else:
        labels = _of_one(logits, references, config)
    names, scores = label_names(config), label_scores(torch.tensor(logits), config).numpy()
    columns = {"id": pa.array(ids, pa.string())} | labels
    return pa.table(columns | {f"score_{name}": scores[:, index] for index, name in enumerate(names)})


def _of_one(logits: np.ndarray, references: np.ndarray, config) -> dict[str, pa.Array]:
    """Columns of labels."""
    names = label_names(config)
    several = config.problem_type == "multi_label_classification"
    word = pa.list_(pa.string()) if several else pa.string()
    return {
        "true_label": pa.array([_words(row, names) for row in references], word),
        "label": pa.array([_words(row, names) for row in answers(logits, config)], word),
    }


def _of_tasks(logits: np.ndarray, references: np.ndarray, config, consistent: bool) -> dict[str, pa.Array]:
    """Columns of labels."""
    given, labels = task_answers(logits, config, consistent), {}
    for place, (task, names) in enumerate(config.tasks.items()):
        for column, indices in ((f"true_label_{task}", references[:, place]), (f"label_{task}", given[:, place])):
            labels[column] = pa.array([_words(index, names) for index in indices], pa.string())
    return labels


def _words(row: np.ndarray, names: list[str]) -> str | list[str] | None:
    """A class index, or a row of 0 and 1, in words."""
    if (row == IGNORED).any():
        return None
    return names[int(row)] if row.ndim == 0 else [names[index] for index in np.flatnonzero(row)]


__all__ = ["predictions_file", "predictions_table"]
