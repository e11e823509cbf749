"""Answers to one post and to a table: right numbers, the rows' order, and no row lost."""

import io
import json

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from duosent import BaselineForImageTextClassification, MdseForImageTextClassification
from duosent.inference.score_table import predict_table
from duosent.inference.scoring import predict
from duosent.training.checkpoints import CallError

LABELS = {0: "negative", 1: "neutral", 2: "positive"}
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def checkpoint(text_encoder_dir, image_encoder_dir, processor, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    model = MdseForImageTextClassification.from_encoders(text_encoder_dir, image_encoder_dir, id2label=LABELS, **SMALL)
    with torch.no_grad():  # so that the answers differ from post to post
        for layer in (model.classifier.hidden, model.classifier.output):
            layer.weight.mul_(50)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 40, 90)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def posts(picture, tmp_path_factory) -> str:
    """Five rows: whole, words only, picture only, a broken picture, nothing at all."""
    folder = tmp_path_factory.mktemp("posts")
    (folder / "good.png").write_bytes(picture)
    (folder / "broken.png").write_bytes(b"no picture")
    rows = [
        {"id": "both", "text": "good sun", "image": "good.png"},
        {"id": "words", "text": "bad rain", "image": None},
        {"id": "picture", "text": None, "image": "good.png"},
        {"id": "broken", "text": "the city", "image": "broken.png"},
        {"id": "nothing", "text": " ", "image": None},
    ]
    (folder / "posts.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return str(folder / "posts.jsonl")


def test_one_post_is_the_softmax_of_the_logits(checkpoint, picture, processor):
    answer = predict(checkpoint, "good sun", picture, device="cpu")
    model = MdseForImageTextClassification.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        logits = model(**processor(text=["good sun"], images=[picture], return_tensors="pt")).logits[0]
    expected = (logits.exp() / logits.exp().sum()).tolist()
    assert list(answer["scores"]) == list(LABELS.values())
    assert list(answer["scores"].values()) == pytest.approx(expected, abs=1e-5)
    assert answer["label"] == LABELS[expected.index(max(expected))]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_post_is_answered_in_the_type_that_was_asked_for(checkpoint, posts, picture, processor, tmp_path, dtype):
    model = MdseForImageTextClassification.from_pretrained(checkpoint).to(getattr(torch, dtype)).eval()
    with torch.no_grad():
        logits = model(**processor(text="good sun", images=picture, return_tensors="pt")).logits[0].float()
    by_hand = (logits.exp() / logits.exp().sum()).tolist()
    answer = predict(checkpoint, "good sun", picture, device="cpu", dtype=dtype)
    assert list(answer["scores"].values()) == pytest.approx(by_hand, abs=1e-6)
    exact = predict(checkpoint, "good sun", picture, device="cpu")["scores"]
    assert (answer["scores"] == exact) == (dtype == "float32")
    predict_table(checkpoint, posts, str(tmp_path), device="cpu", dtype=dtype, batch_size=1)
    [row] = pq.read_table(tmp_path / "predictions-00000.parquet").filter(pc.field("id") == "both").to_pylist()
    assert [row[f"score_{name}"] for name in LABELS.values()] == pytest.approx(by_hand, abs=1e-6)


def test_one_side_is_enough_and_matters(checkpoint, picture):
    both = predict(checkpoint, "good sun", picture)["scores"]
    words = predict(checkpoint, text="good sun")["scores"]
    image = predict(checkpoint, image=picture)["scores"]
    assert len({round(scores["negative"], 6) for scores in (both, words, image)}) == 3
    with pytest.raises(CallError, match="The post must have a text or a picture"):
        predict(checkpoint, text="   ")


@pytest.mark.parametrize("batch_size", [2, 5])
def test_a_table_answers_or_rejects_every_row(checkpoint, posts, picture, tmp_path, batch_size):
    result = predict_table(checkpoint, posts, str(tmp_path), batch_size=batch_size)
    answered = pq.read_table(tmp_path / "predictions-00000.parquet").to_pylist()
    rejected = pq.read_table(tmp_path / "rejected-00000.parquet").to_pylist()
    assert (result["n"], result["rejected"]) == (3, 2)
    assert [row["id"] for row in answered] == ["both", "words", "picture"]
    assert {row["id"] for row in rejected} == {"broken", "nothing"}
    reasons = {row["id"]: row["reason"] for row in rejected}
    assert "broken.png" in reasons["broken"]
    assert reasons["nothing"] == "neither a text nor a picture that the model reads"
    for row, post in zip(answered, [("good sun", picture), ("bad rain", None), (None, picture)], strict=True):
        alone = predict(checkpoint, *post)
        assert row["label"] == alone["label"]
        scores = {name.removeprefix("score_"): row[name] for name in row if name.startswith("score_")}
        assert scores == pytest.approx(alone["scores"], abs=1e-5)


def test_a_baseline_rejects_what_it_cannot_read(text_encoder_dir, posts, processor, tmp_path):
    model = BaselineForImageTextClassification.from_encoders(text_encoder_dir, None, id2label=LABELS)
    model.save_pretrained(tmp_path / "words")
    processor.save_pretrained(tmp_path / "words")
    predict_table(str(tmp_path / "words"), posts, str(tmp_path / "out"))
    rejected = pq.read_table(tmp_path / "out" / "rejected-00000.parquet").to_pylist()
    assert {row["id"] for row in rejected} >= {"picture", "nothing"}


def test_several_labels_a_post(text_encoder_dir, image_encoder_dir, processor, posts, tmp_path):
    model = MdseForImageTextClassification.from_encoders(
        text_encoder_dir, image_encoder_dir, id2label=LABELS, problem_type="multi_label_classification", **SMALL
    )
    with torch.no_grad():
        model.classifier.output.weight.zero_()
        model.classifier.output.bias.copy_(torch.tensor([2.0, -0.5, 0.5]))
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    answer = predict(str(tmp_path / "model"), "good")
    assert answer["label"] == ["negative", "positive"]
    assert answer["scores"] == pytest.approx({"negative": 0.8808, "neutral": 0.3775, "positive": 0.6225}, abs=1e-4)
    predict_table(str(tmp_path / "model"), posts, str(tmp_path / "out"))
    assert pq.read_table(tmp_path / "out" / "predictions-00000.parquet")["label"][0].as_py() == [
        "negative",
        "positive",
    ]


def test_wrong_calls_are_one_sentence(checkpoint, posts, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for call, message in [
        (lambda: predict_table(checkpoint, posts, str(tmp_path / "full")), "is not empty"),
        (
            lambda: predict_table(checkpoint, posts, str(tmp_path / "new"), split="test"),
            "has no test part, only train.",
        ),
        (lambda: predict("no/such/checkpoint", "good"), "neither a folder with a checkpoint nor a model"),
        (
            lambda: predict(checkpoint, "good", dtype="float64"),
            "dtype must be one of float32, bfloat16, float16, got 'float64'.",
        ),
    ]:
        with pytest.raises(CallError) as error:
            call()
        assert message in str(error.value)
        assert "\n" not in str(error.value)
