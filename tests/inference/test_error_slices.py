"""Slices against plain loops over the posts; every post lies in exactly one."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.inference.error_slices import (
    by_doubles,
    by_length,
    by_side_answers,
    by_side_labels,
    length_edges,
    word_counts,
)

TEXTS = st.lists(st.none() | st.text(alphabet="ab \n", max_size=12), min_size=1, max_size=40)
LABEL = st.none() | st.just(-100) | st.integers(0, 2)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson (1927), by hand."""
    z, p = 1.959963984540054, right / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def check_partition(slicing, posts: int) -> None:
    """Each post has one slice, and the slices' figures count each post once."""
    assert slicing.place.shape == (posts,)
    assert ((slicing.place >= 0) & (slicing.place < len(slicing.names))).all()
    assert len(set(slicing.names)) == len(slicing.names)
    right = np.arange(posts) % 3 == 0
    slices = slicing.figures(right)["slices"]
    assert sum(row["n"] for row in slices.values()) == posts
    assert sum(row["right"] for row in slices.values()) == right.sum()


@given(TEXTS)
def test_slices_by_length_part_the_posts(texts):
    words = word_counts(texts)
    slicing = by_length(words, length_edges(words))
    check_partition(slicing, len(texts))
    for text, place in zip(texts, slicing.place, strict=True):
        count, name = len((text or "").split()), slicing.names[place]
        if count == 0:
            assert name == "no words"
        elif "or more" in name:
            assert count >= int(name.split()[0])
        elif "to" in name:
            low, high = int(name.split()[0]), int(name.split()[2])
            assert low <= count <= high
        else:
            assert count == int(name.split()[0])


@given(TEXTS, TEXTS)
def test_other_posts_are_cut_where_these_were(texts, others):
    """Longer and shorter posts than any before have their slices too."""
    slicing = by_length(word_counts(others), length_edges(word_counts(texts)))
    check_partition(slicing, len(others))


def test_slices_by_length_hold_about_as_many_posts_each():
    words = np.random.default_rng(0).permutation(np.arange(1, 101))
    edges = length_edges(words)
    assert edges == [25, 50, 75]
    assert np.bincount(by_length(words, edges).place).tolist() == [0, 25, 25, 25, 25]
    assert by_length(words, edges).names == [
        "no words", "1 to 25 words", "26 to 50 words", "51 to 75 words", "76 or more words",
    ]  # fmt: skip


def test_many_texts_of_one_length_are_one_slice():
    assert length_edges(np.array([4] * 50 + [9])) == [4]
    assert length_edges(np.array([4] * 50)) == length_edges(np.array([0, 0])) == []
    assert by_length(np.array([0, 4]), []).names == ["no words", "1 or more words"]
    assert by_length(np.array([1, 2]), [1]).names == ["no words", "1 word", "2 or more words"]


@given(st.lists(st.tuples(st.integers(0, 2), LABEL, LABEL), min_size=1, max_size=30))
def test_slices_by_labels_of_the_sides_equal_a_plain_loop(posts):
    slicing = by_side_labels(*map(list, zip(*posts, strict=True)))
    check_partition(slicing, len(posts))
    expected = []
    for post, text, image in posts:
        if text is None or image is None or text < 0 or image < 0:
            expected.append("not known of both")
        elif text == image:
            expected.append("they agree")
        elif post == text:
            expected.append("they differ, post as words")
        elif post == image:
            expected.append("they differ, post as picture")
        else:
            expected.append("they differ, post as neither")
    assert [slicing.names[place] for place in slicing.place] == expected


def test_sets_of_labels_agree_whatever_their_order():
    slicing = by_side_labels([[0], [0, 1]], [[1, 0], [0, 1]], [[0, 1], [1]])
    assert slicing.place.tolist() == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=30))
def test_slices_by_own_answers_equal_a_plain_loop(posts):
    text, image = (np.eye(3, dtype=bool)[[post[side] for post in posts]] for side in (0, 1))
    slicing = by_side_answers(text, image, np.array([post[2] for post in posts]))
    check_partition(slicing, len(posts))
    expected = [
        "one side only" if not both else "the same answer" if a == b else "different answers" for a, b, both in posts
    ]
    assert [slicing.names[place] for place in slicing.place] == expected


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_figures_equal_a_plain_loop(posts):
    doubled, right = (np.array(column) for column in zip(*posts, strict=True))
    slicing = by_doubles(doubled, "train")
    check_partition(slicing, len(posts))
    found = slicing.figures(right)
    names = {True: "doubled in training", False: "new to the model"}
    counted = Counter(names[double] for double, _ in posts)
    assert {name: row["n"] for name, row in found["slices"].items()} == dict(counted)
    for name, row in found["slices"].items():
        hits = sum(1 for double, good in posts if names[double] == name and good)
        assert row["right"] == hits and row["accuracy"] == hits / row["n"]
        assert (row["low"], row["high"]) == pytest.approx(wilson(hits, row["n"]), abs=1e-9)


@given(st.permutations(range(12)))
def test_the_order_of_posts_is_of_no_account(order):
    words, right = np.arange(12) % 5, np.arange(12) % 2 == 0
    edges = length_edges(words)
    assert length_edges(words[order]) == edges
    there = by_length(words, edges).figures(right)
    assert by_length(words[order], edges).figures(right[order]) == there
    assert by_length(words, edges).of(np.array(order)).figures(right[order]) == there
