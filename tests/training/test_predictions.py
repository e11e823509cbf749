"""The table of answers, against scores worked by hand."""

import math

import numpy as np
import pytest

from duosent import BaselineConfig
from duosent.training.predictions import predictions_file, predictions_table


def config(labels: list[str], problem_type: str = "single_label_classification") -> BaselineConfig:
    return BaselineConfig(
        text_config={"model_type": "bert"}, id2label=dict(enumerate(labels)), problem_type=problem_type
    )


def test_one_label_a_post():
    logits = np.array([[0.0, math.log(3)], [math.log(4), 0.0], [0.0, 1.0]])
    table = predictions_table(["a", "b", "c"], logits, np.array([1, 1, -100]), config(["sad", "glad"]))
    assert table.column_names == ["id", "true_label", "label", "score_sad", "score_glad"]
    assert table.column("id").to_pylist() == ["a", "b", "c"]
    assert table.column("true_label").to_pylist() == ["glad", "glad", None]
    assert table.column("label").to_pylist() == ["glad", "sad", "glad"]
    assert table.column("score_glad").to_pylist()[:2] == pytest.approx([3 / 4, 1 / 5])
    assert table.column("score_sad").to_pylist()[:2] == pytest.approx([1 / 4, 4 / 5])


def test_several_labels_a_post():
    logits = np.array([[math.log(3), -math.log(4)], [-1.0, -2.0], [1.0, 2.0]])
    references = np.array([[1, 1], [0, 0], [-100, -100]])
    table = predictions_table(list("abc"), logits, references, config(["glad", "warm"], "multi_label_classification"))
    assert table.column("true_label").to_pylist() == [["glad", "warm"], [], None]
    assert table.column("label").to_pylist() == [["glad"], [], ["glad", "warm"]]
    assert table.column("score_glad")[0].as_py() == pytest.approx(3 / 4)
    assert table.column("score_warm")[0].as_py() == pytest.approx(1 / 5)


@pytest.mark.parametrize(("consistent", "desires"), [(False, ["love", "none"]), (True, ["none", "none"])])
def test_several_labels_in_one_model(consistent, desires):
    """Sentiment `glad` and desire `none` occur together, `glad` and `love` never do."""
    model = BaselineConfig(
        text_config={"model_type": "bert"},
        tasks={"sentiment": ["glad", "sad"], "desire": ["love", "none"]},
        label_combinations=[[0, 1], [1, 0], [1, 1]],
    )
    logits = np.array([[math.log(9), 0.0, math.log(2), 0.0], [0.0, math.log(3), 0.0, math.log(4)]])
    table = predictions_table(["a", "b"], logits, np.array([[0, 1], [-100, 0]]), model, consistent)
    names = ["id", "true_label_sentiment", "label_sentiment", "true_label_desire", "label_desire"]
    scores = ["score_sentiment:glad", "score_sentiment:sad", "score_desire:love", "score_desire:none"]
    assert table.column_names == names + scores
    assert table.column("true_label_sentiment").to_pylist() == ["glad", None]
    assert table.column("true_label_desire").to_pylist() == ["none", "love"]
    assert table.column("label_sentiment").to_pylist() == ["glad", "sad"]
    assert table.column("label_desire").to_pylist() == desires
    first = [table.column(name)[0].as_py() for name in scores]
    assert first == pytest.approx([0.9, 0.1, 2 / 3, 1 / 3])


def test_the_file_is_named_after_the_part(tmp_path):
    assert predictions_file(tmp_path, "test") == tmp_path / "predictions_test.parquet"
