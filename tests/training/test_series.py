"""Several seeds or folds: each run is one of its own, and the call goes on where it stopped."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from duosent.cli import main
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.run import CallError, train
from duosent.training.series import train_series
from duosent.training.trainer import ImageTextTrainer


@pytest.fixture(scope="module")
def data(rows, tmp_path_factory) -> str:
    """Seven posts to learn from, five others for validation, and a test part of four."""
    folder = tmp_path_factory.mktemp("posts")
    words = rows.features["label"].names
    columns = {name: rows[name][:] for name in ("id", "text", "image")}
    posts = Dataset.from_dict({**columns, "label": [words[label] for label in rows["label"]]})
    posts.to_parquet(folder / "train.parquet")
    other = posts.map(lambda row: {"id": f"v{row['id']}", "text": f"{row['text']} and {row['id']}"})
    other.select(range(5)).to_parquet(folder / "validation.parquet")
    other.select(range(3, 7)).to_parquet(folder / "test.parquet")
    return str(folder)


def arguments(folder, **options) -> ImageTextTrainingArguments:
    usual = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "use_cpu": True, "disable_tqdm": True}
    return ImageTextTrainingArguments(str(folder), **{**usual, "learning_rate": 1e-2, **options})


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def series(data, text_encoder_dir, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("series")
    options = {"text_encoder": text_encoder_dir, "evaluate_test": True, "command": "duosent train"}
    return folder, train_series("text", data, arguments(folder), seeds=[3, 4], **options)


def test_each_seed_is_a_run_of_its_own(series, data, text_encoder_dir, tmp_path):
    folder, _ = series
    metrics = train("text", data, arguments(tmp_path, seed=4), text_encoder=text_encoder_dir, command="duosent train")
    assert read(folder / "seed-4" / "metrics.json") == metrics
    alone, here = (load_file(run / "model.safetensors") for run in (tmp_path, folder / "seed-4"))
    assert alone.keys() == here.keys() and all(torch.equal(alone[name], here[name]) for name in alone)
    assert read(folder / "seed-3" / "run.json")["seed"] == 3
    assert (folder / "seed-3" / "predictions_test.parquet").is_file()


def test_the_summary_is_the_mean_and_the_standard_deviation(series):
    folder, summary = series
    assert read(folder / "summary.json") == summary
    assert [run["run"] for run in summary["runs"]] == ["seed-3", "seed-4"]
    for part, file in (("validation", "metrics.json"), ("test", "metrics_test.json")):
        for name in ("accuracy", "macro_f1", "weighted_f1"):
            values = [read(folder / f"seed-{seed}" / file)[name] for seed in (3, 4)]
            assert [run[part][name] for run in summary["runs"]] == values
            assert summary[part][name]["mean"] == pytest.approx(sum(values) / 2)
            assert summary[part][name]["std"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def test_a_second_call_keeps_what_is_finished_and_adds_what_is_not(series, data, text_encoder_dir, monkeypatch):
    folder, summary = series
    trained = []
    real = ImageTextTrainer.train
    monkeypatch.setattr(
        ImageTextTrainer, "train", lambda self, **how: trained.append(self.args.seed) or real(self, **how)
    )
    options = {"text_encoder": text_encoder_dir, "evaluate_test": True}
    again = train_series("text", data, arguments(folder), seeds=[3, 4, 5], **options)
    assert trained == [5]
    assert again["runs"][:2] == summary["runs"] and len(again["runs"]) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"args": {"learning_rate": 1e-3}}, "seed-3 holds a run with learning_rate 0.01, not 0.001: take another one"),
        ({"args": {"weight_decay": 0.1}}, "seed-3 holds a run with weight_decay its default, not 0.1:"),
        ({"args": {"num_train_epochs": 10}}, "seed-3 holds a run with num_train_epochs 2, not its default:"),
        ({"processing": {"max_length": 9}}, "seed-3 holds a run with processing {}, not {'max_length': 9}:"),
        ({"evaluate_test": False}, "seed-3 holds a run with evaluate_test True, not False:"),
        ({"overwrite": True, "args": {"resume_from_checkpoint": "true"}}, "must not be given beside seeds or folds"),
    ],
)
def test_other_options_are_an_error(series, data, text_encoder_dir, changed, message):
    folder, _ = series
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    options = {"text_encoder": text_encoder_dir, "evaluate_test": True, **changed}
    with pytest.raises(CallError) as error:
        train_series("text", data, arguments(folder, **options.pop("args", {})), seeds=[3], **options)
    assert message in str(error.value)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_a_foreign_folder_is_refused(data, text_encoder_dir, tmp_path):
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "mine.txt").touch()
    with pytest.raises(CallError, match="seed-1 is not empty"):
        train_series("text", data, arguments(tmp_path), seeds=[1], text_encoder=text_encoder_dir)


@pytest.mark.parametrize(("stop_at", "kept"), [(2, False), (5, True)])
def test_an_interrupted_run_ends_like_one_that_was_not(
    series, data, text_encoder_dir, tmp_path, monkeypatch, stop_at, kept
):
    """Four steps a run: stopped within the first run and within the second one, before any checkpoint."""
    folder, _ = series
    steps = []
    real = ImageTextTrainer.training_step

    def step(self, *args, **how):
        steps.append(self.args.seed)
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        return real(self, *args, **how)

    monkeypatch.setattr(ImageTextTrainer, "training_step", step)
    options = {"seeds": [4, 3], "text_encoder": text_encoder_dir, "evaluate_test": True, "command": "duosent train"}
    with pytest.raises(KeyboardInterrupt):
        train_series("text", data, arguments(tmp_path), **options)
    stop_at, steps[:] = 0, []
    train_series("text", data, arguments(tmp_path), **options)
    assert steps == ([3] * 4 if kept else [4] * 4 + [3] * 4)
    for seed in (3, 4):
        for file in ("metrics.json", "metrics_test.json"):
            assert read(tmp_path / f"seed-{seed}" / file) == read(folder / f"seed-{seed}" / file)


def test_an_interrupted_run_is_resumed_from_its_last_checkpoint(series, data, text_encoder_dir, tmp_path, monkeypatch):
    folder, _ = series
    steps, stop_at = [], 3
    real = ImageTextTrainer.training_step

    def step(self, *args, **how):
        steps.append(self.args.seed)
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        return real(self, *args, **how)

    monkeypatch.setattr(ImageTextTrainer, "training_step", step)
    options = {"seeds": [3], "text_encoder": text_encoder_dir, "evaluate_test": True, "command": "duosent train"}
    with pytest.raises(KeyboardInterrupt):
        train_series("text", data, arguments(tmp_path), **options)
    steps[:], stop_at = [], 0
    train_series("text", data, arguments(tmp_path), **options)
    assert len(steps) == 2  # the second epoch alone
    assert read(tmp_path / "seed-3" / "metrics.json") == read(folder / "seed-3" / "metrics.json")
    assert read(tmp_path / "seed-3" / "run.json")["steps"] == 4


def test_overwrite_begins_anew_and_leaves_no_old_figures(data, text_encoder_dir, tmp_path):
    options = {"seeds": [0], "text_encoder": text_encoder_dir}
    train_series("text", data, arguments(tmp_path), **options, evaluate_test=True)
    args = arguments(tmp_path, num_train_epochs=1)
    summary = train_series("text", data, args, **options, overwrite=True)
    assert not list((tmp_path / "seed-0").glob("*_test.*")) and "test" not in summary
    assert read(tmp_path / "seed-0" / "run.json")["steps"] == 2
    assert summary["validation"]["accuracy"]["std"] is None


def test_folds_hold_out_every_post_once_and_leave_the_test_part_alone(data, text_encoder_dir, tmp_path):
    summary = train_series("text", data, arguments(tmp_path), folds=2, fold_seed=1, text_encoder=text_encoder_dir)
    assert [(run["run"], run["fold"]) for run in summary["runs"]] == [("fold-1", 1), ("fold-2", 2)]
    tables = [pq.read_table(tmp_path / name / "predictions_validation.parquet") for name in ("fold-1", "fold-2")]
    held = [table["id"].to_pylist() for table in tables]
    assert sorted(held[0] + held[1]) == sorted([*map(str, range(7)), *(f"v{n}" for n in range(5))])
    assert [read(tmp_path / f"fold-{n}" / "run.json")["train_rows"] for n in (1, 2)] == [len(held[1]), len(held[0])]
    assert "test" not in summary and not list(tmp_path.rglob("*_test.*"))
    values = [run["validation"]["macro_f1"] for run in summary["runs"]]
    assert summary["validation"]["macro_f1"]["std"] == pytest.approx(statistics.stdev(values))
    with pytest.raises(CallError, match="holds a run with fold {'number': 1, 'of': 2, 'seed': 1}, not {'number': 1, "):
        train_series("text", data, arguments(tmp_path), folds=3, fold_seed=1, text_encoder=text_encoder_dir)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_changed_data_are_found(data, text_encoder_dir, tmp_path, part):
    copy = tmp_path / "posts"
    copy.mkdir()
    for name in ("train", "validation"):
        (copy / f"{name}.parquet").write_bytes(Path(data, f"{name}.parquet").read_bytes())
    options = {"text_encoder": text_encoder_dir}
    args = arguments(tmp_path / "out", num_train_epochs=1)
    train_series("text", str(copy), args, seeds=[0], **options)
    (copy / f"{part}.parquet").write_bytes(Path(data, "test.parquet").read_bytes())
    with pytest.raises(CallError, match=f"seed-1 had different posts in {part}: the data have changed"):
        train_series("text", str(copy), args, seeds=[0, 1], **options)


def test_a_run_cut_short_after_its_training_ends_like_one_that_was_not(
    series, data, text_encoder_dir, tmp_path, monkeypatch
):
    """Trainer has then removed the last checkpoint, where it is not the best: the steps after the best come again."""
    folder, _ = series
    options = {"seeds": [4], "text_encoder": text_encoder_dir, "evaluate_test": True, "command": "duosent train"}

    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ImageTextTrainer, "save_state", stop)
        train_series("text", data, arguments(tmp_path), **options)
    assert not (tmp_path / "seed-4" / "metrics.json").exists()
    train_series("text", data, arguments(tmp_path), **options)
    for file in ("metrics.json", "metrics_test.json"):
        assert read(tmp_path / "seed-4" / file) == read(folder / "seed-4" / file)


def test_what_cannot_be(data, text_encoder_dir, tmp_path):
    for how, message in [
        ({}, "Either seeds or folds must be given, and not both."),
        ({"seeds": [1], "folds": 2}, "Either seeds or folds must be given, and not both."),
        ({"seeds": [1, 1]}, "seeds must differ, got 1, 1."),
        ({"folds": 1}, "folds must be >= 2, got 1."),
        ({"folds": 90}, "folds must be at most 5, the number of posts of the commonest label, got 90."),
        ({"folds": 2, "streaming": True}, "folds must go with posts that have a label and are not streamed."),
    ]:
        with pytest.raises(CallError) as error:
            train_series("text", data, arguments(tmp_path / "out"), text_encoder=text_encoder_dir, **how)
        assert str(error.value) == message
    assert not (tmp_path / "out").exists()


def words(data, text_encoder_dir, folder) -> list[str]:
    return [
        *["train", "--model", "text", "--data", data, "--text-encoder", text_encoder_dir, "--output-dir", str(folder)],
        *["--num-train-epochs", "1", "--per-device-train-batch-size", "4", "--use-cpu"],
    ]


def test_the_command(data, text_encoder_dir, tmp_path, capsys):
    call = [*words(data, text_encoder_dir, tmp_path), "--seeds", "2"]
    assert main([*call, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == {**read(tmp_path / "summary.json")} and [run["seed"] for run in summary["runs"]] == [0, 1]
    assert main([*call, "--seed", "1"]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines[1:3]] == ["seed-1", "seed-2"]
    assert lines[3][0] == "mean" and lines[4][:2] == ["standard", "deviation"]
    assert float(lines[3][1]) == pytest.approx((float(lines[1][1]) + float(lines[2][1])) / 2, abs=1e-4)
    for flags, sentence in [
        (["--seeds", "2", "--folds", "2"], "--seeds and --folds must not be given together"),
        (["--seeds", "0"], "--seeds must be >= 1, got 0."),
        (["--folds", "1"], "folds must be >= 2, got 1."),
        (["--fold-seed", "1"], "--fold-seed has no meaning without --folds."),
    ]:
        with pytest.raises(SystemExit) as end:
            main([*words(data, text_encoder_dir, tmp_path), *flags])
        assert end.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_run_the_same_series(data, text_encoder_dir, tmp_path):
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "duosent",
    ]
    call = [*torchrun, *words(data, text_encoder_dir, tmp_path), "--ddp-backend", "gloo", "--json", "--seeds"]
    first = subprocess.run([*call, "1"], check=True, capture_output=True, text=True, timeout=300)
    changed = (tmp_path / "seed-0" / "model.safetensors").stat().st_mtime_ns
    second = subprocess.run([*call, "2"], check=True, capture_output=True, text=True, timeout=300)
    assert (tmp_path / "seed-0" / "model.safetensors").stat().st_mtime_ns == changed
    summary = json.loads(second.stdout)
    assert summary["runs"][0] == json.loads(first.stdout)["runs"][0] and len(summary["runs"]) == 2
    assert summary == read(tmp_path / "summary.json")
    assert len(pq.read_table(tmp_path / "seed-1" / "predictions_validation.parquet")) == 5
