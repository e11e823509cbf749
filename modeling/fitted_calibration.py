"""What `duosent evaluate --calibrate` left in a config, read for each task: temperature, label sets, abstaining."""

import math

from torch import Tensor

# The one task of a model without tasks.
SINGLE_TASK = "label"


def task_widths(config) -> dict[str, int]:
    """How many labels each task has, in the order of the logits; without tasks the one task `label` has all."""
    if getattr(config, "tasks", None) is None:
        return {SINGLE_TASK: config.num_labels}
    return dict(zip(config.tasks, config.task_sizes(), strict=True))


def task_fits(config) -> list[dict]:
    """What was fitted for each task, in the order of the logits; empty for a task without it.

    A fit for another number of labels is not used: the head is another one.
    """
    stored = (getattr(config, "calibration", None) or {}).get("tasks", {})
    fits = {task: stored.get(task, {}) for task in task_widths(config)}
    return [fits[task] if fits[task].get("num_labels") == width else {} for task, width in task_widths(config).items()]


def calibrated_logits(logits: Tensor, config) -> Tensor:
    """Logits `(B, L)`, those of each task divided by its temperature; without calibration as they are.

    A temperature is positive: it moves no label past another, and none past one half.
    """
    fits = task_fits(config)
    if not any(fits):
        return logits
    temperatures = [
        fit.get("temperature", 1.0)
        for fit, width in zip(fits, task_widths(config).values(), strict=True)
        for _ in range(width)
    ]
    return logits.float() / logits.new_tensor(temperatures, dtype=logits.float().dtype)  # (B, L) / (L,)


def confidence_key(confidence: float) -> str:
    """How a config names a confidence: `0.90`."""
    return f"{confidence:.2f}"


def why_no_confidence(confidence) -> str | None:
    """The sentence on what is no confidence of label sets; None for what is one."""
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        return f"confidence must be a number from 0.5 to 0.99, got {confidence!r}."
    if not math.isclose(confidence, round(confidence, 2)) or not 0.5 <= confidence <= 0.99:
        return f"confidence must be from 0.5 to 0.99 in steps of 0.01, got {confidence!r}."
    return None


def why_no_sets(config, confidence) -> str | None:
    """The sentence on a model that cannot give label sets of a confidence; None for one that can."""
    reason = why_no_confidence(confidence)
    if reason is not None:
        return reason
    if config.problem_type == "multi_label_classification":
        return "confidence must go with a model of one label a post, got one of several."
    fits = task_fits(config)
    if not all("set_thresholds" in fit for fit in fits):
        return "confidence needs a calibrated checkpoint: duosent evaluate --calibrate makes one."
    if not all(confidence_key(confidence) in fit["set_thresholds"] for fit in fits):
        return f"confidence must not be {confidence!r}: the checkpoint was calibrated on too few posts for it."
    return None


def why_no_abstaining(config) -> str | None:
    """The sentence on a model that does not know when to give no answer; None for one that does."""
    if all("abstain" in fit for fit in task_fits(config)):
        return None
    return "abstain needs a checkpoint that knows when: duosent evaluate --calibrate --accuracy-target makes one."


__all__ = [
    "SINGLE_TASK",
    "calibrated_logits",
    "confidence_key",
    "task_fits",
    "task_widths",
    "why_no_abstaining",
    "why_no_confidence",
    "why_no_sets",
]
