"""Parts without leaks: which posts go, what is written of them, and that nothing is left to leak."""

import json
import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, Value, load_dataset
from drawn import blocks, encoded, near_copy
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures

from duosent.cli import main
from duosent.data.audit import audit
from duosent.data.clean_splits import write_clean
from duosent.data.pairs import load_pairs
from duosent.data.reading import read_splits
from duosent.data.survey import survey_posts

FEATURES = Features(
    {"id": Value("string"), "text": Value("string"), "image": Image(decode=False), "label": Value("string")}
    | {"likes": Value("int64")}
)


def post(id, text, picture=None, label="glad"):
    image = None if picture is None else {"bytes": picture, "path": f"{id}.png"}
    return {"id": id, "text": text, "image": image, "label": label, "likes": len(id)}


# Test stays whole; of the others the comment says what goes, and why.
PARTS = {
    "train": [
        post("t1", "one", encoded(blocks(1))),  # its picture: s1
        post("t2", "Two, two!"),  # nearly its text: v2
        post("t3", "three", near_copy(blocks(3)), "sad"),  # nearly its picture: v3
        post("t4", "four", encoded(blocks(4)), "sad"),  # stays: only v4 has its picture, and v4 goes
        post("t5", "five"),  # stays, with t6
        post("t6", "five"),
        post("t7", "seven", b"broken"),  # unreadable
        post("t8", "lonely words", None, "rare"),  # its text: s2
        post("t9", None, encoded(blocks(9)), None),  # stays
    ],
    "validation": [
        post("v1", "something new"),  # stays
        post("v2", "two TWO"),  # stays
        post("v3", "threefold", encoded(blocks(3))),  # stays
        post("v4", "lonely words", encoded(blocks(4))),  # its text: s2
        post("v5", "an unknown label", None, "odd"),  # refused by load_pairs
    ],
    "test": [
        post("s1", "first", encoded(blocks(1), "BMP")),
        post("s2", "lonely words"),
        post("s3", "second", encoded(Pictures.new("RGB", (64, 64)))),
    ],
}


def write_parts(folder, parts=PARTS):
    for split, posts in parts.items():
        Dataset.from_list(posts, features=FEATURES).to_parquet(folder / f"{split}.parquet")
    return str(folder)


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean") / "new"
    return folder, audit(write_parts(tmp_path_factory.mktemp("posts")), folder)


def ids(file):
    return pq.read_table(file)["id"].to_pylist()


def test_the_part_that_is_used_last_keeps_its_posts(cleaned):
    folder, report = cleaned
    assert ids(folder / "test.parquet") == ["s1", "s2", "s3"]
    assert ids(folder / "validation.parquet") == ["v1", "v2", "v3"]
    assert ids(folder / "train.parquet") == ["t4", "t5", "t6", "t9"]
    assert report["clean"] == {
        "dir": str(folder),
        "removed_file": str(folder / "removed.parquet"),
        "splits": {
            "train": {"kept": 4, "leaks": 4, "bad_rows": 1},
            "validation": {"kept": 3, "leaks": 1, "bad_rows": 1},
            "test": {"kept": 3, "leaks": 0, "bad_rows": 0},
        },
        "labels_lost": {"label": ["rare"]},
    }


def test_every_post_that_went_is_named_with_its_reason(cleaned):
    folder, _ = cleaned
    removed = pq.read_table(folder / "removed.parquet").to_pylist()
    assert {row["id"]: row["removed_because"] for row in removed} == {
        "t1": "the same picture as test row 1 (s1)",
        "t2": "nearly the same text as validation row 2 (v2)",
        "t3": "nearly the same picture as validation row 3 (v3)",
        "t7": "the picture cannot be read: t7.png cannot be read as a picture: no format that is known",
        "t8": "the same text as test row 2 (s2)",
        "v4": "the same text as test row 2 (s2)",
        "v5": "label 'odd' is not one of the labels glad, rare, sad",
    }
    assert [(row["removed_from"], row["removed_row"]) for row in removed[:2]] == [("train", 1), ("train", 2)]
    assert removed[0]["removed_as_double_of"] == [
        {"side": "image", "level": "exact", "split": "test", "row": 1, "id": "s1"}
    ]
    # The posts themselves are there, with every column.
    originals = {row["id"]: row for posts in PARTS.values() for row in posts}
    for row in removed:
        assert {name: row[name] for name in originals[row["id"]]} == originals[row["id"]]


def test_kept_posts_are_as_they_were(cleaned):
    folder, _ = cleaned
    originals = {row["id"]: row for posts in PARTS.values() for row in posts}
    for split in PARTS:
        table = pq.read_table(folder / f"{split}.parquet")
        assert table.column_names == list(FEATURES)
        for row in table.to_pylist():
            assert row == originals[row["id"]]
    rows = load_dataset("parquet", data_files=str(folder / "test.parquet"), split="train")
    assert rows.features["image"] == Image() and rows[0]["image"].size == (64, 64)


def test_the_clean_parts_can_be_loaded_and_do_not_leak(cleaned):
    folder, _ = cleaned
    assert {split: len(rows) for split, rows in load_pairs(str(folder)).items()} == {
        "train": 4,
        "validation": 3,
        "test": 3,
    }
    report = audit(str(folder))
    assert all(count == 0 for others in report["leaks"].values() for count in others.values())
    assert report["bad_rows"] == []
    assert report["doubles"]["text"]["exact"]["posts"]["train"]["train"] == 2  # t5 and t6


TEXTS = st.sampled_from([None, "a", "A!", "b", "c", "d d", "D, d", "e"])


@settings(max_examples=12)
@given(
    parts=st.dictionaries(
        st.sampled_from(["train", "validation", "test"]),
        st.lists(st.tuples(TEXTS, st.sampled_from([None, 0, 1, 2, "copy of 1"])), min_size=1, max_size=6),
        min_size=1,
    )
)
def test_no_leak_is_left_and_no_post_vanishes(parts, tmp_path_factory):
    pictures = {seed: encoded(blocks(seed)) for seed in range(3)} | {"copy of 1": near_copy(blocks(1)), None: None}
    source, folder = tmp_path_factory.mktemp("posts"), tmp_path_factory.mktemp("clean")
    write_parts(
        source,
        {
            split: [post(f"{split}{i}", text, pictures[picture]) for i, (text, picture) in enumerate(posts)]
            for split, posts in parts.items()
        },
    )
    clean = audit(str(source), folder, label_columns=["label"])["clean"]
    found = ids(folder / "removed.parquet")
    for split in parts:
        file = folder / f"{split}.parquet"
        assert file.exists() == (clean["splits"][split]["kept"] > 0)
        found += ids(file) if file.exists() else []
    assert sorted(found) == sorted(f"{split}{i}" for split, posts in parts.items() for i in range(len(posts)))
    if any(part["kept"] for part in clean["splits"].values()):
        leaks = audit(str(folder))["leaks"]
        assert not any(count for others in leaks.values() for count in others.values())


def test_pictures_on_disk_go_into_the_files(tmp_path):
    (tmp_path / "posts" / "pics").mkdir(parents=True)
    content = encoded(blocks(0))
    (tmp_path / "posts" / "pics" / "a.png").write_bytes(content)
    (tmp_path / "posts" / "train.csv").write_text("words,photo,label\none,pics/a.png,x\ntwo,,y\nthree,gone.png,y\n")
    columns = {"text_column": "words", "image_column": "photo"}
    audit(str(tmp_path / "posts" / "train.csv"), tmp_path / "clean", **columns)
    rows = load_pairs(str(tmp_path / "clean"), **columns)["train"]
    assert rows["image"] == [{"bytes": content, "path": "pics/a.png"}, None]
    removed = pq.read_table(tmp_path / "clean" / "removed.parquet").to_pylist()
    assert [(row["words"], row["photo"]) for row in removed] == [("three", {"bytes": None, "path": "gone.png"})]


def test_a_folder_of_pictures_with_metadata(tmp_path):
    for split, seed in {"train": 0, "val": 1}.items():
        folder = tmp_path / "posts" / split
        folder.mkdir(parents=True)
        for name in (seed, 2):
            (folder / f"{name}.png").write_bytes(encoded(blocks(name)))
        (folder / "metadata.csv").write_text(f"file_name,label\n{seed}.png,x\n2.png,x\n")
    audit(str(tmp_path / "posts"), tmp_path / "clean")
    splits = load_pairs(str(tmp_path / "clean"))
    assert [row["bytes"] for row in splits["train"]["image"]] == [encoded(blocks(0))]
    assert [row["bytes"] for row in splits["validation"]["image"]] == [encoded(blocks(1)), encoded(blocks(2))]
    assert pq.read_table(tmp_path / "clean" / "train.parquet")["file_name"].to_pylist() == ["0.png"]


def test_parts_whose_columns_differ(tmp_path):
    (tmp_path / "posts").mkdir()
    for split, posts in {
        "train": [{"text": "a", "note": "seven", "own": "x"}, {"text": "b", "note": "eight", "own": "y"}],
        "test": [{"text": "a", "note": None}, {"text": " ", "note": 9}],
    }.items():
        (tmp_path / "posts" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in posts))
    audit(str(tmp_path / "posts"), tmp_path / "clean")
    assert pq.read_table(tmp_path / "clean" / "train.parquet").to_pylist() == [
        {"text": "b", "note": "eight", "own": "y"}
    ]
    removed = pq.read_table(tmp_path / "clean" / "removed.parquet").to_pylist()
    shown = [(row["removed_from"], row["text"], row["note"], row["own"]) for row in removed]
    assert shown == [("train", "a", "seven", "x"), ("test", " ", "9", None)]


def test_a_folder_that_was_written_before_is_replaced(tmp_path):
    (tmp_path / "posts").mkdir()
    clean = tmp_path / "clean"
    (tmp_path / "posts" / "train.csv").write_text("text\na\n")
    (tmp_path / "posts" / "test.csv").write_text("text\nb\n")
    audit(str(tmp_path / "posts"), clean)
    (tmp_path / "posts" / "test.csv").write_text("text\na\n")
    report = audit(str(tmp_path / "posts"), clean)
    assert report["clean"]["splits"]["train"] == {"kept": 0, "leaks": 1, "bad_rows": 0}
    assert sorted(file.name for file in clean.iterdir()) == ["removed.parquet", "test.parquet"]


def test_a_folder_that_would_harm_the_posts_is_refused(tmp_path):
    (tmp_path / "posts").mkdir()
    file = tmp_path / "posts" / "train.csv"
    file.write_text("text\na\n")
    for source, clean in ((file, tmp_path / "posts"), (file.parent, file.parent), (file.parent, file.parent / "new")):
        with pytest.raises(ValueError, match="clean_dir must be a folder apart from the data"):
            audit(str(source), clean)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "test.csv").write_text("text\nb\n")
    with pytest.raises(ValueError, match=r"other holds test.csv, which would be read together with the posts\."):
        audit(str(file), tmp_path / "other")
    # A file of a part that this data does not have would be read too.
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "test.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"old holds test.parquet"):
        audit(str(file), tmp_path / "old")
    assert file.read_text() == "text\na\n"


def test_parts_of_other_names_are_refused(tmp_path, monkeypatch):
    """Only the Hub has such: a file of this name would not be found again."""
    import duosent.data.audit as audit_module

    (tmp_path / "train.csv").write_text("text\na\n")
    splits = read_splits(tmp_path)
    splits["fold1"] = splits.pop("train")
    monkeypatch.setattr(audit_module, "read_splits", lambda source: splits)
    with pytest.raises(ValueError, match="clean_dir takes data whose parts are train, validation and test, got fold1"):
        audit("some/hub-name", tmp_path / "clean")


def test_the_command_writes_and_says_so(capsys, tmp_path):
    (tmp_path / "posts").mkdir()
    source, folder = write_parts(tmp_path / "posts"), tmp_path / "clean"
    assert main(["audit", source, "--write-clean", str(folder)]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"{folder} kept leaks removed bad rows removed" in lines
    assert "train 4 4 1" in lines and "test 3 0 0" in lines
    assert f"{folder}/removed.parquet holds what was removed, and why." in lines
    assert "No post of train has the label rare any more." in lines
    with pytest.raises(SystemExit) as end:
        main(["audit", source, "--write-clean", str(folder)])
    assert end.value.code == 2 and "is not empty" in capsys.readouterr().err
    assert main(["audit", source, "--write-clean", str(folder), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clean"]["splits"]["validation"]["kept"] == 3


def test_pictures_are_written_a_few_at_a_time(tmp_path):
    noise = np.random.RandomState(0).randint(0, 256, (300, 60, 60, 3), np.uint8)
    (tmp_path / "posts").mkdir()
    source = write_parts(
        tmp_path / "posts",
        {
            "train": [
                post(f"{i}", f"text {i}", encoded(Pictures.fromarray(picture))) for i, picture in enumerate(noise)
            ]
        },
    )
    splits = read_splits(source)
    survey = survey_posts(source, splits)
    tracemalloc.start()
    try:
        write_clean(survey, tmp_path / "clean")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_600_000  # 3.3 MB of pictures
    assert (tmp_path / "clean" / "train.parquet").stat().st_size > 3_000_000
