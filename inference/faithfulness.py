"""Does an answer change when what a map calls important is hidden, and only then?

Deletion and insertion are the curves of Petsiuk et al. (RISE, BMVC 2018); sufficiency and comprehensiveness those of
DeYoung et al. (ERASER, ACL 2020). All follow from the score of one label on posts that show more or less of one side.
Shape letters: `V` versions of the post, `U` units (words, or cells of the picture).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.integrate import trapezoid

# Where the curves are read, and the shares that sufficiency and comprehensiveness are means over (ERASER).
CURVE_SHARES = np.linspace(0, 1, 11)
ERASER_SHARES = np.array([0.01, 0.05, 0.1, 0.2, 0.5])


class Faithfulness(NamedTuple):
    """How one order of a post's units does.

    Args:
        deletion: area under the score as units are hidden, the first of the order first; small is good.
        insertion: area under the score as units are shown, from none; large is good.
        comprehensiveness: the whole post's score less that without its first units, mean over `ERASER_SHARES`;
            large is good.
        sufficiency: the whole post's score less that of its first units alone, likewise; small is good.
    """

    deletion: float
    insertion: float
    comprehensiveness: float
    sufficiency: float


def faithfulness(score: Callable[[np.ndarray], np.ndarray], orders: np.ndarray) -> list[Faithfulness]:
    """How several orders of the units of one post do.

    Args:
        score: `(V, U)` bool, what is shown -> `(V,)` scores of one label.
        orders: `(O, U)`, each a permutation, the most important unit first.
    """
    units = orders.shape[1]
    counts = np.unique(np.concatenate([units_of(CURVE_SHARES, units), units_of(ERASER_SHARES, units)]))
    ranks = np.argsort(orders, axis=1)  # (O, U), the place of each unit in the order
    first = ranks[:, None] < counts[:, None]  # (O, N, U), the first so many
    shown, row_of = np.unique(np.concatenate([first, ~first]).reshape(-1, units), axis=0, return_inverse=True)
    alone, without = score(shown)[row_of.ravel()].reshape(2, len(orders), len(counts))
    curve, eraser = (np.searchsorted(counts, units_of(shares, units)) for shares in (CURVE_SHARES, ERASER_SHARES))
    whole = alone[:, -1:]
    return [
        Faithfulness(*map(float, figures))
        for figures in zip(
            trapezoid(without[:, curve], CURVE_SHARES),
            trapezoid(alone[:, curve], CURVE_SHARES),
            (whole - without[:, eraser]).mean(axis=1),
            (whole - alone[:, eraser]).mean(axis=1),
            strict=True,
        )
    ]


def units_of(shares: np.ndarray, units: int) -> np.ndarray:
    """How many of the units a share is: rounded up, so that a share above 0 is one unit at least.

    Rounded to 9 digits first, for 0.3 * 10 is a little more than 3.
    """
    return np.ceil(np.round(shares * units, 9)).astype(int)


def by_importance(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`(U,)` the units, the one of the largest score first; equal ones in a drawn order, not from left to right."""
    drawn = rng.permutation(len(scores))
    return drawn[np.argsort(-scores[drawn], kind="stable")]


__all__ = ["CURVE_SHARES", "ERASER_SHARES", "Faithfulness", "by_importance", "faithfulness", "units_of"]
