"""What a worker process of a loader gets of a data set, and what it costs."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from torch.utils.data import DataLoader

from duosent import load_pairs

PICTURE = 50_000  # bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("posts")
    draws = np.random.default_rng(0)
    features = Features(
        {
            "key": Value("string"),
            "title": Value("string"),
            "image": Image(decode=False),
            "mood": ClassLabel(names=["sad", "glad"]),
        }
    )
    for part in ("train-0", "train-1", "test"):
        columns = {
            "key": [f"{part} {row}" for row in range(20)],
            "title": [f"words {row}" for row in range(20)],
            "image": [{"bytes": draws.bytes(PICTURE), "path": None} for _ in range(20)],
            "mood": [row % 2 for row in range(20)],
        }
        Dataset.from_dict(columns, features=features).to_parquet(folder / f"{part}.parquet")
    return folder


@pytest.fixture(scope="module")
def rows(folder) -> Dataset:
    columns = {"text_column": "title", "id_column": "key", "label_column": "mood"}
    return load_pairs(str(folder), **columns, check_rows=False)["train"]


def test_a_spawned_worker_is_sent_paths_not_pictures(rows):
    sent = pickle.dumps(rows)
    assert len(rows) == 40 and len(sent) < PICTURE
    again = pickle.loads(sent)
    assert again.features == rows.features and again[:] == rows[:]
    part = rows.select(range(5, 9))
    assert len(pickle.dumps(part)) < PICTURE and pickle.loads(pickle.dumps(part))[:] == part[:]


def test_the_rows_are_those_of_the_files(rows, folder):
    whole = [row for part in ("train-0", "train-1") for row in Dataset.from_parquet(str(folder / f"{part}.parquet"))]
    assert rows.column_names == ["id", "text", "image", "label"]
    for row, source in zip(rows, whole, strict=True):
        assert row == {
            "id": source["key"],
            "text": source["title"],
            "image": source["image"],
            "label": source["mood"],
        }


def test_one_column_may_serve_twice(folder):
    rows = load_pairs(str(folder), text_column="title", id_column="title", label_column=None, check_rows=False)["test"]
    assert rows["id"][:] == rows["text"][:] == [f"words {row}" for row in range(20)]


@pytest.mark.slow  # a worker that is not forked imports everything
def test_a_spawned_worker_reads_the_same_rows(rows):
    loader = DataLoader(rows, 10, collate_fn=list, num_workers=1, multiprocessing_context="spawn")
    assert [row for batch in loader for row in batch] == list(rows)
