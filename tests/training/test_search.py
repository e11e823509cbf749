"""A search: its trials are runs, the best is what their metrics say, and the last model is trained like it."""

import json
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from duosent.cli import main
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.run import CallError
from duosent.training.search import search, search_space
from duosent.training.trainer import ImageTextTrainer


@pytest.fixture(scope="module")
def data(rows, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    words = rows.features["label"].names
    columns = {name: rows[name][:] for name in ("id", "text", "image")}
    posts = Dataset.from_dict({**columns, "label": [words[label] for label in rows["label"]]})
    for part in ("train", "validation", "test"):
        posts.to_parquet(folder / f"{part}.parquet")
    return str(folder)


def arguments(folder, **options) -> ImageTextTrainingArguments:
    usual = {"num_train_epochs": 1, "per_device_train_batch_size": 4, "use_cpu": True, "disable_tqdm": True, "seed": 2}
    return ImageTextTrainingArguments(str(folder), **{**usual, **options})


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def searched(data, text_encoder_dir, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("search")
    args = arguments(folder, metric_for_best_model="loss")
    return folder, search("text", data, args, trials=3, text_encoder=text_encoder_dir, evaluate_test=True)


def test_the_best_trial_has_the_best_metric(searched):
    folder, metrics = searched
    found = read(folder / "search.json")
    values = [read(folder / "trials" / f"trial-{number}" / "metrics.json")["loss"] for number in range(3)]
    assert [trial["loss"] for trial in found["trials"]] == values and len(set(values)) == 3
    assert found["best"] == found["trials"][values.index(min(values))]
    assert metrics["search"] == {"metric": "loss", "trials": 3, "best": found["best"]}
    assert read(folder / "metrics.json") == metrics


def test_every_trial_has_options_of_its_own_and_one_seed(searched):
    folder, _ = searched
    found = read(folder / "search.json")
    assert found["space"].keys() == {"learning_rate", "text_learning_rate", "weight_decay"}
    for number, trial in enumerate(found["trials"]):
        record = read(folder / "trials" / f"trial-{number}" / "run.json")
        assert record["seed"] == 2 and record["evaluate_test"] is False
        for name, value in trial["options"].items():
            assert record["training"][name] == value
            assert found["space"][name][0] <= value <= found["space"][name][1]
    assert len({json.dumps(trial["options"]) for trial in found["trials"]}) == 3


def test_the_last_model_is_trained_like_the_best_trial(searched):
    folder, metrics = searched
    best = read(folder / "trials" / f"trial-{metrics['search']['best']['trial']}" / "metrics.json")
    assert {name: metrics[name] for name in ("loss", "confusion")} == {n: best[n] for n in ("loss", "confusion")}
    assert (folder / "model.safetensors").is_file() and (folder / "metrics_test.json").is_file()
    assert not list((folder / "trials").rglob("*.safetensors"))  # of a trial only the figures stay


def test_a_second_call_trains_only_what_is_missing(searched, data, text_encoder_dir, monkeypatch):
    folder, metrics = searched
    trained = []
    real = ImageTextTrainer.train
    monkeypatch.setattr(
        ImageTextTrainer, "train", lambda self, **how: trained.append(self.args.output_dir) or real(self, **how)
    )
    args = arguments(folder, metric_for_best_model="loss")
    options = {"text_encoder": text_encoder_dir, "evaluate_test": True}
    assert search("text", data, args, trials=3, **options) == metrics
    assert trained == []
    with pytest.raises(CallError, match="trial-0 holds a run with num_train_epochs 1, not 2: "):
        args = arguments(folder, metric_for_best_model="loss", num_train_epochs=2)
        search("text", data, args, trials=3, **options)


def test_what_is_given_is_held(tmp_path):
    every = {"learning_rate", "text_learning_rate", "image_learning_rate", "weight_decay"}
    contrast = {"contrastive_weight", "contrastive_temperature"}
    for model, changed, config, wanted in [
        ("radm", {}, {}, every),
        ("mdse", {}, {}, every | contrast),
        ("mdse", {}, {"contrastive_temperature": 0.07}, every | {"contrastive_weight"}),
        ("mdse", {}, {"contrastive_weight": 0}, every),
        ("text", {"learning_rate": 1e-3}, {}, {"text_learning_rate", "weight_decay"}),
        ("image", {"image_learning_rate": None}, {}, {"learning_rate", "weight_decay"}),
        ("concat", {}, {"freeze_image": True}, every - {"image_learning_rate"}),
    ]:
        assert search_space(model, arguments(tmp_path, **changed), config).keys() == wanted


def test_what_cannot_be(searched, data, text_encoder_dir, tmp_path, monkeypatch):
    rates = {"learning_rate": 1e-3, "text_learning_rate": 1e-3, "weight_decay": 0.5}
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").touch()
    for args, how, message in [
        ({}, {"trials": 0}, "search must be >= 1 trials, got 0."),
        ({"resume_from_checkpoint": "true"}, {}, "resume_from_checkpoint must not be given beside search"),
        (rates, {}, "A search must have something to choose, but every option of its space was given."),
        ({"output_dir": str(full)}, {}, "full is not empty: take another one, or say overwrite."),
        ({"metric_for_best_model": None, "load_best_model_at_end": False}, {}, "metric_for_best_model must be given"),
        ({}, {"data": f"{data}/train.parquet"}, "which " + data + "/train.parquet does not have."),
    ]:
        with pytest.raises(CallError) as error:
            options = {"data": data, "trials": 1, "text_encoder": text_encoder_dir, **how}
            search("text", args=arguments(args.pop("output_dir", tmp_path / "out"), **args), **options)
        assert message in str(error.value)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(CallError, match=r'needs optuna, which is not installed: pip install "duosent\[search\]"'):
        search("text", data, arguments(tmp_path / "out"), trials=1, text_encoder=text_encoder_dir)


def test_the_command_says_that_the_figures_are_tuned(data, text_encoder_dir, tmp_path, capsys):
    words = ["train", "--model", "text", "--data", data, "--text-encoder", text_encoder_dir, "--search", "1"]
    words += ["--output-dir", str(tmp_path), "--num-train-epochs", "1", "--use-cpu", "--learning-rate", "1e-3"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "best of 1 trials" in out and "--weight_decay" in out and "--learning_rate " not in out
    assert "chosen by macro_f1 on the validation part: its figures are tuned on it" in out
    with pytest.raises(SystemExit) as end:
        main([*words, "--seeds", "2"])
    assert end.value.code == 2 and "--search must not be given with --seeds or --folds" in capsys.readouterr().err
