"""Several labels, missing sides and rare classes as a person meets them: flags, tables, JSON."""

import io
import json
import sys

import pytest
from commands import call
from PIL import Image

from duosent.cli import main
from duosent.parsing import CommandParser
from duosent.tables import figures_table
from duosent.train_flags import read_train_flags


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    for name, colour in (("red", (220, 30, 30)), ("green", (30, 220, 30))):
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    posts = [("good sun", "green.png", "glad", "love"), ("bad rain", "red.png", "sad", "none")]
    posts += [("great dog", "green.png", "glad", None), ("so sad", "red.png", "sad", "love")]
    rows = [dict(zip(("text", "image", "mood", "desire"), post, strict=True)) for post in posts]
    for part in ("train", "validation"):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.fixture(scope="module")
def trained(data, text_encoder_dir, image_encoder_dir, tmp_path_factory) -> tuple[str, dict]:
    """A checkpoint for two labels by `duosent train`, and the JSON that it printed."""
    folder = str(tmp_path_factory.mktemp("runs") / "mdse")
    words = [
        "train",
        "--model",
        "mdse",
        "--data",
        data,
        "--label",
        "mood",
        "--label",
        "desire",
        "--output-dir",
        folder,
    ]
    words += ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir, "--hidden_size", "16"]
    words += ["--num-attention-heads", "2", "--intermediate_size", "32", "--num_train_epochs", "1", "--use-cpu"]
    words += ["--class-weights", "mood:glad=2", "desire:none=3", "--modality-dropout", "0.5", "--focal_gamma", "2"]
    words += ["--label_smoothing_factor", "0.1", "--evaluate-sides", "--json"]
    printed = io.StringIO()
    before, sys.stdout = sys.stdout, printed
    try:
        assert main(words) == 0
    finally:
        sys.stdout = before
    return folder, json.loads(printed.getvalue())


def test_train_takes_several_labels(trained):
    folder, metrics = trained
    assert list(metrics["tasks"]) == ["mood", "desire"] and metrics["tasks"]["desire"]["n"] == 3
    assert metrics["labels"] == ["mood:glad", "mood:sad", "desire:love", "desire:none"]
    assert set(metrics["sides"]) == {"both", "text", "image", "shuffled_images", "seed"}
    with open(f"{folder}/run.json", encoding="utf-8") as file:
        record = json.load(file)
    assert record["columns"] == {"label_columns": ["mood", "desire"]}
    assert record["training"]["class_weights"] == ["mood:glad=2", "desire:none=3"]
    assert record["training"]["modality_dropout"] == 0.5 and record["training"]["label_smoothing_factor"] == 0.1


def test_evaluate_shows_tasks_and_sides(capsys, trained, data):
    folder, _ = trained
    words = ["evaluate", folder, "--data", data, "--split", "validation", "--use-cpu"]
    code, out, _ = call(capsys, *words, "--sides", "--consistent")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for beginning in (
        "mood ",
        "desire ",
        "mood:glad ",
        "every label right ",
        "answers that never occurred together 0.0",
    ):
        assert any(line.startswith(beginning) for line in lines), beginning
    for beginning in ("4 posts with both sides", "words only ", "picture only ", "picture of another post "):
        assert any(line.startswith(beginning) for line in lines), beginning
    code, out, _ = call(capsys, *words, "--json")
    assert code == 0 and "sides" not in json.loads(out)
    code, _, err = call(capsys, *words, "--label", "mood")
    assert code == 2 and err.endswith("The checkpoint gives the labels mood, desire, got mood.\n")


def test_predict_shows_each_tasks_answer(capsys, trained, data):
    folder, _ = trained
    post = ["--text", "good $T$", "--image", f"{data}/green.png"]
    code, out, _ = call(capsys, "predict", folder, *post, "--consistent", "--json")
    answer = json.loads(out)["tasks"]
    assert code == 0 and list(answer) == ["mood", "desire"]
    known = {("glad", "love"), ("sad", "none"), ("sad", "love")}
    assert (answer["mood"]["label"], answer["desire"]["label"]) in known
    code, out, _ = call(capsys, "predict", folder, *post)
    assert code == 0 and "mood: " in out and "desire: " in out and "love" in out
    code, out, _ = call(capsys, "predict", folder, *post, "--target", "sun", "--target", "rain")
    assert code == 0 and [line for line in out.splitlines() if line.startswith(("mood", "desire"))] == [
        "mood",
        "desire",
    ]
    assert sum(line.startswith("rain ") for line in out.splitlines()) == 2


def test_flags_of_rare_classes(tmp_path):
    words = ["--class_weights", "balanced", "--focal-gamma", "2", "--label-smoothing-factor=0.1"]
    _, arguments = read_train_flags(words, "radm", str(tmp_path), CommandParser())
    assert (arguments.class_weights, arguments.focal_gamma) == (["balanced"], 2.0)
    assert arguments.label_smoothing_factor == 0.1 and arguments.balanced_sampling is False
    _, arguments = read_train_flags(["--balanced_sampling"], "radm", str(tmp_path), CommandParser())
    assert arguments.balanced_sampling is True and arguments.class_weights is None


def test_tasks_are_no_flag(capsys, tmp_path):
    words = ["train", "--model", "mdse", "--data", "none", "--output-dir", tmp_path, "--tasks", "a"]
    code, _, err = call(capsys, *words)
    assert code == 2 and "there is no flag --tasks" in err


def test_a_table_without_sides_or_tasks_has_neither():
    metrics = {"split": "test", "n": 1, "model": "mdse", "accuracy": 1.0}
    metrics["per_class"] = {"glad": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}}
    table = figures_table(metrics)
    assert "sides" not in table and "task" not in table and "glad" in table
