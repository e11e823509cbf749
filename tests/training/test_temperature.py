"""Temperature, label sets and abstaining, against grids, cases worked by hand and many made-up draws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.training.temperature import CONFIDENCES, abstain_threshold, fit_temperature, set_thresholds


def loss_of_one(logits, labels, temperature) -> float:
    """Mean negative log-likelihood by plain loops."""
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        scaled = [logit / temperature for logit in row]
        top = max(scaled)
        total += top + math.log(sum(math.exp(value - top) for value in scaled)) - scaled[label]
    return total / len(labels)


def loss_of_several(logits, labels, temperature) -> float:
    total = 0.0
    for logit, label in zip(logits.ravel().tolist(), labels.ravel().tolist(), strict=True):
        away = (-logit if label else logit) / temperature
        total += max(away, 0) + math.log1p(math.exp(-abs(away)))
    return total / logits.size


def test_by_hand_scores_become_the_share_that_is_right():
    # Three of four answers are right, so the best score of an answer is 3/4: a gap of log 3, and it is 2 log 3.
    logits = np.array([[2 * math.log(3), 0.0]] * 4)
    assert fit_temperature(logits, np.array([0, 0, 1, 0])) == pytest.approx(2, abs=1e-12)
    several = np.array([[4 * math.log(3), -4 * math.log(3)]] * 2)
    assert fit_temperature(several, np.array([[1, 0], [1, 1]])) == pytest.approx(4, abs=1e-12)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.05, 30), several=st.booleans())
def test_no_other_temperature_is_better(seed, scale, several):
    draws = np.random.default_rng(seed)
    logits = draws.normal(size=(30, 4))
    if several:
        labels, loss = (logits + draws.logistic(size=logits.shape) > 0).astype(int), loss_of_several
        labels[0], logits[0] = [0, 1, 0, 1], [1, -1, -1, 1]
    else:
        labels, loss = (logits + draws.gumbel(size=logits.shape)).argmax(axis=1), loss_of_one
        labels[:2], logits[:2] = [0, 1], [0.5, 1, 0, 0]
    logits *= scale
    try:
        found = fit_temperature(logits, labels)
    except ValueError as error:  # then hotter is better up to the end of the grid
        assert "say nothing" in str(error)
        found = math.inf
    grid = np.geomspace(scale / 50, scale * 50, 200)
    best = min(grid, key=lambda temperature: loss(logits, labels, temperature))
    if found == math.inf:
        assert best == grid[-1]
    else:
        assert loss(logits, labels, found) <= loss(logits, labels, best) + 1e-12
        assert fit_temperature(3 * logits, labels) == pytest.approx(3 * found, rel=1e-9)
        order = draws.permutation(30)
        assert fit_temperature(logits[order], labels[order]) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "needs posts with a label, got none"),
        (np.eye(2), np.array([1, 1]), "got one label only"),
        (np.eye(2), np.zeros((2, 2), int), "got one label only"),
        (np.eye(3), np.arange(3), "every answer is right"),
        (np.array([[2.0, -1.0], [-1.0, 2.0]]), np.eye(2, dtype=int), "every answer is right"),
        (np.eye(2), np.array([1, 0]), "say nothing of the labels"),
        (np.zeros((2, 2)), np.array([1, 0]), "say nothing of the labels"),
    ],
)
def test_where_no_temperature_is_best(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, labels)


def test_set_thresholds_by_hand():
    # Four posts, true labels scored 0.9, 0.6, 0.5, 0.2: the ceil(5 c)-th highest.
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.8, 0.2]])
    found = set_thresholds(scores, np.array([0, 1, 0, 1]))
    assert found[50] == found[60] == 0.5
    assert found[61] == found[80] == 0.2
    assert max(found) == 80  # five ranks of four posts: nothing is known above
    assert list(found) == [percent for percent in CONFIDENCES if percent <= 80]


def test_sets_hold_the_true_label_as_often_as_asked():
    """Over draws of 49 posts and a new one; the scores are not those that the labels are drawn by."""
    draws = np.random.default_rng(0)
    rounds, covered = 2500, dict.fromkeys((50, 73, 90, 95), 0)
    for _ in range(rounds):
        scores = draws.dirichlet([0.5, 1.0, 2.0], size=50)
        labels = (2 * np.log(scores) + draws.gumbel(size=(50, 3))).argmax(axis=1)
        thresholds = set_thresholds(scores[:49], labels[:49])
        for percent in covered:
            covered[percent] += scores[49, labels[49]] >= thresholds[percent]
    for percent, hits in covered.items():
        expected = math.ceil(50 * percent / 100) / 50  # exact where no scores are equal
        assert expected >= percent / 100
        assert abs(hits / rounds - expected) < 4 * math.sqrt(expected * (1 - expected) / rounds)


def test_abstain_threshold_by_hand():
    confidence = np.array([0.5, 0.9, 0.7, 0.8, 0.6])
    right = np.array([False, True, False, True, True])  # by falling score: 1, 1, 2/3, 3/4, 3/5
    assert abstain_threshold(confidence, right, 1.0) == 0.8
    assert abstain_threshold(confidence, right, 0.75) == 0.6
    assert abstain_threshold(confidence, right, 0.6) == 0.0
    assert abstain_threshold(confidence, ~right, 0.9) is None
    # Equal scores stand or fall together: the right one of two at 0.9 alone would do.
    assert abstain_threshold(np.array([0.9, 0.9]), np.array([True, False]), 0.8) is None


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=12), st.floats(0.05, 1))
def test_no_smaller_score_reaches_the_target(posts, target):
    confidence, right = np.array([score / 8 for score, _ in posts]), np.array([hit for _, hit in posts])

    def accuracy(threshold):
        hits = [hit for score, hit in zip(confidence, right, strict=True) if score >= threshold]
        return sum(hits) / len(hits) if hits else 0.0

    reaching = [score for score in [0.0, *confidence] if accuracy(score) >= target]
    assert abstain_threshold(confidence, right, target) == (
        None if not reaching else 0.0 if min(reaching) <= min(confidence) else min(reaching)
    )
