"""How an answer may be asked for beyond its best label, and what was fitted for that: label sets, no answer at all."""

from duosent.modeling.fitted_calibration import confidence_key, why_no_abstaining, why_no_sets
from duosent.modeling.label_scores import why_not_consistent

FUNCTIONS = ("sigmoid", "softmax", "none")
ANSWER_OPTIONS = ("top_k", "threshold", "consistent", "function_to_apply", "confidence", "abstain")
# Options that answer in a way of their own, and what may be given beside them.
OWN_WAYS = {"confidence": (), "abstain": ("top_k",)}


def check_answer_options(options: dict) -> None:
    """
    Raises:
        ValueError: for an option out of its range, and for two that do not go together.
    """
    top_k, threshold = options.get("top_k"), options.get("threshold")
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise ValueError(f"top_k must be a whole number >= 1, or None for all labels, got {top_k!r}.")
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
        raise ValueError(f"threshold must be a number or None, got {threshold!r}.")
    for name in ("consistent", "abstain"):
        if not isinstance(options.get(name, False), bool):
            raise ValueError(f"{name} must be True or False, got {options[name]!r}.")
    if options.get("function_to_apply") not in (None, *FUNCTIONS):
        known = ", ".join(FUNCTIONS)
        raise ValueError(f"function_to_apply must be None or one of {known}, got {options['function_to_apply']!r}.")
    given = [name for name in ANSWER_OPTIONS if options.get(name) not in (None, False)]
    for own_way in set(OWN_WAYS) & set(given):
        others = [name for name in given if name not in (own_way, *OWN_WAYS[own_way])]
        if others:
            raise ValueError(f"{own_way} must not be given with {others[0]}.")


def check_model_answers(config, options: dict) -> None:
    """
    Raises:
        ValueError: where a model cannot answer in a way that the options ask for.
    """
    reasons = [
        why_not_consistent(config) if options.get("consistent") else None,
        why_no_sets(config, options["confidence"]) if options.get("confidence") is not None else None,
        why_no_abstaining(config) if options.get("abstain") else None,
    ]
    for reason in reasons:
        if reason is not None:
            raise ValueError(reason)


def set_threshold(fit: dict, confidence: float) -> float:
    """From which score on a label is in the set of a confidence.

    Args:
        fit: of the task, see `task_fits`.
    """
    return fit["set_thresholds"][confidence_key(confidence)]


def is_withheld(scores: list[float], fit: dict) -> bool:
    """Whether the best score is too low for the accuracy that a model was calibrated for.

    Args:
        fit: of the task, see `task_fits`.
    """
    return max(scores) < fit["abstain"]["threshold"]


__all__ = ["ANSWER_OPTIONS", "check_answer_options", "check_model_answers", "is_withheld", "set_threshold"]
