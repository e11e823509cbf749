"""Keys of texts and pictures, and the search for near ones, against plain loops over all pairs."""

import io
import itertools
import time

import numpy as np
import pytest
from drawn import blocks, encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from duosent.data import doubles
from duosent.data.doubles import Doubles, both, near_pairs, normalise_text, picture_keys, text_keys


def decoded(content):
    return Image.open(io.BytesIO(content)).convert("RGB")


# Texts.


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("So HAPPY today!!!", "so happy today"),
        ("so  happy\ttoday", "so happy today"),
        ("RT @anna: so happy, today https://t.co/a1", "so happy today"),
        ("#so #happy (today)", "so happy today"),
        ("don't", "dont"),
        ("don’t", "dont"),
        ("well-known", "well known"),
        ("ＷＩＤＥ", "wide"),
        ("straße", "strasse"),
        ("I ❤️ it \U0001f602", "i ❤ it \U0001f602"),
        ("zero\u200bwidth", "zerowidth"),
        ("a &amp; b", "a b"),
        ("C++ is 5 > 4", "c++ is 5 > 4"),
        ("!!!", ""),
        ("https://t.co/a1 @anna", ""),
    ],
)
def test_what_normalising_leaves(text, normalised):
    assert normalise_text(text) == normalised


@given(words=st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=6), data=st.data())
def test_case_punctuation_and_white_space_make_no_other_text(words, data):
    sign = st.sampled_from([" ", "  ", ", ", "! ", "\n", " - ", "... "])
    changed = "".join(data.draw(st.sampled_from([word, word.upper()])) + data.draw(sign) for word in words)
    plain = " ".join(words)
    assert text_keys(changed)[1] == text_keys(plain)[1] == f"{plain}\0"


def same(one, other):
    """Whether two texts are the same, and whether they are near."""
    return tuple(a == b for a, b in zip(text_keys(*one), text_keys(*other), strict=True))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("good day",), ("  good day\n",), (True, True)),
        (("good day",), ("Good day!",), (False, True)),
        (("good day",), ("good night",), (False, False)),
        # What normalising leaves nothing of is only like itself.
        (("https://t.co/a",), ("https://t.co/a",), (True, True)),
        (("https://t.co/a",), ("https://t.co/b",), (False, False)),
        ((":)",), (":(",), (False, False)),
        # The same words about someone else are another post.
        (("$T$ wins", "Ann"), ("$T$ wins", "Ann"), (True, True)),
        (("$T$ wins", "Ann"), ("$T$ wins", "Bob"), (False, False)),
        (("$T$ wins", "Ann"), ("$T$ WINS", "ann"), (False, True)),
        (("$T$ wins", "@ann"), ("$T$ wins", "@bob"), (False, False)),
        (("$T$ wins", "Ann"), ("$T$ wins", None), (False, False)),
        (("a", "b c"), ("a b", "c"), (False, False)),
    ],
)
def test_which_texts_are_alike(one, other, expected):
    assert same(one, other) == expected


@pytest.mark.parametrize("text", [None, "", " \n\t"])
def test_a_blank_text_is_like_nothing(text):
    assert text_keys(text) is None


def test_a_very_long_text():
    text = "good day, " * 10_000
    start = time.perf_counter()
    assert text_keys(text)[1] == "good day " * 9_999 + "good day\0"
    assert time.perf_counter() - start < 5


# Pictures.


def distance(one, other):
    return (picture_keys(one)[1] ^ picture_keys(other)[1]).bit_count()


def test_the_same_pixels_in_two_formats_are_the_same_picture():
    picture = blocks(0)
    for file_format in ("PNG", "BMP"):
        assert picture_keys(decoded(encoded(picture, file_format))) == picture_keys(picture)
    other = picture.copy()
    other.putpixel((3, 3), (1, 2, 3))
    assert picture_keys(other)[0] != picture_keys(picture)[0]
    # The same bytes in another order of lines.
    assert picture_keys(Image.new("RGB", (2, 3)))[0] != picture_keys(Image.new("RGB", (3, 2)))[0]


@pytest.mark.parametrize("seed", range(5))
def test_copies_lie_near_and_others_far(seed):
    picture = blocks(seed)
    copies = [
        decoded(encoded(picture, "JPEG", quality=40)),
        picture.resize((32, 32)),
        picture.convert("L").convert("RGB"),
    ]
    copies.append(decoded(encoded(picture.resize((100, 80)), "JPEG", quality=60)))
    for copy in copies:
        assert picture_keys(copy)[0] != picture_keys(picture)[0]
        assert distance(copy, picture) <= doubles.DISTANCE
    for other in range(5):
        assert other == seed or distance(picture, blocks(other)) > doubles.MAX_DISTANCE


def plain_pictures():
    ramp = np.arange(64, dtype=np.uint8)[None].repeat(64, axis=0) * 4
    yield Image.new("RGB", (64, 64), (200, 30, 30))
    yield Image.new("RGB", (64, 64), (10, 30, 200))
    yield Image.fromarray(ramp).convert("RGB")
    yield Image.fromarray(ramp.T).convert("RGB")
    yield Image.fromarray(np.where(np.arange(64) < 32, 60, 200).astype(np.uint8)[None].repeat(64, axis=0)).convert(
        "RGB"
    )
    yield Image.new("RGB", (1, 1))


def test_plain_pictures_have_no_hash_and_are_told_apart_by_their_pixels():
    keys = [picture_keys(picture) for picture in plain_pictures()]
    assert [bits for _, bits in keys] == [None] * 6
    assert len({pixels for pixels, _ in keys}) == 6


# The search for near hashes.


def loop_over_all_pairs(hashes, distance):
    pairs = itertools.combinations(range(len(hashes)), 2)
    return [[a, b] for a, b in pairs if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= distance]


@settings(max_examples=100)
@given(
    centres=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4),
    flips=st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 63), max_size=18)), max_size=40),
    distance=st.integers(0, 16),
)
def test_near_pairs_are_those_of_a_loop_over_all_pairs(centres, flips, distance):
    numbers = dict.fromkeys(centres)
    for centre, bits in flips:
        numbers[centres[centre % len(centres)] ^ sum(1 << bit for bit in bits)] = None
    hashes = np.array(list(numbers), np.uint64)
    assert near_pairs(hashes, distance).tolist() == loop_over_all_pairs(hashes, distance)


def test_few_pairs_are_compared(monkeypatch):
    hashes = np.unique(np.random.RandomState(0).randint(0, 2**63, 20_000, np.int64).astype(np.uint64))
    compared = []
    count = doubles._bits
    monkeypatch.setattr(doubles, "_bits", lambda numbers: compared.append(len(numbers)) or count(numbers))
    assert len(near_pairs(hashes, 4)) == 0
    assert sum(compared) < 20_000  # of 200 million


@pytest.mark.parametrize("distance", [-1, 17])
def test_a_distance_out_of_range(distance):
    with pytest.raises(ValueError, match=rf"^image_distance must be from 0 to 16 bits, got {distance}\.$"):
        near_pairs(np.zeros(1, np.uint64), distance)


# Posts that are alike.


@st.composite
def some_doubles(draw, size=None):
    size = size or draw(st.integers(1, 10))
    node = draw(st.lists(st.integers(-1, 5), min_size=size, max_size=size))
    pairs = st.sampled_from(list(itertools.combinations(sorted({*node} - {-1}), 2)) or [None])
    edges = sorted({pair for pair in draw(st.lists(pairs, max_size=5)) if pair})
    return Doubles(np.array(node), np.array(edges, np.int64).reshape(-1, 2))


def alike(found, one, other):
    """By the definition: the same number, or two numbers that an edge joins."""
    a, b = int(found.node[one]), int(found.node[other])
    return a >= 0 and b >= 0 and (a == b or [min(a, b), max(a, b)] in found.edges.tolist())


@given(found=some_doubles(), data=st.data())
def test_partner_is_the_first_post_of_a_loop(found, data):
    size = len(found.node)
    among = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    partner = found.partner(among)
    for post in range(size):
        others = [other for other in range(size) if other != post and among[other] and alike(found, post, other)]
        same = [other for other in others if found.node[other] == found.node[post]]
        if same:
            assert partner[post] in same
        else:
            assert partner[post] == (others[0] if others else -1)


@given(found=some_doubles())
def test_groups_are_those_of_a_walk(found):
    left, expected = set(range(len(found.node))), []
    for start in range(len(found.node)):
        group, new = set(), {start} & left
        while new:
            group |= new
            new = {other for post in new for other in left - group if alike(found, post, other)}
        left -= group
        if len(group) > 1:
            expected.append(sorted(group))
    assert [group.tolist() for group in found.groups()] == expected


@given(data=st.data(), size=st.integers(1, 9))
def test_whole_posts_are_alike_on_both_sides(data, size):
    texts = Doubles(data.draw(some_doubles(size)).node)
    pictures = data.draw(some_doubles(size))
    posts = both(texts, pictures)

    def side_alike(side, one, other):
        return alike(side, one, other) or side.node[one] == side.node[other] == -1

    for one, other in itertools.combinations(range(size), 2):
        blank = texts.node[one] == pictures.node[one] == -1
        expected = side_alike(texts, one, other) and side_alike(pictures, one, other) and not blank
        joined = alike(posts, one, other)
        assert joined == expected, (one, other)


def test_no_posts_and_nothing_to_compare():
    for node in (np.array([], np.int64), np.array([-1, -1])):
        found = both(Doubles(node), Doubles(node))
        assert found.groups() == [] and found.partner(node < 0).tolist() == [-1] * len(node)
