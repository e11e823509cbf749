"""The arithmetic of comparisons, against scikit-learn, full enumerations, sums and textbook tables."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import binom
from sklearn.metrics import accuracy_score, f1_score

from duosent.inference.significance import (
    RunFigures,
    bootstrap_p_value,
    combined_p_value,
    holm,
    mcnemar,
    percentile_interval,
    resampled_posts,
)


def one_hot(indices, labels: int) -> np.ndarray:
    return np.asarray(indices)[..., None] == np.arange(labels)


def by_scikit_learn(truth, answers) -> dict[str, float]:
    return {
        "accuracy": accuracy_score(truth, answers),
        "macro_f1": f1_score(truth, answers, average="macro", zero_division=0),
        "weighted_f1": f1_score(truth, answers, average="weighted", zero_division=0),
    }


@given(st.data())
def test_weighted_posts_are_posts_that_stand_there_so_often(data):
    """Single labels, of which some are missing in many resamples."""
    posts, runs = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 3))
    labels = st.integers(0, 3)
    truth = data.draw(arrays.arrays(int, posts, elements=labels))
    answers = data.draw(arrays.arrays(int, (runs, posts), elements=labels))
    weights = data.draw(arrays.arrays(int, (2, posts), elements=st.integers(0, 3)))
    weights[:, 0] += 1
    figures = RunFigures(one_hot(truth, 4), one_hot(answers, 4))(weights.astype(np.float32))
    for row, run in itertools.product(range(2), range(runs)):
        wanted = by_scikit_learn(np.repeat(truth, weights[row]), np.repeat(answers[run], weights[row]))
        assert {name: values[row, run] for name, values in figures.items()} == pytest.approx(wanted, abs=1e-12)


@given(st.data())
def test_several_labels_a_post(data):
    posts = data.draw(st.integers(1, 6))
    truth = data.draw(arrays.arrays(bool, (posts, 3)))
    answers = data.draw(arrays.arrays(bool, (2, posts, 3)))
    weights = data.draw(arrays.arrays(int, (1, posts), elements=st.integers(1, 3)))
    figures = RunFigures(truth, answers, several=True)(weights.astype(np.float32))
    for run in range(2):
        repeated = np.repeat(truth, weights[0], axis=0), np.repeat(answers[run], weights[0], axis=0)
        wanted = by_scikit_learn(*repeated)
        assert {name: values[0, run] for name, values in figures.items()} == pytest.approx(wanted, abs=1e-12)


def test_resamples_are_drawn_as_often_as_an_enumeration_says():
    """Three posts: 27 equally likely draws, 10 different ones but for their order."""
    posts, resamples = 3, 27_000
    drawn = Counter(
        tuple(row) for weights in resampled_posts(posts, resamples, seed=1) for row in weights.astype(int).tolist()
    )
    every = Counter(tuple(draw.count(post) for post in range(3)) for draw in itertools.product(range(3), repeat=3))
    assert drawn.keys() == every.keys() and sum(drawn.values()) == resamples
    for weights, count in every.items():
        p = count / 27
        assert abs(drawn[weights] - resamples * p) < 5 * math.sqrt(resamples * p * (1 - p)), weights


def test_the_bootstrap_of_a_tiny_set_meets_its_enumeration():
    """The share of resamples at each value of macro F1, over all 4^4 draws."""
    truth, answers = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    every = Counter()
    for draw in itertools.product(range(4), repeat=4):
        figure = f1_score(truth[list(draw)], answers[list(draw)], average="macro", zero_division=0)
        every[round(figure, 9)] += 1 / 4**4
    values = RunFigures(one_hot(truth, 2), one_hot(answers, 2)[None]).resampled(20_000, seed=0)["macro_f1"][:, 0]
    drawn = Counter(np.round(values, 9).tolist())
    assert drawn.keys() == every.keys()
    for value, p in every.items():
        assert abs(drawn[value] / 20_000 - p) < 5 * math.sqrt(p * (1 - p) / 20_000)


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    """A resample's count of right answers is binomial."""
    truth = np.zeros(500, int)
    answers = (np.arange(500) < 120).astype(int)  # 380 of 500 are right
    values = RunFigures(one_hot(truth, 2), one_hot(answers, 2)[None]).resampled(20_000, seed=3)["accuracy"][:, 0]
    low, high = percentile_interval(values)
    assert low == pytest.approx(binom.ppf(0.025, 500, 0.76) / 500, abs=1.01 / 500)
    assert high == pytest.approx(binom.ppf(0.975, 500, 0.76) / 500, abs=1.01 / 500)
    assert values.mean() == pytest.approx(0.76, abs=0.001)


def test_every_run_meets_the_same_samples_however_many_runs_there_are():
    rng = np.random.default_rng(0)
    truth, answers = one_hot(rng.integers(3, size=40), 3), one_hot(rng.integers(3, size=(3, 40)), 3)
    together = RunFigures(truth, answers).resampled(300, seed=5)
    for run in range(3):
        alone = RunFigures(truth, answers[run : run + 1]).resampled(300, seed=5)
        for name, values in alone.items():
            assert np.array_equal(values[:, 0], together[name][:, run])


def test_the_observed_figures_count_each_post_once():
    truth, answers = np.array([0, 1, 2, 2, 1]), np.array([[0, 1, 1, 2, 0], [0, 1, 2, 2, 1]])
    observed = RunFigures(one_hot(truth, 3), one_hot(answers, 3)).observed()
    for run in range(2):
        assert {name: values[run] for name, values in observed.items()} == pytest.approx(
            by_scikit_learn(truth, answers[run])
        )


def test_percentile_interval():
    assert percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))


def test_bootstrap_p_value():
    # 3 of 99 resamples at or below zero: 2 * 4 / 100.
    differences = np.array([-1.0, -0.5, 0.0] + [1.0] * 96)
    assert bootstrap_p_value(differences) == pytest.approx(0.08)
    assert bootstrap_p_value(-differences) == pytest.approx(0.08)
    assert bootstrap_p_value(np.ones(99)) == pytest.approx(2 / 100)
    assert bootstrap_p_value(np.array([1e-17, -1e-17, 0.0])) == 1


def two_sided_sum(first: int, second: int) -> float:
    total, smaller = first + second, min(first, second)
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(smaller + 1)) / 2**total)


@pytest.mark.parametrize(("first_only", "second_only"), [(1, 5), (5, 1), (3, 3), (0, 4), (0, 1), (10, 20), (86, 150)])
def test_mcnemar_is_the_binomial_sum(first_only, second_only):
    first = np.array([True] * first_only + [False] * second_only + [True, False, False])
    second = np.array([False] * first_only + [True] * second_only + [True, False, False])
    result = mcnemar(first, second)
    assert result[:2] == (first_only, second_only)
    assert result.p == pytest.approx(two_sided_sum(first_only, second_only), rel=1e-9)


def test_mcnemar_by_hand_and_on_a_textbook_table():
    first, second = np.array([True] + [False] * 5), np.array([False] + [True] * 5)
    assert mcnemar(first, second).p == pytest.approx(14 / 64)  # 2 (1 + 6) / 2^6
    # Agresti, Categorical Data Analysis: approval of a prime minister, 86 and 150 of 1600 changed their minds;
    # the statistic is 17.36 without and 63^2 / 236 with the correction for continuity.
    corrected = math.erfc(math.sqrt(63**2 / 236 / 2))
    table = np.repeat([[True, True], [False, True], [True, False], [False, False]], [794, 86, 150, 570], axis=0)
    assert mcnemar(table[:, 0], table[:, 1]).p == pytest.approx(corrected, rel=0.15)


@given(arrays.arrays(bool, st.tuples(st.just(2), st.integers(1, 30))), st.randoms())
def test_mcnemar_sees_neither_order_nor_side(right, random):
    order = list(range(right.shape[1]))
    random.shuffle(order)
    result, swapped = mcnemar(*right), mcnemar(right[1], right[0])
    assert mcnemar(*right[:, order]) == result
    assert swapped == (result.second_only, result.first_only, result.p)
    assert mcnemar(right[0], right[0]) == (0, 0, 1.0)


def test_combined_p_value():
    assert combined_p_value(np.array([0.03])) == 0.03
    assert combined_p_value(np.array([0.5, 0.01, 0.02])) == pytest.approx(0.02 * 3 / 2)
    assert combined_p_value(np.array([0.04, 0.01, 0.5, 0.02])) == pytest.approx(0.02 * 4 / 2)
    assert combined_p_value(np.array([0.9, 0.8])) == 1


def test_holm_by_hand():
    # 4 * 0.005, 3 * 0.01, 2 * 0.03; 1 * 0.04 must not be below its forerunner.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1, 1])
    assert len(holm(np.array([]))) == 0


@given(arrays.arrays(float, st.integers(1, 8), elements=st.floats(0, 1)))
def test_holm_rejects_what_the_procedure_step_by_step_rejects(p_values):
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all()
    for level in (0.01, 0.05, 0.3):
        rejected, remaining = set(), sorted(range(len(p_values)), key=lambda place: p_values[place])
        while remaining and p_values[remaining[0]] * len(remaining) <= level:
            rejected.add(remaining.pop(0))
        assert set(np.flatnonzero(adjusted <= level)) == rejected
