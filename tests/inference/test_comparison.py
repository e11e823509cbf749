"""Runs made up in folders, compared by what lies there; figures against plain loops."""

import json
import math
import statistics
import sys
import time
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import call
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score

from duosent.inference.comparison import compare
from duosent.inference.finished_runs import find_runs
from duosent.training.checkpoints import CallError

LABELS = ["sad", "calm", "glad"]
POSTS = 60
RNG = np.random.default_rng(0)
TRUTH = RNG.choice(LABELS, POSTS).tolist()
FIGURES = ("accuracy", "macro_f1", "weighted_f1")


def answers(right: float, seed: int, truth: list = TRUTH) -> list[str]:
    """Right so often, else drawn."""
    rng = np.random.default_rng(seed)
    return [label if rng.random() < right else str(rng.choice(LABELS)) for label in truth]


def write_run(
    folder: Path, labels: list, *, seed=0, part="validation", truth=TRUTH, ids=None, names=LABELS, order=None, **record
) -> str:
    """What a training run would have left that gave these labels; `order` is that of its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    run = {"model": "mdse", "config": {}, "training": {}, "train_fingerprint": "t", "seconds": 1.0, "seed": seed}
    (folder / "run.json").write_text(json.dumps(run | {"fold": None} | record))
    several = isinstance(labels[0], list)
    rows = [
        {"id": post, "true_label": true, "label": label}
        for post, true, label in zip(ids or [f"p{n}" for n in range(len(labels))], truth, labels, strict=True)
    ]
    kind = pa.list_(pa.string()) if several else pa.string()
    schema = pa.schema([("id", pa.string()), ("true_label", kind), ("label", kind)])
    chosen = [rows[place] for place in (range(len(rows)) if order is None else order)]
    pq.write_table(pa.Table.from_pylist(chosen, schema), folder / f"predictions_{part}.parquet")
    file = {"validation": "metrics.json", "test": "metrics_test.json"}[part]
    (folder / file).write_text(json.dumps({"fingerprint": record.get("print", "f"), "labels": names, "split": part}))
    return str(folder)


def by_scikit_learn(truth, labels) -> dict[str, float]:
    return {
        "accuracy": accuracy_score(truth, labels),
        "macro_f1": f1_score(truth, labels, average="macro"),
        "weighted_f1": f1_score(truth, labels, average="weighted"),
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, dict[str, list[list[str]]]]:
    """Three seeds of one model in a folder of seeds, two of another in folders of their own."""
    folder = tmp_path_factory.mktemp("runs")
    given = {"good": [answers(0.9, seed) for seed in range(3)], "poor": [answers(0.4, 10 + seed) for seed in range(2)]}
    for seed, labels in enumerate(given["good"]):
        write_run(folder / "good" / f"seed-{seed}", labels, seed=seed)
    for seed, labels in enumerate(given["poor"]):
        write_run(folder / f"poor-{seed}", labels, seed=seed, model="text")
    return folder, given


@pytest.fixture(scope="module")
def compared(runs) -> dict:
    folder, _ = runs
    return compare([str(folder / "good"), str(folder / "poor-0"), str(folder / "poor-1")], resamples=2000)


def test_groups_are_runs_of_one_kind(runs, compared):
    folder, given = runs
    good, poor = compared["groups"]
    assert good["name"] == f"mdse {folder}/good" and poor["name"] == f"text {folder}/poor-0 and 1 more"
    assert [run["run"] for run in good["runs"]] == [f"{folder}/good/seed-{seed}" for seed in range(3)]
    assert [run["seed"] for run in poor["runs"]] == [0, 1]
    for group, its in ((good, given["good"]), (poor, given["poor"])):
        each = [by_scikit_learn(TRUTH, labels) for labels in its]
        for name in FIGURES:
            values = [figures[name] for figures in each]
            assert [run[name] for run in group["runs"]] == pytest.approx(values)
            assert group[name]["mean"] == pytest.approx(statistics.mean(values))
            assert group[name]["std"] == pytest.approx(statistics.stdev(values))
            assert group[name]["low"] < group[name]["mean"] < group[name]["high"]
    assert compared["split"] == "validation" and compared["n"] == POSTS and compared["labels"] == sorted(LABELS)
    assert compared["fingerprints"] == ["f"]


def test_intervals_and_p_values_are_those_of_a_plain_bootstrap(runs, compared):
    """Posts drawn one by one, figures by scikit-learn; a tenth of the resamples, so but for the luck of the draw."""
    _, given = runs
    rng = np.random.default_rng(99)
    truth = np.array(TRUTH)
    means = {name: [] for name in given}
    for _ in range(200):
        drawn = rng.integers(POSTS, size=POSTS)
        for name, its in given.items():
            means[name].append(
                np.mean([f1_score(truth[drawn], np.array(labels)[drawn], average="macro") for labels in its])
            )
    for group, values in zip(compared["groups"], means.values(), strict=True):
        assert np.quantile(values, [0.025, 0.975]) == pytest.approx(
            [group["macro_f1"]["low"], group["macro_f1"]["high"]], abs=0.04
        )
    [pair] = compared["pairs"]
    assert (pair["first"], pair["second"]) == tuple(group["name"] for group in compared["groups"])
    right = {name: [[a == b for a, b in zip(TRUTH, its, strict=True)] for its in given[name]] for name in given}
    share = {name: statistics.mean(statistics.mean(its) for its in right[name]) for name in right}
    assert pair["difference"] == pytest.approx(share["good"] - share["poor"])
    assert 0 < pair["low"] < pair["difference"] < pair["high"]
    assert pair["p"] == pytest.approx(2 / 2001)  # not one resample turns it


def test_mcnemar_over_pairs_of_runs(runs, compared):
    _, given = runs
    p_values, counts = [], []
    for one in given["good"]:
        for other in given["poor"]:
            ours = sum(a == t != b for t, a, b in zip(TRUTH, one, other, strict=True))
            theirs = sum(b == t != a for t, a, b in zip(TRUTH, one, other, strict=True))
            counts.append((ours, theirs))
            total, small = ours + theirs, min(ours, theirs)
            p_values.append(min(1, 2 * sum(math.comb(total, k) for k in range(small + 1)) / 2**total))
    test = compared["pairs"][0]["mcnemar"]
    assert test["tests"] == 6
    assert test["first_only"] == pytest.approx(statistics.mean(ours for ours, _ in counts))
    assert test["second_only"] == pytest.approx(statistics.mean(theirs for _, theirs in counts))
    assert test["p"] == pytest.approx(2 * sorted(p_values)[2])  # the third of six, twice


def test_holm_over_the_pairs(tmp_path):
    folders = [write_run(tmp_path / f"m{n}", answers(0.3 + 0.15 * n, n), config={"n": n}) for n in range(3)]
    result = compare(folders, resamples=500)
    assert len(result["pairs"]) == 3
    for tests in (result["pairs"], [pair["mcnemar"] for pair in result["pairs"]]):
        ordered, last = sorted(tests, key=lambda test: test["p"]), 0.0
        for place, test in enumerate(ordered):
            last = min(1, max(last, test["p"] * (3 - place)))
            assert test["p_holm"] == pytest.approx(last)


def test_the_metric_decides_what_is_tested(runs):
    folder, given = runs
    [pair] = compare([f"{folder}/good", f"{folder}/poor-0"], metric="weighted_f1", resamples=200)["pairs"]
    good = statistics.mean(by_scikit_learn(TRUTH, labels)["weighted_f1"] for labels in given["good"])
    assert pair["difference"] == pytest.approx(good - by_scikit_learn(TRUTH, given["poor"][0])["weighted_f1"])


def test_swapping_two_models_flips_the_sign(runs):
    folder, _ = runs
    [there] = compare([f"{folder}/good", f"{folder}/poor-0"], resamples=300)["pairs"]
    [back] = compare([f"{folder}/poor-0", f"{folder}/good"], resamples=300)["pairs"]
    assert back["difference"] == -there["difference"]
    assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]))
    assert back["p"] == there["p"] and back["mcnemar"]["p"] == there["mcnemar"]["p"]
    assert back["mcnemar"]["first_only"] == there["mcnemar"]["second_only"]


@settings(max_examples=5)
@given(st.permutations(range(POSTS)))
def test_posts_are_matched_by_id_whatever_their_order(runs, tmp_path_factory, order):
    folder, given = runs
    shuffled = write_run(tmp_path_factory.mktemp("shuffled"), given["poor"][0], model="text", order=order)
    wanted = compare([f"{folder}/good", f"{folder}/poor-0"], resamples=50)
    result = compare([f"{folder}/good", shuffled], resamples=50)
    for name in FIGURES:
        assert result["groups"][1][name] == wanted["groups"][1][name]
    for name in ("difference", "low", "high", "p", "mcnemar"):
        assert result["pairs"][0][name] == wanted["pairs"][0][name]


def test_a_model_with_the_same_answers_is_no_different(runs, tmp_path):
    folder, given = runs
    twin = write_run(tmp_path / "twin", given["poor"][0], config={"other": 1})
    [pair] = compare([f"{folder}/poor-0", twin], resamples=300, metric="macro_f1")["pairs"]
    assert (pair["difference"], pair["low"], pair["high"]) == (0, 0, 0)
    assert pair["p"] == pair["p_holm"] == pair["mcnemar"]["p"] == pair["mcnemar"]["p_holm"] == 1


def test_posts_without_a_label_and_posts_with_one_id(tmp_path):
    truth = ["sad", None, "glad", "glad"]
    folder = write_run(
        tmp_path / "a", ["sad", "sad", "glad", "calm"], truth=truth, ids=["x", "y", "z", "z"], order=[2, 1, 3, 0]
    )
    result = compare([folder], resamples=100)
    assert result["n"] == 3 and result["pairs"] == []
    assert result["groups"][0]["accuracy"]["mean"] == pytest.approx(2 / 3)
    assert result["groups"][0]["accuracy"]["std"] is None


def test_several_labels_a_post(tmp_path):
    truth = [["glad"], ["glad", "sad"], [], ["calm"]] * 5
    given = [[["glad"], ["glad"], [], ["sad"]] * 5, [["glad"], ["glad", "sad"], ["sad"], []] * 5]
    folders = [write_run(tmp_path / f"m{n}", labels, truth=truth, config={"n": n}) for n, labels in enumerate(given)]
    result = compare(folders, resamples=100)
    names = sorted(LABELS)
    table = [[name in cell for name in names] for cell in truth]
    for group, labels in zip(result["groups"], given, strict=True):
        answered = [[name in cell for name in names] for cell in labels]
        assert group["accuracy"]["mean"] == pytest.approx(accuracy_score(table, answered))
        assert group["macro_f1"]["mean"] == pytest.approx(f1_score(table, answered, average="macro", zero_division=0))


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> tuple[Path, list[str]]:
    """A cross-validation of two folds, which has also answered ten posts of a test part."""
    folder, labels = tmp_path_factory.mktemp("folds"), answers(0.7, 5)
    for number, half in ((1, slice(0, 25)), (2, slice(25, POSTS))):
        ids = [f"p{n}" for n in range(POSTS)][half]
        fold = {"number": number, "of": 2, "seed": 0}
        here = {"fold": fold, "train_fingerprint": f"t{number}", "print": f"f{number}"}
        write_run(folder / f"fold-{number}", labels[half], truth=TRUTH[half], ids=ids, **here)
        test = answers(0.5, number, TRUTH[:10])
        write_run(folder / f"fold-{number}", test, truth=TRUTH[:10], part="test", **here | {"print": "test"})
    return folder, labels


def test_folds_are_one_run_over_all_posts(folds):
    folder, labels = folds
    result = compare([str(folder)], split="validation", resamples=100)
    assert result["n"] == POSTS and result["fingerprints"] == ["f1", "f2"]
    [group] = result["groups"]
    assert len(group["runs"]) == 1
    for name, value in by_scikit_learn(TRUTH, labels).items():
        assert group[name]["mean"] == pytest.approx(value)


def test_on_the_test_part_each_fold_is_a_run(folds):
    folder, _ = folds
    result = compare([str(folder)], resamples=100)
    assert result["split"] == "test" and result["n"] == 10
    values = [accuracy_score(TRUTH[:10], answers(0.5, number, TRUTH[:10])) for number in (1, 2)]
    assert [run["accuracy"] for run in result["groups"][0]["runs"]] == pytest.approx(values)


def test_test_is_taken_where_all_have_it(runs, tmp_path):
    _, given = runs
    both = [write_run(tmp_path / f"m{n}", given["good"][n], config={"n": n}) for n in range(2)]
    assert compare(both, resamples=10)["split"] == "validation"
    write_run(tmp_path / "m0", given["good"][0], config={"n": 0}, part="test")
    assert compare(both, resamples=10)["split"] == "validation"
    write_run(tmp_path / "m1", given["good"][1], config={"n": 1}, part="test")
    assert compare(both, resamples=10)["split"] == "test"
    assert compare(both, resamples=10, split="validation")["split"] == "validation"


def test_an_unfinished_seed_is_left_out_with_a_word(tmp_path, caplog):
    for seed in range(2):
        write_run(tmp_path / f"seed-{seed}", answers(0.5, seed), seed=seed)
    (tmp_path / "seed-2").mkdir()
    (tmp_path / "seed-2" / "run.json").write_text(json.dumps({"model": "mdse", "seed": 2}))
    (tmp_path / "seed-old").mkdir()
    assert len(compare([str(tmp_path)], resamples=10)["groups"][0]["runs"]) == 2
    assert "seed-2 not finished, left out." in caplog.text


def test_what_cannot_be_compared(runs, folds, tmp_path):
    folder, given = runs
    good, labels = f"{folder}/good", given["poor"][0]
    other = write_run(tmp_path / "other", labels, print="g", config={"o": 1})
    names = write_run(tmp_path / "names", labels, names=["sad", "calm", "glad", "hurt"], config={"o": 2})
    truth = write_run(tmp_path / "truth", labels, truth=TRUTH[1:] + TRUTH[:1], config={"o": 3})
    ids = write_run(tmp_path / "ids", labels, ids=[f"q{n}" for n in range(POSTS)], config={"o": 4})
    lists = write_run(tmp_path / "lists", [[x] for x in labels], truth=[[x] for x in TRUTH], config={"o": 5})
    twin = write_run(tmp_path / "twin", labels, model="text")
    questions = write_run(tmp_path / "questions", labels)
    pq.write_table(pa.table({"id": ["1"], "answer": ["yes"]}), Path(questions) / "predictions_validation.parquet")
    (tmp_path / "holes" / "fold-1").mkdir(parents=True)
    fold = {"number": 1, "of": 3, "seed": 0}
    write_run(tmp_path / "holes" / "fold-1", labels, fold=fold)
    write_run(tmp_path / "holes" / "fold-3", labels, fold=fold | {"number": 3})
    for wrong, message in [
        (lambda: compare([str(tmp_path / "none")]), "none holds no finished run of duosent train: there is no run."),
        (lambda: compare([good, other]), "must be measured on the same posts, but the validation part of "),
        (lambda: compare([good, names]), "must have the same labels, but "),
        (lambda: compare([good, lists]), "calm, glad, sad with several a post."),
        (lambda: compare([good, truth]), "to the validation part are not to the same ids and true labels."),
        (lambda: compare([good, ids]), "to the validation part are not to the same ids and true labels."),
        (lambda: compare([f"{folder}/poor-0", twin]), "twin have the same options and seed."),
        (lambda: compare([good, good]), "Each run must be given once, but "),
        (lambda: compare([good, str(folds[0])], split="validation"), "has fingerprint f and that of "),
        (
            lambda: compare([good], split="test"),
            "seed-0 has no answers to the test part (predictions_test.parquet and",
        ),
        (lambda: compare([questions]), "questions must be a run that gives posts one label or several"),
        (lambda: compare([str(tmp_path / "holes")]), "holes must hold every fold as a finished run, but not fold-2."),
        (lambda: compare([good], metric="f1"), "metric must be one of accuracy, macro_f1, weighted_f1, got 'f1'."),
        (lambda: compare([good], resamples=0), "resamples must be >= 1, got 0."),
    ]:
        with pytest.raises(CallError) as error:
            wrong()
        assert message in str(error.value) and "\n" not in str(error.value)


def test_the_command(runs, compared, tmp_path, capsys):
    folder, _ = runs
    paths = [folder / "good", folder / "poor-0", folder / "poor-1"]
    code, out, _ = call(
        capsys, "compare", *paths, "--resamples", 2000, "--json", "--output", tmp_path / "deep" / "c.json"
    )
    assert code == 0 and json.loads(out) == compared
    saved = json.loads((tmp_path / "deep" / "c.json").read_text())
    assert saved.pop("command").startswith("duosent") and saved == compared
    code, out, _ = call(capsys, "compare", *paths, "--resamples", 2000)
    good, pair = compared["groups"][0], compared["pairs"][0]
    assert code == 0 and f"validation, {POSTS} posts" in out
    assert f"{good['macro_f1']['mean']:.4f}  {good['macro_f1']['std']:.4f}" in out
    assert f"{good['macro_f1']['low']:.4f} to {good['macro_f1']['high']:.4f}" in out
    assert f"{pair['difference']:+.4f}" in out and f"{pair['p_holm']:.4f}" in out
    assert "twice the median p value of all pairs of runs" in out
    code, out, _ = call(capsys, "compare", folder / "poor-0", "--resamples", 20)
    assert code == 0 and "McNemar" not in out
    code, out, err = call(capsys, "compare", tmp_path / "no")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert f"--output {tmp_path} is a folder." in call(capsys, "compare", folder / "good", "--output", tmp_path)[2]


def test_the_plot(runs, tmp_path, capsys, monkeypatch):
    folder, _ = runs
    paths = [folder / "good", folder / "poor-0", "--resamples", 50]
    assert call(capsys, "compare", *paths, "--plot", tmp_path / "deep" / "c.svg")[0] == 0
    root = xml.etree.ElementTree.parse(tmp_path / "deep" / "c.svg").getroot()
    assert root.tag.endswith("svg")
    assert call(capsys, "compare", *paths, "--plot", tmp_path / "c.png", "--metric", "macro_f1")[0] == 0
    with Image.open(tmp_path / "c.png") as picture:
        colours = np.asarray(picture.convert("L"))
    assert (colours < 100).sum() > 1000  # something is drawn
    code, _, err = call(capsys, "compare", *paths, "--plot", tmp_path / "c.pdf")
    assert code == 2 and "must be a file that ends in .png or .svg, got " in err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = call(capsys, "compare", *paths, "--plot", tmp_path / "d.png")
    assert code == 2 and 'The plot needs matplotlib, which is not installed: pip install "duosent[plot]".' in err


@pytest.mark.slow
def test_five_groups_of_three_seeds_within_a_minute(tmp_path):
    truth = np.random.default_rng(1).choice(LABELS, 2000).tolist()
    for group in range(5):
        for seed in range(3):
            labels = answers(0.5 + 0.05 * group, 10 * group + seed, truth)
            write_run(tmp_path / f"g{group}" / f"seed-{seed}", labels, truth=truth, seed=seed, config={"g": group})
    start = time.process_time()
    result = compare([str(tmp_path / f"g{group}") for group in range(5)], metric="macro_f1")
    assert time.process_time() - start < 60
    assert len(result["pairs"]) == 10 and result["resamples"] == 10_000


def write_tasks(folder: Path, seed: int) -> tuple[str, list[str]]:
    """A run that gives two labels; the answers to the second."""
    moods, wishes = answers(0.5, seed), answers(0.8, 50 + seed, [label[::-1] for label in TRUTH])
    name = write_run(folder, moods, seed=seed)
    columns = {"id": [f"p{n}" for n in range(POSTS)], "true_label_mood": TRUTH, "label_mood": moods}
    columns |= {"true_label_wish": [label[::-1] for label in TRUTH], "label_wish": wishes}
    pq.write_table(pa.table(columns), folder / "predictions_validation.parquet")
    tasks = {"mood": {"labels": LABELS}, "wish": {"labels": [label[::-1] for label in LABELS] + LABELS}}
    (folder / "metrics.json").write_text(json.dumps({"fingerprint": "f", "tasks": tasks, "split": "validation"}))
    return name, moods


def test_one_of_several_labels_beside_a_model_of_that_label_alone(tmp_path):
    both, moods = write_tasks(tmp_path / "both", 0)
    alone = write_run(tmp_path / "alone", answers(0.9, 1), model="text")
    groups = compare([both, alone], label="mood", resamples=10)["groups"]
    assert groups[0]["accuracy"]["mean"] == accuracy_score(TRUTH, moods)
    assert groups[1]["accuracy"]["mean"] == accuracy_score(TRUTH, answers(0.9, 1))
    for label, got in ((None, "none"), ("desire", "'desire'")):
        with pytest.raises(CallError, match=f"both gives several labels: label must be one of mood, wish, got {got}"):
            compare([both, alone], label=label, resamples=10)
    with pytest.raises(CallError, match="labels"):
        compare([both, alone], label="wish", resamples=10)


def test_runs_with_and_without_a_feature_cache_are_of_one_kind(tmp_path):
    options = [{}, {"cache_features": "cache"}, {"learning_rate": 1.0}]
    folders = [write_run(tmp_path / str(n), TRUTH, training=training) for n, training in enumerate(options)]
    kinds = [find_runs(folder)[0].kind for folder in folders]
    assert kinds[0] == kinds[1] != kinds[2]


def test_where_names_came_from_tells_no_runs_apart(tmp_path):
    options = [{}, {"from_hub": ["data"]}, {"model": "text"}]  # the first is of an earlier version
    folders = [write_run(tmp_path / str(n), TRUTH, **option) for n, option in enumerate(options)]
    kinds = [find_runs(folder)[0].kind for folder in folders]
    assert kinds[0] == kinds[1] != kinds[2]


def test_how_often_a_run_was_saved_matters_where_the_best_is_kept_alone(tmp_path):
    last, often = {"load_best_model_at_end": False}, {"save_strategy": "steps", "save_steps": 48}
    options = [last, last | often, {}, often]
    folders = [write_run(tmp_path / str(n), TRUTH, training=training) for n, training in enumerate(options)]
    kinds = [find_runs(folder)[0].kind for folder in folders]
    assert kinds[0] == kinds[1]
    assert len({kinds[0], *kinds[2:]}) == 3


def test_runs_of_two_attention_implementations_are_of_one_kind(tmp_path):
    options = [{}, {"attn_implementation": "eager"}, {"hidden_size": 8}]
    folders = [write_run(tmp_path / str(n), TRUTH, config=config) for n, config in enumerate(options)]
    kinds = [find_runs(folder)[0].kind for folder in folders]
    assert kinds[0] == kinds[1] != kinds[2]
