"""What is said of prepared posts before others get them, counted by hand, and what is refused."""

import io
import json

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trees
from datasets import ClassLabel, Dataset, Features, Image, List, Value

from duosent.data.audit import audit
from duosent.data.description import describe
from duosent.data.pairs import load_pairs
from duosent.data.prepare import prepare
from duosent.data.reading import DataError

FEATURES = Features(
    {
        "id": Value("string"),
        "text": Value("string"),
        "image": Image(decode=False),
        "label": ClassLabel(names=["sad", "glad", "never seen"]),
        "themes": List(Value("string")),
        "author": Value("string"),
        "target": Value("string"),
    }
)


def post(id, text, size=None, label=0, themes=(), target=None):
    """A post whose picture, where there is one, is red and of this size."""
    content = None
    if size is not None:
        content = io.BytesIO()
        PIL.Image.new("RGB", size, "red").save(content, "PNG")
    image = None if content is None else {"bytes": content.getvalue(), "path": f"{id}.png"}
    rest = {"themes": list(themes), "author": "somebody", "target": target}
    return {"id": id, "text": text, "image": image, "label": label, **rest}


PARTS = {
    "train-00000-of-00002": [
        post("a", "What a day", (4, 2), 1, ["sea", "sun"]),
        post("b", " What a day ", (6, 2), 1, ["sun"], "sea"),
        post("c", None, (8, 2), 0),
    ],
    "train-00001-of-00002": [post("d", "bread", None, 0), post("e", "x y", (4, 2), None)],
    "test": [post("f", "What a day", (4, 2), 1), post("g", "\n", (10, 4), 0), post("h", "Bread", (6, 2), 0)],
}


def write(folder, parts=PARTS, features=FEATURES):
    folder.mkdir(exist_ok=True)
    for name, posts in parts.items():
        Dataset.from_list(posts, features=features).to_parquet(folder / f"{name}.parquet", batch_size=2)
    return folder


def test_what_there_is_to_say(tmp_path):
    said = describe(write(tmp_path / "posts"), label_columns=["themes"])
    assert json.loads(json.dumps(said)) == said
    assert said["record"] == {} and said["folder"] == str(tmp_path / "posts")
    assert said["columns"] == {
        "id": "string",
        "text": "string",
        "image": "picture",
        "label": "class label of 3 names",
        "themes": "list of string",
        "author": "string",
        "target": "string",
    }
    assert said["sides"] == {"id": "id", "text": "text", "image": "image", "target": "target"}
    train, test = said["splits"]["train"], said["splits"]["test"]
    assert [file.rsplit("/", 1)[1] for file in train["files"]] == [
        *("train-00000-of-00002.parquet", "train-00001-of-00002.parquet")
    ]
    assert [(part["rows"], part["texts"], part["pictures"]) for part in (train, test)] == [(5, 4, 4), (3, 2, 3)]
    spreads = {
        name: (train[name]["min"], train[name]["median"], train[name]["max"]) for name in ("characters", "words")
    }
    assert spreads == {"characters": (3, 7.5, 10), "words": (1, 2.5, 3)}  # of 10, 10, 5, 3 and 3, 3, 1, 2
    assert test["width"] == {"min": 4, "median": 6.0, "mean": 20 / 3, "p95": pytest.approx(9.6), "max": 10}
    assert (test["height"]["min"], test["height"]["max"]) == (2, 4)
    assert said["labels"] == {
        "label": {
            "counts": {
                "train": {"sad": 2, "glad": 2, "never seen": 0},
                "test": {"sad": 2, "glad": 1, "never seen": 0},
            },
            "unlabelled": {"train": 1, "test": 0},
        },
        "themes": {
            "counts": {"train": {"sea": 1, "sun": 2}, "test": {"sea": 0, "sun": 0}},
            "unlabelled": {"train": 0, "test": 0},
        },
    }
    # Post a has the words of f, b the same words about something else; a, b and e have the pictures of f and h.
    assert said["doubles"] == {
        "text": {"train": {"test": 1}, "test": {"train": 1}},
        "image": {"train": {"test": 3}, "test": {"train": 2}},
    }


def test_what_prepare_left(tmp_path):
    record = prepare("msed", trees.write_msed(tmp_path / "raw"), tmp_path / "posts")
    said = describe(tmp_path / "posts")
    assert said["record"] == record and list(said["labels"]) == ["sentiment", "emotion", "desire"]
    for split, part in record["parts"].items():
        assert said["splits"][split]["rows"] == part["rows"]
        for column, counts in part["labels"].items():
            found = said["labels"][column]["counts"][split]
            assert {label: count for label, count in found.items() if count} == counts


def test_a_column_is_no_label_because_it_looks_like_one(tmp_path):
    """An audit takes it for labels; its words might be names of people, or posts."""
    posts = [{"text": f"words {number}", "author": f"author {number % 2}"} for number in range(8)]
    write(tmp_path / "posts", {"train": posts}, Features({"text": Value("string"), "author": Value("string")}))
    assert list(audit(tmp_path / "posts")["labels"]) == ["author"]
    assert describe(tmp_path / "posts")["labels"] == {}


def test_sides_under_other_names(tmp_path):
    folder = write(tmp_path / "posts")
    for file in folder.iterdir():
        table = pq.read_table(file).rename_columns({"text": "words", "image": "photo"})
        pq.write_table(table.replace_schema_metadata(None), file)
    with pytest.raises(DataError, match="posts has no column text .text., only id, words, photo"):
        describe(folder)
    said = describe(folder, text_column="words", image_column="photo")
    assert said["sides"] == {"id": "id", "text": "words", "image": "photo", "target": "target"}
    assert said["splits"]["train"]["pictures"] == 4
    with pytest.raises(DataError, match="no column mood .label., only .*"):
        describe(folder, "words", "photo", label_columns=["mood"])


def test_one_side_alone(tmp_path):
    folder = write(tmp_path / "posts", {"posts": [{"text": "some words"}]}, Features({"text": Value("string")}))
    said = describe(folder)
    assert said["sides"] == {"text": "text"} and said["doubles"] == {"text": {"train": {}}}
    assert said["splits"]["train"]["width"] is None


def changed(field, value):
    return {"train": [post("a", "one", (4, 2)), post("b", "two", (4, 2)) | {field: value}]}


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            changed("image", {"bytes": None, "path": "pics/b.png"}),
            r"train\.parquet, row 2: image is the path pics/b\.png, which nobody else can read; `duosent audit "
            r".*posts --write-clean DIR` puts the pictures into the files\.",
        ),
        (
            changed("image", {"bytes": trees.jpeg(), "path": "/home/anna/b.png"}),
            r"train\.parquet, row 2: image has the path /home/anna/b\.png, which tells of this machine; `duosent ",
        ),
        (
            changed("image", {"bytes": b"broken", "path": None}),
            r"train\.parquet, row 2: the picture cannot be read: 6 bytes are in no picture format that is known; ",
        ),
        (
            {"train": [post("a", " ", None)]},
            r"train\.parquet, row 1: a post must have a text or a picture, got neither; `duosent audit",
        ),
    ],
)
def test_rows_that_others_could_not_read(tmp_path, parts, sentence):
    with pytest.raises(DataError, match=sentence):
        describe(write(tmp_path / "posts", parts))


def test_pictures_as_words_are_paths(tmp_path):
    table = pa.table({"text": ["one", "two"], "image": [None, "b.png"]})
    (tmp_path / "posts").mkdir()
    pq.write_table(table, tmp_path / "posts" / "train.parquet")
    with pytest.raises(
        DataError, match=r"train\.parquet, row 2: image is the path b\.png, which nobody else can read"
    ):
        describe(tmp_path / "posts")


def test_a_second_column_of_pictures_is_looked_at_too(tmp_path):
    """Also where it is no side of the posts."""
    features = Features({"text": Value("string"), "thumbnail": Image(decode=False)})
    posts = [{"text": "one", "thumbnail": {"bytes": None, "path": "b.png"}}]
    with pytest.raises(DataError, match=r"row 1: thumbnail is the path b\.png"):
        describe(write(tmp_path / "posts", {"train": posts}, features))


def test_what_write_clean_makes_of_paths_can_be_published(tmp_path):
    (tmp_path / "red.png").write_bytes(trees.jpeg())
    (tmp_path / "posts.csv").write_text(f"text,image\none,{tmp_path}/red.png\ntwo,\n")
    audit(tmp_path / "posts.csv", tmp_path / "clean")
    assert describe(tmp_path / "clean")["splits"]["train"]["pictures"] == 1
    assert load_pairs(str(tmp_path / "clean"), label_column=None)["train"]["image"] == [
        *({"bytes": trees.jpeg(), "path": "red.png"}, None)
    ]


def no_parquet(folder):
    (folder / "train-00000-of-00002.parquet").write_bytes(b"PAR1 and nothing else")


def no_rows(folder):
    pq.write_table(pq.read_table(folder / "test.parquet").slice(0, 0), folder / "test.parquet")


def csv_beside(folder):
    (folder / "validation.csv").write_text("text\nwords\n")


def a_link(folder):
    (folder / "test.parquet").rename(folder.parent / "elsewhere.parquet")
    (folder / "test.parquet").symlink_to(folder.parent / "elsewhere.parquet")


def other_columns(folder):
    write(folder, {"test": [{"text": "words"}]}, Features({"text": Value("string")}))


def other_label_names(folder):
    write(folder, {"test": [post("f", "words")]}, Features(FEATURES | {"label": ClassLabel(names=["glad", "sad"])}))


def no_utf8(folder):
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    table = pq.read_table(folder / "test.parquet").slice(0, 1)
    pq.write_table(table.set_column(1, "text", broken), folder / "test.parquet")


def pictures_of_another_kind(folder):
    for file in folder.iterdir():
        table = pq.read_table(file).replace_schema_metadata(None)
        pq.write_table(table.set_column(2, "image", pa.array([7] * len(table))), file)


def wrong_counts(folder):
    (folder / "dataset.json").write_text(json.dumps({"parts": {"train": {"rows": 5}, "test": {"rows": 4}}}))


def a_missing_part(folder):
    (folder / "dataset.json").write_text(json.dumps({"parts": {"validation": {"rows": 4}}}))


def a_part_too_many(folder):
    (folder / "dataset.json").write_text(json.dumps({"parts": {"train": {"rows": 5}}}))


def broken_record(folder):
    (folder / "dataset.json").write_text("{")


def a_list_as_record(folder):
    (folder / "dataset.json").write_text("[]")


def odd_parts(folder):
    (folder / "dataset.json").write_text(json.dumps({"parts": {"train": 5}}))


def unfinished(folder):
    (folder / ".unfinished").mkdir()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (no_parquet, r"train-00000-of-00002\.parquet cannot be read: "),
        (no_rows, r"test\.parquet holds no rows\."),
        (csv_beside, r"validation\.csv must be Parquet: `duosent audit .* --write-clean DIR` writes such files\."),
        (a_link, r"test\.parquet must be a file, not a link, which may lead to anything\."),
        (
            other_columns,
            r"test\.parquet must have the columns of .*00002\.parquet: id is no column here and string th",
        ),
        (
            other_label_names,
            r"test\.parquet must have the columns of .*: label is class label of 2 names here and cla",
        ),
        (no_utf8, r"test\.parquet cannot be read: .*UTF"),
        (pictures_of_another_kind, r"posts: image must hold pictures, got int64\."),
        (wrong_counts, r"dataset\.json counts 4 rows of test, but its files hold 3: prepare the data again"),
        (a_missing_part, r"dataset\.json counts 4 rows of validation, but its files hold 0: prepare the data again"),
        (a_part_too_many, r"dataset\.json counts 0 rows of test, but its files hold 3: prepare the data again"),
        (broken_record, r"dataset\.json cannot be read as JSON: "),
        (a_list_as_record, r"dataset\.json must hold an object, got list\."),
        (odd_parts, r"dataset\.json: parts\.train must be an object, got int\."),
        (unfinished, r"posts is not finished: give duosent prepare the same command again\."),
    ],
)
def test_folders_that_others_could_not_read(tmp_path, damage, sentence):
    folder = write(tmp_path / "posts")
    damage(folder)
    with pytest.raises(DataError, match=sentence) as caught:
        describe(folder)
    assert "\n" not in str(caught.value)


def test_folders_without_posts(tmp_path):
    with pytest.raises(DataError, match="There is no folder nowhere"):
        describe("nowhere")
    (tmp_path / "train.csv").write_text("text\nwords\n")
    with pytest.raises(DataError, match=r"holds no Parquet file: `duosent audit .* --write-clean DIR` writes such"):
        describe(tmp_path)


def test_memory_does_not_grow_with_the_pictures(tmp_path, monkeypatch):
    """Pictures of 48 MB in one row group, which a reader that reads row by row need not hold."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(400):
        content = io.BytesIO()
        PIL.Image.fromarray(rng.integers(0, 256, (200, 200, 3), np.uint8)).save(content, "BMP")
        pictures.append({"bytes": content.getvalue(), "path": None})
    pages = {"use_dictionary": False, "write_batch_size": 8}  # a page is read whole
    pq.write_table(pa.table({"image": pictures}), tmp_path / "train.parquet", **pages)
    size = (tmp_path / "train.parquet").stat().st_size
    assert size > 40e6 and pq.ParquetFile(tmp_path / "train.parquet").num_row_groups == 1
    del pictures
    held, before, opened = [], pa.total_allocated_bytes(), PIL.Image.open
    monkeypatch.setattr(PIL.Image, "open", lambda file: held.append(pa.total_allocated_bytes()) or opened(file))
    assert describe(tmp_path)["splits"]["train"]["pictures"] == len(held) == 400
    assert max(held) - before < 0.5 * size
