"""The examples run as they stand, on tiny encoders and drawn posts."""

import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from duosent.data.demo_posts import make_demo_posts

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TRAINING = {
    "01_fine_tune_mdse.py": ["--hidden-size", "16"],
    "02_fine_tune_radm.py": ["--hidden-size", "16"],
}


def run_example(name: str, *words) -> None:
    before = sys.argv
    sys.argv = [name, *map(str, words)]
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> Path:
    return make_demo_posts(tmp_path_factory.mktemp("posts"), train=16, validation=8, test=1)


def test_every_example_is_tried_here():
    names = {file.name for file in EXAMPLES.glob("*.py")}
    assert names == {
        *TRAINING,
        "03_predict.py",
        "04_plain_transformers.py",
        "05_pretrain_radm_on_vqa.py",
        "06_pipeline.py",
    }


@pytest.mark.parametrize("training", TRAINING)
def test_fine_tune_then_ask(training, posts, text_encoder_dir, image_encoder_dir, tmp_path, capsys):
    encoders = ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir]
    checkpoint = tmp_path / "run"
    run_example(training, "--data", posts, *encoders, "--output-dir", checkpoint, "--epochs", 1, *TRAINING[training])
    assert "accuracy" in capsys.readouterr().out

    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.jpg")
    post = ["--text", "so happy", "--image", tmp_path / "photo.jpg"]
    run_example("03_predict.py", checkpoint, *post)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["both", "words alone", "picture alone"]
    run_example("04_plain_transformers.py", checkpoint, *post)
    assert "hidden states" in capsys.readouterr().out
    run_example("06_pipeline.py", checkpoint, *post)
    lines = capsys.readouterr().out.splitlines()
    names = ["best", "all", *["0.2 and more"] * 3, "row 0", "row 1", "row 2", "row 3", "refused"]
    assert [line.split(":")[0] for line in lines] == names and "must lead to a public address" in lines[-1]


def test_pretrain_then_fine_tune(posts, vqa_data, text_encoder_dir, image_encoder_dir, tmp_path, capsys):
    encoders = ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir]
    small = ["--output-dir", tmp_path, "--hidden-size", 16, "--vqa-epochs", 1, "--epochs", 1]
    run_example("05_pretrain_radm_on_vqa.py", "--vqa", vqa_data, "--data", posts, *encoders, *small)
    out = capsys.readouterr().out
    assert "yes/no" in out and "ceiling 0.720" in out and "macro F1" in out
    assert (tmp_path / "vqa" / "metrics.json").is_file() and (tmp_path / "radm" / "model.safetensors").is_file()
