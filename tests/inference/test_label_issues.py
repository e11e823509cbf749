"""Wrong labels that were planted are found, and right ones mostly are not."""

import numpy as np
import pytest

from duosent.inference.answered_posts import AnsweredPosts
from duosent.inference.label_issues import label_issues

LABELS = ["sad", "calm", "glad"]


def scored(labels: np.ndarray, seed: int, classes: int = 3) -> np.ndarray:
    """Scores of a model that is mostly right and mostly sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(labels), classes)) + 6 * np.eye(classes)[labels]
    scores = np.exp(logits)
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def one_label(given: np.ndarray, scores: np.ndarray, places: np.ndarray) -> AnsweredPosts:
    flags = np.eye(3, dtype=bool)
    return AnsweredPosts(LABELS, False, places, flags[given], flags[scores.argmax(axis=1)], scores)


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True labels, labels of which every tenth is wrong, and scores."""
    truth = np.random.default_rng(0).integers(3, size=300)
    given = np.where(np.arange(300) % 10 == 0, (truth + 1) % 3, truth)
    return truth, given, scored(truth, 1)


def test_planted_wrong_labels_are_found(planted):
    truth, given, scores = planted
    places = np.arange(300) * 2  # of a part in which every other post has no label
    issues = label_issues(one_label(given, scores, places))
    found = {issue["place"] for issue in issues}
    wrong = {int(place) for place in places[given != truth]}
    assert len(found & wrong) >= 0.9 * len(wrong) and len(found - wrong) <= 5
    worst = issues[0]
    assert worst["place"] in wrong and worst["suggested"] == LABELS[truth[worst["place"] // 2]]
    quality = [issue["quality"] for issue in issues]
    assert quality == sorted(quality) and quality[0] < 0.05
    # The quality of a label is its own score.
    for issue in issues:
        post = issue["place"] // 2
        assert issue["quality"] == pytest.approx(scores[post, given[post]], abs=1e-6)


def test_right_labels_of_a_good_model_are_not_suspicious(planted):
    truth, _, scores = planted
    assert len(label_issues(one_label(truth, scores, np.arange(300)))) <= 5


def test_the_order_of_posts_is_of_no_account(planted):
    _, given, scores = planted
    order = np.random.default_rng(2).permutation(300)
    assert label_issues(one_label(given[order], scores[order], order)) == label_issues(
        one_label(given, scores, np.arange(300))
    )


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_label_without_posts_takes_no_part(planted, absent):
    truth, given, scores = planted
    kept = (truth != absent) & (given != absent)
    issues = label_issues(one_label(given[kept], scores[kept], np.flatnonzero(kept)))
    wrong = set(np.flatnonzero(kept & (given != truth)).tolist())
    found = {issue["place"] for issue in issues}
    assert found and found <= wrong


def test_several_labels_a_post():
    truth = np.random.default_rng(3).random((200, 3)) < 0.5
    given = truth.copy()
    given[::10, 1] = ~given[::10, 1]
    scores = np.where(truth, 0.95, 0.05)
    issues = label_issues(AnsweredPosts(LABELS, True, np.arange(200), given, truth, scores))
    assert {issue["place"] for issue in issues} == set(range(0, 200, 10))
    assert issues[0]["suggested"] == (
        ", ".join(name for name, has in zip(LABELS, truth[issues[0]["place"]], strict=True) if has) or "none"
    )
