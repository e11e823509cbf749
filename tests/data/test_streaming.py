"""Streamed rows are the rows of `load_pairs`, each once, whoever reads them."""

import io
import itertools
import json
import random
from collections import Counter

import pytest
from datasets import Dataset, Features, Image, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from torch.utils.data import DataLoader

import duosent.data.blocks as blocks_module
from duosent.data.blocks import block_file
from duosent.data.fingerprint import fingerprint
from duosent.data.pairs import load_pairs
from duosent.data.reading import DataError
from duosent.data.streaming import StreamedBatches, shuffled


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_ROWS", 4)


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", (2, 2), (number % 256, 0, 0)).save(buffer, format="png")
    return buffer.getvalue()


def write_csv(folder, rows=23, name="train.csv", end="\n"):
    lines = ["text,label,target", *(f'"row {row}, ""so""",{"good" if row % 3 else "bad"},' for row in range(rows))]
    lines.insert(5, "")
    lines.insert(9, '"two\nlines ü",good,cat')
    (folder / name).write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())


def write_jsonl(folder, rows=23):
    posts = [{"text": f"row {row}", "label": row % 3} for row in range(rows)]
    posts[7]["target"] = "cat"
    posts[11] = {"label": 1, "text": "ü", "id": "x"}
    (folder / "train.jsonl").write_text("\n\n".join(json.dumps(post) for post in posts))


def write_parquet(folder, rows=23, parts=3):
    features = Features({"text": Value("string"), "image": Image(), "label": Value("string")})
    for part in range(parts):
        numbers = range(part, rows, parts)
        columns = {
            "text": [f"row {number}" for number in numbers],
            "image": [{"bytes": png(number), "path": None} for number in numbers],
            "label": [("good", "bad", "calm")[number % 3] for number in numbers],
        }
        file = folder / f"train-{part:05d}-of-{parts:05d}.parquet"
        Dataset.from_dict(columns, features=features).to_parquet(file, batch_size=5)


def write_folder(folder):
    for split in ("train", "val"):
        (folder / split).mkdir()
        lines = ["file_name,text,label"]
        for number in range(9):
            (folder / split / f"{number}.png").write_bytes(png(number))
            lines.append(f"{number}.png,row {number},{number % 2}")
        (folder / split / "metadata.csv").write_text("\n".join(lines))


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet, "folder": write_folder}


@pytest.mark.parametrize("kind", WRITERS)
def test_streamed_rows_are_those_of_load_pairs(tmp_path, kind):
    WRITERS[kind](tmp_path)
    whole, streamed = load_pairs(str(tmp_path)), load_pairs(str(tmp_path), streaming=True)
    assert list(streamed) == list(whole)
    for split in whole:
        assert list(streamed[split]) == list(whole[split])
        assert streamed[split].features == whole[split].features
        assert len(streamed[split]) == len(whole[split])
        assert fingerprint(streamed[split]) == fingerprint(whole[split])
    assert len(block_file(next(tmp_path.rglob("train*.*" if kind != "folder" else "metadata.csv"))).blocks) > 1


def test_windows_line_ends(tmp_path):
    write_csv(tmp_path, end="\r\n")
    assert list(load_pairs(str(tmp_path), streaming=True)["train"]) == list(load_pairs(str(tmp_path))["train"])


def test_parts_have_the_labels_of_the_training_part(tmp_path):
    write_csv(tmp_path)
    (tmp_path / "test.csv").write_text("text,label\na,bad\n")
    for streaming in (False, True):
        splits = load_pairs(str(tmp_path), streaming=streaming, parts=["test"])
        assert list(splits) == ["test"] and splits["test"].features["label"].names == ["bad", "good"]
        assert [row["label"] for row in splits["test"]] == [0]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.csv", "text,label\na,x\nb,x,y\n", "train.csv cannot be read: row 3 has 3 cells, the header has 2"),
        ("train.csv", "text,label\n", "train.csv holds no rows"),
        ("train.csv", "", "train.csv holds no rows"),
        ("train.csv", "text,lable\na,x\n", r"has no column label \(label\), only text, lable; did you mean lable"),
        ("train.jsonl", '{"text": "a"}\n{"text":\n', "train.jsonl, line 2, is no JSON"),
        ("train.jsonl", "3\n", "train.jsonl, line 1, must hold an object, got int"),
        ("train.json", '[{"text": "a", "label": 1}]', "must hold one JSON object a line to be streamed"),
        (
            "train.jsonl",
            '{"text": 1, "label": 1}\n' * 5 + '{"text": {"a": 1}, "label": 1}',
            "train.jsonl cannot be read",
        ),
        ("train.parquet", "x", "train.parquet cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, file, content, message):
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=message) as raised:
        load_pairs(str(tmp_path), streaming=True)
    assert "\n" not in str(raised.value)


def test_a_bad_row_is_named_when_it_is_read(tmp_path):
    write_csv(tmp_path)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("\n,good,")
    rows = iter(load_pairs(str(tmp_path), streaming=True)["train"])
    with pytest.raises(DataError, match="train.csv, row 26: a post must have a text or a picture, got neither"):
        list(rows)


class Numbers:
    """Stands for `StreamedPairs`: rows that are numbers, in blocks of uneven sizes."""

    def __init__(self, sizes):
        self.firsts = list(itertools.accumulate(sizes, initial=0))
        self.sizes = sizes

    def __len__(self):
        return sum(self.sizes)

    def shuffled_blocks(self, rng):
        order = list(range(len(self.sizes)))
        rng.shuffle(order)
        return order

    def stretch(self, order, start, stop):
        rows = [row for block in order for row in range(self.firsts[block], self.firsts[block] + self.sizes[block])]
        return iter(rows[start:stop])


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    batch=st.integers(1, 5),
    processes=st.integers(1, 4),
    workers=st.integers(0, 3),
    buffer=st.integers(1, 7),
    drop=st.booleans(),
)
def test_every_row_is_read_once_by_all_processes_together(sizes, batch, processes, workers, buffer, drop):
    rows = Numbers(sizes)
    if len(rows) < processes:
        with pytest.raises(ValueError, match="must have a row for each process"):
            StreamedBatches(rows, batch, buffer, 0, 0, processes, drop)
        return
    if drop and len(rows) < batch * processes:
        return
    read, lengths = [], []
    for process in range(processes):
        batches = StreamedBatches(rows, batch, buffer, 0, process, processes, drop)
        own = list(batches) if not workers else list(of_workers(batches, workers))
        assert len(own) == len(batches) and all(own)
        lengths.append([len(posts) for posts in own])
        read += itertools.chain(*own)
    assert len({len(one) for one in lengths}) == 1
    if drop:
        assert len(set(read)) == len(read) == len(rows) // (batch * processes) * batch * processes
        assert {length for one in lengths for length in one} == {batch}
        return
    assert sorted(read) == list(range(len(rows)))
    for one in lengths:
        assert max(one) <= batch + 1 and sorted(one)[1:-1] == [batch] * (len(one) - 2)
    totals = [sum(one) for one in lengths]
    assert max(totals) - min(totals) <= 1


def of_workers(batches, workers):
    """What a `DataLoader` makes of several workers: one batch of each in turn, until all are at an end."""
    import duosent.data.streaming as module

    class Info:
        num_workers = workers

        def __init__(self, number):
            self.id = number

    streams = []
    before = module.get_worker_info
    try:
        for number in range(workers):
            module.get_worker_info = lambda number=number: Info(number)
            streams.append(list(batches))
    finally:
        module.get_worker_info = before
    for turn in itertools.zip_longest(*streams):
        yield from (posts for posts in turn if posts is not None)


def test_real_workers_read_each_row_once_in_every_epoch(tmp_path):
    write_parquet(tmp_path, rows=50)
    rows = load_pairs(str(tmp_path), streaming=True)["train"]
    batches = StreamedBatches(rows, 4, buffer_size=6, seed=3)
    loader = DataLoader(batches, batch_size=None, num_workers=2, persistent_workers=True)
    epochs = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        epochs.append([row["text"] for posts in loader for row in posts])
        assert Counter(epochs[-1]) == Counter(f"row {number}" for number in range(50))
    assert epochs[0] == epochs[2] != epochs[1]
    assert len(loader) == 13


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 30), size=st.integers(1, 12), seed=st.integers(0, 9))
def test_the_buffer_loses_nothing_and_holds_no_more_than_it_may(rows, size, seed):
    taken = []

    def source():
        for row in range(rows):
            taken.append(row)
            yield row

    given_out = []
    for row in shuffled(source(), size, random.Random(seed)):
        assert len(taken) - len(given_out) <= size + 1
        given_out.append(row)
    assert sorted(given_out) == list(range(rows))
    if size == 1:
        assert given_out == list(range(rows))


def test_the_buffer_mixes():
    orders = Counter(tuple(shuffled(iter(range(3)), 3, random.Random(seed))) for seed in range(600))
    assert len(orders) == 6 and min(orders.values()) > 60
