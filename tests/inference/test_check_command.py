"""`duosent explain --check`: wrong calls, and one that ends in a table and a file."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import save_checkpoint, tiny_classifier
from PIL import Image

from duosent import cli
from duosent.inference.attributions import integrated_gradients


@pytest.fixture(scope="module")
def checkpoint(tokenizer, processor, tmp_path_factory) -> str:
    return save_checkpoint(tiny_classifier("mdse", tokenizer), processor, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> str:
    rows = {"text": ["good sun and sea", "bad rain"], "image": []}
    for seed in range(2):
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
        rows["image"].append({"bytes": file.getvalue(), "path": None})
    folder = tmp_path_factory.mktemp("posts")
    pq.write_table(pa.table(rows), folder / "validation.parquet")
    return str(folder)


def test_the_report_is_shown_and_written(checkpoint, posts, tmp_path, capsys):
    file = tmp_path / "check.json"
    words = [
        "explain",
        checkpoint,
        "--check",
        posts,
        "--no-attributions",
        "--random-orders",
        "2",
        "--output",
        str(file),
    ]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    report = json.loads(file.read_text())
    assert report["n"] == 2
    lines = shown.splitlines()
    assert lines[0].split("  ")[0] == "2 posts"
    for entry in report["maps"]:
        [line] = [line for line in lines if line.startswith(f"{entry['map']}, {entry['side']}  ")]
        assert f"{entry['figures']['deletion']:.4f}" in line
        assert line.endswith("yes" if entry["trusted"] else "no")
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report


def test_the_tolerance_holds_for_the_model_and_for_random_weights(checkpoint, posts, monkeypatch, capsys):
    """Two posts, explained by both."""
    tolerances = []

    def noted(*args):
        tolerances.append(args[-1])
        return integrated_gradients(*args)

    monkeypatch.setattr("duosent.inference.explaining.integrated_gradients", noted)
    words = ["explain", checkpoint, "--check", posts, "--random-orders", "1", "--json"]
    assert cli.main([*words, "--attribution-tolerance", "0.5"]) == 0
    assert json.loads(capsys.readouterr().out)["attribution_tolerance"] == 0.5
    assert tolerances == [0.5] * 4
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out)["attribution_tolerance"] == 0.01
    assert tolerances[4:] == [0.01] * 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--check", "posts", "--text", "sun"], "--text has no meaning beside --check."),
        (["--check", "posts", "--data", "posts"], "--data has no meaning beside --check."),
        (["--check", "posts", "--limit", "0"], "--limit must be >= 1, got 0."),
        (["--check", "posts", "--random-orders", "0"], "--random-orders must be >= 1, got 0."),
        (
            ["--check", "posts", "--no-attributions", "--attribution-tolerance", "0.1"],
            "--attribution-tolerance has no meaning beside --no-attributions.",
        ),
        (["--check", "posts", "--output", "."], "--output . is a folder."),
        (["--text", "sun", "--output", "page.html", "--seed", "1"], "--seed belongs to --check."),
        (["--text", "sun"], "--output is needed: the page to write."),
    ],
)
def test_a_wrong_call_ends_with_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["explain", "checkpoint", *words])
    assert capsys.readouterr().err == f"duosent explain: {sentence}\n"
