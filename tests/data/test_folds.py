"""Folds: every post held out once, labels spread, doubles together."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
from hypothesis import given
from hypothesis import strategies as st

from duosent.data.folds import Fold, fold_numbers, held_out
from duosent.data.reading import DataError

LABELS = ["a", "b", "c"]


def posts(labels: list, texts: list | None = None, pictures: list | None = None, prefix: str = "p") -> Dataset:
    several = any(isinstance(label, list) for label in labels)
    kind = ClassLabel(names=LABELS)
    features = {"id": Value("string"), "text": Value("string"), "image": Image(decode=False)}
    features["label"] = List(kind) if several else kind
    size = range(len(labels))
    columns = {
        "id": [f"{prefix}{n}" for n in size],
        "text": texts or [f"{prefix} number {n}" for n in size],
        "image": [cell and {"bytes": cell, "path": None} for cell in pictures or [None] * len(labels)],
        "label": labels,
    }
    return Dataset.from_dict(columns, features=Features(features))


@given(st.lists(st.integers(0, 2), min_size=9, max_size=40), st.integers(2, 3), st.integers(0, 5))
def test_labels_are_spread_evenly(labels, folds, seed):
    """No fold has more than one post of a label more than another fold."""
    numbers = fold_numbers(posts(labels), folds, seed)
    assert set(numbers) == set(range(1, folds + 1))
    for label in set(labels):
        counts = np.bincount(numbers[np.array(labels) == label], minlength=folds + 1)[1:]
        assert counts.max() - counts.min() <= 1
    assert np.array_equal(numbers, fold_numbers(posts(labels), folds, seed))


def test_another_seed_deals_out_otherwise():
    rows = posts([0, 1, 2] * 8)
    assert not np.array_equal(fold_numbers(rows, 4, 0), fold_numbers(rows, 4, 1))


def test_every_post_of_train_and_validation_is_held_out_once_and_test_stays():
    splits = DatasetDict(
        train=posts([0, 1, 2] * 5), validation=posts([2, 1, 0], prefix="v"), test=posts([0, 0], prefix="t")
    )
    held = []
    for number in range(1, 4):
        parts = held_out(splits, Fold(number, 3, seed=7))
        assert parts["test"]["id"][:] == splits["test"]["id"][:]
        here, rest = parts["validation"]["id"][:], parts["train"]["id"][:]
        assert sorted([*here, *rest]) == sorted([*splits["train"]["id"], *splits["validation"]["id"]])
        assert len(here) == 6 and sorted(parts["validation"]["label"]) == [0, 0, 1, 1, 2, 2]
        held += here
    assert len(held) == len(set(held)) == 18
    assert "test" not in held_out(DatasetDict(train=splits["train"]), Fold(1, 3))


def test_doubles_stay_in_one_fold():
    """0 and 1 share their words, 1 and 2 their picture; 3 and 4 differ in a link alone; 5 and 6 have no words."""
    texts = ["one", "ONE!", "two", "three http://t.co/a", "three", "", None, *(f"else {n}" for n in range(13))]
    pictures = [b"x", b"y", b"y", None, None, b"u", b"v", *(bytes([n]) for n in range(13))]
    rows = posts([0, 1] * 10, texts, pictures)
    apart = set()
    for seed in range(20):
        numbers = fold_numbers(rows, 4, seed)
        assert len(set(numbers[:3])) == len(set(numbers[3:5])) == 1
        assert set(np.bincount(numbers)[1:]) <= {4, 5, 6}
        apart.add(numbers[5] != numbers[6])
    assert apart == {True, False}


def test_what_hangs_together_by_more_than_a_fold_is_kept_by_both_sides_alone(caplog):
    """All have one picture; only the first two have the same words too."""
    rows = posts([0, 1] * 4, ["same", "same", *(f"else {n}" for n in range(6))], [b"x"] * 8)
    numbers = fold_numbers(rows, 4, 0)
    assert numbers[0] == numbers[1] and set(numbers) == {1, 2, 3, 4}
    assert "8 posts hang together by the same texts or pictures, more than the 2 of a fold" in caplog.text


def test_several_labels_and_none():
    numbers = fold_numbers(posts([[0, 1], [0, 1], [2], [2], [], []]), 2, 0)
    assert [sorted(numbers[start : start + 2]) for start in (0, 2, 4)] == [[1, 2]] * 3
    assert len(fold_numbers(posts([0, 0, None, None]), 2, 0)) == 4


def test_what_cannot_be():
    for make, message in [
        (lambda: Fold(1, 1), "folds must be >= 2, got 1."),
        (lambda: Fold(0, 5), "fold must be from 1 to 5, got 0."),
        (lambda: fold_numbers(posts([0, 1, 0, 1]), 3, 0), "at most 2, the number of posts of the commonest label,"),
        (
            lambda: fold_numbers(posts([0] * 4, ["same"] * 4), 3, 0),
            "at most 1, the number of posts without their doubles, got 3.",
        ),
        (lambda: held_out({"train": posts([0, 1]).remove_columns("label")}, Fold(1, 2)), "must go with posts that"),
    ]:
        with pytest.raises((DataError, ValueError)) as error:
            make()
        assert message in str(error.value)
