"""Figures against cases worked by hand, and against scikit-learn's own report."""

import evaluate
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report
from transformers import BertConfig

from duosent.training.metrics import ImageTextMetrics, answers, compute_metrics_for, score_answers

LABELS = ["negative", "neutral", "positive"]
# Counted by hand: negative 2 of 3 found, 2 of 2 answers right; neutral 1 of 1, 1 of 1; positive 1 of 1, 1 of 2.
TRUE, ANSWERED = [0, 0, 0, 1, 2], [0, 0, 2, 1, 2]


def test_one_label_by_hand():
    figures = ImageTextMetrics(LABELS).compute(predictions=ANSWERED, references=TRUE)
    assert figures == {
        "accuracy": pytest.approx(4 / 5),
        "macro_f1": pytest.approx((0.8 + 1 + 2 / 3) / 3),
        "weighted_f1": pytest.approx((3 * 0.8 + 1 + 2 / 3) / 5),
        "per_class": {
            "negative": {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "support": 3},
            "neutral": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1},
            "positive": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
        },
        "confusion": [[2, 0, 1], [0, 1, 0], [0, 0, 1]],
        "n": 5,
        "majority_accuracy": pytest.approx(3 / 5),
    }


def test_several_labels_by_hand():
    true = [[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]]
    answered = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
    figures = ImageTextMetrics(LABELS, "multilabel").compute(predictions=answered, references=true)
    # first label 2 of 2; second found, one too many: f1 2/3; third never answered: 0. In all 3 right of 4 and 4.
    assert figures["accuracy"] == pytest.approx(2 / 4)
    assert figures["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert figures["micro_f1"] == pytest.approx(3 / 4)
    assert figures["majority_accuracy"] == pytest.approx(2 / 4)
    assert figures["confusion"] == {
        "negative": [[2, 0], [0, 2]],
        "neutral": [[2, 1], [0, 1]],
        "positive": [[3, 0], [1, 0]],
    }
    assert figures["per_class"]["neutral"] == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
    }


def test_rows_without_a_label_take_no_part():
    figures = ImageTextMetrics(LABELS).compute(predictions=[*ANSWERED, 1, 1], references=[*TRUE, -100, -100])
    assert figures == ImageTextMetrics(LABELS).compute(predictions=ANSWERED, references=TRUE)
    several = ImageTextMetrics(LABELS, "multilabel")
    figures = several.compute(predictions=[[1, 0, 0], [1, 1, 1]], references=[[1, 0, 0], [-100, 0, -100]])
    assert (figures["n"], figures["accuracy"]) == (1, 1.0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_equal_to_the_report_of_scikit_learn(pairs):
    true, answered = (list(column) for column in zip(*pairs, strict=True))
    figures = ImageTextMetrics(LABELS).compute(predictions=answered, references=true)
    present = sorted({*true, *answered})
    report = classification_report(true, answered, labels=present, output_dict=True, zero_division=0)
    assert figures["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert figures["weighted_f1"] == pytest.approx(report["weighted avg"]["f1-score"])
    for index in present:
        assert figures["per_class"][LABELS[index]]["f1"] == pytest.approx(report[str(index)]["f1-score"])


def test_batches_and_combination_give_the_same():
    whole = ImageTextMetrics(LABELS).compute(predictions=ANSWERED, references=TRUE)
    batched = ImageTextMetrics(LABELS)
    for start in (0, 2, 4):
        batched.add_batch(predictions=ANSWERED[start : start + 2], references=TRUE[start : start + 2])
    assert batched.compute() == whole
    combined = evaluate.combine([ImageTextMetrics(LABELS)])
    combined.add_batch(predictions=ANSWERED, references=TRUE)
    assert combined.compute() == whole


def test_wrong_use_is_one_sentence():
    with pytest.raises(ValueError, match=r'config_name must be "default" or "multilabel", got \'several\'\.'):
        ImageTextMetrics(LABELS, "several")
    with pytest.raises(ValueError, match=r"At least one row must have a label, got none in 2\."):
        ImageTextMetrics(LABELS).compute(predictions=[0, 1], references=[-100, -100])
    with pytest.raises(ValueError, match=r"A class index must be below 3, the number of labels, got 3\."):
        ImageTextMetrics(LABELS).compute(predictions=[0, 1], references=[0, 3])


def test_logits_become_answers():
    one = BertConfig(id2label=dict(enumerate(LABELS)), problem_type="single_label_classification")
    several = BertConfig(id2label=dict(enumerate(LABELS)), problem_type="multi_label_classification")
    logits = np.array([[2.0, -1.0, 1.0], [-3.0, -1.0, -2.0]])
    assert answers(logits, one).tolist() == [0, 1]
    assert answers(logits, several).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert score_answers(logits, np.array([0, 2]), one)["accuracy"] == 0.5
    assert score_answers(logits, np.array([[1.0, 0, 1], [1, 0, 0]]), several)["accuracy"] == 0.5


def test_trainer_gets_plain_numbers_only():
    config = BertConfig(id2label=dict(enumerate(LABELS)), problem_type="single_label_classification")
    from transformers import EvalPrediction

    figures = compute_metrics_for(config)(EvalPrediction(np.eye(3), np.array([0, 1, 1])))
    assert set(figures) == {"accuracy", "macro_f1", "weighted_f1", "n", "majority_accuracy"}
    assert figures["accuracy"] == pytest.approx(2 / 3)
