"""Questions about pictures on the command line: train, evaluate, ask, and go on with a sentiment classifier."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from commands import call
from PIL import Image
from transformers import AutoModelForSequenceClassification, AutoModelForVisualQuestionAnswering

from duosent import ImageTextProcessor
from duosent.cli import main

SMALL = [
    "--hidden_size",
    "16",
    "--num-attention-heads=2",
    "--intermediate_size",
    "32",
    "--num-interaction-layers",
    "1",
]
QUICK = ["--num_train_epochs", "1", "--use-cpu", "--seed", "5"]


@pytest.fixture(scope="module")
def trained(vqa_data, text_encoder_dir, image_encoder_dir, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("runs") / "vqa")
    words = ["train", "--model", "radm", "--task", "vqa", "--data", vqa_data, "--output-dir", folder, *SMALL, *QUICK]
    assert main([*words, "--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir]) == 0
    return folder


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    Image.new("RGB", (32, 32), (220, 30, 30)).save(folder / "red.png")
    rows = [{"text": "good sun", "image": "red.png", "mood": "glad"}, {"text": "bad rain", "mood": "sad"}] * 2
    for part in ("train", "validation"):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def test_evaluate_prints_accuracy_floor_and_ceiling(capsys, trained, vqa_data):
    words = ["evaluate", trained, "--data", vqa_data, "--split", "validation", "--use-cpu"]
    code, out, _ = call(capsys, *words)
    assert code == 0 and "validation, 5 questions" in out and "yes/no" in out
    assert "always the best answer of the vocabulary" in out and "0.7200" in out
    code, out, _ = call(capsys, *words, "--json")
    with open(f"{trained}/metrics.json", encoding="utf-8") as file:
        metrics = json.load(file)
    figures = json.loads(out)
    assert code == 0 and figures["accuracy"] == metrics["accuracy"]
    assert metrics["task"] == "vqa" and metrics["command"].startswith("duosent")


def test_one_question_has_one_answer_and_a_few_scores(capsys, trained, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.jpg")
    words = ["predict", trained, "--text", "what is it", "--image", tmp_path / "photo.jpg"]
    code, out, err = call(capsys, *words, "--json")
    answer = json.loads(out)
    assert code == 0 and err == ""
    model = AutoModelForVisualQuestionAnswering.from_pretrained(trained).eval()
    batch = ImageTextProcessor.from_pretrained(trained)(text="what is it", images=str(tmp_path / "photo.jpg"))
    with torch.no_grad():
        logits = model(**batch).logits[0]
    expected = {model.config.id2label[index]: 1 / (1 + (-logits[index]).exp()).item() for index in range(4)}
    assert answer["scores"] == pytest.approx(expected, abs=1e-5)
    assert list(answer["scores"]) == sorted(expected, key=expected.get, reverse=True)
    assert answer["answer"] == next(iter(answer["scores"]))
    code, out, _ = call(capsys, *words)
    assert code == 0 and out.splitlines()[0] == answer["answer"] and out.splitlines()[2].split() == ["answer", "score"]


def test_only_the_best_of_many_answers_are_shown(capsys, trained, tmp_path):
    model = AutoModelForVisualQuestionAnswering.from_pretrained(trained)
    names = [f"answer {index}" for index in range(40)]
    config = {**model.config.to_dict(), "id2label": dict(enumerate(names)), "label2id": None}
    many = type(model)(type(model.config)(**config))
    many.save_pretrained(tmp_path / "many")
    ImageTextProcessor.from_pretrained(trained).save_pretrained(tmp_path / "many")
    code, out, _ = call(capsys, "predict", tmp_path / "many", "--text", "why", "--json")
    scores = json.loads(out)["scores"]
    assert code == 0 and len(scores) == 5 and list(scores.values()) == sorted(scores.values(), reverse=True)


def test_a_table_of_questions_has_an_answer_each(capsys, trained, vqa_data, tmp_path):
    words = ["predict", trained, "--data", vqa_data, "--split", "test", "--output", tmp_path / "answers"]
    code, out, _ = call(capsys, *words)
    assert code == 0 and "2 posts answered" in out
    table = pq.read_table(tmp_path / "answers" / "predictions-00000.parquet").to_pylist()
    assert [row["id"] for row in table] == ["test0", "test1"]
    model = AutoModelForVisualQuestionAnswering.from_pretrained(trained).eval()
    questions = pq.read_table(f"{vqa_data}/test.parquet").to_pylist()
    for row, question in zip(table, questions, strict=True):
        batch = ImageTextProcessor.from_pretrained(trained)(text=question["text"], images=question["image"])
        with torch.no_grad():
            scores = model(**batch).logits[0].sigmoid().tolist()
        best = max(range(4), key=scores.__getitem__)
        assert row["answer"] == model.config.id2label[best] and row["score"] == pytest.approx(scores[best], abs=1e-5)


def test_a_classifier_starts_from_the_answers(capsys, caplog, trained, posts, tmp_path):
    words = ["train", "--model", "radm", "--init-from", trained, "--data", posts, "--label", "mood", *QUICK]
    # Rates so small that the weights stay what they were.
    still = ["--learning-rate", "1e-12", "--text-learning-rate", "1e-12", "--image-learning-rate", "1e-12"]
    code, out, err = call(capsys, *words, *still, "--output-dir", tmp_path / "run")
    assert code == 0 and "macro F1" in out, err
    assert f"All weights are those of {trained}, but for new ones: classifier.weight, classifier.bias." in caplog.text
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run")
    answering = AutoModelForVisualQuestionAnswering.from_pretrained(trained)
    assert classifier.config.id2label == {0: "glad", 1: "sad"} and classifier.config.num_interaction_layers == 1
    assert classifier.config.problem_type == "single_label_classification"
    for name, weight in answering.radm.state_dict().items():
        torch.testing.assert_close(classifier.radm.state_dict()[name], weight, atol=1e-7, rtol=0)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["init_from"] == trained and record["task"] == "classification"
    code, out, _ = call(capsys, "predict", tmp_path / "run", "--text", "good sun", "--json")
    assert code == 0 and set(json.loads(out)["scores"]) == {"glad", "sad"}


def test_wrong_calls_are_one_sentence(capsys, trained, posts, vqa_data, text_encoder_dir, tmp_path):
    output = ["--output-dir", tmp_path / "out"]
    start = ["--init-from", trained]
    for words, sentence in [
        (["--model", "mdse", "--task", "vqa", "--data", vqa_data], "task vqa must go with model radm, got mdse."),
        (["--model", "radm", "--task", "vqs", "--data", vqa_data], "argument --task: invalid choice: 'vqs'"),
        (["--model", "radm", "--task", "vqa", "--data", posts, *start], "answers.json, which names the answers"),
        (["--model", "mdse", "--data", posts, *start], "must hold a model of type mdse, got radm."),
        (["--model", "text", "--data", posts, *start], "init_from must go with model mdse or radm, got text."),
        (["--model", "radm", "--data", posts, "--init-from", "no/such/model"], "no/such/model is neither a folder"),
        (
            ["--model", "radm", "--data", posts, *start, "--text-encoder", text_encoder_dir],
            "text_encoder must not be given beside init_from, which has both encoders.",
        ),
        (
            ["--model", "radm", "--data", posts, "--label", "mood", *start, "--intermediate_size", "64"],
            "does not fit the config that is asked for: the shape of radm.",
        ),
    ]:
        code, out, err = call(capsys, "train", *words, *output)
        assert (code, out) == (2, "") and sentence in err and err.count("\n") == 1, err
    assert not (tmp_path / "out").exists()
