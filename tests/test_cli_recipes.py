"""`duosent train --recipe` and `--list-recipes`."""

import json

import pytest
import trees
from commands import wrong_call

from duosent.cli import main
from duosent.parsing import CommandParser
from duosent.train_flags import read_train_flags
from duosent.training.recipe import read_recipe, recipe_names

TINY = ["--hidden-size", "16", "--num-attention-heads", "2", "--intermediate-size", "16", "--use-cpu"]


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("msed")
    # No label in the other parts that train has not.
    rows = {part: [line.replace("anger", "sad") for line in lines] for part, lines in trees.MSED.items()}
    trees.write_msed(folder / "raw", rows)
    assert main(["prepare", "msed", str(folder / "raw"), str(folder / "posts")]) == 0
    return str(folder / "posts")


def test_the_list(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--list-recipes"])
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0 and [line.split()[0] for line in lines[1:]] == recipe_names()
    line = next(line for line in lines if line.startswith("mdse-mvsa-single-vit "))
    assert line.split(maxsplit=3)[1:] == ["mdse", "mvsa-single", "accuracy 76.22, weighted F1 75.71"]
    assert next(line for line in lines if line.startswith("radm-vqa-v2")).endswith("none known")


def test_a_recipe_fills_in_what_is_not_given(posts, text_encoder_dir, image_encoder_dir, tmp_path):
    words = ["train", "--recipe", "radm-msed-emotion-rm-c", "--data", posts, "--output-dir", str(tmp_path / "out")]
    words += ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir, *TINY]
    words += ["--num-train-epochs", "1", "--max-length", "16", "--classifier-dropout", "0.5"]
    assert main([*words, "--text-learning-rate", "1e-3", "--image_learning_rate", "none"]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["recipe"], record["model"]) == ("radm-msed-emotion-rm-c", "radm")
    assert record["columns"] == {"label_column": "emotion"}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["cross_modal"], config["hidden_dropout_prob"]) == (False, 0.2)  # the recipe's
    assert (config["classifier_dropout"], config["hidden_size"]) == (0.5, 16)  # the command line's
    assert record["processing"]["max_length"] == 16
    training = record["training"]
    assert (training["learning_rate"], training["per_device_train_batch_size"]) == (2e-5, 64)
    assert (training["text_learning_rate"], training["image_learning_rate"]) == (1e-3, None)
    assert training["num_train_epochs"] == 1 and training["early_stopping_patience"] is None
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "happiness" in metrics["labels"]


def test_without_a_recipe_the_record_says_so(posts, text_encoder_dir, tmp_path):
    words = [
        "train",
        "--model",
        "text",
        "--data",
        posts,
        "--label",
        "sentiment",
        "--output-dir",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--text-encoder", text_encoder_dir, "--num-train-epochs", "1", "--use-cpu"]) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["recipe"] is None


def test_the_training_fields_of_a_recipe_and_flags_over_them(wordnet_dir, tmp_path):
    recipe = read_recipe("mdse-mvsa-single-ipfl")
    words = ["--wordnet-dir", wordnet_dir, "--private_similarity", "mean", "--learning_rate", "1e-3"]
    config, arguments = read_train_flags(words, "mdse", str(tmp_path), CommandParser(), recipe)
    assert config == {**recipe.config, "private_similarity": "mean"}
    assert (arguments.learning_rate, arguments.text_learning_rate, arguments.augment) == (1e-3, 2e-5, True)
    assert (arguments.metric_for_best_model, arguments.num_train_epochs) == ("weighted_f1", 50)
    assert arguments.early_stopping_patience is None
    words = ["--augment", "false", "--early-stopping-patience", "2"]
    _, arguments = read_train_flags(words, "mdse", str(tmp_path), CommandParser(), recipe)
    assert arguments.augment is False and arguments.early_stopping_patience == 2


def test_init_from_takes_the_place_of_the_recipes_encoders(capsys, posts, tmp_path):
    words = ["train", "--recipe", "radm-msed-desire", "--data", posts, "--output-dir", tmp_path / "out"]
    sentence = wrong_call(capsys, *words, "--init-from", tmp_path / "none")
    assert "none is neither a folder with a checkpoint" in sentence
    sentence = wrong_call(capsys, *words, "--init-from", tmp_path / "none", "--text-encoder", "t")
    assert "text_encoder must not be given beside init_from" in sentence


def test_wrong_calls(capsys, tmp_path):
    words = ["train", "--data", "none", "--output-dir", tmp_path / "out"]
    assert "--model must be given, or a --recipe, which names one." in wrong_call(capsys, *words)
    assert "there is no recipe mdse-mvsa; the nearest are mdse-mvsa-" in wrong_call(
        capsys, *words, "--recipe", "mdse-mvsa"
    )
    sentence = wrong_call(capsys, *words, "--recipe", "radm-vqa-v2", "--model", "mdse")
    assert "--model mdse contradicts recipe radm-vqa-v2, whose model is radm." in sentence
    sentence = wrong_call(capsys, *words, "--recipe", "radm-vqa-v2", "--task", "classification")
    assert "--task classification contradicts recipe radm-vqa-v2, whose task is vqa." in sentence


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"columns": {"labels": "x"}}, "recipe own: columns has labels, and may have label_column,"),
        ({"columns": {"output_dir": "x"}}, "recipe own: columns has output_dir, and may have"),
        ({"processing": {"size": 1}}, "recipe own: processing has size, and may have clean_text and max_length."),
        ({"training": {"learning_rat": 1}}, "recipe own: training has learning_rat, which is no training argument."),
        ({"config": {"hiden_size": 1}}, "TfnConfig has no field hiden_size (value 1); did you mean hidden_size?"),
    ],
)
def test_what_is_wrong_with_ones_own_recipe(capsys, own, sentence, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps({"model": "tfn", **own}))
    words = ["train", "--recipe", tmp_path / "own.json", "--data", "none", "--output-dir", tmp_path / "out"]
    assert sentence in wrong_call(capsys, *words)
