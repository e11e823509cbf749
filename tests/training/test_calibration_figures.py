"""Calibration error, Brier score and likelihood, against cases worked by hand and plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.training.calibration_figures import (
    brier_score,
    calibration_error,
    calibration_figures,
    equal_mass_bins,
    outcomes,
    reliability,
)


def test_calibration_error_by_hand():
    # Bins of a fifth: 0.3 and 0.4 (its upper end) in one, 0.9 and 1.0 in another.
    confidence, right = np.array([0.3, 0.4, 0.9, 1.0]), np.array([True, False, True, True])
    bins = reliability(confidence, right, 5)
    assert [(row["n"], row["accuracy"]) for row in bins] == [(2, 0.5), (2, 1.0)]
    assert [row["confidence"] for row in bins] == pytest.approx([0.35, 0.95])
    assert calibration_error(bins) == pytest.approx((0.15 + 0.05) / 2)
    # Two bins of as many scores, whatever these are.
    assert calibration_error(equal_mass_bins(np.array([0.8, 0.9, 0.7, 1.0]), right, 2)) == pytest.approx(
        (abs(0.75 - 1.0) + abs(0.95 - 0.5)) / 2
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_by_plain_loops(posts):
    expected = 0.0
    for place in range(15):
        low, high = place / 15, (place + 1) / 15
        own = [(score, hit) for score, hit in posts if low < score <= high or (place == 0 and score == 0)]
        if own:
            expected += abs(sum(hit for _, hit in own) - sum(score for score, _ in own)) / len(posts)
    confidence, right = np.array([score for score, _ in posts]), np.array([hit for _, hit in posts])
    if not any(math.isclose(score * 15, round(score * 15)) for score, _ in posts):  # edges are rounded
        assert calibration_error(reliability(confidence, right)) == pytest.approx(expected, abs=1e-12)
    ordered, start, mass = sorted(posts, key=lambda post: post[0]), 0, 0.0
    for place in range(15):
        size = len(posts) // 15 + (place < len(posts) % 15)
        own, start = ordered[start : start + size], start + size
        mass += abs(sum(hit for _, hit in own) - sum(score for score, _ in own)) / len(posts)
    assert calibration_error(equal_mass_bins(confidence, right)) == pytest.approx(mass, abs=1e-12)


def test_figures_of_one_label_by_hand():
    logits = np.log([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    labels = np.array([1, 2])
    found = calibration_figures(logits, labels)
    brier = (0.5**2 + 0.75**2 + 0.25**2 + 0.125**2 + 0.125**2 + 0.25**2) / 2
    assert found["brier"] == pytest.approx(brier)
    assert found["nll"] == pytest.approx(-(math.log(0.25) + math.log(0.75)) / 2)
    assert found["ece"] == found["ece_equal_mass"] == pytest.approx((0.5 + 0.25) / 2)


def test_figures_of_several_labels_by_hand():
    logits = np.array([[math.log(3), 0.0]])  # scores 3/4 and 1/2
    labels = np.array([[1, 0]])
    found = calibration_figures(logits, labels)
    assert found["brier"] == pytest.approx((0.25**2 + 0.5**2) / 2)
    assert found["nll"] == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)
    assert found["ece"] == pytest.approx((0.25 + 0.5) / 2)
    scores, right = outcomes(np.array([[0.75, 0.5]]), labels)
    assert scores.tolist() == [0.75, 0.5] and right.tolist() == [True, False]


def test_a_perfect_answer_has_no_error():
    assert brier_score(np.eye(3), np.arange(3)) == 0.0
    assert brier_score(np.eye(2)[:, ::-1], np.arange(2)) == 2.0
    certain = calibration_figures(1e4 * np.eye(3), np.arange(3))
    assert certain == {"ece": 0.0, "ece_equal_mass": 0.0, "brier": 0.0, "nll": 0.0}
