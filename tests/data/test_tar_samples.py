"""WebDataset tars: samples as rows, and what a cut or a damaged header costs."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from damage import damaged
from drawn import blocks, encoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duosent.data.rejected import Rejected
from duosent.data.source_files import source_files
from duosent.data.source_pieces import PLACE, read_piece, source_pieces
from duosent.data.source_reader import SourceReader

GENERATED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
PNG = encoded(blocks(1, size=8))


def tar_of(*members: tuple[str, bytes], **options) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def sample(number: int) -> list[tuple[str, bytes]]:
    return [(f"post{number}.txt", b"word " * number), (f"post{number}.png", b"picture %d" % number)]


SAMPLES = [sample(number) for number in range(8)]
WHOLE = tar_of(*(member for members in SAMPLES for member in members))
with tarfile.open(fileobj=io.BytesIO(WHOLE)) as opened:
    MEMBERS = {info.name: info for info in opened}


def outcomes(path: Path, piece_rows: int) -> list[dict | Rejected]:
    found = []
    for piece in source_pieces(source_files(path), piece_rows):
        rows = list(read_piece(piece))
        assert len(rows) == piece.outcomes
        found += rows
    assert [row.place if isinstance(row, Rejected) else row[PLACE] for row in found] == list(range(len(found)))
    return found


def members_of(row: dict) -> list[tuple[str, bytes]]:
    key = row["__key__"]
    return [(f"{key}.txt", row["text"].encode()), (row["image"]["path"], row["image"]["bytes"])]


@pytest.mark.parametrize("piece_rows", [1, 3, 100])
def test_samples_are_rows(tmp_path, piece_rows):
    (tmp_path / "a.tar").write_bytes(WHOLE)
    assert [members_of(row) for row in outcomes(tmp_path / "a.tar", piece_rows)] == SAMPLES


@GENERATED
@given(size=st.integers(0, len(WHOLE) - 1), piece_rows=st.integers(1, 9))
def test_a_cut_tar_loses_what_stands_at_the_cut_alone(tmp_path, size, piece_rows):
    (tmp_path / "a.tar").write_bytes(WHOLE[:size])
    found = outcomes(tmp_path / "a.tar", piece_rows)
    begun = len({name[:5] for name, info in MEMBERS.items() if info.offset_data <= size})
    end_mark = MEMBERS["post7.png"].offset_data + tarfile.BLOCKSIZE
    if size >= end_mark + tarfile.BLOCKSIZE:
        assert [members_of(row) for row in found] == SAMPLES
        return
    assert isinstance(found[-1], Rejected) and found[-1].id in (f"post{begun - 1}", f"{tmp_path}/a.tar")
    assert [members_of(row) for row in found[:-1]] == SAMPLES[: max(0, begun - 1)]


@GENERATED
@given(data=st.data(), piece_rows=st.integers(1, 9))
def test_damage_gives_no_sample_that_was_never_there(tmp_path, data, piece_rows):
    """The contents of a tar have no checksum: in them nobody sees a changed byte, so these are compared by length."""
    (tmp_path / "a.tar").write_bytes(damaged(data.draw, WHOLE))
    found = outcomes(tmp_path / "a.tar", piece_rows)
    assert found == outcomes(tmp_path / "a.tar", 1000)
    for row in found:
        assert isinstance(row, Rejected) or row["__key__"] in {members[0][0][:5] for members in SAMPLES}


@pytest.mark.parametrize("name", ["post3.txt", "post3.png", "post0.txt", "post7.png"])
@pytest.mark.parametrize("piece_rows", [1, 3, 100])
def test_a_damaged_header_costs_the_samples_beside_it(tmp_path, name, piece_rows):
    """Of post3's picture the header: post3 lacks it, and post4 might. Of its words: post2 might have had more."""
    content = bytearray(WHOLE)
    content[MEMBERS[name].offset + 150] ^= 255  # in its checksum
    (tmp_path / "a.tar").write_bytes(content)
    found = outcomes(tmp_path / "a.tar", piece_rows)
    lost = {"post3.txt": {2, 3}, "post3.png": {3, 4}, "post0.txt": {0}, "post7.png": {7}}[name]
    assert {int(row.id[4:]) for row in found if isinstance(row, Rejected)} == lost
    kept = [members for number, members in enumerate(SAMPLES) if number not in lost]
    assert [members_of(row) for row in found if isinstance(row, dict)] == kept


def test_a_byte_too_many_moves_the_headers_behind_it_and_loses_none_of_them(tmp_path):
    at = MEMBERS["post3.png"].offset
    (tmp_path / "a.tar").write_bytes(WHOLE[:at] + b"x" + WHOLE[at:])
    found = outcomes(tmp_path / "a.tar", 100)
    assert [isinstance(row, Rejected) for row in found] == [number == 3 for number in range(8)]


def test_long_names_folders_and_other_files(tmp_path):
    long = "folder/" * 30
    members = [("./x/a.txt", b"a"), ("./x/a.cls", b"7"), ("x/._b.txt", b"?"), ("README", b"?"), ("x/c.cls", b"1")]
    members += [(f"{long}d.txt", b"d"), (f"{long}d.JPG", b"e")]
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        (tmp_path / "a.tar").write_bytes(tar_of(*members, format=kind))
        for piece_rows in (1, 10):
            found = outcomes(tmp_path / "a.tar", piece_rows)
            assert [row["__key__"] for row in found] == ["x/a", "x/c", f"{long}d"]
            assert found[0]["text"] == "a" and found[2]["image"] == {"bytes": b"e", "path": f"{long}d.JPG"}


def test_what_is_no_sample_costs_itself_alone(tmp_path):
    members = [
        ("a.txt", b"\xff"),
        ("b.json", b"["),
        ("c.png", PNG),
        ("c.jpg", PNG),
        ("d.json", b"[]"),
        ("e.txt", b"e"),
    ]
    (tmp_path / "a.tar").write_bytes(tar_of(*members))
    *refused, last = outcomes(tmp_path / "a.tar", 2)
    assert [row.id for row in refused] == ["a", "b", "c", "d"] and last["text"] == "e"
    assert refused[2].reason.endswith("row 3: a sample has one picture, got c.png, c.jpg.")


def test_fields_are_columns_and_the_key_is_the_id(tmp_path):
    fields = json.dumps({"caption": "hello", "id": 7, "text": "gives way"}).encode()
    members = [("a.json", fields), ("a.png", PNG), ("a.txt", b"words"), ("b.txt", b"more")]
    (tmp_path / "a.tar").write_bytes(tar_of(*members))
    files = source_files(tmp_path)
    ways = [({}, ["a", "b"], ["words", "more"]), ({"text": "caption", "id": "id"}, ["7", "train-2"], ["hello", None])]
    for columns, ids, texts in ways:
        reader = SourceReader(columns)
        reader.check(files)
        posts = [post for piece in source_pieces(files, 1) for post in reader.read(piece)]
        assert [post["id"] for post in posts] == ids and [post["text"] for post in posts] == texts
        assert posts[0]["image"]["bytes"] == PNG


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"x" * 5000, bytes(512 * 20)])
def test_what_is_no_tar(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    found = outcomes(tmp_path / "a.tar", 2)
    assert [row.id for row in found] == ([] if content == bytes(512 * 20) else [f"{tmp_path}/a.tar"])
