"""What moved between two evaluations: planted changes are found, and chance alone is not."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from sklearn.metrics import f1_score

from duosent.inference.answered_posts import ONLY_TASK, AnsweredPosts
from duosent.inference.drift import check_same_labels, compare_with, label_counts
from duosent.inference.error_slices import by_length, by_side_answers, length_edges
from duosent.inference.old_evaluation import OldEvaluation, read_old
from duosent.inference.two_shares import of_different_posts, of_the_same_posts
from duosent.training.checkpoints import CallError
from duosent.training.metrics import ImageTextMetrics

LABELS = ["sad", "calm", "glad"]
# Chance that a right share of answers shows up as too many alarms: 4 standard deviations.
SURE = 4


def drawn(seed: int, n: int = 400, right: tuple = (0.8, 0.8, 0.8), truth: np.ndarray | None = None):
    """True labels and answers `(n,)`; `right` is how often the posts of each label are answered rightly."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n) if truth is None else truth
    other = (truth + rng.integers(1, 3, size=n)) % 3
    return truth, np.where(rng.random(n) < np.array(right)[truth], truth, other)


def posts(truth, answers) -> AnsweredPosts:
    flags = np.eye(3, dtype=bool)
    return AnsweredPosts(LABELS, False, np.arange(len(truth)), flags[truth], flags[answers], flags[answers] * 0.9)


def words_of(n: int) -> np.ndarray:
    return np.arange(n) % 11 + 1


def figures_of(truth, answers, fingerprint: str, slices: bool = True) -> dict:
    figures = ImageTextMetrics(LABELS).compute(predictions=answers, references=truth)
    slicing = by_length(words_of(len(truth)), length_edges(words_of(len(truth))))
    found = {"slices": {ONLY_TASK: {"length": slicing.figures(truth == answers)}}} if slices else {}
    return figures | {"fingerprint": fingerprint, "split": "validation", "labels": LABELS} | found


def slices_like(n: int):
    words = words_of(n)
    return lambda task, like: {"length": by_length(words, like["length"]["edges"] if like else length_edges(words))}


def compared(old, new, paired: bool = False) -> dict:
    """`old`, `new`: true labels and answers; with `paired` of the same posts."""
    ids = [f"p{n}" for n in range(len(new[0]))]
    known = (ids, {ONLY_TASK: posts(*old)}) if paired else None
    before = OldEvaluation("old.json", figures_of(*old, "a"), known)
    now = figures_of(*new, "a" if paired else "b")
    return compare_with(before, now, ids, {ONLY_TASK: posts(*new)}, slices_like(len(ids)))


def lines_by_name(found: dict) -> dict:
    return {(line["name"], line["figure"]): line for line in found["lines"]}


@pytest.mark.parametrize("paired", [True, False])
def test_without_change_nothing_moves(paired):
    both = drawn(0)
    found = compared(both, both, paired)
    assert found["paired"] is found["same_posts"] is paired
    assert found["moved"] == 0 and len(found["lines"]) == 2 + 3 + 3 + 4
    for line in found["lines"]:
        assert line["difference"] == 0 and line["old"] == line["new"]
        assert line["p_holm"] == 1 or line["figure"] == "macro_f1"
        assert line["low"] <= 0 <= line["high"]


@pytest.mark.parametrize("paired", [True, False])
def test_a_drop_in_one_label_is_found_and_no_other_label_is(paired):
    truth, before = drawn(1, 900)
    if paired:
        dropped = np.where((truth == 2) & (np.arange(900) % 3 == 0), 0, before)
        new = truth, dropped
    else:
        new = drawn(2, 900, right=(0.8, 0.8, 0.5))
    found = compared((truth, before), new, paired)
    recalls = {line["name"]: line for line in found["lines"] if line["figure"] == "recall"}
    assert recalls["glad"]["moved"] and recalls["glad"]["difference"] < -0.15
    assert recalls["glad"]["test"] == ("McNemar" if paired else "N - 1 chi-squared")
    assert not recalls["sad"]["moved"] and not recalls["calm"]["moved"]
    # What was there before is what those posts say.
    for place, name in enumerate(LABELS):
        here = truth == place
        assert recalls[name]["old"] == pytest.approx((before[here] == place).mean())
        assert recalls[name]["new"] == pytest.approx((new[1][new[0] == place] == place).mean())
    macro = lines_by_name(found)["all posts", "macro_f1"]
    assert macro["moved"] and macro["old"] == pytest.approx(f1_score(truth, before, average="macro"))
    assert macro["new"] == pytest.approx(f1_score(*new, average="macro"))


@pytest.mark.parametrize("paired", [True, False])
def test_a_drop_in_one_slice_is_found(paired):
    truth, before = drawn(3, 880)
    words = words_of(880)
    if paired:
        answers = before.copy()
    else:
        truth_now, answers = drawn(4, 880)
    now = truth if paired else truth_now
    worse = (words >= 10) & (np.arange(880) % 5 < 2)
    answers = np.where(worse, (now + 1) % 3, answers)
    found = compared((truth, before), (now, answers), paired)
    moved = [line["name"] for line in found["lines"] if line["moved"] and line["kind"] == "slice"]
    assert moved == ["10 or more words"]


def test_different_posts_are_cut_at_the_lengths_of_before():
    old, new = drawn(5, 220), drawn(6, 330)
    before = figures_of(*old, "a")
    before["slices"][ONLY_TASK]["length"] = by_length(words_of(220), [2]).figures(old[0] == old[1])
    ids = [str(n) for n in range(330)]
    found = compare_with(
        OldEvaluation("o", before, None), figures_of(*new, "b"), ids, {ONLY_TASK: posts(*new)}, slices_like(330)
    )
    slices = {line["name"]: (line["n_old"], line["n_new"]) for line in found["lines"] if line["kind"] == "slice"}
    assert slices == {"1 to 2 words": (40, 60), "3 or more words": (180, 270)}


def test_slices_by_something_else_are_not_compared():
    old, new = drawn(5, 220), drawn(6, 220)
    before = figures_of(*old, "a")
    slices = before["slices"][ONLY_TASK]
    slices["doubles"] = {"by": "doubles in train", "slices": {}}
    slices["length"]["by"] = "signs"
    found = compare_with(
        OldEvaluation("o", before, None), figures_of(*new, "b"), [""] * 220, {ONLY_TASK: posts(*new)}, slices_like(220)
    )
    assert [what["why"] for what in found["not_compared"]] == [
        "length, by signs: the new posts are not cut so",
        "doubles, by doubles in train: the new posts are not cut so",
    ]
    assert not [line for line in found["lines"] if line["kind"] == "slice"]


@pytest.mark.parametrize("paired", [True, False])
def test_slices_by_the_models_own_answers_are_not_compared(paired):
    """Which posts lie in them is the model's own doing."""
    both = drawn(0, 60)
    own = by_side_answers(*(np.eye(3, dtype=bool)[side] for side in both), np.ones(60, bool))
    before = figures_of(*both, "a")
    before["slices"][ONLY_TASK]["agreement"] = own.figures(both[0] == both[1])
    ids = [str(n) for n in range(60)]
    old = OldEvaluation("o", before, (ids, {ONLY_TASK: posts(*both)}) if paired else None)
    lengths = slices_like(60)
    now = figures_of(*both, "a" if paired else "b")
    like = lambda task, slices: lengths(task, slices) | {"agreement": own}  # noqa: E731
    found = compare_with(old, now, ids, {ONLY_TASK: posts(*both)}, like)
    assert found["paired"] is paired
    assert {line["slicing"] for line in found["lines"] if line["kind"] == "slice"} == {"length"}
    assert len(found["not_compared"]) == (0 if paired else 1)


def test_labels_in_another_order_are_the_same_labels():
    """As another model may have them."""
    truth, answers = drawn(0, 90)
    turned = [LABELS[place] for place in (2, 0, 1)]
    at = np.array([1, 2, 0])  # where a label stands in the new order
    flags = np.eye(3, dtype=bool)
    old_posts = AnsweredPosts(
        turned, False, np.arange(90), flags[at[truth]], flags[at[answers]], flags[at[answers]] * 0.9
    )
    figures = ImageTextMetrics(turned).compute(predictions=at[answers], references=at[truth])
    ids = [f"p{n}" for n in range(90)]
    for known in (None, (ids, {ONLY_TASK: old_posts})):
        old = OldEvaluation("o", figures | {"fingerprint": "a", "slices": {}}, known)
        now = figures_of(truth, answers, "a")
        found = compare_with(
            old, now, ids, {ONLY_TASK: posts(truth, answers)}, slices_like(90) if known else lambda task, like: {}
        )
        assert found["paired"] is (known is not None)
        assert all(line["old"] == pytest.approx(line["new"]) for line in found["lines"])


@settings(max_examples=5)
@given(st.permutations(range(60)))
def test_the_order_of_posts_is_of_no_account(order):
    old, new = drawn(7, 60), drawn(8, 60)
    words = words_of(60)

    def lines(places):
        one = figures_of(*(side[places] for side in new), "b")
        like = lambda task, before: {"length": by_length(words[places], before["length"]["edges"])}  # noqa: E731
        before = OldEvaluation("o", figures_of(*old, "a"), None)
        return compare_with(before, one, [""] * 60, {ONLY_TASK: posts(*(side[places] for side in new))}, like)["lines"]

    known = lines(np.arange(60))
    for line, other in zip(known, lines(np.array(order)), strict=True):
        assert line["p"] == pytest.approx(other["p"], abs=0.05 if line["figure"] == "macro_f1" else 1e-12)
        assert (line["old"], line["new"]) == pytest.approx((other["old"], other["new"]))


@pytest.mark.parametrize(("sizes", "share"), [((200, 300), 0.7), ((40, 60), 0.9), ((500, 80), 0.5)])
def test_false_alarms_between_different_posts_are_about_alpha(sizes, share):
    rng = np.random.default_rng(9)
    alarms = outside = 0
    for _ in range(400):
        counts = [(int(rng.binomial(n, share)), n) for n in sizes]
        found = of_different_posts(*counts)
        alarms += found["p"] <= 0.05
        outside += not found["low"] <= 0 <= found["high"]
    spread = SURE * math.sqrt(0.05 * 0.95 / 400)
    assert 0.015 < alarms / 400 < 0.05 + spread
    assert outside / 400 < 0.05 + spread


def test_false_alarms_between_the_same_posts_are_at_most_alpha():
    """McNemar's exact test keeps on the safe side."""
    rng = np.random.default_rng(10)
    alarms = outside = 0
    for _ in range(400):
        old, new = rng.random(200) < 0.8, rng.random(200) < 0.8
        found = of_the_same_posts(old, new)
        alarms += found["p"] <= 0.05
        outside += not found["low"] <= 0 <= found["high"]
    spread = SURE * math.sqrt(0.05 * 0.95 / 400)
    assert 0.01 < alarms / 400 < 0.05 + spread
    assert 0.02 < outside / 400 < 0.05 + spread


def test_a_false_alarm_anywhere_is_as_rare_as_alpha(monkeypatch):
    """Over all lines of a comparison, by Holm's correction."""
    monkeypatch.setattr("duosent.inference.f1_difference.RESAMPLES", 500)
    alarms = sum(compared(drawn(100 + 2 * n, 200), drawn(101 + 2 * n, 200))["moved"] > 0 for n in range(40))
    assert alarms / 40 < 0.05 + SURE * math.sqrt(0.05 * 0.95 / 40)


def test_newcombe_and_the_p_values_by_hand():
    """56 of 70 and 48 of 80, Newcombe (1998), table II, example a, method 10: 0.0524 to 0.3339."""
    found = of_different_posts((48, 80), (56, 70))
    assert found["difference"] == pytest.approx(0.2)
    assert (found["low"], found["high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    # sum((observed - expected)^2 / expected) * (N - 1) / N, and the tail of a squared normal
    pearson = 150 * (48 * 14 - 32 * 56) ** 2 / (80 * 70 * 104 * 46)
    assert found["p"] == pytest.approx(math.erfc(math.sqrt(pearson * 149 / 150 / 2)))
    rare = of_different_posts((0, 9), (1, 8))
    assert rare["test"] == "Fisher-Irwin" and rare["p"] == pytest.approx(fisher_exact([[0, 9], [1, 7]]).pvalue)
    assert of_different_posts((9, 9), (5, 5))["p"] == 1


def test_the_interval_of_the_same_posts_by_hand():
    old = np.array([True] * 60 + [False] * 40)
    new = np.array([True] * 45 + [False] * 15 + [True] * 5 + [False] * 35)
    found = of_the_same_posts(old, new)
    gained, lost, n = 5.5, 15.5, 102
    centre = (gained - lost) / n
    spread = 1.959964 * math.sqrt(gained + lost - (gained - lost) ** 2 / n) / n
    assert found["difference"] == pytest.approx(-0.1)
    assert (found["low"], found["high"]) == pytest.approx((centre - spread, centre + spread))


def test_other_labels_are_refused_and_another_order_is_not():
    old = OldEvaluation("old.json", figures_of(*drawn(0), "a"), None)
    check_same_labels(old, {ONLY_TASK: LABELS[::-1]})
    with pytest.raises(CallError, match="must be of the same labels, got sad, calm, glad there and sad, glad here"):
        check_same_labels(old, {ONLY_TASK: ["sad", "glad"]})
    with pytest.raises(CallError, match="must be of posts with several of these labels each, got one"):
        check_same_labels(old, {ONLY_TASK: LABELS}, several=True)


def test_counts_of_a_label_by_hand():
    several = {"confusion": {"glad": [[50, 3], [4, 9]]}}
    assert label_counts(several, "glad") == ((9, 13), (9, 12))
    one = {"confusion": [[5, 1, 0], [2, 7, 3], [0, 4, 6]], "per_class": dict.fromkeys(LABELS)}
    assert label_counts(one, "calm") == ((7, 12), (7, 12))
    assert label_counts(one, "sad") == ((5, 6), (5, 7))


def write_evaluation(folder, truth, answers, given=None) -> None:
    """`metrics.json`, and the answers `given` beside it."""
    figures = figures_of(truth, answers, "a")
    (folder / "metrics.json").write_text(json.dumps(figures))
    if given is not None:
        rows = {"id": [f"p{n}" for n in range(len(truth))]}
        rows |= {"true_label": [LABELS[i] for i in truth], "label": [LABELS[i] for i in given]}
        rows |= {f"score_{label}": [0.9 if LABELS[i] == label else 0.05 for i in given] for label in LABELS}
        pq.write_table(pa.table(rows), folder / "predictions_validation.parquet")


def test_old_answers_are_taken_where_they_are_those_of_the_figures(tmp_path):
    truth, answers = drawn(0, 50)
    write_evaluation(tmp_path, truth, answers, given=answers)
    old = read_old(str(tmp_path), "test")  # of a folder with the validation part alone that one
    ids, answered = old.posts
    assert ids[3] == "p3" and answered[ONLY_TASK].right.tolist() == (truth == answers).tolist()
    assert answered[ONLY_TASK].confidence.tolist() == pytest.approx([0.9] * 50)
    write_evaluation(tmp_path, truth, answers, given=truth)
    assert read_old(str(tmp_path / "metrics.json"), "validation").posts is None


def test_what_is_no_evaluation_is_refused(tmp_path):
    for content, message in [
        ("{}", "has no confusion matrix"),
        ("{", "is no JSON"),
        (json.dumps({"accuracy": 0.5, "per_answer_type": {}}), "has no confusion matrix"),
    ]:
        (tmp_path / "old.json").write_text(content)
        with pytest.raises(CallError, match=message):
            read_old(str(tmp_path / "old.json"), "test")
    with pytest.raises(CallError, match="is not there"):
        read_old(str(tmp_path / "none.json"), "test")
    with pytest.raises(CallError, match="holds neither metrics.json nor metrics_test.json"):
        read_old(str(tmp_path), "test")
