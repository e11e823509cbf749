"""How right the answers are: one packaged metric that needs no network, for one label a post or several."""

import datasets
import evaluate
import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)

from duosent.modeling.label_scores import label_names
from duosent.training.joint_labels import contradicting, task_answers

IGNORED = -100  # a label that is not known
CONFIGS = ("default", "multilabel")


class ImageTextMetrics(evaluate.Metric):
    """Accuracy, F1, per-class figures, confusion matrix and the majority floor.

    One label a post (`config_name="default"`): predictions and references are class indices, and `compute` gives
    `accuracy`, `macro_f1`, `weighted_f1`, `per_class`, `confusion` (row the true label, column the answer), `n` and
    `majority_accuracy`, the accuracy of always answering the commonest true label. As in scikit-learn, a class that is
    neither true nor answered anywhere takes no part in `macro_f1`.

    Several labels a post (`config_name="multilabel"`): both are rows of 0 and 1, one a label. `accuracy` is then the
    share of posts with every label right, `majority_accuracy` that of always answering the commonest set of labels,
    `micro_f1` is there too, and `confusion` holds `[[true negative, false positive], [false negative, true positive]]`
    under each label's name.

    A row with a reference of -100 takes no part. A ratio without a denominator is 0.

    Args:
        labels: names of the classes, in the order of their indices.
        config_name: "default" or "multilabel".
        keep_in_memory: as in evaluate; False for several evaluating processes.

    Raises:
        ValueError: for an unknown `config_name`, a class index without a name, or if no row has a label.

    Example:
        >>> metrics = ImageTextMetrics(["negative", "positive"])
        >>> metrics.compute(predictions=[0, 1, 1], references=[0, 1, 0])["accuracy"]
        0.6666666666666666
    """

    def __init__(
        self, labels: list[str], config_name: str | None = None, keep_in_memory: bool = True, **kwargs
    ) -> None:
        if config_name not in (None, *CONFIGS):
            raise ValueError(f'config_name must be "default" or "multilabel", got {config_name!r}.')
        self.labels = list(labels)
        super().__init__(config_name=config_name, keep_in_memory=keep_in_memory, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("int64")
        if self.config_name == "multilabel":
            value = datasets.List(value)
        return evaluate.MetricInfo(
            description="Accuracy, F1, per-class figures, confusion matrix and majority floor.",
            citation="",
            inputs_description="predictions, references: class indices, or rows of 0 and 1; -100 for no label.",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references) -> dict:
        predictions, references = np.asarray(predictions), np.asarray(references)
        known = references != IGNORED
        if references.ndim == 2:
            known = known.all(axis=1)
        if not known.any():
            raise ValueError(f"At least one row must have a label, got none in {len(references)}.")
        predictions, references = predictions[known], references[known]
        if references.ndim == 2:
            return self._several_labels(predictions, references)
        return self._one_label(predictions, references)

    def _one_label(self, predictions: np.ndarray, references: np.ndarray) -> dict:
        """predictions, references: `(N,)` class indices."""
        indices = np.arange(len(self.labels))
        unnamed = np.setdiff1d(np.concatenate([predictions, references]), indices)
        if len(unnamed):
            raise ValueError(f"A class index must be below {len(indices)}, the number of labels, got {unnamed[0]}.")
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "macro_f1": float(f1_score(references, predictions, average="macro", zero_division=0)),
            "weighted_f1": float(f1_score(references, predictions, average="weighted", zero_division=0)),
            "per_class": self._per_class(predictions, references, indices),
            "confusion": confusion_matrix(references, predictions, labels=indices).tolist(),
            "n": len(references),
            "majority_accuracy": float(np.bincount(references).max() / len(references)),
        }

    def _several_labels(self, predictions: np.ndarray, references: np.ndarray) -> dict:
        """predictions, references: `(N, L)` of 0 and 1."""
        _, sizes = np.unique(references, axis=0, return_counts=True)
        tables = multilabel_confusion_matrix(references, predictions)  # (L, 2, 2)
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "macro_f1": float(f1_score(references, predictions, average="macro", zero_division=0)),
            "micro_f1": float(f1_score(references, predictions, average="micro", zero_division=0)),
            "weighted_f1": float(f1_score(references, predictions, average="weighted", zero_division=0)),
            "per_class": self._per_class(predictions, references, np.arange(len(self.labels))),
            "confusion": dict(zip(self.labels, tables.tolist(), strict=True)),
            "n": len(references),
            "majority_accuracy": float(sizes.max() / len(references)),
        }

    def _per_class(self, predictions: np.ndarray, references: np.ndarray, indices: np.ndarray) -> dict[str, dict]:
        columns = precision_recall_fscore_support(references, predictions, labels=indices, zero_division=0)
        return {
            label: {"precision": float(p), "recall": float(r), "f1": float(f1), "support": int(support)}
            for label, p, r, f1, support in zip(self.labels, *columns, strict=True)
        }


def answers(logits: np.ndarray, config) -> np.ndarray:
    """Logits `(N, L)` to class indices `(N,)`, or to rows `(N, L)` of 0 and 1 where a post may have several labels."""
    if config.problem_type == "multi_label_classification":
        return (logits > 0).astype(np.int64)
    return logits.argmax(axis=-1)


def score_answers(logits: np.ndarray, references: np.ndarray, config, consistent: bool = False) -> dict:
    """All figures of `ImageTextMetrics` for a model's logits; with tasks see `score_tasks`.

    Args:
        logits: `(N, L)`.
        references: `(N,)` class indices, or `(N, L)` of 0 and 1, or with tasks `(N, tasks)`; -100 for no label.
        config: the model's, for the names of the labels, `problem_type` and `tasks`.
        consistent: with tasks, see `task_answers`.
    """
    if getattr(config, "tasks", None) is not None:
        return score_tasks(task_answers(logits, config, consistent), references, config)
    several = config.problem_type == "multi_label_classification"
    labels = label_names(config)
    metrics = ImageTextMetrics(labels, "multilabel" if several else None)
    return metrics.compute(predictions=answers(logits, config), references=references.astype(np.int64))


def score_tasks(given: np.ndarray, references: np.ndarray, config) -> dict:
    """Figures of each task and of them together.

    Args:
        given, references: `(N, tasks)` class indices, of the latter -100 for no label.
        config: the model's.

    Returns: `tasks`, by name the figures of `ImageTextMetrics` over the posts that have a label of that task (a task
        of which no post has one is left out); `accuracy`, `macro_f1`, `weighted_f1` and `majority_accuracy`, each the
        mean of the tasks'; `n`, posts with a label; `joint_accuracy`, among those with all labels the share with every
        answer right, if there are any; `contradictions`, among `n` the share of answers that never occurred together
        in training, if the config knows.

    Raises:
        ValueError: if no post has a label.
    """
    known = references != IGNORED  # (N, tasks)
    tasks = {}
    for place, (task, labels) in enumerate(config.tasks.items()):
        if known[:, place].any():
            of_task = ImageTextMetrics(labels).compute(
                predictions=given[:, place], references=references[:, place].astype(np.int64)
            )
            tasks[task] = of_task | {"labels": labels}
    if not tasks:
        raise ValueError(f"At least one row must have a label, got none in {len(references)}.")
    means = ("accuracy", "macro_f1", "weighted_f1", "majority_accuracy")
    figures = {name: float(np.mean([of_task[name] for of_task in tasks.values()])) for name in means}
    labelled, whole = known.any(axis=1), known.all(axis=1)
    figures["n"] = int(labelled.sum())
    if whole.any():
        figures["joint_accuracy"] = float((given == references)[whole].all(axis=1).mean())
    if config.label_combinations is not None:
        figures["contradictions"] = float(contradicting(given[labelled], config).mean())
    return figures | {"tasks": tasks}


def compute_metrics_for(config):
    """The `compute_metrics` of a Trainer: the plain numbers of `score_answers` for a model with this config, those of
    a task with its name in front, `mood:macro_f1`."""

    def compute_metrics(prediction) -> dict[str, float]:
        figures = score_answers(prediction.predictions, prediction.label_ids, config)
        for task, of_task in figures.get("tasks", {}).items():
            figures |= {f"{task}:{name}": value for name, value in of_task.items()}
        return {name: value for name, value in figures.items() if isinstance(value, int | float)}

    return compute_metrics


__all__ = ["ImageTextMetrics", "answers", "compute_metrics_for", "score_answers", "score_tasks"]
