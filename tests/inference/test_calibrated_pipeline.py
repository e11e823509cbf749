"""The pipeline of a calibrated model: scores by its temperature, label sets, and no answer where it is not sure."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import TEXT, build
from transformers import pipeline

from duosent import BaselineConfig, BaselineForImageTextClassification, MdseConfig
from duosent.modeling.fitted_calibration import why_no_sets
from duosent.modeling.label_scores import label_scores

TASK = "image-text-classification"
LABELS = ["negative", "neutral", "positive"]
TASKS = {"mood": ["sad", "glad"], "desire": ["none", "family", "love"]}
THRESHOLDS = {"0.80": 0.46, "0.90": 0.1}


def fit(temperature: float, labels: int = 3, **more) -> dict:
    return {"temperature": temperature, "num_labels": labels, "set_thresholds": THRESHOLDS, **more}


def asking(tokenizer, processor, calibration: dict | None, **config):
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    fields = {"vision_config": None, "text_config": text, "calibration": calibration, **config}
    model = build(BaselineForImageTextClassification, **fields)
    return pipeline(TASK, model=model, processor=processor, device="cpu")


def logits_of(classify, text: str) -> list[float]:
    with torch.no_grad():
        return classify.model(**classify.processor(text=[text], return_tensors="pt")).logits[0].tolist()


def softmax(logits: list[float], temperature: float) -> list[float]:
    parts = [math.exp(logit / temperature) for logit in logits]
    return [part / sum(parts) for part in parts]


@pytest.fixture(scope="module")
def classify(tokenizer, processor):
    stored = {"tasks": {"label": fit(2.5, abstain={"accuracy_target": 0.9, "threshold": 0.5})}}
    return asking(tokenizer, processor, stored, id2label=dict(enumerate(LABELS)))


def test_only_the_default_takes_the_temperature(classify):
    logits = logits_of(classify, "good sun")

    def shown(**options) -> list[float]:
        found = {row["label"]: row["score"] for row in classify("good sun", top_k=None, **options)}
        return [found[name] for name in LABELS]

    assert shown() == pytest.approx(softmax(logits, 2.5), abs=1e-6)
    assert shown(function_to_apply="softmax") == pytest.approx(softmax(logits, 1.0), abs=1e-6)
    assert shown(function_to_apply="none") == pytest.approx(logits, abs=1e-6)


@given(
    logits=st.lists(st.integers(-60, 60), min_size=5, max_size=5),
    temperatures=st.tuples(st.floats(0.05, 20), st.floats(0.05, 20)),
    kind=st.sampled_from(["one", "several", "tasks"]),
)
def test_no_temperature_changes_an_answer(logits, temperatures, kind):
    widths = {"mood": 2, "desire": 3} if kind == "tasks" else {"label": 5}
    stored = {task: fit(own, width) for (task, width), own in zip(widths.items(), temperatures, strict=False)}
    fields = {"one": {"num_labels": 5}, "several": {"num_labels": 5}, "tasks": {"tasks": TASKS}}[kind]
    if kind == "several":
        fields["problem_type"] = "multi_label_classification"
    config = MdseConfig(calibration={"tasks": stored}, **fields)
    values = [value / 4 for value in logits]
    scores = label_scores(torch.tensor([values]), config)[0].tolist()
    if kind == "several":
        assert [score > 0.5 for score in scores] == [value > 0 for value in values]
        return
    start = 0
    for width in widths.values():
        own, given_scores = values[start : start + width], scores[start : start + width]
        assert given_scores.index(max(given_scores)) == own.index(max(own))
        assert sum(given_scores) == pytest.approx(1, abs=1e-5)
        start += width


def test_a_set_holds_the_labels_from_the_threshold_on(classify):
    scores = dict(zip(LABELS, softmax(logits_of(classify, "sad rain"), 2.5), strict=True))
    for confidence, threshold in ((0.8, 0.46), (0.9, 0.1)):
        expected = sorted((name for name in LABELS if scores[name] >= threshold), key=scores.get, reverse=True)
        found = classify("sad rain", confidence=confidence)
        assert [row["label"] for row in found] == expected
        assert [row["score"] for row in found] == pytest.approx([scores[name] for name in expected], abs=1e-6)
    assert len(classify("sad rain", confidence=0.8)) < len(classify("sad rain", confidence=0.9))


def test_below_the_threshold_there_is_no_answer(classify):
    texts = ["good sun", "sad rain", "the city", "love tea", "great dog", "a bus", "so bad", "happy night"]
    unsure = []
    for text in texts:
        scores = softmax(logits_of(classify, text), 2.5)
        best = max(scores)
        found = classify(text, abstain=True)
        unsure.append(best < 0.5)
        label = None if best < 0.5 else LABELS[scores.index(best)]
        assert found == [{"label": label, "score": pytest.approx(best, abs=1e-6)}]
        if best < 0.5:
            assert classify(text, abstain=True, top_k=None) == found
    assert {True, False} == set(unsure)


def test_each_task_has_its_own_temperature_and_sets(tokenizer, processor):
    stored = {"mood": fit(0.5, 2), "desire": {**fit(3.0), "set_thresholds": {"0.90": 0.2}}}
    classify = asking(tokenizer, processor, {"tasks": stored}, num_labels=5, tasks=TASKS)
    logits = logits_of(classify, "good sun")
    answer = classify("good sun", confidence=0.9)
    for task, own, temperature, threshold in (("mood", logits[:2], 0.5, 0.1), ("desire", logits[2:], 3.0, 0.2)):
        scores = dict(zip(TASKS[task], softmax(own, temperature), strict=True))
        expected = {name: score for name, score in scores.items() if score >= threshold}
        assert {row["label"]: row["score"] for row in answer[task]} == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="was calibrated on too few posts for it"):
        classify("good sun", confidence=0.8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 0.9, "top_k": 2}, "confidence must not be given with top_k."),
        ({"confidence": 0.9, "threshold": 0.2}, "confidence must not be given with threshold."),
        ({"confidence": 0.9, "function_to_apply": "none"}, "confidence must not be given with function_to_apply."),
        ({"abstain": True, "threshold": 0.2}, "abstain must not be given with threshold."),
        ({"abstain": "yes"}, "abstain must be True or False, got 'yes'."),
        ({"confidence": "high"}, "confidence must be a number from 0.5 to 0.99, got 'high'."),
        ({"confidence": True}, "confidence must be a number from 0.5 to 0.99, got True."),
        ({"confidence": 0.3}, "confidence must be from 0.5 to 0.99 in steps of 0.01, got 0.3."),
        ({"confidence": 0.899}, "confidence must be from 0.5 to 0.99 in steps of 0.01, got 0.899."),
        ({"confidence": 0.95}, "confidence must not be 0.95: the checkpoint was calibrated on too few posts for it."),
    ],
)
def test_wrong_options_are_one_sentence(classify, options, message):
    with pytest.raises(ValueError) as error:
        classify("good sun", **options)
    assert str(error.value) == message


def test_a_model_that_was_not_calibrated_says_so(tokenizer, processor):
    classify = asking(tokenizer, processor, None, id2label=dict(enumerate(LABELS)))
    for option, message in (
        ({"confidence": 0.9}, "confidence needs a calibrated checkpoint: duosent evaluate --calibrate makes one."),
        ({"abstain": True}, "abstain needs a checkpoint that knows when: "),
    ):
        with pytest.raises(ValueError, match=message):
            classify("good sun", **option)
    several = BaselineConfig(
        text_config=TEXT, vision_config=None, num_labels=3, problem_type="multi_label_classification"
    )
    assert why_no_sets(several, 0.9) == "confidence must go with a model of one label a post, got one of several."


@pytest.mark.parametrize("temperature", [0, -1.0, math.inf, "2", None])
def test_a_config_takes_no_temperature_that_is_none(temperature):
    with pytest.raises(Exception) as error:
        MdseConfig(calibration={"tasks": {"label": {"temperature": temperature}}})
    cause = str(error.value.__cause__ or error.value)
    assert f"calibration must have a temperature > 0 for label, got {temperature!r}." in cause
