"""Damaged files of one's own: `load_pairs` reads them or names the file in one sentence, streamed or not."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duosent.data.pairs import DataError, load_pairs

ROWS = [
    {"id": "1", "text": "a dog, by the sea", "label": "glad"},
    {"id": "2", "text": 'she said "no" twice', "label": "sad"},
    {"id": "3", "text": "two\nlines", "label": "glad"},
    {"id": "4", "text": "caf\u00e9 \u2028 \u4f60\u597d", "label": "sad"},
    {"id": "5", "text": "plain", "label": "glad"},
]


def as_csv(separator: str) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(ROWS[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ROWS)
    return file.getvalue().encode()


def as_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file)
    return file.getvalue()


FILES = {
    "train.csv": as_csv(","),
    "train.tsv": as_csv("\t"),
    "train.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode(),
    "train.parquet": as_parquet(),
}


def read(path, streaming: bool) -> list[dict] | str:
    """Rows, or what is said of the file."""
    try:
        rows = load_pairs(str(path), label_column=None, streaming=streaming)["train"]
        return [{name: row[name] for name in ("id", "text")} for row in rows]
    except DataError as error:
        assert path.name in str(error) and "\n" not in str(error) and len(str(error)) < 700
        return str(error)


def rows_in(name: str, content: bytes) -> int:
    """How many rows stand in a file that can be read, by its format's own rules."""
    if name.endswith("parquet"):
        return pq.read_table(io.BytesIO(content)).num_rows
    text = content.decode("utf-8-sig")
    if name.endswith("jsonl"):
        return sum(bool(line.strip()) for line in text.split("\n"))
    separator = "," if name == "train.csv" else "\t"
    return sum(bool(cells) for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator)) - 1


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    wanted = [{"id": row["id"], "text": row["text"]} for row in ROWS]
    assert read(tmp_path / name, False) == wanted and read(tmp_path / name, True) == wanted


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_read_or_named(tmp_path, name, data):
    path, content = tmp_path / name, damaged(data.draw, FILES[name])
    path.write_bytes(content)
    whole, streamed = read(path, False), read(path, True)
    if isinstance(whole, list):
        assert len(whole) == rows_in(name, content)
    if name == "train.parquet" or content.startswith(b"["):
        return  # whole and streamed, it is another thing that is met first
    assert whole == streamed
