"""How sure the figures of runs on the same posts are, and whether two models differ; docs/compare.md has the formulas.

Shape letters: `N` posts, `R` runs, `L` labels, `S` resamples.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

FIGURES = ("accuracy", "macro_f1", "weighted_f1")
# Of posts times resamples that lie in memory together.
DRAWN_AT_ONCE = 2_000_000
# Two differences of means that are equal but for the order of their sums.
ROUNDING = 1e-12


class RunFigures:
    """Accuracy, macro F1 and weighted F1 of several runs on posts that count as often as one likes.

    All three follow from counts by label (right answers, answers, true labels), which are sums over posts; so a
    resample is one row of weights, and all resamples are one matrix product. The figures are those of
    `ImageTextMetrics`: of posts with one label each, a label that is neither true nor answered in a resample takes no
    part in its macro F1.

    Args:
        truth: `(N, L)` bool, the true labels.
        answers: `(R, N, L)` bool.
        several: whether a post may have several labels, or none.
    """

    def __init__(self, truth: np.ndarray, answers: np.ndarray, several: bool = False) -> None:
        runs, posts, labels = answers.shape
        self.correct = (answers == truth).all(axis=-1)  # (R, N)
        self._several, self._shape = several, (runs, labels)
        by_post = answers.transpose(1, 0, 2)  # (N, R, L)
        sides = [self.correct.T, truth, by_post.reshape(posts, -1), (by_post & truth[:, None]).reshape(posts, -1)]
        # Whole numbers up to 2^24 are exact in float32.
        self._summed = np.concatenate(sides, axis=1).astype(np.float32)  # (N, R + L + 2 R L)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """
        Args:
            weights: `(S, N)` float32, how often each post counts; each row has a sum above 0.

        Returns: `(S, R)` for each figure, float64.
        """
        runs, labels = self._shape
        counts = (weights @ self._summed).astype(np.float64)
        right, support, answered, hits = np.split(counts, np.cumsum([runs, labels, runs * labels]), axis=1)
        support = support[:, None]  # (S, 1, L)
        both = answered.reshape(-1, runs, labels) + support  # (S, R, L)
        f1 = _ratio(2 * hits.reshape(both.shape), both)
        counted = labels if self._several else (both > 0).sum(axis=-1)
        return {
            "accuracy": right / weights.sum(axis=1, dtype=np.float64)[:, None],
            "macro_f1": f1.sum(axis=-1) / counted,
            "weighted_f1": _ratio((f1 * support).sum(axis=-1), support.sum(axis=-1)),
        }

    def observed(self) -> dict[str, np.ndarray]:
        """The figures with each post once, `(R,)` each."""
        weights = np.ones((1, len(self._summed)), np.float32)
        return {name: values[0] for name, values in self(weights).items()}

    def resampled(self, resamples: int, seed: int) -> dict[str, np.ndarray]:
        """The figures on bootstrap samples of the posts, `(S, R)` each; every run meets the same samples."""
        chunks = [self(weights) for weights in resampled_posts(len(self._summed), resamples, seed)]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in FIGURES}


def resampled_posts(posts: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of N posts is drawn when N are drawn with replacement: `(S, N)` float32, a few rows at a time."""
    rng = np.random.default_rng(seed)
    rows = max(1, DRAWN_AT_ONCE // posts)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.integers(posts, size=(size, posts)) + posts * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * posts).reshape(size, posts).astype(np.float32)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The bootstrap percentile interval: the quantiles that leave `(1 - level) / 2` outside on each side.

    Args:
        values: `(S,)`, a figure on each resample.
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_p_value(differences: np.ndarray) -> float:
    """Two-sided p value of "no difference", the level at which the percentile interval just touches 0.

    `2 min(#(d <= 0) + 1, #(d >= 0) + 1) / (S + 1)`, at most 1 (Efron and Tibshirani 1993, chapter 15; Koehn 2004 for
    paired systems). It is never 0: `2 / (S + 1)` is the smallest that S resamples can show.

    Args:
        differences: `(S,)`, one model's figure less the other's on each resample.
    """
    below, above = (differences <= ROUNDING).sum(), (differences >= -ROUNDING).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1)))


class McNemar(NamedTuple):
    """How often only one of two runs is right, and the p value of "each is so as often as the other"."""

    first_only: int
    second_only: int
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """McNemar's test in its exact form, for any counts (McNemar 1947; recommended by Dietterich 1998).

    Of the posts on which just one of the two is right, the first one's are binomial with 1/2 under the hypothesis.

    Args:
        first, second: `(N,)` bool, whether each run is right.
    """
    counts = int((first & ~second).sum()), int((second & ~first).sum())
    p = float(binomtest(counts[0], sum(counts), 0.5).pvalue) if sum(counts) else 1.0
    return McNemar(*counts, p)


def combined_p_value(p_values: np.ndarray) -> float:
    """One p value for K tests of one hypothesis that may depend on each other in any way: about twice their median.

    `K / k` times the k-th smallest, `k = ceil(K / 2)`, at most 1 (Rüger 1978); of one test its own.

    Args:
        p_values: `(K,)`.
    """
    place = (len(p_values) + 1) // 2
    return float(min(1.0, np.sort(p_values)[place - 1] * len(p_values) / place))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction (Holm 1979): adjusted p values that keep the chance of any false alarm.

    The i-th smallest of M is multiplied by `M - i + 1`, and is never below a smaller one's, nor above 1.

    Args:
        p_values: `(M,)`.
    """
    order = np.argsort(p_values, kind="stable")
    steps = (len(order) - np.arange(len(order))) * np.asarray(p_values, float)[order]
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """A ratio without a denominator is 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


__all__ = [
    "FIGURES",
    "McNemar",
    "RunFigures",
    "bootstrap_p_value",
    "combined_p_value",
    "holm",
    "mcnemar",
    "percentile_interval",
    "resampled_posts",
]
