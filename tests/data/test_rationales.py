import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from duosent.data.audit import audit
from duosent.data.demo_posts import TEMPLATES, deciding_words, make_demo_posts, sentences
from duosent.data.pairs import load_pairs
from duosent.data.rationales import load_rationales


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_demo_posts(tmp_path_factory.mktemp("posts"), 20, 20, 20, seed=2)


def test_demo_posts_tell_what_decides_where_a_side_says_something(folder):
    for post, rationale in zip(load_pairs(str(folder))["train"], load_rationales(str(folder), "train"), strict=True):
        row = next(row for row in pq.read_table(folder / "train.parquet").to_pylist() if row["id"] == post["id"])
        assert (rationale.words is not None) == (row["kind"] in ("words", "both"))
        assert (rationale.pixels is not None) == (row["kind"] in ("picture", "both"))
        if rationale.words is not None:
            assert rationale.words <= set(post["text"].split())


def test_the_deciding_words_are_the_only_ones_that_two_meanings_do_not_share():
    for meaning in TEMPLATES:
        for sentence in sentences(meaning):
            assert bool(deciding_words(sentence)) == (meaning != "nothing")
    rest = {
        meaning: {" ".join(word for word in s.split() if word not in deciding_words(s)) for s in sentences(meaning)}
        for meaning in ("glad", "sad")
    }
    assert rest["glad"] == rest["sad"]


def test_the_deciding_pixels_are_those_of_the_drawing(folder):
    rows = pq.read_table(folder / "train.parquet").to_pylist()
    for row, rationale in zip(rows, load_rationales(str(folder), "train"), strict=True):
        if rationale.pixels is None:
            continue
        assert rationale.pixels.shape == (64, 64)
        assert 0.05 < rationale.pixels.mean() < 0.35
        picture = np.array(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"), float)
        drawn, around = picture[rationale.pixels].mean(axis=0), picture[0, 0]
        assert np.abs(drawn - around).max() > 10


def test_an_audit_takes_rationales_for_no_labels(folder):
    assert not {"text_rationale", "image_rationale"} & set(audit(str(folder), None)["labels"])


def test_data_without_rationales_has_none(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "label": ["x"]}), tmp_path / "train.parquet")
    assert load_rationales(str(tmp_path), "train") is None


def test_one_of_the_two_columns_is_enough(tmp_path):
    rows = {"text": ["A b", "c"], "label": ["x", "y"], "text_rationale": [["B"], None]}
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    first, second = load_rationales(str(tmp_path), "train")
    assert (first.words, first.pixels, second.words) == (frozenset({"b"}), None, None)
