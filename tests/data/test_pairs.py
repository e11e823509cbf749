"""`load_pairs`: every kind of source, labels of every kind, and what is refused with which words."""

import io
import json
import re

import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as Pictures

from duosent.data.fingerprint import fingerprint
from duosent.data.pairs import load_pairs


def png(colour=(255, 0, 0)):
    buffer = io.BytesIO()
    Pictures.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def write_csv(file, *lines):
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def picture_of(row):
    return row["image"] and (row["image"]["bytes"] or row["image"]["path"])


@pytest.fixture
def parquet_folder(tmp_path):
    rows = {
        "text": ["a", "b", "c"],
        "image": [{"bytes": png(), "path": "x.jpg"}] * 3,
        "label": ["sad", "glad", "sad"],
    }
    for name in ("train-00000-of-00002", "train-00001-of-00002", "dev"):
        Dataset.from_dict(rows).to_parquet(tmp_path / f"{name}.parquet")
    return tmp_path


def test_parquet_in_shards(parquet_folder):
    splits = load_pairs(str(parquet_folder))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 6, "validation": 3}
    assert splits["train"].column_names == ["id", "text", "image", "label"]
    assert splits["train"].features["label"].names == ["glad", "sad"]  # by the alphabet
    assert splits["train"]["label"][:3] == [1, 0, 1]
    assert splits["train"]["id"][:2] == ["train-1", "train-2"]
    assert splits["validation"][2] == {
        "id": "validation-3",
        "text": "c",
        "image": {"bytes": png(), "path": "x.jpg"},
        "label": 1,
    }


def test_csv_with_paths_relative_to_the_file(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(png())
    write_csv(
        tmp_path / "train.csv",
        "key,words,photo,mood",
        '007,"hello, you",pictures/1.png,10',
        "8,NA,,9",
        "9,,pictures/1.png,",
    )
    rows = load_pairs(
        str(tmp_path / "train.csv"), text_column="words", image_column="photo", label_column="mood", id_column="key"
    )["train"]
    assert rows["id"] == ["007", "8", "9"]
    assert rows["text"] == ["hello, you", "NA", None]
    assert rows.features["label"].names == ["9", "10"]  # by size
    assert rows["label"] == [1, 0, None]
    assert picture_of(rows[0]) == str(tmp_path / "pictures" / "1.png")
    assert picture_of(rows[1]) is None


def test_pictures_under_another_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").write_bytes(png())
    write_csv(tmp_path / "train.csv", "text,image,label", "a,1.png,x")
    rows = load_pairs(str(tmp_path), base_image_dir=str(tmp_path / "elsewhere"))["train"]
    assert picture_of(rows[0]) == str(tmp_path / "elsewhere" / "1.png")


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_json_lines_with_several_labels(tmp_path, ending):
    rows = [{"text": "a", "label": ["joy", "hope"]}, {"text": "b", "label": []}, {"text": "c", "label": None}]
    (tmp_path / f"train.{ending}").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / f"test.{ending}").write_text(json.dumps([{"text": "d", "label": ["hope"]}]))
    splits = load_pairs(str(tmp_path))
    assert splits["train"].features["label"] == List(ClassLabel(names=["hope", "joy"]))
    assert splits["train"]["label"] == [[0, 1], [], None]
    assert splits["test"]["label"] == [[0]]


def test_several_labels_in_a_cell_of_text(tmp_path):
    write_csv(tmp_path / "train.csv", "text,label", "a,joy|hope", "b,joy", "c,")
    rows = load_pairs(str(tmp_path), label_separator="|")["train"]
    assert rows["label"] == [[0, 1], [1], None]


@pytest.mark.parametrize("metadata", ["metadata.csv", "metadata.jsonl"])
def test_folder_of_pictures_with_metadata(tmp_path, metadata):
    for split in ("train", "val"):
        folder = tmp_path / split
        folder.mkdir()
        (folder / "1.png").write_bytes(png())
        row = {"file_name": "1.png", "text": "hello", "label": "sad"}
        if metadata.endswith("csv"):
            write_csv(folder / metadata, ",".join(row), ",".join(row.values()))
        else:
            (folder / metadata).write_text(json.dumps(row))
    splits = load_pairs(str(tmp_path))
    assert list(splits) == ["train", "validation"]
    assert picture_of(splits["validation"][0]) == str(tmp_path / "val" / "1.png")


@pytest.mark.parametrize(
    ("kind", "cell"), [(Image(), {"bytes": png(), "path": None}), (Value("binary"), png()), (Value("string"), "1.png")]
)
def test_pictures_of_every_kind(tmp_path, kind, cell):
    (tmp_path / "1.png").write_bytes(png())
    features = Features({"text": Value("string"), "image": kind, "label": Value("int64")})
    Dataset.from_dict({"text": ["a", "b"], "image": [cell, None], "label": [3, 1]}, features=features).to_parquet(
        tmp_path / "train.parquet"
    )
    rows = load_pairs(str(tmp_path))["train"]
    assert rows.features["image"] == Image(decode=False)
    assert picture_of(rows[0]) in (png(), str(tmp_path / "1.png"))
    assert picture_of(rows[1]) is None
    assert rows.features["label"].names == ["1", "3"] and rows["label"] == [1, 0]


@pytest.mark.parametrize(("values", "names"), [([True, False], ["False", "True"]), (["²", "--5"], ["--5", "²"])])
def test_what_looks_like_a_number_and_is_none(tmp_path, values, names):
    Dataset.from_dict({"text": ["a", "b"], "label": values}).to_parquet(tmp_path / "train.parquet")
    rows = load_pairs(str(tmp_path))["train"]
    assert rows.features["label"].names == names and rows["label"] == [1, 0]


def test_names_of_a_class_label_keep_their_order(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["sad", "glad"])})
    Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features).to_parquet(tmp_path / "train.parquet")
    rows = load_pairs(str(tmp_path))["train"]
    assert rows.features["label"].names == ["sad", "glad"] and rows["label"] == [0, 1]
    rows = load_pairs(str(tmp_path), labels=["glad", "sad", "calm"])["train"]
    assert rows["label"] == [1, 0]


def test_labels_of_a_checkpoint_decide(tmp_path):
    write_csv(tmp_path / "test.csv", "text,label", "a,sad", "b,sad")
    rows = load_pairs(str(tmp_path), labels=["glad", "sad"])["test"]
    assert rows.features["label"].names == ["glad", "sad"] and rows["label"] == [1, 1]


def test_labels_of_the_views_and_a_target(tmp_path):
    write_csv(tmp_path / "train.csv", "text,label,text_label,image_label,target", "$T$ a,x,y,,cat", "b,y,,x,")
    rows = load_pairs(str(tmp_path))["train"]
    assert rows.column_names == ["id", "text", "image", "label", "text_label", "image_label", "target"]
    assert (rows["text_label"], rows["image_label"], rows["target"]) == ([1, None], [None, 0], ["cat", None])
    plain = load_pairs(str(tmp_path), label_column=None)["train"]
    assert plain.column_names == ["id", "text", "image", "target"]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (
            ["text,label", "a,x"],
            {"label_column": "lable"},
            r"has no column lable \(label\), only text, label; did you mean label\?",
        ),
        (["text,label", "a,x"], {"image_column": "photo"}, r"has no column photo \(image\), only text, label"),
        (["words,label", "a,x"], {}, r"has no column text \(text\), only words, label"),
        (
            ["text,label", "a,x", "b,z"],
            {"labels": ["x", "y"]},
            r"train.csv, row 3: label 'z' is not one of the labels x, y\.",
        ),
        (
            ["text,image,label", "a,gone.png,x"],
            {},
            r"train.csv, row 2: the picture cannot be read: there is no file .*gone.png",
        ),
        (
            ["text,image,label", "a,bad.png,x"],
            {},
            r"train.csv, row 2: the picture cannot be read: .*bad.png are in no picture format",
        ),
        (
            ["text,image,label", "a,https://a.b/c.png,x"],
            {},
            r"row 2: .*https://a.b/c.png is an address on the web, which is not fetched",
        ),
        (
            ["text,image,label", "a,,x", " ,,x"],
            {},
            r"train.csv, row 3: a post must have a text or a picture, got neither",
        ),
        (["text,label", "a,x,y,z", "b,x"], {}, r"train.csv cannot be read: row 2 has 4 cells, the header has 2\."),
        (["text,label", "a,x", "b,x,y"], {}, r"train.csv cannot be read: row 3 has 3 cells, the header has 2\."),
        (["text,label", "a,x", '"b" is,x'], {}, r"train.csv cannot be read: row 3: ',' expected after '\"'\."),
        (["text,label", "a,x", '"b,x'], {}, r"train.csv cannot be read: row 3: unexpected end of data\."),
        (["text,label,text", "a,x,b"], {}, r"train.csv cannot be read: the header has the column 'text' twice\."),
        (["text,label"], {}, r"train.csv holds no rows"),
        (["text,label", "a,"], {}, r"must hold at least one label, got only empty cells"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, lines, options, message):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    write_csv(tmp_path / "train.csv", *lines)
    with pytest.raises(ValueError, match=message) as raised:
        load_pairs(str(tmp_path), **options)
    assert "\n" not in str(raised.value)


def test_an_unknown_label_in_another_split(tmp_path):
    write_csv(tmp_path / "train.csv", "text,label", "a,x", "b,y")
    write_csv(tmp_path / "validation.csv", "text,label", "a,x", "b,q")
    with pytest.raises(ValueError, match=r"validation.csv, row 3: label 'q' is not one of the labels x, y\."):
        load_pairs(str(tmp_path))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("other", ["Joy", "joy ", "JOY"])
def test_labels_that_only_look_like_one(tmp_path, other, streaming):
    write_csv(tmp_path / "train.csv", "text,label", "a,joy", "b,hope", f"c,{other}")
    pair = re.escape(f"{min('joy', other)!r} and {max('joy', other)!r}")
    with pytest.raises(ValueError, match=rf"train.csv: the labels {pair} must be spelt alike, they differ in case"):
        load_pairs(str(tmp_path), streaming=streaming)
    names = ["hope", "joy", other]
    kept = load_pairs(str(tmp_path), labels=names, streaming=streaming)["train"]
    assert [row["label"] for row in kept] == [1, 0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"\n', r"train.jsonl, line 1, is no JSON"),
        ('{"text": "a", "label": 1}\n[3]\n', r"train.jsonl, line 2, must hold an object, got list"),
    ],
)
def test_broken_json_lines(tmp_path, content, message):
    (tmp_path / "train.jsonl").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_pairs(str(tmp_path))


def test_sources_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="There is no file or folder ./nowhere"):
        load_pairs("./nowhere")
    with pytest.raises(ValueError, match="holds no file that ends in one of .parquet"):
        load_pairs(str(tmp_path))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="must end in one of .parquet"):
        load_pairs(str(tmp_path / "a.txt"))
    for name in ("one.csv", "two.csv"):
        write_csv(tmp_path / name, "text,label", "a,x")
    with pytest.raises(ValueError, match=r"must hold files named after their splits .* got one.csv, two.csv"):
        load_pairs(str(tmp_path))


def test_rows_are_not_checked_where_they_need_not_be(tmp_path):
    write_csv(tmp_path / "posts.csv", "text,image", "a,gone.png", ",")
    rows = load_pairs(str(tmp_path / "posts.csv"), label_column=None, check_rows=False)["train"]
    assert len(rows) == 2 and picture_of(rows[0]) == str(tmp_path / "gone.png")


def test_fingerprint_sees_every_change(tmp_path):
    (tmp_path / "1.png").write_bytes(png())
    base = [["1", "a", "1.png", "x"], ["2", "b", "", "y"]]

    def of(rows):
        write_csv(tmp_path / "train.csv", "id,text,image,label", *(",".join(row) for row in rows))
        return fingerprint(load_pairs(str(tmp_path))["train"])

    seen = {of(base)}
    assert of(base) in seen and len(next(iter(seen))) == 16
    for change in (
        [base[1], base[0]],
        [["3", "a", "1.png", "x"], base[1]],
        [["1", "c", "1.png", "x"], base[1]],
        [["1", "a", "1.png", "y"], base[1]],
        [["1", "a", "", "x"], base[1]],
        base[:1],
    ):
        print_of_change = of(change)
        assert print_of_change not in seen
        seen.add(print_of_change)
    (tmp_path / "1.png").write_bytes(png((0, 0, 255)))
    assert of(base) not in seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "column", "train", "validation"), [("msed", "sentiment", 6127, 1021), ("mvsa_single", "label", 3611, 450)]
)
def test_real_posts(name, column, train, validation):
    from pathlib import Path

    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"the real posts of {name} are not here")
    splits = load_pairs(str(folder), label_column=column)
    assert {part: len(rows) for part, rows in splits.items()} == {"train": train, "validation": validation}
    assert splits["train"].features["label"].names == ["negative", "neutral", "positive"]
