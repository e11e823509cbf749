"""Every row of a source comes out exactly once, as a row or as a rejection, however the source is cut."""

import csv
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duosent.data.rejected import Rejected
from duosent.data.source_files import source_files
from duosent.data.source_pieces import PLACE, Piece, PieceReader, read_piece, source_pieces

ROWS = [{"id": str(number), "text": f"a dog, no. {number}"} for number in range(12)]
ROWS[3]["text"], ROWS[7]["text"] = 'she said "no" twice', "two\nlines"
GENERATED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_csv(separator: str = ",") -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(ROWS[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ROWS)
    return file.getvalue().encode()


def as_parquet(**options) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file, **options)
    return file.getvalue()


FILES = {
    "a.csv": as_csv(),
    "a.tsv": as_csv("\t"),
    "a.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "a.json": json.dumps(ROWS).encode(),
    "a.parquet": as_parquet(row_group_size=5, data_page_size=1, write_batch_size=2),
}


def outcomes(source: Path, piece_rows: int) -> list[dict | Rejected]:
    """All of a source in order, each piece by a reader of its own that got it from a manifest."""
    files = source_files(source)
    found = []
    for piece in source_pieces(files, piece_rows):
        assert piece.rows <= piece_rows
        piece = Piece.from_json(json.loads(json.dumps(piece.as_json())), files)
        rows = list(read_piece(piece))
        assert len(rows) == piece.outcomes
        found += rows
    assert [row.place if isinstance(row, Rejected) else row[PLACE] for row in found] == list(range(len(found)))
    return found


def plain(found: list[dict | Rejected]) -> list[dict | str]:
    """Rows as they were written, and the ids of the others."""
    return [row.id if isinstance(row, Rejected) else {name: row[name] for name in ROWS[0]} for row in found]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("piece_rows", [1, 3, 5, 100])
def test_a_whole_file_gives_its_rows(tmp_path, name, piece_rows):
    (tmp_path / name).write_bytes(FILES[name])
    assert plain(outcomes(tmp_path / name, piece_rows)) == ROWS


@pytest.mark.parametrize("name", FILES)
@GENERATED
@given(data=st.data(), piece_rows=st.integers(1, 13))
def test_damage_gives_the_same_outcomes_however_a_file_is_cut(tmp_path, name, data, piece_rows):
    (tmp_path / name).write_bytes(damaged(data.draw, FILES[name]))
    whole = outcomes(tmp_path / name, 1000)
    assert outcomes(tmp_path / name, piece_rows) == whole
    reader = PieceReader()
    kept_open = [
        row for piece in source_pieces(source_files(tmp_path / name), piece_rows) for row in reader.read(piece)
    ]
    assert kept_open == whole


@pytest.mark.parametrize("name", FILES)
def test_one_reader_reads_pieces_in_any_order(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    planned = list(source_pieces(source_files(tmp_path / name), 3))
    reader = PieceReader()
    for order in (planned[::-1], planned[::2] + planned[1::2]):
        found = {piece.first: plain(list(reader.read(piece))) for piece in order}
        assert [row for first in sorted(found) for row in found[first]] == ROWS


# Lines that are no row, whatever stands beside them.
BAD_LINES = {
    ".csv": [b'7,"open', b'"quoted" behind', b"1,2,3", b"\xff,x", b"7,a\rb"],
    ".jsonl": [b"{", b"\xff", b"[]", b"null", b"garbage", b'{"a": 1}}', b"[" * 100_000, b"1" * 5000],
}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@GENERATED
@given(data=st.data(), piece_rows=st.integers(1, 8))
def test_a_damaged_line_loses_only_itself(tmp_path, name, data, piece_rows):
    header = [b"id,text"] if name == "a.csv" else []
    good = [b"%d,word" % number if header else b'{"id": "%d", "text": "word"}' % number for number in range(6)]
    bad = st.sampled_from(BAD_LINES[Path(name).suffix])
    lines = data.draw(st.lists(st.one_of(st.sampled_from(good), bad, st.just(b"")), min_size=1))
    (tmp_path / name).write_bytes(b"\n".join(header + lines))

    wanted = [line in good for line in lines if line]
    found = outcomes(tmp_path / name, piece_rows)
    assert [isinstance(row, dict) for row in found] == wanted
    written = [line for line in lines if line in good]
    read = [row["id"] for row in found if isinstance(row, dict)]
    assert read == [str(good.index(line)) for line in written]


def test_a_list_of_json_breaks_off_where_it_is_none(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf " + json.dumps([*ROWS[:5], 7, *ROWS[5:]]).encode()[:-30])
    [*whole, refused] = outcomes(tmp_path / "a.json", 4)
    assert plain(whole[:5]) == ROWS[:5] and plain(whole[6:]) == ROWS[5:11]
    assert whole[5] == Rejected(5, "train-6", f"{tmp_path}/a.json, row 6: it must be an object, got int.")
    assert refused.reason.startswith(f"{tmp_path}/a.json cannot be read behind row 12: it breaks off: ")


def test_a_rejection_names_file_and_row(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,text\n1,x\n\n2,y,z\n")
    [_, refused] = outcomes(tmp_path / "a.csv", 10)
    assert refused == Rejected(1, "train-2", f"{tmp_path}/a.csv, row 3: it has 3 cells, the header has 2.")


def test_a_file_that_is_none_is_one_rejection_and_the_others_go_on(tmp_path):
    (tmp_path / "a.csv").write_bytes(FILES["a.csv"])
    (tmp_path / "b.parquet").write_bytes(FILES["a.parquet"][:-20])
    (tmp_path / "c.csv").write_bytes(b'"id,text\n1,x\n')
    (tmp_path / "d.jsonl").write_bytes(FILES["a.jsonl"])
    found = outcomes(tmp_path, 5)
    assert plain(found) == [*ROWS, f"{tmp_path}/b.parquet", f"{tmp_path}/c.csv", *ROWS]
    assert found[12].reason.startswith(f"{tmp_path}/b.parquet cannot be read: ")


def test_files_without_rows_have_no_pieces(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,text\n")
    (tmp_path / "b.csv").write_bytes(b"")
    (tmp_path / "c.jsonl").write_bytes(b"\n\n")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "d.parquet")
    assert list(source_pieces(source_files(tmp_path))) == []


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_rows_that_have_gone_since_they_were_counted_are_rejected(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    planned = list(source_pieces(source_files(tmp_path / name), 5))
    short = FILES[name][:-20] if name == "a.parquet" else FILES[name][: len(FILES[name]) // 2]
    (tmp_path / name).write_bytes(short)
    found = [row for piece in planned for row in read_piece(piece)]
    assert len(found) == 12 and isinstance(found[-1], Rejected)
    assert [row.place if isinstance(row, Rejected) else row[PLACE] for row in found] == list(range(12))


@pytest.mark.parametrize("piece_rows", [1000, 700])
def test_a_damaged_page_costs_the_rest_of_its_group_alone(tmp_path, piece_rows):
    """Rows are decoded 1,000 at a time: those from 2,000 to 2,999 are lost, and the second group is read."""
    rows = [{"id": f"id of row {number:05}"} for number in range(6000)]
    file = io.BytesIO()
    options = {"use_dictionary": False, "compression": "none", "data_page_size": 1000, "write_batch_size": 50}
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=3000, write_page_checksum=True, **options)
    content = bytearray(file.getvalue())
    assert content.count(b"row 02117") == 1  # in its page, not in the figures about it
    content[content.index(b"row 02117")] ^= 255
    (tmp_path / "a.parquet").write_bytes(content)

    planned = list(source_pieces(source_files(tmp_path / "a.parquet"), piece_rows))
    reader = PieceReader()
    found = [row for piece in planned for row in reader.read(piece)]
    for number, row in enumerate(found):
        assert isinstance(row, Rejected) == (2000 <= number < 3000)
        assert isinstance(row, Rejected) or row["id"] == rows[number]["id"]
    assert len(found) == 6000 and "row 2101: " in found[2100].reason
    backwards = [list(reader.read(piece)) for piece in reversed(planned)]
    assert [row for rows in reversed(backwards) for row in rows] == found


def test_pieces_of_one_row_group_are_read_on(tmp_path, monkeypatch):
    """A group begun anew for each of its pieces would be decoded 20 times."""
    pq.write_table(pa.table({"number": range(20_000)}), tmp_path / "a.parquet", row_group_size=20_000)
    begun = []
    iterate = pq.ParquetFile.iter_batches
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *a, **o: begun.append(1) or iterate(*a, **o))
    reader = PieceReader()
    planned = list(source_pieces(source_files(tmp_path / "a.parquet"), 1000))
    numbers = [row["number"] for piece in planned for row in reader.read(piece)]
    assert numbers == list(range(20_000)) and len(planned) == 20 and len(begun) == 1


def test_words_that_are_no_utf8_cost_their_row_alone(tmp_path):
    words = pa.array([b"one", b"\xff", b"three"]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": words}), tmp_path / "a.parquet")
    [one, refused, three] = outcomes(tmp_path / "a.parquet", 10)
    assert one["text"] == "one" and three["text"] == "three" and "UTF8" in refused.reason


def test_a_forked_process_has_a_file_of_its_own(tmp_path):
    """One place in one open file would be moved by both."""
    (tmp_path / "a.csv").write_bytes(b"id,text\n" + b"1,x\n" * 200_000)
    planned = list(source_pieces(source_files(tmp_path / "a.csv"), 100_000))
    reader = PieceReader()
    rows = reader.read(planned[0])
    next(rows)
    opened = reader.open(planned[0].file)
    child = os.fork()
    if child == 0:
        read = sum(isinstance(row, dict) for row in reader.read(planned[1]))
        os._exit(0 if read == 100_000 and reader.open(planned[0].file) is not opened else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sum(isinstance(row, dict) for row in rows) == 99_999 and reader.open(planned[0].file) is opened
