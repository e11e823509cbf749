"""Rows of any source as posts: columns, ids, words, and where a picture lies."""

import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import blocks, encoded

from duosent.data.pairs import load_pairs
from duosent.data.reading import DataError
from duosent.data.rejected import Rejected
from duosent.data.source_files import source_files
from duosent.data.source_pieces import source_pieces
from duosent.data.source_reader import SourceReader

PNG = encoded(blocks(1))
NOTHING = {"bytes": None, "path": None}


def posts(source, reader: SourceReader | None = None, piece_rows: int = 2) -> list[dict | Rejected]:
    reader = reader or SourceReader()
    return [post for piece in source_pieces(source_files(source), piece_rows) for post in reader.read(piece)]


def write_lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def folder_of_everything(folder: Path) -> Path:
    """Pictures in bytes, as paths and missing; words, numbers and nothing; with ids and without."""
    (folder / "photos").mkdir()
    (folder / "photos" / "1.png").write_bytes(PNG)
    table = {
        "id": ["a", None, "c"],
        "text": ["one", None, "three"],
        "image": [{"bytes": PNG, "path": None}, {"bytes": None, "path": "photos/1.png"}, None],
        "target": [None, "dog", None],
    }
    pq.write_table(pa.table(table), folder / "train-0.parquet")
    pq.write_table(pa.table({name: cells[::-1] for name, cells in table.items()}), folder / "train-1.parquet")
    return folder


def test_posts_are_those_of_load_pairs(tmp_path):
    folder = folder_of_everything(tmp_path)
    wanted = load_pairs(str(folder), label_column=None)["train"]
    found = posts(folder)
    assert [{name: post[name] for name in ("id", "text", "image", "target")} for post in found] == list(wanted)
    assert [post["id"] for post in found] == ["a", "train-2", "c", "c", "train-5", "a"]
    assert [post["place"] for post in found] == list(range(6))


@pytest.mark.parametrize("cell", [7, 2.5, 1.0, True, "007", ""])
def test_a_cell_that_is_no_text_becomes_the_words_of_load_pairs(tmp_path, cell):
    path = write_lines(tmp_path / "a.jsonl", {"text": cell, "image": "x.png"})
    [wanted] = load_pairs(str(path), label_column=None, check_rows=False)["train"]
    [post] = posts(path)
    assert post["text"] == wanted["text"] and type(post["text"]) is str


def test_a_cell_of_the_wrong_kind_costs_its_row(tmp_path):
    rows = {"text": ["a"]}, {"text": "b", "image": 3}, {"text": "c", "image": {"bytes": "x"}}, {"text": "d", "id": 4}
    [first, second, third, fourth] = posts(write_lines(tmp_path / "a.jsonl", *rows))
    assert first == Rejected(0, "train-1", f"{tmp_path}/a.jsonl, row 1: text must hold words, got list.")
    assert second.reason.endswith("row 2: image must hold bytes, a path or an image, got int.")
    assert third.reason.endswith("row 3: image must hold bytes, a path or an image, got dict.")
    assert fourth == {"place": 3, "id": "4", "text": "d", "image": NOTHING, "target": None}


def test_half_characters_in_an_id_are_replaced(tmp_path):
    [post] = posts(write_lines(tmp_path / "a.jsonl", {"text": "a", "id": "x\ud83d"}))
    assert post["id"] == "x\ufffd"


def test_columns_go_by_other_names(tmp_path):
    (tmp_path / "a.csv").write_text("number,tweet,photo,who\n1,hello,x.png,dog\n")
    reader = SourceReader({"text": "tweet", "image": "photo", "target": "who", "id": "number"})
    reader.check(source_files(tmp_path))
    [post] = posts(tmp_path, pickle.loads(pickle.dumps(reader)))
    image = {"bytes": None, "path": f"{tmp_path}/x.png"}
    assert post == {"place": 0, "id": "1", "text": "hello", "image": image, "target": "dog"}


def test_a_missing_column_is_told_before_anything_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("words\nx\n")
    with pytest.raises(DataError, match=r"a.csv has no column tweet \(text\), only words\."):
        SourceReader({"text": "tweet"}).check(source_files(tmp_path))
    path = write_lines(tmp_path / "b.jsonl", {"words": "x"})
    with pytest.raises(DataError, match=r"b.jsonl has no column tweet \(text\), only words\."):
        SourceReader({"text": "tweet"}).check(source_files(path))
    with pytest.raises(DataError, match="columns must be of text, image, target, id, got label"):
        SourceReader({"label": "x"})


def test_a_file_without_the_column_is_rejected_row_by_row_where_nobody_checked(tmp_path):
    (tmp_path / "a.csv").write_text("words\nx\ny\n")
    found = posts(tmp_path)
    assert [post.id for post in found] == ["train-1", "train-2"]
    assert found[1].reason.startswith(
        f"{tmp_path}/a.csv, row 3: the file cannot be read: {tmp_path}/a.csv has no column"
    )


def test_files_that_are_empty_or_none_are_not_asked_for_columns(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "b.jsonl").write_bytes(b"")
    (tmp_path / "c.parquet").write_bytes(b"none")
    (tmp_path / "d.csv").write_bytes(b"text\nx\n")
    SourceReader().check(source_files(tmp_path))
    [refused, post] = posts(tmp_path)
    assert refused.id == f"{tmp_path}/c.parquet" and post["text"] == "x"


def test_a_column_may_come_late_in_json_lines(tmp_path):
    rows = [{"text": "a"}, {"image": "x.png", "target": "dog"}, {"file_name": "y.png", "text": "c"}]
    found = posts(write_lines(tmp_path / "a.jsonl", *rows[:2]), piece_rows=1)
    assert [post["text"] for post in found] == ["a", None]
    assert found[1]["image"]["path"] == f"{tmp_path}/x.png" and found[1]["target"] == "dog"
    [post] = posts(write_lines(tmp_path / "b.jsonl", rows[2]))
    assert post["image"]["path"] == f"{tmp_path}/y.png"


def test_pictures_are_fetched_from_disk(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(PNG)
    rows = [{"text": "a", "image": name} for name in ("1.png", "none.png", "x" * 5000, "a\0b", None, "")]
    path = write_lines(tmp_path / "a.jsonl", *rows)
    [file] = source_files(path)
    reader = SourceReader(base_image_dir=str(tmp_path / "photos"))
    found = [reader.fetch(post, file) for post in posts(path, reader)]
    assert found[0]["image"] == {"bytes": PNG, "path": f"{tmp_path}/photos/1.png"}
    assert found[1] == Rejected(1, "train-2", f"There is no file {tmp_path}/photos/none.png.")
    assert found[2].reason.startswith(f"{tmp_path}/photos/xxx") and "… cannot be read: File name" in found[2].reason
    assert "cannot be read: embedded null byte." in found[3].reason
    assert found[4]["image"] == found[5]["image"] == NOTHING


WEB = ["http://127.0.0.1/x.png", "HTTPS://example.org/x.png"]
# They run programs, name this machine's files to whoever writes tables, or lead to the web behind another name.
OTHERS = ["data:image/png;base64,AAAA", "file:///etc/hostname", "s3://a/b::http://127.0.0.1/x", "github://a:b@c/x.png"]


@pytest.mark.parametrize("cell", WEB + OTHERS)
def test_addresses_that_are_not_allowed_cost_their_row(tmp_path, cell):
    [post] = posts(write_lines(tmp_path / "a.jsonl", {"text": "a", "image": cell}))
    assert isinstance(post, Rejected) and "address" in post.reason
    assert ("--fetch-images" in post.reason) == cell.lower().startswith("http")


@pytest.mark.parametrize("cell", ["simplecache::http://127.0.0.1/x.png", "../../other/x.png", "/other/x.png"])
def test_a_path_does_not_lead_out_of_its_bucket(tmp_path, cell):
    path = write_lines(tmp_path / "a.jsonl", {"text": "a", "image": cell}, {"text": "b", "image": "d/../x.png"})
    [refused, kept] = posts(path, SourceReader(base_image_dir="s3://bucket/photos"))
    assert isinstance(refused, Rejected)
    assert kept["image"]["path"] == "s3://bucket/photos/x.png"


def test_an_absolute_path_is_none_of_a_remote_table(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", {"text": "a", "image": "/etc/x.png"})
    [refused] = posts(path, SourceReader(base_image_dir="memory:///photos"))
    assert refused.reason.endswith("/etc/x.png must be a path below memory:///photos, or a URL.")


@pytest.mark.parametrize("cell", ["s3://bucket/x.png", "gs://bucket/x.png", "hf://datasets/a/b/x.png"])
def test_object_stores_may_be_named_by_a_cell(tmp_path, cell):
    [post] = posts(write_lines(tmp_path / "a.jsonl", {"text": "a", "image": cell}))
    assert post["image"] == {"bytes": None, "path": cell}
