"""How sure the figures of one evaluation are, from its counts alone.

Shape letters: `L` labels, `K` kinds of posts (by true labels and answers), `S` resamples.
"""

import numpy as np
from scipy.stats import binomtest

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0

Interval = tuple[float, float]


def share_interval(share: float, n: int) -> Interval:
    """Wilson's score interval (Wilson 1927) of a share of n posts."""
    interval = binomtest(round(share * n), n).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def kinds_of_confusion(confusion: list[list[int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kinds of posts in a confusion matrix (row the true label, column the answer): `truth (K, L)` and
    `answers (K, L)`, bool, and `counts (K,)`."""
    matrix = np.asarray(confusion)
    rows, columns = np.nonzero(matrix)
    labels = np.eye(len(matrix), dtype=bool)
    return labels[rows], labels[columns], matrix[rows, columns]


def kinds_of_posts(truth: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kinds of posts among N, from `truth` and `answers`, `(N, L)` bool; see `kinds_of_confusion`."""
    kinds, counts = np.unique(np.concatenate([truth, answers], axis=1), axis=0, return_counts=True)
    return *np.split(kinds, 2, axis=1), counts


def f1_intervals(truth: np.ndarray, answers: np.ndarray, counts: np.ndarray, several: bool = False) -> dict:
    """Percentile bootstrap intervals (Efron 1979) of F1 over posts.

    Drawing n posts with replacement and counting their kinds is one draw from a multinomial distribution: no post is
    needed, and the interval is that of `duosent compare` but for what is drawn.

    Args:
        truth, answers, counts: the kinds of posts, see `kinds_of_confusion`.
        several: whether a post may have several labels, or none.

    Returns: `macro_f1`, `weighted_f1`, with `several` also `micro_f1`: low and high; `per_class`: those of each
        label. None where every resample gave the same figure, from which nothing can be told.
    """
    n = int(counts.sum())
    drawn = np.random.default_rng(SEED).multinomial(n, counts / n, size=RESAMPLES)  # (S, K)
    support, answered, hits = drawn @ truth, drawn @ answers, drawn @ (truth & answers)  # (S, L) each
    both = support + answered
    f1 = np.divide(2 * hits, both, out=np.zeros(both.shape), where=both > 0)
    # As in ImageTextMetrics: of posts with one label, a label that is neither true nor answered takes no part.
    counted = both.shape[1] if several else (both > 0).sum(axis=1)
    weights = np.maximum(support.sum(axis=1), 1)
    intervals = {
        "macro_f1": _percentiles(f1.sum(axis=1) / counted),
        "weighted_f1": _percentiles((f1 * support).sum(axis=1) / weights),
        "per_class": [_percentiles(f1[both[:, label] > 0, label]) for label in range(both.shape[1])],
    }
    if several:
        intervals["micro_f1"] = _percentiles(2 * hits.sum(axis=1) / np.maximum(both.sum(axis=1), 1))
    return intervals


def _percentiles(values: np.ndarray) -> Interval | None:
    """Args: values: `(S,)`."""
    if not len(values) or values.min() == values.max():
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


__all__ = [
    "LEVEL",
    "RESAMPLES",
    "SEED",
    "f1_intervals",
    "kinds_of_confusion",
    "kinds_of_posts",
    "share_interval",
]
