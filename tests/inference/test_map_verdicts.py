import numpy as np
import pytest

from duosent.inference.faithfulness import Faithfulness
from duosent.inference.map_verdicts import Trial, verdicts

CHANCE = Faithfulness(deletion=0.5, insertion=0.5, comprehensiveness=0.2, sufficiency=0.3)


def trials(deletion, insertion, seed=0, n=40, noise=0.05, controls=("random",), **known):
    rng = np.random.default_rng(seed)
    return [
        Trial(
            Faithfulness(deletion + drawn[0], insertion + drawn[1], 0.4, 0.1),
            dict.fromkeys(controls, CHANCE),
            **{name: values[post] for name, values in known.items()},
        )
        for post, drawn in enumerate(rng.normal(scale=noise, size=(n, 2)))
    ]


def test_a_map_that_beats_chance_on_both_curves_is_trusted():
    [entry] = verdicts({("importance", "words"): trials(0.4, 0.6)}, seed=0)
    assert (entry["map"], entry["side"], entry["n"]) == ("importance", "words", 40)
    assert entry["trusted"] and entry["why"] == []
    # Small is good for deletion and sufficiency: each gain is positive.
    gains = entry["gains"]["random"]
    assert gains["deletion"]["mean"] == pytest.approx(0.5 - entry["figures"]["deletion"])
    assert gains["insertion"]["mean"] == pytest.approx(entry["figures"]["insertion"] - 0.5)
    assert gains["comprehensiveness"]["mean"] == pytest.approx(0.2)
    assert gains["sufficiency"]["mean"] == pytest.approx(0.2)
    for figure in ("deletion", "insertion"):
        assert 0 < gains[figure]["low"] < gains[figure]["mean"] < gains[figure]["high"]


@pytest.mark.parametrize(("deletion", "insertion", "failed"), [(0.5, 0.6, "deletion"), (0.4, 0.4, "insertion")])
def test_one_curve_is_not_enough(deletion, insertion, failed):
    [entry] = verdicts({("importance", "words"): trials(deletion, insertion)}, seed=0)
    assert not entry["trusted"]
    assert entry["why"] == [f"Its {failed} is not better than that of random orders."]


def test_a_map_must_beat_edges_too():
    of_edges = trials(0.4, 0.6, controls=("random", "edges"))
    better = Faithfulness(0.2, 0.8, 0, 0)
    of_edges = [Trial(trial.figures, trial.controls | {"edges": better}) for trial in of_edges]
    [entry] = verdicts({("importance", "picture"): of_edges}, seed=0)
    assert entry["why"] == [
        f"Its {figure} is not better than that of the picture's edges." for figure in ("deletion", "insertion")
    ]


def test_a_map_like_that_of_a_random_model_is_not_trusted():
    alike = trials(0.4, 0.6, likeness=[0.9] * 20 + [None] * 20)
    [entry] = verdicts({("importance", "words"): alike}, seed=0)
    assert entry["likeness"] == {
        "mean": pytest.approx(0.9),
        "low": pytest.approx(0.9),
        "high": pytest.approx(0.9),
        "n": 20,
    }
    assert entry["why"] == ["A model of random weights has much the same map."]
    [entry] = verdicts({("importance", "words"): trials(0.4, 0.6, likeness=[0.1] * 40)}, seed=0)
    assert entry["trusted"]


@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 1), (5, 2 / 16), (7, 2 / 64), (8, 2 / 128)])
def test_a_few_posts_prove_little_however_clear_they_are(n, p):
    """All of n posts are better: by chance alone so in 2 of 2^n. Two curves are twice as much (Holm)."""
    [entry] = verdicts({("importance", "words"): trials(0.4, 0.6, n=n, noise=0.001)}, seed=0)
    assert entry["gains"]["random"]["deletion"]["p"] == pytest.approx(p)
    assert entry["trusted"] == (n > 6)


def test_pointing_is_the_mean_over_posts_whose_deciding_part_is_known():
    known = trials(0.4, 0.6, n=4, hit=[1.0, 0.0, None, 0.5], chance=[0.1, 0.3, None, 0.2])
    [entry] = verdicts({("importance", "words"): known}, seed=0)
    assert entry["pointing"]["hits"] == pytest.approx(0.5)
    assert entry["pointing"]["chance"] == pytest.approx(0.2)
    assert entry["pointing"]["n"] == 3
    assert entry["pointing"]["low"] <= 0.5 <= entry["pointing"]["high"]


def test_more_maps_make_each_p_value_larger():
    weak = trials(0.48, 0.52, noise=0.06, n=40)
    [alone] = verdicts({("one", "words"): weak}, seed=0)
    many = verdicts({(f"map {number}", "words"): weak for number in range(20)}, seed=0)
    assert many[0]["gains"]["random"]["deletion"]["p"] > alone["gains"]["random"]["deletion"]["p"]


def test_maps_of_chance_are_seldom_trusted():
    trusted = 0
    for seed in range(40):
        [entry] = verdicts({("nothing", "words"): trials(0.5, 0.5, seed=seed)}, seed=seed)
        trusted += entry["trusted"]
    assert trusted <= 1
