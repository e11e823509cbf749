"""Twitter's road, from published files to an answer about each target of a post."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import trees
from commands import call

from duosent.cli import main
from duosent.inference.scoring import predict, predict_targets
from duosent.training.checkpoints import CallError


def answer_to(capsys, *words) -> dict:
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def road(text_encoder_dir, image_encoder_dir, tmp_path_factory):
    """Prepared posts and a model trained on them."""
    folder = tmp_path_factory.mktemp("twitter")
    trees.write_twitter(folder / "raw", year=2017)
    assert main(["prepare", "twitter-2017", str(folder / "raw"), str(folder / "posts")]) == 0
    words = ["train", "--model", "mdse", "--data", str(folder / "posts"), "--output-dir", str(folder / "model")]
    words += ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir, "--evaluate-test"]
    words += ["--hidden-size", "16", "--num-attention-heads", "2", "--intermediate-size", "16"]
    assert main([*words, "--num-train-epochs", "1", "--per-device-train-batch-size", "2", "--use-cpu", "true"]) == 0
    return folder


def test_train_and_evaluate_read_the_target(road, capsys):
    record = json.loads((road / "model" / "metrics_test.json").read_text())
    words = ["evaluate", road / "model", "--split", "test", "--use-cpu", "--data"]
    again = answer_to(capsys, *words, road / "posts")
    assert (again["n"], again["loss"]) == (1, pytest.approx(record["loss"], rel=1e-5))
    table = pq.read_table(road / "posts" / "test-00000-of-00001.parquet")
    other = table.set_column(table.column_names.index("target"), "target", [["a good dog"]])
    (road / "other").mkdir()
    pq.write_table(other, road / "other" / "test.parquet")
    changed = answer_to(capsys, *words, road / "other")
    assert changed["loss"] != again["loss"]


def test_several_targets_of_one_post_in_one_call(road, capsys):
    picture = str(road / "raw" / "twitter2017_images" / "7.jpg")
    text, targets = "so happy with $T$ in the sun", ["the dog", "a cat", "my city"]
    model = str(road / "model")
    answers = predict_targets(model, text, picture, targets, "cpu")
    assert [answer["target"] for answer in answers] == targets
    for target, answer in zip(targets, answers, strict=True):
        alone = predict(model, text, picture, target, "cpu")
        assert answer["label"] == alone["label"]
        assert answer["scores"] == pytest.approx(alone["scores"], abs=1e-5)
    assert len({tuple(answer["scores"].values()) for answer in answers}) == 3

    flags = [word for target in targets for word in ("--target", target)]
    printed = answer_to(capsys, "predict", model, "--text", text, "--image", picture, *flags, "--device", "cpu")
    assert printed == {"targets": answers}
    one = answer_to(
        capsys, "predict", model, "--text", text, "--image", picture, "--target", "a cat", "--device", "cpu"
    )
    assert one["scores"] == pytest.approx(answers[1]["scores"], abs=1e-5)


def test_the_table_of_several_targets(road, capsys):
    words = ["predict", str(road / "model"), "--text", "$T$ and sun", "--target", "dog", "--target", "cat"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["target", "label", "negative", "neutral", "positive"]
    assert [line.split()[0] for line in lines[1:]] == ["dog", "cat"]


def test_what_is_wrong_with_targets(road, capsys):
    with pytest.raises(CallError, match="targets must be words, at least one, got"):
        predict_targets(str(road / "model"), "$T$", None, ["dog", " "])
    with pytest.raises(SystemExit):
        main(["predict", str(road / "model"), "--data", str(Path("x")), "--output", "y", "--target", "dog"])
    assert "--target belongs to one post" in capsys.readouterr().err
