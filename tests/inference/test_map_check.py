"""The check of maps, from posts to verdicts."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from exports import tiny_classifier
from PIL import Image

from duosent.inference.explaining import Explainer
from duosent.inference.map_check import check_maps
from duosent.training.checkpoints import CallError

TEXTS = ["good sun and the sea", "bad rain", "so happy we are with you", "fear of the night", "tea"]


def png(seed: int, size=(48, 32)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> str:
    """Five posts, then one whose picture cannot be read; what decides is known of the first two."""
    mask = io.BytesIO()
    Image.fromarray(np.kron(np.eye(4, dtype=np.uint8) * 255, np.ones((16, 16), np.uint8))).save(mask, "PNG")
    pictures = [{"bytes": png(seed), "path": None} for seed in range(5)] + [{"bytes": b"no picture", "path": None}]
    rows = {
        "id": [f"post {number}" for number in range(6)],
        "text": [*TEXTS, "we"],
        "image": pictures,
        "text_rationale": [["good"], ["rain"], None, None, None, None],
        "image_rationale": [mask.getvalue(), *[None] * 5],
    }
    folder = tmp_path_factory.mktemp("posts")
    pq.write_table(pa.table(rows), folder / "validation.parquet")
    return str(folder)


@pytest.fixture(scope="module")
def explainer(tokenizer, processor) -> Explainer:
    model = tiny_classifier("mdse", tokenizer)
    with torch.no_grad():  # so that hiding something changes the score
        model.classifier.output.weight.mul_(3)
    return Explainer(model, processor, attributions=False)


@pytest.fixture(scope="module")
def report(explainer, posts) -> dict:
    return check_maps(explainer, posts, random_orders=2, seed=3)


def test_every_map_is_checked_on_both_sides_and_no_post_is_lost(report):
    assert (report["n"], report["seed"], report["random_orders"]) == (5, 3, 2)
    assert list(report["rejected"]) == ["post 5"]
    checked = {(entry["map"], entry["side"]): entry for entry in report["maps"]}
    assert set(checked) == {(name, side) for name in ("importance", "kept") for side in ("words", "picture")}
    # A text of one word has only one order.
    assert [checked["importance", side]["n"] for side in ("words", "picture")] == [4, 5]
    assert set(checked["importance", "words"]["gains"]) == {"random"}
    assert set(checked["importance", "picture"]["gains"]) == {"edges", "random"}
    json.dumps(report)


def test_posts_of_one_id_are_counted_one_by_one(explainer, tmp_path):
    broken = {"bytes": b"no picture", "path": None}
    rows = {"id": ["a", "a", "b"], "text": TEXTS[:3], "image": [broken, broken, {"bytes": png(0), "path": None}]}
    pq.write_table(pa.table(rows), tmp_path / "validation.parquet")
    report = check_maps(explainer, str(tmp_path), random_orders=1)
    assert report["n"] == 1 and list(report["rejected"]) == ["a"]
    assert {entry["n"] for entry in report["maps"]} == {1}


def test_pointing_is_played_where_the_deciding_part_is_known(report):
    checked = {(entry["map"], entry["side"]): entry["pointing"] for entry in report["maps"]}
    # One of five words, one of two; four cells of sixteen.
    assert checked["importance", "words"]["n"] == 2
    assert checked["importance", "words"]["chance"] == pytest.approx((1 / 5 + 1 / 2) / 2)
    assert (checked["importance", "picture"]["n"], checked["importance", "picture"]["chance"]) == (1, 4 / 16)


def test_pointing_is_not_played_where_no_part_can_be_hit(explainer, tmp_path):
    """The deciding word is not in the text, and what decides in the picture is less than half of a cell."""
    dot, mask = np.zeros((64, 64), np.uint8), io.BytesIO()
    dot[20:26, 20:26] = 255
    Image.fromarray(dot).save(mask, "PNG")
    rows = {"text": TEXTS[:1], "image": [{"bytes": png(0), "path": None}]}
    rows |= {"text_rationale": [["rain"]], "image_rationale": [mask.getvalue()]}
    pq.write_table(pa.table(rows), tmp_path / "validation.parquet")
    report = check_maps(explainer, str(tmp_path), random_orders=1)
    assert [entry["side"] for entry in report["maps"]] == ["words", "words", "picture", "picture"]
    assert [entry["pointing"] for entry in report["maps"]] == [None] * 4


def test_likeness_is_that_to_a_model_of_random_weights(report):
    for entry in report["maps"]:
        assert entry["likeness"]["n"] == entry["n"]
        assert -1 <= entry["likeness"]["low"] <= entry["likeness"]["mean"] <= entry["likeness"]["high"] <= 1


def test_random_weights_are_asked_for_the_label_of_the_model(explainer, posts, monkeypatch):
    """The map of another label may be the other way round, and pass for one that is unlike."""
    explained = []

    class Noted(Explainer):
        def __call__(self, *args, **kwargs):
            explained.append(super().__call__(*args, **kwargs))
            return explained[-1]

    monkeypatch.setattr("duosent.inference.map_check.Explainer", Noted)
    check_maps(explainer, posts, limit=2, random_orders=1, seed=2)
    rows = pq.read_table(f"{posts}/validation.parquet").slice(0, 2).to_pylist()
    expected = [explainer(row["text"], row["image"]).answers[0].label for row in rows]
    assert [found.answers[0].label for found in explained] == expected
    assert not all(found.answers[0].answered for found in explained)  # which it would not have answered


def test_the_same_seed_gives_the_same_report(explainer, posts, report):
    assert check_maps(explainer, posts, random_orders=2, seed=3) == report
    assert check_maps(explainer, posts, random_orders=2, seed=4)["maps"] != report["maps"]


def test_the_model_is_left_as_it_was(explainer, posts):
    model, part = explainer.model, explainer.model.classifier
    model.train()
    part.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    try:
        check_maps(explainer, posts, limit=1, random_orders=1)
        assert [module.training for module in model.modules()] == modes
    finally:
        model.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_deletion_of_words_is_that_of_texts_without_them(explainer, posts, processor):
    """One post, against texts that are written anew and answered one by one."""
    [row] = pq.read_table(f"{posts}/validation.parquet").slice(0, 1).to_pylist()
    found = explainer(row["text"], row["image"])
    importance, words = found.maps["importance"].words, row["text"].split()
    label = explainer.labels.index(found.answers[0].label)

    def score(shown: list[str]) -> float:
        batch = processor(text=[" ".join(shown) or None], images=[row["image"]["bytes"]], return_tensors="pt")
        with torch.no_grad():
            return explainer.model(**batch).logits.softmax(dim=-1)[0, label].item()

    order = sorted(range(5), key=lambda word: -importance[word])
    # Of five words a tenth is one of them at the next whole number.
    hidden = [set(order[: -(-tenth * 5 // 10)]) for tenth in range(11)]
    points = [score([word for number, word in enumerate(words) if number not in of]) for of in hidden]
    expected = sum((points[i] + points[i + 1]) / 20 for i in range(10))

    one = check_maps(explainer, posts, limit=1, random_orders=1, seed=0)
    [entry] = [entry for entry in one["maps"] if (entry["map"], entry["side"]) == ("importance", "words")]
    assert entry["figures"]["deletion"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("option", ["limit", "random_orders"])
def test_a_number_below_one_is_refused(explainer, posts, option):
    with pytest.raises(CallError, match=f"{option} must be >= 1, got 0"):
        check_maps(explainer, posts, **{option: 0})
