"""The temperature of scores, and the thresholds of label sets and of abstaining: what is fitted on validation."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, softmax

# Confidences that label sets are fitted for, in percent.
CONFIDENCES = range(50, 100)
# 1 / temperature is looked for below this.
SHARPEST = 2.0**30


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood of `logits / temperature` (Guo et al., ICML 2017).

    The likelihood is convex in `1 / temperature`; its slope has one zero, which is found to the precision of numbers.

    Args:
        logits: `(N, L)`.
        labels: `(N,)` class indices; or `(N, L)` of 0 and 1, where a post may have several, with one temperature for
            the logits of all labels in front of the sigmoid.

    Returns: > 0; above 1 the scores were too sure, below 1 not sure enough.

    Raises:
        ValueError: where there is no best temperature: no posts, labels all alike, answers all right (colder is always
            better), or logits that say nothing of the labels (hotter is always better).
    """
    if not len(labels):
        raise ValueError("a temperature needs posts with a label, got none")
    if len(np.unique(labels)) < 2:
        raise ValueError("a temperature needs posts of different labels, got one label only")
    logits = np.asarray(logits, np.float64)
    slope = _slope_of_several if labels.ndim == 2 else _slope_of_one
    if slope(0.0, logits, labels) >= 0:
        raise ValueError("the logits say nothing of the labels, and no temperature mends that")
    sharp = 1.0
    while slope(sharp, logits, labels) <= 0:
        sharp *= 2
        if sharp > SHARPEST:
            raise ValueError("every answer is right, so that no temperature is low enough")
    return float(1 / brentq(slope, 0.0, sharp, args=(logits, labels), xtol=1e-15, rtol=1e-14))


def _slope_of_one(sharpness: float, logits: np.ndarray, labels: np.ndarray) -> float:
    """How fast the mean negative log-likelihood of `softmax(sharpness * logits)` grows with the sharpness."""
    own = logits[np.arange(len(labels)), labels]  # (N,)
    gaps = logits - own[:, None]  # (N, L)
    return float(np.mean(np.sum(softmax(sharpness * gaps, axis=-1) * gaps, axis=-1)))


def _slope_of_several(sharpness: float, logits: np.ndarray, labels: np.ndarray) -> float:
    """The same of `sigmoid(sharpness * logits)`."""
    away = np.where(labels == 1, -logits, logits)  # > 0 where the answer is wrong
    return float(np.mean(away * expit(sharpness * away)))


def set_thresholds(scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """The lowest score with which a label is in a post's set, by confidence in percent: split conformal prediction.

    With LAC scores `1 - score of the true label` (Sadinle, Lei and Wasserman, JASA 2019; Vovk et al., 2005) the set of
    a new post holds its true label with at least the confidence c, over draws of these posts and the new one: the
    threshold is the `ceil((n + 1) c)`-th highest score of a true label. Where there are too few posts for that, the
    confidence is left out. A set may hold several labels, or none.

    Args:
        scores: `(N, L)`, softmax.
        labels: `(N,)` class indices.
    """
    own = -np.sort(-scores[np.arange(len(labels)), labels])  # (N,), highest first
    ranks = {percent: -(-(len(own) + 1) * percent // 100) for percent in CONFIDENCES}  # ceil, in whole numbers
    return {percent: float(own[rank - 1]) for percent, rank in ranks.items() if rank <= len(own)}


def abstain_threshold(confidence: np.ndarray, right: np.ndarray, accuracy_target: float) -> float | None:
    """The smallest score from which on the answers are right as often as wanted; None if there is none.

    Args:
        confidence: `(N,)`, the scores of the answers.
        right: `(N,)` bool.
        accuracy_target: in (0, 1].

    Returns: 0 where all answers together reach the target.
    """
    order = np.argsort(-confidence, kind="stable")
    falling, accuracy = confidence[order], np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # Equal scores are answered together, or not at all.
    reached = np.flatnonzero((accuracy >= accuracy_target) & np.append(falling[1:] < falling[:-1], True))
    if not len(reached):
        return None
    return 0.0 if reached[-1] == len(order) - 1 else float(falling[reached[-1]])


__all__ = ["CONFIDENCES", "abstain_threshold", "fit_temperature", "set_thresholds"]
