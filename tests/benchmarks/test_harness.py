"""Turns, ratios and rows of the benchmarks, on a clock that the test moves."""

import json

import pytest

from benchmarks.harness import Row, Spread, added, compare, ratio, spread, table, take_turns
from benchmarks.record import circumstances, keep, machine_name


class Clock:
    """A clock that stands still but for the steps that move it."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self) -> float:
        return self.now

    def step(self, name: str, seconds: list[float]):
        """A step that takes the next of `seconds` at each call."""
        left = list(seconds)

        def run():
            self.log.append(name)
            self.now += left.pop(0)

        return run


def test_steps_take_turns_and_warm_up_rounds_are_left_out():
    clock = Clock()
    steps = {"a": clock.step("a", [9, 1, 2, 3]), "b": clock.step("b", [9, 10, 30, 20])}
    assert take_turns(steps, rounds=3, warmup=1, clock=clock) == {"a": [1, 2, 3], "b": [10, 30, 20]}
    assert clock.log == ["a", "b"] * 4


def test_the_wait_for_the_device_counts_after_a_step_and_not_before_it():
    clock = Clock()
    waits = iter([100, 1, 100, 2])  # before, after, before, after

    def wait():
        clock.now += next(waits)

    assert take_turns({"a": clock.step("a", [10, 10])}, 2, warmup=0, clock=clock, wait=wait) == {"a": [11, 12]}


def test_a_ratio_is_taken_within_each_round():
    # 2, 1, 10: the median of these is 2, where the ratio of the medians (4 and 2) is 2 too; not so below.
    assert ratio([4, 2, 10], [2, 2, 1]) == Spread(2, 1.5, 6)
    # 1, 4, 1/2: the median is 1, that of the sides would be 4 to 2.
    assert ratio([2, 8, 4], [2, 2, 8]).median == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3], (3, 3, 3)), ([5, 1, 3], (3, 2, 4)), ([4, 1, 3, 2, 5], (3, 2, 4)), ([1, 2], (1.5, 1.25, 1.75))],
)
def test_a_spread_is_the_median_and_both_quartiles(values, expected):
    assert spread(values) == expected


def test_laps_are_added_round_by_round():
    assert added([1, 2], [10, 20], [100, 200]) == [111, 222]


def test_a_comparison_worked_by_hand():
    row = compare("step", "mdse", [0.6, 0.9, 0.6], "towers", [0.5, 0.5, 0.4], posts=3, arithmetic=1.25)
    assert row.value.median == pytest.approx(200)  # 0.6 s are 200 ms for each of three posts
    assert row.ratio == pytest.approx((1.5, 1.35, 1.65))  # 1.2, 1.8, 1.5
    assert row.over_arithmetic == pytest.approx(1.2)
    kept = row.as_json()
    assert kept["ratio"] == pytest.approx({"median": 1.5, "lower": 1.35, "upper": 1.65})
    assert kept["arithmetic"] == 1.25 and kept["against"] == "towers"
    assert table([row]).splitlines()[-1] == (
        "| step | mdse | 200 ms a post | towers | 1.500 (1.350 to 1.650) | 1.250 | 1.200 |"
    )


def test_a_figure_that_stands_alone_has_no_ratio():
    row = Row("tokens", "mdse", spread([64]), "a post")
    assert set(row.as_json()) == {"what", "subject", "value", "unit"}
    assert table([row]).splitlines()[-1] == "| tokens | mdse | 64 a post |  |  |  |  |"


def test_a_part_takes_the_place_of_its_own_earlier_figures_alone(tmp_path):
    file = tmp_path / "results" / "two.json"
    keep(file, "training", {"rows": [1]})
    keep(file, "inference", {"rows": [2]})
    keep(file, "training", {"rows": [3]})
    assert json.loads(file.read_text()) == {"inference": {"rows": [2]}, "training": {"rows": [3]}}


def test_the_record_says_how_to_do_it_again_and_names_no_folder(tmp_path):
    record = circumstances(["training", "--data", str(tmp_path / "msed"), "--seed", "3"], seed=3)
    assert record["command"] == "python -m benchmarks training --data msed --seed 3"
    assert record["seed"] == 3 and record["threads"] >= 1 and record["cpu"]
    assert record["versions"]["torch"] and record["versions"]["duosent"]
    assert machine_name("cpu").endswith("-core-cpu")
