"""Whether two shares differ, of the same posts or of different ones: difference, 95 % interval, p value."""

import numpy as np
from scipy.stats import chi2, fisher_exact, norm

from duosent.hub_cards.intervals import LEVEL, share_interval
from duosent.inference.significance import mcnemar


def of_different_posts(old: tuple[int, int], new: tuple[int, int]) -> dict:
    """The new share less the old one, of posts that have nothing to do with each other.

    The interval is Newcombe's from two Wilson intervals (Newcombe 1998, Statistics in Medicine 17, method 10). The p
    value is that of the "N - 1" chi-squared test, and of the Fisher-Irwin test where a count of less than 1 is
    expected (Campbell 2007, Statistics in Medicine 26).

    Args:
        old, new: how many of how many posts, of each at least one.

    Returns: `difference`, `low`, `high`, `p` and `test`.
    """
    (old_low, old_high), (new_low, new_high) = (share_interval(k / n, n) for k, n in (old, new))
    before, after = (k / n for k, n in (old, new))
    difference = after - before
    below = np.hypot(after - new_low, old_high - before)
    above = np.hypot(new_high - after, before - old_low)
    p, test = _independent_p(old, new)
    return {
        "difference": float(difference),
        "low": float(difference - below),
        "high": float(difference + above),
        "p": p,
        "test": test,
    }


def _independent_p(old: tuple[int, int], new: tuple[int, int]) -> tuple[float, str]:
    table = np.array([[k, n - k] for k, n in (old, new)], float)
    rows, columns, total = table.sum(axis=1), table.sum(axis=0), table.sum()
    if (columns == 0).any():  # all right, or none, on both sides
        return 1.0, "N - 1 chi-squared"
    if (np.outer(rows, columns) / total).min() < 1:
        return float(min(1.0, fisher_exact(table.astype(int)).pvalue)), "Fisher-Irwin"
    statistic = (total - 1) * np.linalg.det(table) ** 2 / (rows.prod() * columns.prod())
    return float(chi2.sf(statistic, df=1)), "N - 1 chi-squared"


def of_the_same_posts(old: np.ndarray, new: np.ndarray) -> dict:
    """The new share less the old one, of posts that both are shares of.

    The interval is Agresti and Min's (2005, Statistics in Medicine 24): Wald's with half a post more in each of the
    four kinds of posts. The p value is McNemar's, exact.

    Args:
        old, new: `(N,)` bool, N >= 1.

    Returns: `difference`, `low`, `high`, `p` and `test`.
    """
    n, gained, lost = len(old) + 2, int((new & ~old).sum()), int((old & ~new).sum())
    centre = (gained - lost) / n
    spread = norm.ppf((1 + LEVEL) / 2) * np.sqrt((gained + lost + 1) / n - centre**2) / np.sqrt(n)
    return {
        "difference": float(new.mean() - old.mean()),
        "low": float(max(-1, centre - spread)),
        "high": float(min(1, centre + spread)),
        "p": mcnemar(new, old).p,
        "test": "McNemar",
    }


__all__ = ["of_different_posts", "of_the_same_posts"]
