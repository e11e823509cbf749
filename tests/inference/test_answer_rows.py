"""Columns of the table beyond the label: one side alone, label sets, answers to be withheld."""

import pytest
import torch
from scored import LABELS, ROUNDING, made_up_posts, make_checkpoint, union, write_parquet
from transformers import pipeline

from duosent import BaselineForImageTextClassification
from duosent.inference.score_table import predict_table
from duosent.inference.scoring import predict, predict_targets
from duosent.training.checkpoints import CallError

ROWS = made_up_posts(12)
FIT = {"num_labels": 3, "temperature": 1.5, "set_thresholds": {"0.90": 0.33}, "abstain": {"threshold": 0.42}}
TASKS = {"mood": ["glad", "sad"], "desire": ["none", "family", "food"]}


@pytest.fixture(scope="module")
def encoders(text_encoder_dir, image_encoder_dir) -> tuple[str, str]:
    return text_encoder_dir, image_encoder_dir


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> str:
    return write_parquet(tmp_path_factory.mktemp("posts") / "posts.parquet", ROWS)


@pytest.fixture(scope="module")
def calibrated(encoders, processor, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("calibrated")
    return make_checkpoint(folder, encoders, processor, calibration={"tasks": {"label": FIT}})


@pytest.fixture(scope="module")
def tasks(encoders, processor, tmp_path_factory) -> str:
    fits = {
        "mood": {**FIT, "num_labels": 2, "abstain": {"threshold": 0.55}},
        "desire": {**FIT, "temperature": 0.5, "set_thresholds": {"0.90": 0.6}},
    }
    folder = tmp_path_factory.mktemp("tasks")
    return make_checkpoint(folder, encoders, processor, id2label=None, tasks=TASKS, calibration={"tasks": fits})


def answers(checkpoint, posts, folder, **options) -> list[dict]:
    predict_table(checkpoint, posts, str(folder), device="cpu", progress="none", batch_size=4, **options)
    answered = union(folder)[0]
    assert len(answered) == 10
    return answered


def post_of(row: dict) -> dict:
    [post] = [post for post in ROWS if post["id"] == row["id"]]
    return {"text": post["text"], "image": post["image"]["bytes"]}


def test_each_side_alone(calibrated, posts, tmp_path):
    rows = answers(calibrated, posts, tmp_path / "out", with_sides=True)
    scores = [f"score_{name}" for name in LABELS.values()]
    columns = ["label", *scores, *(f"{side}_{name}" for side in ("text", "image") for name in ("label", *scores))]
    assert list(rows[0]) == ["id", *columns]
    met = set()
    for row in rows:
        for side, content in post_of(row).items():
            there = bool(content and (side == "image" or content.strip()))
            met.add((side, there))
            if not there:
                assert {row[f"{side}_{name}"] for name in ("label", *scores)} == {None}
                continue
            alone = predict(calibrated, **{side: content}, device="cpu")
            assert row[f"{side}_label"] == alone["label"]
            found = {name: row[f"{side}_score_{name}"] for name in LABELS.values()}
            assert found == pytest.approx(alone["scores"], abs=ROUNDING)
    assert len(met) == 4
    assert any(row["text_label"] not in (None, row["label"]) for row in rows)


def test_each_side_alone_of_several_tasks(tasks, posts, tmp_path):
    rows = answers(tasks, posts, tmp_path / "out", with_sides=True)
    for row in rows[:6]:
        text = post_of(row)["text"]
        if not text:
            assert row["text_label_mood"] is None and row["text_score_mood:sad"] is None
            continue
        alone = predict(tasks, text, device="cpu")["tasks"]
        assert {task: row[f"text_label_{task}"] for task in TASKS} == {task: alone[task]["label"] for task in TASKS}
        assert row["text_score_desire:food"] == pytest.approx(alone["desire"]["scores"]["food"], abs=ROUNDING)


@pytest.mark.parametrize("kind", ["calibrated", "tasks"])
def test_label_sets_and_withheld_answers_are_the_pipelines(kind, posts, tmp_path, request):
    checkpoint = request.getfixturevalue(kind)
    rows = answers(checkpoint, posts, tmp_path / "out", confidence=0.9, abstain=True)
    classify = pipeline("image-text-classification", model=checkpoint, device="cpu")
    met = {"sets": set(), "withheld": set()}
    for row in rows:
        post = post_of(row)
        sets, held = (classify(post, **option) for option in ({"confidence": 0.9}, {"abstain": True}))
        one = predict(checkpoint, **post, device="cpu", confidence=0.9, abstain=True)
        for task in [""] if kind == "calibrated" else TASKS:
            ending = f"_{task}" if task else ""
            of_set, of_held = (found[task] if task else found for found in (sets, held))
            own = one["tasks"][task] if task else one
            assert row[f"label_set{ending}"] == own["label_set"] == [answer["label"] for answer in of_set]
            assert row[f"withheld{ending}"] is own["withheld"] is (of_held[0]["label"] is None)
            assert row[f"label{ending}"] == own["label"] is not None
            met["sets"].add(len(own["label_set"]))
            met["withheld"].add(own["withheld"])
    assert len(met["sets"]) > 1 and met["withheld"] == {True, False}


def test_targets_have_sets_too(calibrated):
    [first, second] = predict_targets(calibrated, "good $T$", None, ["sun", "rain"], confidence=0.9, abstain=True)
    for answer in (first, second):
        expected = [name for name, score in answer["scores"].items() if score >= 0.33]
        assert sorted(answer["label_set"]) == sorted(expected)
        assert answer["withheld"] == (max(answer["scores"].values()) < 0.42)


def test_what_a_model_cannot_be_asked(encoders, processor, calibrated, tasks, tmp_path):
    words = BaselineForImageTextClassification.from_encoders(encoders[0], None, id2label=LABELS)
    words.save_pretrained(tmp_path / "words")
    processor.save_pretrained(tmp_path / "words")
    calls = {
        "with_sides must go with a model that reads words and pictures, got one of words only.": (
            lambda: predict_table(str(tmp_path / "words"), "posts", str(tmp_path / "out"), with_sides=True)
        ),
        "confidence must be from 0.5 to 0.99 in steps of 0.01, got 0.3.": (
            lambda: predict(calibrated, "good", confidence=0.3)
        ),
        "confidence must not be 0.8: the checkpoint was calibrated on too few posts for it.": (
            lambda: predict(calibrated, "good", confidence=0.8)
        ),
        "abstain needs a checkpoint that knows when: duosent evaluate --calibrate --accuracy-target makes one.": (
            lambda: predict(str(tmp_path / "words"), "good", abstain=True)
        ),
        "confidence must not be given with consistent.": (
            lambda: predict(tasks, "good", confidence=0.9, consistent=True)
        ),
        "abstain must not be given with consistent.": lambda: predict(tasks, "good", abstain=True, consistent=True),
    }
    torch.manual_seed(0)
    for sentence, ask in calls.items():
        with pytest.raises(CallError) as error:
            ask()
        assert str(error.value) == sentence
