"""RADM's pre-training on made-up questions: the whole road, and what lies in the output folder."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import EvalPrediction

from duosent import RadmForVisualQuestionAnswering
from duosent.data.questions import load_questions
from duosent.processing.vqa_collator import VisualQuestionCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import load_checkpoint
from duosent.training.run import CallError, evaluate, train
from duosent.training.vqa_trainer import VisualQuestionTrainer, mean_score

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_interaction_layers": 2}
VOCABULARY = ["yes", "no", "red", "green"]


def arguments(folder, **options) -> ImageTextTrainingArguments:
    usual = {
        "num_train_epochs": 20,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 2,
        "learning_rate": 1e-2,
        "text_learning_rate": 1e-2,
        "image_learning_rate": 1e-2,
        "early_stopping_patience": None,
        "seed": 3,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return ImageTextTrainingArguments(str(folder), **{**usual, **options})


@pytest.fixture(scope="module")
def encoders(text_encoder_dir, image_encoder_dir) -> dict:
    return {"text_encoder": text_encoder_dir, "image_encoder": image_encoder_dir}


@pytest.fixture(scope="module")
def run(vqa_data, encoders, tmp_path_factory) -> tuple[Path, dict]:
    """A finished run: its folder and what `train` returned."""
    folder = tmp_path_factory.mktemp("runs") / "vqa"
    # Three batches an epoch; an evaluation saves the model each time, so they are few.
    rhythm = {"eval_strategy": "steps", "eval_steps": 20, "save_strategy": "steps", "save_steps": 20}
    options = {"task": "vqa", "config": SMALL, "command": "duosent train"}
    metrics = train("radm", vqa_data, arguments(folder, **rhythm), **options, **encoders)
    return folder, metrics


def accuracy_by_a_loop(folder, rows) -> tuple[float, float]:
    """Accuracy by leaving each annotator out, and the mean loss, one question at a time."""
    model, processor = load_checkpoint(str(folder))
    collate = VisualQuestionCollator(processor, num_labels=len(VOCABULARY))
    right, losses = [], []
    for row in rows:
        with torch.no_grad():
            output = model(**collate([row]))
        answer = VOCABULARY[output.logits[0].argmax()]
        others = [row["answers"][:i] + row["answers"][i + 1 :] for i in range(len(row["answers"]))]
        right.append(sum(min(1, names.count(answer) / 3) for names in others) / len(others))
        losses.append(output.loss.item())
    return sum(right) / len(right), sum(losses) / len(losses)


def test_metrics_hold_what_a_reader_needs(run, vqa_data):
    folder, metrics = run
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    # By hand: the five questions' best answers of the four score 1, 0.6, 1, 1, 0.
    assert metrics["ceiling"] == pytest.approx(3.6 / 5)
    # yes is given eleven times, red and blue ten times each: always yes scores 1 and 0.6.
    assert metrics["majority_accuracy"] == pytest.approx(1.6 / 5)
    assert metrics["n"] == 5 and metrics["num_answers"] == 4 and metrics["task"] == "vqa"
    assert {kind: row["n"] for kind, row in metrics["per_answer_type"].items()} == {"other": 3, "yes/no": 2}
    assert metrics["model"] == "radm" and metrics["seed"] == 3 and metrics["split"] == "validation"
    assert metrics["data"] == vqa_data and metrics["command"] == "duosent train" and len(metrics["fingerprint"]) == 16
    assert metrics["loss"] == pytest.approx(metrics["classification_loss"])


def test_the_run_learns_to_answer(run):
    _, metrics = run
    assert metrics["majority_accuracy"] + 0.2 < metrics["accuracy"] <= metrics["ceiling"] + 1e-9


def test_figures_equal_a_loop_over_the_questions(run, vqa_data):
    folder, metrics = run
    accuracy, loss = accuracy_by_a_loop(folder, load_questions(vqa_data)["validation"])
    assert metrics["accuracy"] == pytest.approx(accuracy)
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)


def test_the_answers_lie_beside_the_metrics(run, vqa_data):
    folder, _ = run
    model, processor = load_checkpoint(str(folder))
    rows = load_questions(vqa_data)["validation"]
    with torch.no_grad():
        best = [model(**VisualQuestionCollator(processor, num_labels=4)([row])).logits[0].argmax() for row in rows]
    answers = pq.read_table(folder / "predictions_validation.parquet").to_pylist()
    assert answers == [{"id": row["id"], "answer": VOCABULARY[index]} for row, index in zip(rows, best, strict=True)]


def test_the_best_model_is_kept_by_accuracy(run):
    folder, metrics = run
    state = json.loads((folder / "trainer_state.json").read_text())
    logged = [log["eval_accuracy"] for log in state["log_history"] if "eval_accuracy" in log]
    assert logged[0] < max(logged) and len(logged) == 3
    assert max(logged) == pytest.approx(state["best_metric"]) == pytest.approx(metrics["accuracy"])


def test_the_run_is_on_record(run):
    folder, _ = run
    record = json.loads((folder / "run.json").read_text())
    assert record["task"] == "vqa" and record["init_from"] is None
    assert record["train_rows"] == 12 and record["steps"] == 20 * 3  # two of fourteen questions teach nothing


def test_the_checkpoint_knows_its_answers(run):
    folder, _ = run
    model, _ = load_checkpoint(str(folder))
    assert type(model) is RadmForVisualQuestionAnswering and not model.training
    assert [model.config.id2label[index] for index in range(4)] == VOCABULARY
    assert model.config.label2id["red"] == 2


def test_evaluate_gives_the_figures_of_the_run(run, vqa_data, tmp_path):
    folder, metrics = run
    figures = evaluate(str(folder), vqa_data, "validation", tmp_path / "metrics.json", use_cpu=True)
    for name in ("accuracy", "per_answer_type", "ceiling", "majority_accuracy", "n", "fingerprint", "seed", "task"):
        assert figures[name] == metrics[name], name
    assert figures["loss"] == pytest.approx(metrics["loss"], rel=1e-5)
    assert json.loads((tmp_path / "metrics.json").read_text()) == figures


def test_a_table_with_another_vocabulary_is_scored_by_the_models_own(run, vqa_data, tmp_path):
    folder, metrics = run
    table = pq.read_table(Path(vqa_data) / "validation.parquet")
    table = table.drop_columns(["answer_ids", "answer_scores"])
    # red; green and pink; yes and no; no and yes; blue, which is in neither.
    ids, scores = [[2], [0, 1], [4, 3], [3, 4], []], [[1.0], [0.6, 1.0], [1.0, 0.3], [1.0, 0.6], []]
    table = table.append_column("answer_ids", pa.array(ids, pa.list_(pa.int32())))
    table = table.append_column("answer_scores", pa.array(scores, pa.list_(pa.float32())))
    pq.write_table(table, tmp_path / "validation.parquet")
    (tmp_path / "answers.json").write_text(json.dumps(["green", "pink", "red", "no", "yes"]))
    figures = evaluate(str(folder), str(tmp_path), "validation", use_cpu=True)
    assert figures["accuracy"] == metrics["accuracy"] and figures["ceiling"] == metrics["ceiling"]
    assert figures["loss"] == pytest.approx(metrics["loss"], rel=1e-5)


def test_resume_goes_on(run, vqa_data, encoders, tmp_path):
    options = {"task": "vqa", "config": SMALL, **encoders}
    columns = {"base_image_dir": str(tmp_path)}  # a picture with bytes of its own needs none
    train("radm", vqa_data, arguments(tmp_path, num_train_epochs=1), columns=columns, **options)
    train("radm", vqa_data, arguments(tmp_path, num_train_epochs=2, resume_from_checkpoint="true"), **options)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["steps"] == 6
    logged = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert sum("eval_loss" in log and log["step"] == 3 for log in logged) == 1


def test_a_prediction_is_one_answer_and_its_score(run, vqa_data, tmp_path):
    folder, _ = run
    model, processor = load_checkpoint(str(folder))
    rows = load_questions(vqa_data)["validation"]
    collator = VisualQuestionCollator(processor, num_labels=4)
    trainer = VisualQuestionTrainer(model, arguments(tmp_path), collator, eval_dataset=rows)
    prediction = trainer.predict(rows)
    with torch.no_grad():
        batch = collator([rows[i] for i in range(5)])
        best = model(**batch).logits.argmax(-1)
    assert prediction.predictions.tolist() == best.tolist()
    assert prediction.label_ids.tolist() == [batch["labels"][i, best[i]].item() for i in range(5)]
    assert mean_score(EvalPrediction(prediction.predictions, prediction.label_ids)) == {
        "accuracy": pytest.approx(sum(batch["labels"][i, best[i]].item() for i in range(5)) / 5)
    }
    blind = trainer.predict(rows.remove_columns(["answer_ids", "answer_scores"]))
    assert blind.predictions.tolist() == best.tolist() and blind.label_ids is None


def test_wrong_calls_are_one_sentence_before_any_work(run, vqa_data, encoders, tmp_path):
    folder, _ = run
    args = arguments(tmp_path / "out")
    call = {"task": "vqa", "config": SMALL, **encoders}
    no_words = {**encoders, "text_encoder": None}
    for wrong, message in [
        (lambda: train("mdse", vqa_data, args, **call), "task vqa must go with model radm, got mdse."),
        (lambda: train("radm", vqa_data, args, task="vqs"), "task must be one of classification, vqa, got 'vqs'."),
        (lambda: train("radm", vqa_data, args, task="vqa", **no_words), "text_encoder must be given for model radm."),
        (
            lambda: train("radm", vqa_data, args, columns={"label_column": "mood"}, **call),
            "label_column must not be given for task vqa, the columns of which are fixed.",
        ),
        (
            lambda: train("radm", vqa_data, arguments(tmp_path / "out", metric_for_best_model="micro_f1"), **call),
            "metric_for_best_model must be one of accuracy, loss, classification_loss, got 'micro_f1'.",
        ),
        (lambda: train("radm", str(tmp_path), args, **call), "answers.json, which names the answers"),
        (
            lambda: train("radm", vqa_data, args, evaluate_test=True, **call),
            "The test part must hold a question with annotators' answers, got none.",
        ),
        (
            lambda: evaluate(str(folder), vqa_data, "test", use_cpu=True),
            "The test part must hold a question with annotators' answers, got none.",
        ),
        (
            lambda: evaluate(str(folder), vqa_data, columns={"text_column": "text"}),
            "text_column must not be given for task vqa, the columns of which are fixed.",
        ),
    ]:
        with pytest.raises(CallError) as error:
            wrong()
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_train_part_with_nothing_to_learn(vqa_data, encoders, tmp_path):
    for part in ("train", "validation"):
        (tmp_path / f"{part}.parquet").write_bytes((Path(vqa_data) / "test.parquet").read_bytes())
    (tmp_path / "answers.json").write_text(json.dumps(VOCABULARY))
    with pytest.raises(CallError, match=r"^The train part must hold a question with an answer in the vocabulary"):
        train("radm", str(tmp_path), arguments(tmp_path / "out"), task="vqa", config=SMALL, **encoders)
