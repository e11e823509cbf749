"""Whether two macro F1 differ, of the same posts or of different ones: percentile bootstrap intervals and p values.

Drawing n posts with replacement and counting their kinds (true labels, answers) is one draw from a multinomial
distribution; so no post is needed, only how often each kind occurs. Shape letters: `N` posts, `L` labels.
"""

import numpy as np

from duosent.inference.significance import RunFigures, bootstrap_p_value, percentile_interval

RESAMPLES = 10_000


def f1_of_different_posts(old: tuple[np.ndarray, ...], new: tuple[np.ndarray, ...], several: bool, seed: int) -> dict:
    """The new macro F1 less the old one, of posts that have nothing to do with each other.

    Args:
        old, new: kinds of posts, `truth (K, L)`, `answers (K, L)` and `counts (K,)`, see `kinds_of_confusion`.
        several: whether a post may have several labels, or none.
        seed: draws the resamples.

    Returns: `old`, `new`, `difference`, `low`, `high`, `p` and `test`.
    """
    sides = [(RunFigures(truth, answers[None], several), counts) for truth, answers, counts in (old, new)]
    streams = np.random.default_rng(seed).spawn(2)
    drawn = [_drawn(figures, counts, rng)[:, 0] for (figures, counts), rng in zip(sides, streams, strict=True)]
    before, after = (_macro_f1(figures, counts[None])[0, 0] for figures, counts in sides)
    return _difference(before, after, drawn[1] - drawn[0])


def f1_of_the_same_posts(truth: np.ndarray, old: np.ndarray, new: np.ndarray, several: bool, seed: int) -> dict:
    """The new macro F1 less the old one, both of the same posts.

    Args:
        truth, old, new: `(N, L)` bool, the true labels and the two answers.
        several, seed: as in `f1_of_different_posts`.

    Returns: as `f1_of_different_posts`.
    """
    kinds, counts = np.unique(np.concatenate([truth, old, new], axis=1), axis=0, return_counts=True)
    truth, old, new = np.split(kinds, 3, axis=1)
    figures = RunFigures(truth, np.stack([old, new]), several)
    drawn = _drawn(figures, counts, np.random.default_rng(seed))
    before, after = _macro_f1(figures, counts[None])[0]
    return _difference(before, after, drawn[:, 1] - drawn[:, 0])


def _drawn(figures: RunFigures, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Macro F1 on resamples, `(S, R)`."""
    n = int(counts.sum())
    return _macro_f1(figures, rng.multinomial(n, counts / n, size=RESAMPLES))


def _macro_f1(figures: RunFigures, weights: np.ndarray) -> np.ndarray:
    return figures(weights.astype(np.float32))["macro_f1"]


def _difference(before: float, after: float, drawn: np.ndarray) -> dict:
    low, high = percentile_interval(drawn)
    return {
        "old": float(before),
        "new": float(after),
        "difference": float(after - before),
        "low": low,
        "high": high,
        "p": bootstrap_p_value(drawn),
        "test": "bootstrap",
    }


__all__ = ["f1_of_different_posts", "f1_of_the_same_posts"]
