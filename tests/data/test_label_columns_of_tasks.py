"""Several columns of labels in one table: names, empty cells, and the same rows from a stream."""

import json

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from duosent.data.pairs import DataError, load_pairs
from duosent.data.streaming import labels_of

POSTS = [
    {"text": "a", "label": "sad", "mood": "2", "text_label": "x"},
    {"text": "b", "label": None, "mood": "10", "text_label": "y"},
    {"text": "c", "label": "glad", "mood": "", "text_label": "x"},
]


@pytest.fixture
def folder(tmp_path) -> str:
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(post) + "\n" for post in POSTS))
    (tmp_path / "test.jsonl").write_text(json.dumps(POSTS[0]) + "\n")
    return str(tmp_path)


@pytest.mark.parametrize("streaming", [False, True])
def test_one_class_label_a_task(folder, streaming):
    splits = load_pairs(folder, label_columns=["mood", "label"], streaming=streaming)
    for rows in splits.values():
        assert list(rows.features) == ["id", "text", "image", "mood", "label"]
        assert rows.features["mood"] == ClassLabel(names=["2", "10"])  # whole numbers by size
        assert rows.features["label"] == ClassLabel(names=["glad", "sad"])
    rows = list(splits["train"])
    assert [(row["mood"], row["label"]) for row in rows] == [(0, 1), (1, None), (None, 0)]
    assert [(row["mood"], row["label"]) for row in splits["test"]] == [(0, 1)]


def test_a_stream_gives_its_labels_alone(folder, tmp_path_factory):
    options = {"label_columns": ["mood", "label"]}
    whole, streamed = (load_pairs(folder, **options, streaming=streaming)["train"] for streaming in (False, True))
    for column in ("mood", "label"):
        assert labels_of(streamed, column) == labels_of(whole, column) == [row[column] for row in whole]
    several = tmp_path_factory.mktemp("several")
    (several / "train-1.jsonl").write_text('{"text": "a", "kind": "x|y"}\n')
    (several / "train-2.jsonl").write_text('{"text": "b", "kind": ""}\n')
    rows = load_pairs(str(several), label_column="kind", label_separator="|", streaming=True)["train"]
    assert labels_of(rows, "label") == [[0, 1], []]


def test_names_of_a_class_label_stay(tmp_path):
    kind = ClassLabel(names=["late", "early"])
    features = Features({"text": Value("string"), "when": kind, "mood": Value("string")})
    rows = Dataset.from_dict({"text": ["a", "b"], "when": [1, None], "mood": ["x", "y"]}, features=features)
    rows.to_parquet(tmp_path / "train.parquet")
    for streaming in (False, True):
        rows = load_pairs(str(tmp_path), label_columns=["when", "mood"], streaming=streaming)["train"]
        assert rows.features["when"].names == ["late", "early"]
        assert [row["when"] for row in rows] == [1, None]


def test_names_can_be_given(folder):
    given = {"mood": ["10", "2"], "label": ["sad", "glad"]}
    rows = load_pairs(folder, label_columns=["mood", "label"], labels=given)["train"]
    assert rows["mood"][:] == [1, 0, None] and rows["label"][:] == [0, None, 1]


def test_wrong_calls_are_one_sentence(folder, tmp_path_factory):
    two = {"label_columns": ["mood", "label"]}
    lists = tmp_path_factory.mktemp("lists")
    (lists / "train.jsonl").write_text('{"text": "a", "kinds": ["x"], "mood": "y"}\n')
    for source, options, message in [
        (folder, {"label_columns": []}, "label_columns must be different columns, at least one, got none."),
        (
            folder,
            {"label_columns": ["mood", "mood"]},
            "label_columns must be different columns, at least one, got mood,",
        ),
        (folder, {"label_columns": ["mood", "text"]}, "label_columns must not be called text, which is the name of"),
        (folder, {**two, "label_column": "mood"}, "label_column must not be given beside label_columns"),
        (
            folder,
            {**two, "text_label_column": "text_label"},
            "text_label_column must not be given beside label_columns",
        ),
        (folder, {**two, "label_separator": "|"}, "label_separator must not be given beside label_columns"),
        (
            folder,
            {**two, "labels": ["a", "b"]},
            "labels must name the labels of mood, label in this order, got ['a', 'b']",
        ),
        (folder, {**two, "labels": {"mood": ["2"], "label": ["sad"]}}, "mood '10' is not one of the labels 2."),
        (folder, {"label_columns": ["mood", "lable"]}, "has no column lable (lable), only text, label"),
        (str(lists), {"label_columns": ["mood", "kinds"]}, "kinds must hold one label a cell to be one of several"),
    ]:
        with pytest.raises(DataError) as error:
            load_pairs(source, **options)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
