"""Intervals against formulas by hand and against drawing posts one by one."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from duosent.hub_cards.intervals import f1_intervals, kinds_of_confusion, kinds_of_posts, share_interval

CONFUSION = [[30, 25, 2], [1, 10, 0], [6, 3, 9]]


@pytest.mark.parametrize(("right", "n"), [(80, 100), (1, 3), (400, 400), (0, 7)])
def test_wilsons_interval(right, n):
    z, p = 1.959963984540054, right / n
    middle, half = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    expected = ((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n))
    assert share_interval(p, n) == pytest.approx(expected, abs=1e-9)


def posts_of(confusion) -> tuple[np.ndarray, np.ndarray]:
    kinds = [(true, answer) for true in range(3) for answer in range(3) for _ in range(confusion[true][answer])]
    return tuple(np.array(side) for side in zip(*kinds, strict=True))


def test_f1_intervals_are_those_of_drawing_posts():
    truth, answers = posts_of(CONFUSION)
    rng = np.random.default_rng(7)
    figures = {"macro_f1": [], "weighted_f1": [], "per_class": []}
    for _ in range(800):
        drawn = rng.integers(len(truth), size=len(truth))
        by_label = f1_score(truth[drawn], answers[drawn], average=None, labels=[0, 1, 2], zero_division=0)
        figures["macro_f1"].append(by_label.mean())
        figures["weighted_f1"].append(np.average(by_label, weights=np.bincount(truth[drawn], minlength=3)))
        figures["per_class"].append(by_label)
    given = f1_intervals(*kinds_of_confusion(CONFUSION))
    for name in ("macro_f1", "weighted_f1"):
        assert given[name] == pytest.approx(np.quantile(figures[name], [0.025, 0.975]), abs=0.02)
    for label in range(3):
        expected = np.quantile(np.array(figures["per_class"])[:, label], [0.025, 0.975])
        assert given["per_class"][label] == pytest.approx(expected, abs=0.04)


def test_several_labels_a_post():
    rng = np.random.default_rng(1)
    truth = rng.random((80, 3)) < 0.4
    answers = truth ^ (rng.random((80, 3)) < 0.2)
    figures = {"macro": [], "micro": []}
    for _ in range(500):
        drawn = rng.integers(80, size=80)
        for average, values in figures.items():
            values.append(f1_score(truth[drawn], answers[drawn], average=average, zero_division=0))
    given = f1_intervals(*kinds_of_posts(truth, answers), several=True)
    for average, values in figures.items():
        assert given[f"{average}_f1"] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.025)


def test_kinds_of_posts_are_those_of_the_confusion_matrix():
    truth, answers = posts_of(CONFUSION)
    by_posts = f1_intervals(*kinds_of_posts(np.eye(3, dtype=bool)[truth], np.eye(3, dtype=bool)[answers]))
    assert by_posts["macro_f1"] == pytest.approx(f1_intervals(*kinds_of_confusion(CONFUSION))["macro_f1"], abs=0.02)


def test_without_a_mistake_there_is_no_interval():
    given = f1_intervals(*kinds_of_confusion([[5, 0, 0], [0, 7, 0], [0, 0, 0]]))
    assert given == {"macro_f1": None, "weighted_f1": None, "per_class": [None, None, None]}


@given(st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=3, max_size=3))
def test_an_interval_is_one_of_shares(confusion):
    assume(np.sum(confusion) > 0)
    interval = f1_intervals(*kinds_of_confusion(confusion))["macro_f1"]
    if interval is not None:
        assert 0 <= interval[0] <= interval[1] <= 1
