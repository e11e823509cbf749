"""Cross-validation: the posts of `train` and `validation` dealt out to folds, of which each is held out once."""

import hashlib
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from duosent.data.doubles import text_keys
from duosent.data.reading import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """Which fold of how many is held out, and the seed that deals the posts out.

    Raises:
        ValueError: for fewer than two folds, or a number that is not from 1 to `of`.
    """

    number: int
    of: int
    seed: int = 0

    def __post_init__(self):
        if self.of < 2:
            raise ValueError(f"folds must be >= 2, got {self.of}.")
        if not 1 <= self.number <= self.of:
            raise ValueError(f"fold must be from 1 to {self.of}, got {self.number}.")


def held_out(splits: DatasetDict, fold: Fold) -> DatasetDict:
    """The parts of one run of a cross-validation.

    The posts of `train`, and of `validation` where there is one, are put in an order of the seed and dealt out by
    scikit-learn's `StratifiedGroupKFold`: each label (each set of labels, where a post may have several) is spread
    evenly, and posts with nearly the same words (see `text_keys`, targets apart) or the same picture file stay in one
    fold. Where this would tie more posts together than a fold holds, only posts with both alike stay together.

    Args:
        splits: whole, as `load_pairs` gives them, with a `train` part.

    Returns: `validation`, the fold; `train`, all others; and `test` as it was.

    Raises:
        DataError: for rows without a label column, rows that are streamed, or more folds than the posts can fill.
    """
    pool = [splits[part] for part in ("train", "validation") if part in splits]
    if not all(isinstance(rows, Dataset) and "label" in rows.features for rows in pool):
        raise DataError("folds must go with posts that have a label and are not streamed.")
    rows = concatenate_datasets(pool)
    here = np.flatnonzero(fold_numbers(rows, fold.of, fold.seed) == fold.number)
    rest = np.setdiff1d(np.arange(len(rows)), here)
    others = {part: rows for part, rows in splits.items() if part not in ("train", "validation")}
    return DatasetDict({"train": rows.select(rest), "validation": rows.select(here), **others})


def fold_numbers(rows: Dataset, folds: int, seed: int) -> np.ndarray:
    """The fold of each post, from 1; see `held_out`.

    Returns: `(N,)`
    """
    strata = np.unique([_stratum(label) for label in rows["label"]], return_inverse=True)[1]
    commonest = np.bincount(strata).max()
    if folds > commonest:
        raise DataError(f"folds must be at most {commonest}, the number of posts of the commonest label, got {folds}.")
    order = np.random.default_rng(seed).permutation(len(rows))
    groups = _groups(rows, folds)[order]
    # Numbered by first appearance in the new order, since the folds are filled in the order of the numbers.
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    groups = np.argsort(np.argsort(first))[inverse]
    if folds > len(first):
        raise DataError(f"folds must be at most {len(first)}, the number of posts without their doubles, got {folds}.")
    numbers = np.zeros(len(rows), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels with fewer posts than folds
        parts = StratifiedGroupKFold(folds).split(order, strata[order], groups)
        for number, (_, here) in enumerate(parts, start=1):
            numbers[order[here]] = number
    return numbers


def _groups(rows: Dataset, folds: int) -> np.ndarray:
    """The number of each post's group of doubles, `(N,)`."""
    # One text about several targets is one text here.
    texts = [(text_keys(text) or (None, None))[1] for text in rows["text"]]
    pictures = [_digest(picture) for picture in rows["image"]]
    linked = _linked(texts, pictures)
    largest, fold = np.bincount(linked).max(), -(-len(rows) // folds)
    if largest <= fold:
        return linked
    logger.warning(
        "%d posts hang together by the same texts or pictures, more than the %d of a fold: only posts with both alike "
        "are kept in one fold.",
        largest,
        fold,
    )
    known: dict = {}
    return np.array([known.setdefault(post, len(known)) for post in zip(texts, pictures, strict=True)])


def _linked(texts: list[str | None], pictures: list[bytes | None]) -> np.ndarray:
    """Posts are linked by a text or a picture that they share, and by posts that are linked to both."""
    known: dict = {}
    links = [
        (post, len(texts) + known.setdefault((side, key), len(known)))
        for side, keys in enumerate([texts, pictures])
        for post, key in enumerate(keys)
        if key is not None
    ]
    size = len(texts) + len(known)
    graph = coo_array((np.ones(len(links), np.int8), np.array(links).reshape(-1, 2).T), shape=(size, size))
    return connected_components(graph, directed=False)[1][: len(texts)]


def _digest(picture: dict | None) -> bytes | None:
    """What two pictures with the same content share; None without a picture."""
    if not picture or (picture["bytes"] is None and picture["path"] is None):
        return None
    content = picture["bytes"] if picture["bytes"] is not None else Path(picture["path"]).read_bytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _stratum(label) -> str:
    """A label, several or none, as one word."""
    return ",".join(map(str, label)) if isinstance(label, list) else str(label)


__all__ = ["Fold", "fold_numbers", "held_out"]
