"""TFN, LMF, CLMLF and TomBERT on the command line: train, evaluate, predict."""

import json

import pytest
import trees

from duosent.cli import main

OWN_FLAGS = {
    "tfn": [],
    "lmf": ["--fusion-rank", "2"],
    "clmlf": ["--num-image-layers", "1", "--num-fusion-layers", "1", "--label_contrastive_weight", "0.5"],
    "tombert": ["--pooling", "both"],
}


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("twitter")
    trees.write_twitter(folder / "raw", year=2017)
    assert main(["prepare", "twitter-2017", str(folder / "raw"), str(folder / "posts")]) == 0
    return str(folder / "posts")


@pytest.mark.parametrize("model", OWN_FLAGS)
def test_train_evaluate_predict(model, posts, text_encoder_dir, image_encoder_dir, tmp_path, capsys):
    folder = str(tmp_path / model)
    words = ["train", "--model", model, "--data", posts, "--output-dir", folder, "--evaluate-test", "--use-cpu"]
    words += ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir, *OWN_FLAGS[model]]
    words += ["--hidden-size", "16", "--num-attention-heads", "2", "--intermediate-size", "16"]
    assert main([*words, "--num-train-epochs", "1", "--per-device-train-batch-size", "2"]) == 0
    with open(f"{folder}/metrics_test.json", encoding="utf-8") as file:
        figures = json.load(file)
    capsys.readouterr()
    assert main(["evaluate", folder, "--data", posts, "--split", "test", "--use-cpu", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["model"], again["confusion"]) == (model, figures["confusion"])
    losses = [name for name in figures if name.endswith("_loss")]
    expected = ["classification_loss"]
    if model == "clmlf":
        expected += ["data_contrastive_loss", "label_contrastive_loss"]
    assert sorted(losses) == expected
    for name in [*losses, "loss"]:
        assert again[name] == pytest.approx(figures[name], rel=1e-5)
    for post in (["--text", "a good $T$", "--target", "dog"], ["--text", "so sad"]):
        assert main(["predict", folder, *post, "--device", "cpu", "--json"]) == 0
        scores = json.loads(capsys.readouterr().out)["scores"]
        assert sum(scores.values()) == pytest.approx(1, abs=1e-5) and len(scores) == 3
