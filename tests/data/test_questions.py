"""The prepared table of questions: what stands in the rows, and what a wrong table is told."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel

from duosent.data.questions import answerable, answered, load_questions
from duosent.data.reading import DataError

VOCABULARY = ["yes", "no", "red", "green"]


@pytest.fixture
def folder(vqa_data, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(vqa_data, tmp_path / "vqa"))


def rewrite(file: Path, **columns) -> None:
    """Put columns into a Parquet file, or take them out (None)."""
    table = pq.read_table(file)
    for name, column in columns.items():
        table = table.drop_columns([name])
        if column is not None:
            table = table.append_column(name, column)
    pq.write_table(table, file)


def test_rows_hold_question_picture_and_answers(vqa_data):
    splits = load_questions(vqa_data)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 14, "validation": 5, "test": 2}
    row = splits["validation"][1]
    assert row["id"] == "validation1" and row["text"] == "what is it" and row["image"]["bytes"].startswith(b"\x89PNG")
    assert row["answers"] == ["green"] * 2 + ["pink"] * 8
    assert row["answer_ids"] == [3] and row["answer_scores"] == pytest.approx([0.6])
    assert (row["question_type"], row["answer_type"]) == ("what", "other")
    assert splits["train"].features["answer_ids"].feature == ClassLabel(names=VOCABULARY)


def test_one_part_alone(vqa_data):
    splits = load_questions(str(Path(vqa_data) / "test.parquet"))
    assert list(splits) == ["test"] and splits["test"]["answers"][:] == [[], []]


def test_which_questions_teach_and_which_count(vqa_data):
    splits = load_questions(vqa_data)
    assert len(answerable(splits["train"])) == 12 and "why" not in answerable(splits["train"])["text"][:]
    assert len(answered(splits["train"])) == 14 and answered(splits["train"]) is splits["train"]
    assert len(answerable(splits["validation"])) == 4 and len(answered(splits["validation"])) == 5
    assert len(answered(splits["test"])) == 0


def test_ids_follow_the_vocabulary_of_a_trained_model(vqa_data):
    rows = load_questions(vqa_data, ["pink", "green", "no"])["validation"]
    # By hand: 2 green and 8 pink; 9 yes (unknown) and 1 no; 10 blue.
    assert [sorted(ids) for ids in rows["answer_ids"]] == [[], [0, 1], [2], [2], []]
    pairs = dict(zip(rows[1]["answer_ids"], rows[1]["answer_scores"], strict=True))
    assert pairs == pytest.approx({1: 0.6, 0: 1.0})
    assert rows[2]["answer_scores"] == pytest.approx([0.3])
    assert rows.features["answer_ids"].feature.names == ["pink", "green", "no"]
    same = load_questions(vqa_data, VOCABULARY)["train"]
    assert same["answer_ids"][:] == load_questions(vqa_data)["train"]["answer_ids"][:]


def test_a_trained_model_needs_no_list_of_answers(folder):
    (folder / "answers.json").unlink()
    assert load_questions(str(folder), ["green"])["validation"]["answer_ids"][:] == [[], [0], [], [], []]
    with pytest.raises(DataError, match=r"There is no .*answers\.json, which names the answers"):
        load_questions(str(folder))


def test_pictures_may_lie_beside_the_table(folder):
    pictures = pq.read_table(folder / "test.parquet")["image"].to_pylist()
    for picture in pictures:
        (folder / picture["path"]).write_bytes(picture["bytes"])
    paths = pa.array([{"bytes": None, "path": picture["path"]} for picture in pictures])
    rewrite(folder / "test.parquet", image=paths)
    assert load_questions(str(folder))["test"][0]["image"]["path"] == str(folder / "red.png")
    elsewhere = folder.parent / "pictures"
    elsewhere.mkdir()
    for name in ("red.png", "green.png"):
        (folder / name).rename(elsewhere / name)
    with pytest.raises(DataError, match="there is no file"):
        load_questions(str(folder))
    rows = load_questions(str(folder), base_image_dir=str(elsewhere))["test"]
    assert rows[1]["image"]["path"] == str(elsewhere / "green.png")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"answers": None}, "has no column answers: it is no table of questions that `duosent prepare` wrote."),
        ({"answer_ids": pa.array(["a", "b"])}, "answer_ids must hold list<item: int64>, got string."),
        (
            {"answer_ids": pa.array([[], [4]], pa.list_(pa.int32())), "answer_scores": pa.array([[], [1.0]])},
            "row 2: answer_ids must be >= 0 and < 4, the number of answers, got 4.",
        ),
        (
            {"answer_ids": pa.array([[1], []], pa.list_(pa.int32()))},
            "row 1: answer_ids and answer_scores must be of one length, got 1 and 0.",
        ),
    ],
)
def test_a_wrong_table_is_one_sentence(folder, columns, sentence):
    rewrite(folder / "test.parquet", **columns)
    with pytest.raises(DataError) as error:
        load_questions(str(folder))
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read"),
        ('{"yes": 0}', "must hold a JSON list of answers."),
        ("[]", "must hold a JSON list of answers."),
        ("[1, 2]", "must hold a JSON list of answers."),
        (json.dumps([*VOCABULARY, "no"]), "must hold each answer once, got 'no' twice."),
    ],
)
def test_a_wrong_vocabulary_is_one_sentence(folder, content, sentence):
    (folder / "answers.json").write_text(content)
    with pytest.raises(DataError) as error:
        load_questions(str(folder))
    assert sentence in str(error.value) and "answers.json" in str(error.value)


def test_no_such_folder():
    with pytest.raises(DataError, match=r"^There is no file or folder no/where\.$"):
        load_questions("no/where")
