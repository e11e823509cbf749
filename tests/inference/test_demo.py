"""The demo's road on a handful of posts; the demo itself is a slow test."""

import functools
import glob
import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import duosent.inference.demo as demo
from duosent.cli import main
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError


@pytest.fixture
def short(monkeypatch):
    """Twenty posts a part and one step a model."""
    few = functools.partial(demo.make_demo_posts, train=20, validation=20, test=20)
    monkeypatch.setattr(demo, "make_demo_posts", few)
    monkeypatch.setattr(
        demo, "_arguments", lambda run, seed: ImageTextTrainingArguments(str(run), num_train_epochs=1, seed=seed)
    )


def test_what_the_demo_leaves_and_says(short, tmp_path, capsys):
    folder = tmp_path / "a demo"
    assert main(["demo", "--output-dir", str(folder), "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    result = json.loads((folder / "demo.json").read_text())
    assert list(result["models"]) == ["words only", "picture only", "both (MDSE)"]
    for title, figures in result["models"].items():
        assert figures["n"] == 20 and figures["split"] == "test" and title in printed
        assert f"{figures['accuracy']:.4f}" in printed and f"{figures['macro_f1']:.4f}" in printed
    answers = pq.read_table(glob.glob(result["predictions"]))
    assert answers.num_rows == 20 and set(answers["label"].to_pylist()) <= {"negative", "positive"}
    for model in ("text", "image", "mdse"):
        files = {path.name for path in (folder / "runs" / model).iterdir()}
        assert {"model.safetensors", "config.json", "processor_config.json", "metrics.json"} <= files

    commands = [line.strip() for line in printed.splitlines() if line.startswith("  duosent ")]
    assert len(commands) == 4
    for command in commands:
        words = shlex.split(command)[1:]
        words += ["--num_train_epochs", "1"] if words[0] == "train" else []
        assert main(words) == 0, command
    assert (folder / "answers" / "predictions-00000.parquet").is_file()


def test_a_second_demo_replaces_the_first_and_nothing_else(short, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(CallError, match="is not empty and holds no earlier demo"):
        demo.run_demo(str(tmp_path))
    assert (tmp_path / "letter.txt").read_text() == "mine"
    (tmp_path / "demo.json").write_text("{}")
    demo.run_demo(str(tmp_path))
    assert not (tmp_path / "letter.txt").exists()
    assert Path(tmp_path / "runs" / "mdse" / "config.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_both_sides_beat_either_by_ten_points(tmp_path, seed):
    models = demo.run_demo(str(tmp_path), seed)["models"]
    words, picture, both = (figures["accuracy"] for figures in models.values())
    assert max(words, picture) <= 0.76
    assert both >= max(words, picture) + 0.10
