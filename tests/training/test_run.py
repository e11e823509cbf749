"""The whole road on seven made-up posts: what lies in the output folder, and that it is used again."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from duosent.inference.score_table import predict_table
from duosent.processing.processing_image_text import ImageTextProcessor
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import check_output_dir, resume_folder
from duosent.training.run import CallError, check_config, evaluate, train

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def data(rows, tmp_path_factory) -> str:
    """Parquet with the label under another name, and no test part."""
    folder = tmp_path_factory.mktemp("posts")
    words = rows.features["label"].names
    columns = {name: rows[name][:] for name in ("id", "text", "image")}
    as_words = Dataset.from_dict({**columns, "sentiment": [words[label] for label in rows["label"]]})
    as_words.to_parquet(folder / "train.parquet")
    as_words.select(range(4)).to_parquet(folder / "validation.parquet")
    return str(folder)


def arguments(folder, **options) -> ImageTextTrainingArguments:
    usual = {"num_train_epochs": 1, "per_device_train_batch_size": 4, "seed": 3, "use_cpu": True, "disable_tqdm": True}
    return ImageTextTrainingArguments(str(folder), **{**usual, **options})


@pytest.fixture(scope="module")
def run(data, text_encoder_dir, image_encoder_dir, tmp_path_factory):
    """A finished run: its folder and what `train` returned."""
    folder = tmp_path_factory.mktemp("runs") / "mdse"
    metrics = train(
        "mdse",
        data,
        arguments(folder),
        text_encoder=text_encoder_dir,
        image_encoder=image_encoder_dir,
        columns={"label_column": "sentiment"},
        config=SMALL,
        command="duosent train",
    )
    return folder, metrics


def test_metrics_hold_what_a_reader_needs(run, data):
    folder, metrics = run
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert {"accuracy", "macro_f1", "weighted_f1", "per_class", "confusion", "majority_accuracy"} <= metrics.keys()
    assert metrics["n"] == 4 and metrics["split"] == "validation" and metrics["seed"] == 3
    assert metrics["model"] == "mdse" and metrics["data"] == data and metrics["command"] == "duosent train"
    assert metrics["labels"] == ["negative", "neutral", "positive"]
    assert len(metrics["fingerprint"]) == 16
    assert metrics["loss"] == pytest.approx(metrics["classification_loss"] + metrics["contrastive_loss"], rel=1e-4)


def test_the_run_is_on_record(run):
    folder, _ = run
    record = json.loads((folder / "run.json").read_text())
    assert record["config"] == SMALL and record["columns"] == {"label_column": "sentiment"}
    assert record["training"]["num_train_epochs"] == 1 and record["seed"] == 3
    assert "learning_rate" not in record["training"]  # only what was changed
    assert record["steps"] == 2 and record["seconds"] > 0
    logged = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    assert any("eval_contrastive_loss" in log for log in logged)


def test_the_folder_is_a_checkpoint(run):
    folder, _ = run
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.hidden_size == 16 and model.config.label2id == {"negative": 0, "neutral": 1, "positive": 2}
    assert ImageTextProcessor.from_pretrained(folder).tokenizer is not None


def test_the_folder_holds_no_pickle(run):
    folder, _ = run
    left = {file.name for file in folder.iterdir() if file.is_file()}
    plain = (".json", ".safetensors", ".txt", ".parquet", ".md", ".py")
    assert not [name for name in left if not name.endswith(plain)], left
    assert json.loads((folder / "arguments.json").read_text())["seed"] == 3


def test_the_answers_lie_beside_the_metrics(run, rows, data, tmp_path):
    folder, metrics = run
    answers = pq.read_table(folder / "predictions_validation.parquet").to_pylist()
    words = rows.features["label"].names
    assert [row["id"] for row in answers] == ["0", "1", "2", "3"]
    assert [row["true_label"] for row in answers] == [words[label] for label in rows["label"][:4]]
    assert sum(row["true_label"] == row["label"] for row in answers) / 4 == metrics["accuracy"]
    for row in answers:
        scores = {name: row[f"score_{name}"] for name in words}
        assert sum(scores.values()) == pytest.approx(1) and row["label"] == max(scores, key=scores.get)

    evaluate(str(folder), data, "validation", use_cpu=True, predictions=str(tmp_path / "deep" / "answers.parquet"))
    again = pq.read_table(tmp_path / "deep" / "answers.parquet")
    assert again.select(["id", "true_label", "label"]).to_pylist() == [
        {name: row[name] for name in ("id", "true_label", "label")} for row in answers
    ]
    predict_table(str(folder), str(Path(data) / "validation.parquet"), str(tmp_path / "predicted"), device="cpu")
    predicted = pq.read_table(tmp_path / "predicted" / "predictions-00000.parquet")
    assert again.column_names == ["id", "true_label", *predicted.column_names[1:]]
    for name in words:
        wanted = predicted[f"score_{name}"].to_pylist()
        assert [row[f"score_{name}"] for row in answers] == pytest.approx(wanted, abs=1e-5)


def test_evaluate_gives_the_figures_of_the_run(run, data, tmp_path):
    folder, metrics = run
    figures = evaluate(str(folder), data, "validation", tmp_path / "deep" / "metrics.json", use_cpu=True)
    for name in ("accuracy", "macro_f1", "per_class", "confusion", "n", "seed", "fingerprint", "model", "labels"):
        assert figures[name] == metrics[name], name
    assert figures["loss"] == pytest.approx(metrics["loss"], rel=1e-5)
    assert json.loads((tmp_path / "deep" / "metrics.json").read_text()) == figures


def test_one_seed_is_one_result(run, data, text_encoder_dir, image_encoder_dir, tmp_path):
    _, metrics = run
    options = {"columns": {"label_column": "sentiment"}, "config": SMALL}
    torch.manual_seed(99)
    again = train(
        "mdse",
        data,
        arguments(tmp_path),
        text_encoder=text_encoder_dir,
        image_encoder=image_encoder_dir,
        command="duosent train",
        **options,
    )
    assert again == metrics


def test_augmentation_is_on_record(run, data, text_encoder_dir, image_encoder_dir, wordnet_dir, tmp_path):
    options = {"columns": {"label_column": "sentiment"}, "config": SMALL}
    encoders = {"text_encoder": text_encoder_dir, "image_encoder": image_encoder_dir}
    train("mdse", data, arguments(tmp_path, augment=True, wordnet_dir=wordnet_dir), **encoders, **options)
    record, plain = (json.loads((folder / "run.json").read_text()) for folder in (tmp_path, run[0]))
    assert record["training"] == plain["training"] | {"augment": True, "wordnet_dir": wordnet_dir}
    logs = [json.loads((folder / "trainer_state.json").read_text())["log_history"] for folder in (tmp_path, run[0])]
    assert logs[0][-1]["train_loss"] != logs[1][-1]["train_loss"]


@pytest.mark.parametrize("model", ["text", "image"])
def test_a_baseline_needs_only_its_own_encoder(model, data, text_encoder_dir, image_encoder_dir, tmp_path):
    encoders = {"text": {"text_encoder": text_encoder_dir}, "image": {"image_encoder": image_encoder_dir}}[model]
    train(model, data, arguments(tmp_path), columns={"label_column": "sentiment"}, **encoders)
    assert evaluate(str(tmp_path), data, "validation", use_cpu=True)["n"] == 4


def test_a_full_folder_is_refused_and_resume_goes_on(run, data, text_encoder_dir, image_encoder_dir):
    folder, _ = run
    options = {
        "text_encoder": text_encoder_dir,
        "image_encoder": image_encoder_dir,
        "columns": {"label_column": "sentiment"},
        "config": SMALL,
    }
    with pytest.raises(CallError, match="is not empty"):
        train("mdse", data, arguments(folder), **options)
    train("mdse", data, arguments(folder, num_train_epochs=2, resume_from_checkpoint="true"), **options)
    record = json.loads((folder / "run.json").read_text())
    assert record["steps"] == 4
    logged = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    assert sum("eval_loss" in log and log["step"] == 2 for log in logged) == 1  # the first epoch was not run again


def test_overwrite_leaves_no_old_checkpoint(data, text_encoder_dir, image_encoder_dir, tmp_path):
    old = tmp_path / "checkpoint-999"
    old.mkdir()
    (old / "trainer_state.json").write_text("{}")
    # Not `checkpoint-...`: Trainer counts every folder of that name among its own when it makes room.
    mine = tmp_path / "mine"
    mine.mkdir()
    train(
        "text",
        data,
        arguments(tmp_path),
        text_encoder=text_encoder_dir,
        columns={"label_column": "sentiment"},
        overwrite=True,
    )
    assert not old.exists() and mine.exists()
    assert (tmp_path / "checkpoint-2").exists()


def test_without_validation_the_last_model_stays(data, text_encoder_dir, tmp_path, caplog):
    file = str(Path(data) / "train.parquet")
    figures = train(
        "text", file, arguments(tmp_path), text_encoder=text_encoder_dir, columns={"label_column": "sentiment"}
    )
    assert figures == {} and not (tmp_path / "metrics.json").exists()
    assert (tmp_path / "model.safetensors").exists()
    assert "has no validation part" in caplog.text


def test_wrong_calls_are_one_sentence_before_any_work(data, text_encoder_dir, tmp_path):
    args = arguments(tmp_path / "out")
    for call, message in [
        (
            lambda: train("bert", data, args),
            "model must be one of mdse, radm, text, image, concat, tfn, lmf, clmlf, tombert, got 'bert'.",
        ),
        (lambda: train("mdse", data, args), "text_encoder must be given for model mdse."),
        (
            lambda: train("text", data, args, text_encoder="/no/encoder"),
            "text_encoder /no/encoder is neither a folder",
        ),
        (
            lambda: train("text", data, args, text_encoder=data, columns={"label_column": "sentiment"}),
            f"{data} cannot be loaded: ",  # a folder, but no encoder in it
        ),
        (lambda: train("mdse", data, args, text_encoder="x"), "image_encoder must be given for model mdse."),
        (
            lambda: train("mdse", data, args, config={"hidden_size": 10}),
            "hidden_size must be a multiple of num_attention_heads, got hidden_size=10 and num_attention_heads=8.",
        ),
        (
            lambda: train(
                "text", data, arguments(tmp_path / "out", metric_for_best_model="f1"), text_encoder=text_encoder_dir
            ),
            "metric_for_best_model must be one of accuracy, macro_f1,",
        ),
        (lambda: train("radm", data, args, config={"hiden_size": 8}), "did you mean hidden_size?"),
        (
            lambda: train("text", data, args, text_encoder=text_encoder_dir, columns={"label_column": "mood"}),
            "mood",
        ),
        (
            lambda: train(
                "text",
                data,
                args,
                text_encoder=text_encoder_dir,
                columns={"label_column": "sentiment"},
                evaluate_test=True,
            ),
            "has no test part, only train, validation.",
        ),
        (lambda: evaluate(str(tmp_path / "none"), data), "is neither a folder with a checkpoint nor a model"),
    ]:
        with pytest.raises(CallError) as error:
            call()
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_bad_value_is_told_without_the_validators_name():
    with pytest.raises(CallError) as error:
        check_config("mdse", {"contrastive_weight": -1})
    assert str(error.value) == "contrastive_weight must be >= 0, got -1."


def test_resume_folder(tmp_path):
    assert resume_folder(arguments(tmp_path)) is None
    with pytest.raises(CallError, match="holds no checkpoint to resume from"):
        resume_folder(arguments(tmp_path, resume_from_checkpoint="true"))
    with pytest.raises(CallError, match="is not a checkpoint folder of a run"):
        resume_folder(arguments(tmp_path, resume_from_checkpoint=str(tmp_path)))
    for step in (7, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert resume_folder(arguments(tmp_path, resume_from_checkpoint="true")) == str(tmp_path / "checkpoint-10")
    (tmp_path / "checkpoint-10" / "trainer_state.json").write_text('{"epoch": 1')  # killed while writing
    (tmp_path / "checkpoint-12").mkdir()
    assert resume_folder(arguments(tmp_path, resume_from_checkpoint="true")) == str(tmp_path / "checkpoint-7")
    with pytest.raises(CallError, match="is not a checkpoint folder of a run"):
        resume_folder(arguments(tmp_path, resume_from_checkpoint=str(tmp_path / "checkpoint-10")))


def test_a_run_that_had_stopped_early_stays_stopped(data, text_encoder_dir, tmp_path):
    options = {"text_encoder": text_encoder_dir, "columns": {"label_column": "sentiment"}}
    options["config"] = {"freeze_text": True, "classifier_dropout": 0}
    still = {"learning_rate": 1e-12, "num_train_epochs": 6, "early_stopping_patience": 1, "save_total_limit": None}
    train("text", data, arguments(tmp_path, **still), **options)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["epochs"] == 2
    train("text", data, arguments(tmp_path, resume_from_checkpoint="true", **still), **options)
    again = json.loads((tmp_path / "run.json").read_text())
    assert (again["epochs"], again["steps"]) == (2, record["steps"])


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CallError, match="is a file"):
        check_output_dir(tmp_path / "file", may_be_used=True)


def test_several_labels_a_post(text_encoder_dir, tmp_path):
    rows = [{"text": "good sun", "label": ["glad", "warm"]}, {"text": "bad rain", "label": []}] * 3
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "validation.jsonl").write_text(file.read_text())
    figures = train("text", str(tmp_path), arguments(tmp_path / "run"), text_encoder=text_encoder_dir)
    assert figures["labels"] == ["glad", "warm"] and 0 <= figures["micro_f1"] <= 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    again = evaluate(str(tmp_path / "run"), str(tmp_path), "validation", use_cpu=True)
    assert again["confusion"] == figures["confusion"]
    answers = pq.read_table(tmp_path / "run" / "predictions_validation.parquet").to_pylist()
    assert [row["true_label"] for row in answers] == [["glad", "warm"], []] * 3
    assert figures["accuracy"] == sum(row["true_label"] == row["label"] for row in answers) / 6
