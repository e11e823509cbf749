"""How right a model is on posts of one kind and of another: ways to part posts, each post in exactly one slice.

Shape letters: `N` posts, `K` slices.
"""

from dataclasses import dataclass, field

import numpy as np

from duosent.hub_cards.intervals import share_interval

# Slices of texts by length, as equal in posts as whole words allow.
BINS = 4
# Of fewer posts a share says little, whatever it is: its interval is wider than 35 points in the middle.
FEW = 30
NO_WORDS = "no words"
UNKNOWN = "not known of both"
OWN_ANSWERS = "the model's own answers to one side alone"
AGREEING, DIFFERING, ONE_SIDE = "the same answer", "different answers", "one side only"


@dataclass(frozen=True)
class Slicing:
    """
    Args:
        by: what a post's slice rests on, in words; two slicings compare only where it is the same.
        names: of the K slices, in order.
        place: `(N,)`, which of them a post is in.
        edges: of slices by length, see `length_edges`.
    """

    by: str
    names: list[str]
    place: np.ndarray
    edges: list[int] = field(default_factory=list)

    def of(self, posts: np.ndarray) -> "Slicing":
        """The same of some of the posts, places or `(N,)` bool."""
        return Slicing(self.by, self.names, self.place[posts], self.edges)

    def figures(self, right: np.ndarray) -> dict:
        """`by`, with slices by length `edges`, and `slices`: of each that has posts `n`, `right`, `accuracy` and its
        Wilson interval, `low` and `high`.

        Args:
            right: `(N,)` bool, whether the answer to a post is right.
        """
        slices = {}
        for number, name in enumerate(self.names):
            here = right[self.place == number]
            if len(here):
                slices[name] = share_figures(int(here.sum()), len(here))
        return {"by": self.by} | ({"edges": self.edges} if self.edges else {}) | {"slices": slices}


def share_figures(right: int, n: int) -> dict:
    """`n`, `right`, `accuracy` and its Wilson interval, `low` and `high`."""
    low, high = share_interval(right / n, n)
    return {"n": n, "right": right, "accuracy": right / n, "low": low, "high": high}


def word_counts(texts: list[str | None]) -> np.ndarray:
    """`(N,)`, how many words a text has, by white space; 0 for none."""
    return np.array([len((text or "").split()) for text in texts], np.int64)


def length_edges(words: np.ndarray, bins: int = BINS) -> list[int]:
    """The longest text of each slice but the last, which has no end, so that the slices hold about as many posts each.

    Args:
        words: `(N,)`, see `word_counts`; posts without words take no part.
        bins: how many slices there are, or fewer where many texts are of one length.
    """
    written = words[words > 0]
    if not len(written):
        return []
    edges = np.unique(np.quantile(written, np.arange(1, bins) / bins, method="inverted_cdf"))
    return [int(edge) for edge in edges if edge < written.max()]


def by_length(words: np.ndarray, edges: list[int]) -> Slicing:
    """Slices of texts by their number of words, and one of posts without words.

    Args:
        words: `(N,)`.
        edges: see `length_edges`.
    """
    starts, ends = [1, *(edge + 1 for edge in edges)], [*edges, None]
    names = [_span(start, end) for start, end in zip(starts, ends, strict=True)]
    place = np.where(words > 0, 1 + np.searchsorted(edges, words), 0)
    return Slicing("words", [NO_WORDS, *names], place, edges)


def _span(start: int, end: int | None) -> str:
    if end is None:
        return f"{start} or more words"
    return f"{start} to {end} words" if start < end else f"{start} word{'s' if start > 1 else ''}"


def by_side_labels(post: list, text: list, image: list) -> Slicing:
    """Whether the data's labels of the words and of the picture agree, and if not, which of them is the post's.

    Args:
        post, text, image: of N posts a class index, or a list of them where a post may have several labels; None or
            -100 for none.
    """
    names = [
        "they agree",
        "they differ, post as words",
        "they differ, post as picture",
        "they differ, post as neither",
        UNKNOWN,
    ]
    place = []
    for whole, words, picture in zip(post, text, image, strict=True):
        if words in (None, -100) or picture in (None, -100):
            place.append(4)
        elif _same(words, picture):
            place.append(0)
        else:
            place.append(1 if _same(whole, words) else 2 if _same(whole, picture) else 3)
    return Slicing("labels of the sides in the data", names, np.array(place, np.int64))


def _same(one, other) -> bool:
    return sorted(one) == sorted(other) if isinstance(one, list) and isinstance(other, list) else one == other


def by_side_answers(text: np.ndarray, image: np.ndarray, both_sides: np.ndarray) -> Slicing:
    """Whether the model answers to the words alone what it answers to the picture alone.

    Args:
        text, image: `(N, L)` bool, the two answers.
        both_sides: `(N,)` bool, which posts have words and a picture.
    """
    same = (text == image).all(axis=1)
    place = np.where(both_sides, np.where(same, 0, 1), 2)
    return Slicing(OWN_ANSWERS, [AGREEING, DIFFERING, ONE_SIDE], place)


def by_doubles(doubled: np.ndarray, part: str) -> Slicing:
    """Posts whose words or picture stand in the training part too, exactly or nearly, and the others.

    Args:
        doubled: `(N,)` bool.
        part: the name of the training part.
    """
    return Slicing(f"doubles in {part}", ["doubled in training", "new to the model"], np.where(doubled, 0, 1))


__all__ = [
    "FEW",
    "OWN_ANSWERS",
    "UNKNOWN",
    "Slicing",
    "by_doubles",
    "by_length",
    "by_side_answers",
    "by_side_labels",
    "length_edges",
    "share_figures",
    "word_counts",
]
