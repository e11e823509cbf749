"""Logits -> scores of the labels, and the answer of each task, alone or so that the answers go together."""

import torch
from torch import Tensor

from duosent.modeling.fitted_calibration import calibrated_logits


def label_names(config) -> list[str]:
    """The names of a model's labels in the order of its logits."""
    return [config.id2label[index] for index in range(config.num_labels)]


def label_scores(logits: Tensor, config) -> Tensor:
    """Logits `(B, L)` to probabilities `(B, L)`.

    Of a model with several labels a post each label is its own probability. Otherwise a post's sum to 1: over all
    labels, or with tasks over those of each task. Of a calibrated model the logits are first divided by its
    temperature.
    """
    several = config.problem_type == "multi_label_classification"
    logits = calibrated_logits(logits, config)
    return logits.sigmoid() if several else softmax_by_task(logits, config)


def softmax_by_task(logits: Tensor, config) -> Tensor:
    """`(B, L)`, over all labels, or with tasks over those of each task."""
    spans = logits.split(config.task_sizes() or config.num_labels, dim=-1)
    return torch.cat([span.softmax(dim=-1) for span in spans], dim=-1)


def best_labels(logits: Tensor, config, consistent: bool = False) -> Tensor:
    """Logits `(B, L)` to class indices `(B, tasks)`.

    Args:
        config: the model's, with `tasks`.
        consistent: of the combinations of labels that occurred in training, take the most probable one under the
            product of the tasks' probabilities (of equal ones the first); else each task's own best.
    """
    spans = [span.log_softmax(dim=-1) for span in logits.double().split(config.task_sizes(), dim=-1)]
    if not consistent:
        return torch.stack([span.argmax(dim=-1) for span in spans], dim=-1)
    combinations = torch.tensor(config.label_combinations, device=logits.device)  # (C, tasks)
    joint = sum(span[:, combinations[:, task]] for task, span in enumerate(spans))  # (B, C)
    return combinations[joint.argmax(dim=-1)]


def why_not_consistent(config) -> str | None:
    """The sentence on a model that cannot be asked for answers that go together; None for one that can."""
    if config.tasks is None:
        return "consistent must go with a model of several labels, got one that gives a single one."
    if config.label_combinations is None:
        return "consistent needs a model that knows what occurs together: its training had no post with all labels."
    return None


__all__ = ["best_labels", "label_names", "label_scores", "softmax_by_task", "why_not_consistent"]
