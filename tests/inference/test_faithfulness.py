import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.inference.faithfulness import by_importance, faithfulness, units_of


def test_ten_units_worked_by_hand():
    """The first unit of the order is worth 0.6, the second 0.4, the others nothing."""
    worth = np.array([0.6, 0.4, *[0.0] * 8])
    [good, bad] = faithfulness(lambda shown: shown @ worth, np.stack([np.arange(10), np.arange(10)[::-1]]))
    # The score at 0, 10, 20, ... % hidden: 1, 0.4, 0, 0, ...; the trapezoids are 0.07 and 0.02.
    assert good.deletion == pytest.approx(0.09)
    # Shown: 0, 0.6, 1, 1, ...: 0.03 + 0.08 + 8 * 0.1.
    assert good.insertion == pytest.approx(0.91)
    # One unit at 1, 5 and 10 %, two at 20 %, five at 50 %.
    assert good.comprehensiveness == pytest.approx((3 * 0.6 + 2 * 1) / 5)
    assert good.sufficiency == pytest.approx((3 * 0.4 + 2 * 0) / 5)
    # Backwards the curves change places: hidden last is 1 up to 80 %, then 0.6 at 90 %, then 0.
    assert bad.deletion == pytest.approx(0.8 + 0.08 + 0.03)
    assert bad.insertion == pytest.approx(0.02 + 0.07)
    assert bad.comprehensiveness == pytest.approx(0)
    assert bad.sufficiency == pytest.approx(1)


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_against_one_version_after_the_other(units, seed):
    rng = np.random.default_rng(seed)
    order, worth = rng.permutation(units), rng.normal(size=units)

    def score(shown):
        return np.tanh(shown @ worth + shown.sum(axis=-1))

    [figures] = faithfulness(score, order[None])
    points = []
    for tenth in range(11):
        hidden = -(-tenth * units // 10)
        points.append(
            [score(~np.isin(np.arange(units), order[:hidden])), score(np.isin(np.arange(units), order[:hidden]))]
        )
    areas = [sum((points[i][side] + points[i + 1][side]) / 20 for i in range(10)) for side in (0, 1)]
    assert [figures.deletion, figures.insertion] == pytest.approx(areas, abs=1e-9)
    drops = [[], []]
    for hundredths in (1, 5, 10, 20, 50):
        some = np.isin(np.arange(units), order[: -(-hundredths * units // 100)])
        drops[0].append(score(np.ones(units, bool)) - score(~some))
        drops[1].append(score(np.ones(units, bool)) - score(some))
    assert [figures.comprehensiveness, figures.sufficiency] == pytest.approx(np.mean(drops, axis=1).tolist(), abs=1e-9)


def test_each_version_is_asked_for_once():
    asked = []
    faithfulness(lambda shown: asked.extend(map(tuple, shown)) or shown.sum(axis=1), np.stack([np.arange(4)] * 3))
    assert len(asked) == len(set(asked))


def test_a_share_above_none_is_one_unit_at_least():
    assert units_of(np.array([0, 0.01, 0.3, 1]), 10).tolist() == [0, 1, 3, 10]


def test_equal_scores_are_in_drawn_order():
    orders = {tuple(by_importance(np.array([1.0, 2.0, 1.0, 1.0]), np.random.default_rng(seed))) for seed in range(99)}
    assert {order[0] for order in orders} == {1}
    assert len(orders) == 6
