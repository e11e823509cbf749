"""How far scores can be trusted: expected calibration error, Brier score, negative log-likelihood."""

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax

BINS = 15


def scores_of(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Logits `(N, L)` to scores `(N, L)`: softmax, or sigmoid where `labels` are rows `(N, L)` of 0 and 1."""
    return softmax(logits, axis=-1) if labels.ndim == 1 else expit(logits)


def outcomes(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a reliability curve is drawn of: scores, and whether what they stand for is true, `(M,)` each.

    Of one label a post (`labels` `(N,)`) the score of the answer and whether the answer is right, M = N. Of several
    (`(N, L)`) each label's score and whether the post has the label, M = N L.
    """
    if labels.ndim == 2:
        return scores.ravel(), labels.ravel().astype(bool)
    return scores.max(axis=-1), scores.argmax(axis=-1) == labels


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[dict]:
    """The bins of a reliability plot: equal widths over [0, 1], each without its lower end; the empty ones left out.

    Args:
        confidence, right: `(M,)`, see `outcomes`.

    Returns: of each bin `n`, `confidence` (mean score) and `accuracy` (share that is right).
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [_bin(confidence[place == index], right[place == index]) for index in range(bins) if (place == index).any()]


def equal_mass_bins(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[dict]:
    """As `reliability`, with bins of as many scores each as can be, in their order."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    return [_bin(confidence[part], right[part]) for part in parts if len(part)]


def calibration_error(bins: list[dict]) -> float:
    """Expected calibration error: the mean over scores of |accuracy - confidence| of their bin (Guo et al., ICML 2017,
    equation 3)."""
    total = sum(row["n"] for row in bins)
    return float(sum(row["n"] / total * abs(row["accuracy"] - row["confidence"]) for row in bins))


def brier_score(scores: np.ndarray, labels: np.ndarray) -> float:
    """Brier score (Brier, 1950): of one label a post the squared error summed over the classes, mean over posts, in
    [0, 2]; of several labels the mean over posts and labels, in [0, 1]."""
    if labels.ndim == 2:
        return float(np.mean((scores - labels) ** 2))
    return float(np.mean(np.sum((scores - np.eye(scores.shape[1])[labels]) ** 2, axis=-1)))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over posts, of several labels over posts and labels; in nats."""
    if labels.ndim == 2:
        return float(-np.mean(log_expit(np.where(labels == 1, logits, -logits))))
    return float(-np.mean(log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]))


def calibration_figures(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`ece` (15 bins of equal width), `ece_equal_mass` (15 bins of as many scores), `brier` and `nll`.

    Args:
        logits: `(N, L)`.
        labels: `(N,)` class indices, or `(N, L)` of 0 and 1.
    """
    scores = scores_of(logits, labels)
    pairs = outcomes(scores, labels)
    return {
        "ece": calibration_error(reliability(*pairs)),
        "ece_equal_mass": calibration_error(equal_mass_bins(*pairs)),
        "brier": brier_score(scores, labels),
        "nll": negative_log_likelihood(logits, labels),
    }


def _bin(confidence: np.ndarray, right: np.ndarray) -> dict:
    return {"n": len(right), "confidence": float(confidence.mean()), "accuracy": float(right.mean())}


__all__ = [
    "BINS",
    "brier_score",
    "calibration_error",
    "calibration_figures",
    "equal_mass_bins",
    "negative_log_likelihood",
    "outcomes",
    "reliability",
    "scores_of",
]
