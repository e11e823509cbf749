"""Which posts are alike: the keys of a text and of a picture, exact and near, and the posts that share them."""

import hashlib
import itertools
import unicodedata
from dataclasses import dataclass, field

import imagehash
import numpy as np
import PIL.Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from duosent.processing.text_cleaning import clean_text

HASH_BITS = 64
# Of 34 million pairs of real posts' pictures every one within 4 bits showed the same picture or the next shot of the
# same scene, and at 8 bits five of twelve showed something else; of copies at half the size and JPEG quality 30, at
# least 99.8 % lie within 4 bits (docs/audits.md).
DISTANCE = 4
MAX_DISTANCE = 16
# The grey picture, 32 x 32, that the hash is made of; and one level of noise, always the same, to try the hash with.
HASH_PIXELS = 32
NOISE = np.random.RandomState(0).randint(-1, 2, (HASH_PIXELS, HASH_PIXELS))
STEADY = 4


def text_keys(text: str | None, target: str | None = None) -> tuple[str, str] | None:
    """What two texts share that are the same word for word, and what two share that are nearly the same.

    The exact key is the text without outer white space. The near key is `normalise_text` of it; of a text in which
    that leaves nothing, such as a lone link, it is the exact key, so that not all of these are alike. A target
    belongs to both keys: the same words about someone else are another post.

    Returns: exact key, near key; None for a blank text, which is like no other.
    """
    exact = (text or "").strip()
    if not exact:
        return None
    target = (target or "").strip()
    return f"{exact}\0{target}", f"{normalise_text(exact) or exact}\0{normalise_text(target) or target}"


def normalise_text(text: str) -> str:
    """Links, @names, case, punctuation and white space out, letters of one look brought together (NFKC).

    Emoji and other signs stay, since they say something; apostrophes vanish, other punctuation ends a word.

    >>> normalise_text("RT @anna: DON'T   worry, be #happy! https://t.co/x1")
    'dont worry be happy'
    """
    letters = unicodedata.normalize("NFKC", clean_text(text)).casefold()
    return " ".join("".join(map(_word_sign, letters)).split())


def _word_sign(sign: str) -> str:
    if sign in "'’‘ʼ\ufe0e\ufe0f":  # apostrophes, and the choice between an emoji's colourful and plain form
        return ""
    category = unicodedata.category(sign)
    return "" if category == "Cf" else " " if category.startswith("P") else sign


def picture_keys(picture: PIL.Image.Image) -> tuple[bytes, int | None]:
    """What two pictures share that have the same pixels, and the perceptual hash that near ones have nearly alike.

    The hash is pHash, a picture's lowest 8 x 8 frequencies, each above or below their median (`imagehash.phash`). It
    sees shapes of light and dark, and no colour. In a plain picture (one colour, two halves, a smooth gradient) most
    of these frequencies are next to zero and rounding decides them, so that unlike pictures meet in one hash: where
    one level of noise turns more than 4 bits there is no hash, and the picture is compared by its pixels alone.

    Args:
        picture: in RGB, as `open_picture` gives it.

    Returns: digest of the pixels, 16 bytes; 64 bits as a number, or None.
    """
    digest = hashlib.blake2b(repr(picture.size).encode(), digest_size=16)
    digest.update(picture.tobytes())
    size = (HASH_PIXELS, HASH_PIXELS)
    grey = picture.convert("L").resize(size, PIL.Image.Resampling.LANCZOS)
    noisy = (np.asarray(grey) + NOISE).clip(0, 255).astype(np.uint8)
    found = imagehash.phash(grey)
    if found - imagehash.phash(PIL.Image.fromarray(noisy)) > STEADY:
        return digest.digest(), None
    return digest.digest(), int.from_bytes(np.packbits(found.hash).tobytes(), "big")


def near_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
    """All pairs of hashes that differ in at most `distance` bits.

    The 64 bits are cut into `distance + 2` bands. Bits that differ lie in at most `distance` of them, so two bands or
    more agree: for every two bands, only hashes that share both are compared, and not each with each.

    Args:
        hashes: `(U,)` uint64, no two the same.
        distance: bits, from 0 to 16.

    Returns: `(E, 2)`, indices into `hashes`, the smaller first, in order.

    Raises:
        ValueError: for another distance.
    """
    check_distance(distance)
    bands = [sum(1 << int(bit) for bit in band) for band in np.array_split(np.arange(HASH_BITS), distance + 2)]
    found = [np.empty((0, 2), np.int64)]
    for one, other in itertools.combinations(bands, 2):
        shared = hashes & np.uint64(one | other)
        order = np.argsort(shared, kind="stable")
        shared = shared[order]
        # Equal values stand side by side: each place is compared with the next, those still equal with the one after.
        places, step = np.arange(len(order)), 1
        while len(places):
            places = places[places + step < len(order)]
            places = places[shared[places] == shared[places + step]]
            pairs = np.stack([order[places], order[places + step]], axis=1)
            found.append(pairs[_bits(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= distance])
            step += 1
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def check_distance(distance: int) -> None:
    """Farther apart than 16 of 64 bits, unlike pictures would meet by the thousand.

    Raises:
        ValueError: for a distance that is not from 0 to 16.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(f"image_distance must be from 0 to {MAX_DISTANCE} bits, got {distance}.")


def _bits(numbers: np.ndarray) -> np.ndarray:
    """How many bits of each number are set; `(U,)` uint64 -> `(U,)`."""
    return np.unpackbits(numbers.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1)


@dataclass
class Doubles:
    """Which posts are alike in one respect.

    Args:
        node: `(N,)`, posts with the same number are alike; -1 for a post that has nothing to compare.
        edges: `(E, 2)`, pairs of different numbers of posts that are alike too. Being near is not handed on: where a
            is near b and b near c, a and c may be far apart.
    """

    node: np.ndarray
    edges: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))

    def partner(self, among: np.ndarray) -> np.ndarray:
        """For each post another one that is like it, the first with the same number before those of other numbers.

        Args:
            among: `(N,)` bool, the posts to choose from; a post is never its own partner.

        Returns: `(N,)`, places of posts; -1 where none is alike.
        """
        size, nobody = self.node.max(initial=-1) + 1, len(self.node)
        posts = np.flatnonzero(among & (self.node >= 0))
        first, last = np.full(size, nobody), np.full(size, -1)
        np.minimum.at(first, self.node[posts], posts)
        np.maximum.at(last, self.node[posts], posts)
        beside = np.full(size, nobody)
        for here, there in (self.edges.T, self.edges.T[::-1]):
            np.minimum.at(beside, here, first[there])

        known = np.flatnonzero(self.node >= 0)
        node = self.node[known]
        found = np.where(first[node] == known, last[node], first[node])
        found = np.where((found == known) | (found == nobody), beside[node], found)
        partner = np.full(len(self.node), -1)
        partner[known] = np.where(found == nobody, -1, found)
        return partner

    def groups(self) -> list[np.ndarray]:
        """Posts that are alike or linked by others that are: places in order, two or more a group, each in one."""
        known = np.flatnonzero(self.node >= 0)
        if not len(known):
            return []
        size = self.node.max() + 1
        links = coo_array((np.ones(len(self.edges), np.int8), tuple(self.edges.T)), shape=(size, size))
        _, group_of = connected_components(links, directed=False)
        group = group_of[self.node[known]]
        several = np.bincount(group)[group] > 1
        known, group = known[several], group[several]
        order = np.argsort(group, kind="stable")
        groups = np.split(known[order], np.flatnonzero(np.diff(group[order])) + 1)
        return sorted((posts for posts in groups if len(posts)), key=lambda posts: posts[0])


def both(texts: Doubles, pictures: Doubles) -> Doubles:
    """Posts that are alike in text and in picture; a side that neither of two posts has does not part them.

    Args:
        texts: without edges.
        pictures: over the same posts.
    """
    sides = np.stack([texts.node, pictures.node], axis=1)
    present = (sides >= 0).any(axis=1)
    kinds, place = np.unique(sides[present], axis=0, return_inverse=True)
    node = np.full(len(sides), -1)
    node[present] = place.reshape(-1)
    # An edge between two pictures links posts of these pictures that have the same text.
    of_picture: dict[int, dict[int, int]] = {}
    for number, (text, picture) in enumerate(kinds.tolist()):
        of_picture.setdefault(picture, {})[text] = number
    edges = [
        (number, of_picture[there][text])
        for here, there in pictures.edges.tolist()
        for text, number in of_picture.get(here, {}).items()
        if text in of_picture.get(there, {})
    ]
    return Doubles(node, np.array(edges, np.int64).reshape(-1, 2))


__all__ = [
    "DISTANCE",
    "MAX_DISTANCE",
    "Doubles",
    "both",
    "check_distance",
    "near_pairs",
    "normalise_text",
    "picture_keys",
    "text_keys",
]
