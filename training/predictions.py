"""The answers to an evaluated part, post by post: what runs are compared by."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.special import expit, softmax

from duosent.training.metrics import IGNORED, answers


def predictions_file(folder: str | Path, part: str) -> Path:
    """Where a run leaves its answers to a part: `predictions_<part>.parquet`."""
    return Path(folder) / f"predictions_{part}.parquet"


def predictions_table(ids: list[str], logits: np.ndarray, references: np.ndarray, config) -> pa.Table:
    """The columns of `duosent predict` and the true label: `id`, `true_label`, `label`, `score_<label>` of each label.

    Args:
        ids: of the posts, in the order of the other arguments.
        logits: `(N, L)`.
        references: `(N,)` class indices, or `(N, L)` of 0 and 1; -100 for no label, which becomes null.
        config: the model's, for the names of the labels and `problem_type`.

    Returns: N rows. `true_label` and `label` are words, or lists of words where a post may have several labels.
    """
    names = [config.id2label[index] for index in range(config.num_labels)]
    several = config.problem_type == "multi_label_classification"
    logits = np.asarray(logits, np.float32)
    scores = expit(logits) if several else softmax(logits, axis=-1)
    word = pa.list_(pa.string()) if several else pa.string()
    columns = {
        "id": pa.array(ids, pa.string()),
        "true_label": pa.array([_words(row, names) for row in np.asarray(references)], word),
        "label": pa.array([_words(row, names) for row in answers(logits, config)], word),
    }
    return pa.table(columns | {f"score_{name}": scores[:, index] for index, name in enumerate(names)})


def _words(row: np.ndarray, names: list[str]) -> str | list[str] | None:
    """A class index, or a row of 0 and 1, in words."""
    if (row == IGNORED).any():
        return None
    return names[int(row)] if row.ndim == 0 else [names[index] for index in np.flatnonzero(row)]


__all__ = ["predictions_file", "predictions_table"]
