"""Posts are answered beside others of their length, and the answers stand in the old order."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from duosent import BaselineForImageTextClassification
from duosent.inference import length_windows
from duosent.inference.length_windows import LengthWindows, in_order
from duosent.inference.scoring import predict_table


class CountsWords:
    """A processor for which a text is as long as it has words."""

    def text_lengths(self, text, target=None):
        return [len(words.split()) for words in text]


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    batch_size=st.integers(1, 5),
    batches_sorted=st.integers(1, 4),
)
def test_every_row_once_and_sorted_in_its_stretch(lengths, batch_size, batches_sorted):
    rows = Dataset.from_dict({"text": ["a " * length for length in lengths]})
    groups = LengthWindows(rows, CountsWords(), batch_size)
    groups.window = batch_size * batches_sorted
    batches = list(groups)
    assert len(batches) == len(groups)
    places = [place for batch in batches for place in batch]
    for start in range(0, len(lengths), groups.window):
        stretch = places[start : start + groups.window]
        assert sorted(stretch) == list(range(start, min(start + groups.window, len(lengths))))
        met = [lengths[place] for place in stretch]
        assert met == sorted(met)
    assert all(len(batch) <= batch_size for batch in batches)
    given_back = list(
        in_order(([(place, "row") for place in batch] for batch in batches), groups.window, len(lengths))
    )
    assert [place for stretch in given_back for place, _ in stretch] == list(range(len(lengths)))


@pytest.fixture
def words_model(text_encoder_dir, processor, tmp_path) -> str:
    torch.manual_seed(0)
    model = BaselineForImageTextClassification.from_encoders(text_encoder_dir, None, id2label={0: "a", 1: "b"})
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.mark.parametrize("workers", [0, 1])
def test_answers_come_in_the_order_of_the_rows(words_model, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(length_windows, "BATCHES_SORTED", 3)  # of two posts each: several stretches, a short one
    long = "so very good sun and not bad rain"
    words = [long, "sad", "", "happy sun", long, "a cat", "dog", "the city", "", "tea", long, "bus", "sea"]
    rows = [{"id": f"same {place % 2}", "text": text} for place, text in enumerate(words)]
    (tmp_path / "posts.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    answers = {}
    for batch_size in (1, 2):
        folder = tmp_path / f"out {batch_size}"
        result = predict_table(
            words_model, str(tmp_path / "posts.jsonl"), str(folder), batch_size=batch_size, num_workers=workers
        )
        assert (result["n"], result["rejected"]) == (11, 2)
        answers[batch_size] = pq.read_table(folder / "predictions.parquet").to_pylist()
        assert [row["id"] for row in pq.read_table(folder / "rejected.parquet").to_pylist()] == ["same 0", "same 0"]
    read = [row["id"] for row, text in zip(rows, words, strict=True) if text]
    for one, other, post in zip(answers[1], answers[2], read, strict=True):
        assert one["id"] == other["id"] == post and one["label"] == other["label"]
        assert one["score_a"] == pytest.approx(other["score_a"], abs=1e-6)
    # Posts with the same words have the same answer, others have not.
    scores = {}
    for row, text in zip(answers[2], filter(None, words), strict=True):
        scores.setdefault(text, set()).add(round(row["score_a"], 5))
    assert all(len(of_text) == 1 for of_text in scores.values())
    assert len(set.union(*scores.values())) == len(scores)
