"""Which columns hold labels, and which column fixes which."""

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from duosent.data.label_columns import find_label_columns, fixed_by, known_labels, label_order, read_labels


def table(**columns):
    return Dataset.from_dict(columns)


def test_columns_that_look_like_labels():
    rows = 120
    splits = DatasetDict(
        train=table(
            text=["a", "b"] * 60,
            label=[f"own {i}" for i in range(rows)],  # by its name alone
            mood=["glad", "sad", None] * 40,
            stars=[1, 2, 3, 4] * 30,
            ironic=[True, False] * 60,
            many=[["joy"], ["joy", "hope"], [], None] * 30,
            tags=["joy|hope", "joy"] * 60,
            title=[f"title {i % 51}" for i in range(rows)],
            fifty=[f"{i % 50}" for i in range(rows)],
            source=["web"] * rows,
            sparse=["a", "b", "a"] + [None] * 117,
            score=[0.5, 0.7] * 60,
            id=["x", "y"] * 60,
        )
    )
    found = ["label", "mood", "stars", "ironic", "many", "tags", "fifty"]
    assert find_label_columns(splits, {"text", "id"}) == found
    assert find_label_columns(splits, {"text", "id", "mood"}) == [name for name in found if name != "mood"]


def test_two_rows_or_more_for_each_label():
    splits = DatasetDict(train=table(four=["a", "b", "a", "b"], few=["a", "b", "c", "a"]))
    assert find_label_columns(splits, set()) == ["four"]
    splits["test"] = table(few=["a", "b"], other=["a", "a"])
    assert find_label_columns(splits, set()) == ["four", "few"]
    # Each alone has one value; together two.
    splits = DatasetDict(train=table(part=["a", "a"]), test=table(part=["b", "b"]))
    assert find_label_columns(splits, set()) == ["part"]


def test_a_class_label_is_one_whatever_its_size():
    features = Features({"kind": ClassLabel(names=[f"n{i}" for i in range(99)])})
    rows = Dataset.from_dict({"kind": [3, 98, -1, None]}, features=features)
    assert find_label_columns(DatasetDict(train=rows), set()) == ["kind"]
    assert read_labels(rows, "kind") == [("n3",), ("n98",), None, None]
    assert len(known_labels(rows, "kind", read_labels(rows, "kind"))) == 99


@pytest.mark.parametrize(
    ("kind", "cells", "separator", "expected"),
    [
        (Value("string"), ["sad", None, "", "a|b"], None, [("sad",), None, None, ("a|b",)]),
        (Value("string"), ["b|a", " a | a ", "|", None], "|", [("a", "b"), ("a",), None, None]),
        (Value("string"), ["007", "-3", "²"], None, [("7",), ("-3",), ("²",)]),
        (Value("int64"), [2, None], None, [("2",), None]),
        (Value("bool"), [True, False], None, [("True",), ("False",)]),
        (List(Value("string")), [["b", "a"], [], None, [None, "a"]], None, [("a", "b"), (), None, ("a",)]),
        (List(ClassLabel(names=["x", "y"])), [[1, 0], []], None, [("x", "y"), ()]),
    ],
)
def test_labels_of_every_kind(kind, cells, separator, expected):
    rows = Dataset.from_dict({"mood": cells}, features=Features({"mood": kind}))
    assert read_labels(rows, "mood", separator) == expected
    assert read_labels(rows, "no such column") == [None] * len(cells)


def test_order_of_labels():
    assert label_order({"10", "9", "-1"}) == ["-1", "9", "10"]
    assert label_order({"b", "a", "10"}) == ["10", "a", "b"]
    assert known_labels(table(mood=["b", "a", None]), "mood", [("b",), ("a",), None]) == ["a", "b"]


def by_a_plain_loop(one, other):
    """Every two rows that are filled: the same here must be the same there."""
    rows = [(here, there) for here, there in zip(one, other, strict=True) if here is not None and there is not None]
    for here, there in rows:
        for here_too, there_too in rows:
            if here == here_too and there != there_too:
                return None
    return dict(rows) if len({there for _, there in rows}) >= 2 else None


cells = st.none() | st.sampled_from([(), ("a",), ("b",), ("a", "b")])


@given(rows=st.lists(st.tuples(cells, cells), max_size=7))
def test_what_one_column_says_of_another(rows):
    one, other = [here for here, _ in rows], [there for _, there in rows]
    assert fixed_by(one, other) == by_a_plain_loop(one, other)


def test_emotion_fixes_sentiment_and_not_the_other_way():
    emotion, sentiment = [("joy",), ("anger",), ("fear",)], [("good",), ("bad",), ("bad",)]
    assert fixed_by(emotion, sentiment) == {("joy",): ("good",), ("anger",): ("bad",), ("fear",): ("bad",)}
    assert fixed_by(sentiment, emotion) is None
    assert fixed_by(emotion, [("good",)] * 3) is None  # what never varies is fixed by everything
