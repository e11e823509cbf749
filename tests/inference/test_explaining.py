"""`duosent.explain`: one post and tables, models of every kind, either side missing."""

import json

import numpy as np
import pytest
import torch
from explained import model_of, picture
from PIL import Image

import duosent
from duosent import MdseForImageTextClassification, RadmForVisualQuestionAnswering
from duosent.inference.explaining import Explainer, explain_table
from duosent.inference.explanation import Explanation
from duosent.training.checkpoints import CallError

TEXT_OF_POST = "so very happy, the sun!"
TASKS = {"mood": ["sad", "glad"], "desire": ["none", "family", "love"]}


@pytest.fixture(scope="module")
def explainers(tokenizer, processor) -> dict[str, Explainer]:
    """By the name of the model; attributions of two kinds of models only, for time's sake."""
    names = ("mdse", "radm", "concat", "text", "image", "tombert")
    return {
        name: Explainer(model_of(name, tokenizer), processor, attributions=name in ("mdse", "text")) for name in names
    }


@pytest.fixture(scope="module")
def found(explainers) -> dict[str, Explanation]:
    return {name: of(TEXT_OF_POST, picture()) for name, of in explainers.items()}


@pytest.fixture(scope="module")
def checkpoint(tokenizer, processor, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("runs") / "mdse")
    model_of("mdse", tokenizer).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_the_answer_is_that_of_the_model(explainers, found, processor):
    batch = processor(text=[TEXT_OF_POST], images=[picture()], return_tensors="pt")
    for name, of in found.items():
        with torch.no_grad():
            scores = explainers[name].model(**batch).logits[0].softmax(dim=-1).tolist()
        [answer] = of.answers
        assert answer.task == "label" and answer.answered and not of.calibrated
        assert list(answer.scores) == ["negative", "neutral", "positive"]
        assert list(answer.scores.values()) == pytest.approx(scores, abs=1e-5)
        assert answer.score == max(answer.scores.values())
        assert np.log(answer.score / (1 - answer.score)) == pytest.approx(answer.values["both"], abs=1e-3)
        assert sum(answer.shares.values()) == pytest.approx(answer.values["both"] - answer.values["neither"], abs=1e-4)


def test_words_and_picture_are_as_the_model_read_them(found):
    for name, of in found.items():
        assert [word.text for word in of.words] == ([] if name == "image" else ["so", "very", "happy,", "the", "sun!"])
        assert (of.picture is None) == (name == "text")
        if of.picture is not None:
            np.testing.assert_array_equal(of.picture, np.asarray(picture()))
            assert of.box == (0, 0, 40, 30)
        assert (of.reads_text, of.reads_image) == (name != "image", name != "text")
    assert found["mdse"].token_words.tolist() == [-1, 0, 1, 2, 2, 3, 4, 4, -1]


def test_each_model_has_its_own_maps(found):
    assert {name: list(of.maps) for name, of in found.items()} == {
        "mdse": ["importance", "kept", "attributions"],
        "radm": ["alignment"],
        "concat": [],
        "text": ["attributions"],
        "image": [],
        "tombert": [],
    }
    assert list(found["mdse"].private_scores) == ["full", "without_text_private", "without_image_private"]
    assert found["mdse"].private_scores["full"] == pytest.approx(found["mdse"].answers[0].scores, abs=1e-5)
    assert found["radm"].private_scores == {}


def test_importance_is_a_whole(found):
    of = found["mdse"].maps["importance"]
    assert of.words.shape == (5,) and of.patches.shape == (4, 4)
    assert of.words.sum() + of.rest == pytest.approx(1, abs=1e-5) and of.rest > 0
    assert of.patches.sum() == pytest.approx(1, abs=1e-5)
    kept = found["mdse"].maps["kept"]
    np.testing.assert_allclose(kept.patches, 1 - of.patches, atol=1e-6)
    np.testing.assert_allclose(kept.words[[0, 2]], [1 - of.words[0], 1 - of.words[2] / 2], atol=1e-6)  # two tokens


def test_an_alignment_is_shares_of_regions_and_of_words(found):
    of = found["radm"].maps["alignment"]
    assert of.word_regions.shape == (5, 4, 4) and of.region_words.shape == (4, 4, 5)
    np.testing.assert_allclose(of.word_regions.sum(axis=(1, 2)), 1)
    np.testing.assert_allclose(of.region_words.sum(axis=2), 1)
    np.testing.assert_allclose(of.patches, sum(of.word_regions) / 5)
    np.testing.assert_allclose(of.words, of.region_words.reshape(16, 5).sum(axis=0) / 16)


def test_attributions_sum_to_the_difference_they_explain(found):
    for name in ("mdse", "text"):
        [answer], of = found[name].answers, found[name].maps["attributions"]
        attributed = of.words.sum() + (0 if of.patches is None else of.patches.sum())
        assert attributed == pytest.approx(answer.completeness.attributed, abs=1e-6)
        assert abs(answer.completeness.gap) <= 0.01 * abs(answer.completeness.difference)
        assert of.signed


@pytest.mark.parametrize("name", ["mdse", "radm", "concat"])
@pytest.mark.parametrize("missing", ["text", "image"])
def test_a_missing_side_has_no_map(explainers, name, missing):
    post = {"text": TEXT_OF_POST, "image": picture()} | {missing: None}
    of = explainers[name](**post)
    assert (of.text is None, of.picture is None) == (missing == "text", missing == "image")
    assert of.answers[0].shares["words" if missing == "text" else "picture"] == 0
    assert "alignment" not in of.maps
    for each in of.maps.values():
        assert (each.words is None, each.patches is None) == (missing == "text", missing == "image")


def test_text_that_is_cleaned_away_is_missing(explainers):
    of = explainers["concat"]("https://t.co/x1", picture())
    assert of.text is None and of.words == []
    with pytest.raises(CallError, match="must have a text or a picture that the model reads, got neither"):
        explainers["concat"]("@anna", None)
    with pytest.raises(CallError, match="got neither"):
        explainers["text"](None, picture())


def test_a_target_is_read_beside_the_text(explainers):
    of = explainers["tombert"]("$T$ so good", picture(), "the dog")
    assert (of.text, of.target) == ("the dog so good", "the dog")
    assert [(word.text, word.segment) for word in of.words][-2:] == [("the", 1), ("dog", 1)]


def test_tasks_are_explained_one_by_one_and_a_label_may_be_chosen(tokenizer, processor):
    model = model_of("mdse", tokenizer, id2label=None, num_labels=5, tasks=TASKS)
    of = Explainer(model, processor)(TEXT_OF_POST, picture())
    assert [answer.task for answer in of.answers] == ["mood", "desire"]
    assert list(of.maps) == ["importance", "kept", "attributions_mood", "attributions_desire"]
    assert list(of.answers[1].scores) == ["desire:none", "desire:family", "desire:love"]
    assert sum(of.answers[1].scores.values()) == pytest.approx(1, abs=1e-5)
    other = min(of.answers[0].scores, key=of.answers[0].scores.get)
    asked = Explainer(model, processor, label=other, attributions=False)(TEXT_OF_POST, picture())
    assert (asked.answers[0].label, asked.answers[0].answered) == (other, False)
    assert asked.answers[0].values["both"] == pytest.approx(-of.answers[0].values["both"], abs=1e-4)  # of two labels
    assert asked.answers[1].label == of.answers[1].label and asked.answers[1].answered


def test_maps_of_a_cnn_are_its_last_grid(tokenizer, processor):
    resnet = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    model = model_of("mdse", tokenizer, vision_config={**resnet, "layer_type": "basic"})
    of = Explainer(model, processor, attributions=False)(TEXT_OF_POST, picture())
    assert of.maps["importance"].patches.shape == (4, 4)


def test_a_cnn_in_training_learns_nothing_from_what_it_explains(tokenizer, processor):
    resnet = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    vision = {**resnet, "layer_type": "basic"}
    model = model_of("mdse", tokenizer, vision_config=vision, freeze_batch_norm=False).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    Explainer(model, processor, attributions=False)(TEXT_OF_POST, picture())
    assert [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])] == []
    assert [module.training for module in model.modules()] == modes


def test_laid_over_the_picture(found):
    of = found["mdse"]
    laid = of.over_picture("importance")
    assert laid.shape == (30, 40) and laid[0, 0] == of.maps["importance"].patches[0, 0]
    assert laid[29, 39] == of.maps["importance"].patches[3, 3]
    drawn = of.pictures()
    assert {name: each.size for name, each in drawn.items()} == dict.fromkeys(
        ["importance", "kept", "attributions"], (40, 30)
    )
    with pytest.raises(ValueError, match="must have patches"):
        found["text"].over_picture("attributions")


def test_saved_and_loaded_again(found, tmp_path):
    for name, of in found.items():
        of.save(tmp_path / name)
        loaded = Explanation.load(tmp_path / name)
        for part, value in vars(of).items():
            if part == "maps":
                for of_map, other in zip(value.values(), loaded.maps.values(), strict=True):
                    for field, expected in vars(of_map).items():
                        np.testing.assert_equal(getattr(other, field), expected)
            else:
                np.testing.assert_equal(getattr(loaded, part), value)
    files = {file.name for file in (tmp_path / "mdse").iterdir()}
    assert files == {
        *("explanation.json", "maps.safetensors", "picture.png"),
        *("importance.png", "kept.png", "attributions.png"),
    }
    with Image.open(tmp_path / "mdse" / "importance.png") as drawn:
        assert drawn.size == (40, 30)
    with pytest.raises(CallError, match="must hold an explanation"):
        Explanation.load(tmp_path)


def test_ablations_stand_beside(checkpoint, tokenizer, processor, tmp_path):
    model_of("concat", tokenizer).save_pretrained(tmp_path / "other")
    processor.save_pretrained(tmp_path / "other")
    other = str(tmp_path / "other")
    of = duosent.explain(checkpoint, TEXT_OF_POST, picture(), ablations=[other], attributions=False)
    expected = duosent.explain(other, TEXT_OF_POST, picture(), attributions=False).answers[0].scores
    assert of.ablations == {other: pytest.approx(expected, abs=1e-6)}
    model_of("concat", tokenizer, id2label={0: "sad", 1: "glad"}).save_pretrained(tmp_path / "other")
    with pytest.raises(CallError, match="ablations must have the labels of the model, negative, neutral, positive"):
        duosent.explain(checkpoint, TEXT_OF_POST, ablations=[other])


def test_what_cannot_be_explained_is_told(checkpoint, tokenizer, processor):
    with pytest.raises(CallError, match="label must be one of negative, neutral, positive, got 'glad'"):
        duosent.explain(checkpoint, "good", label="glad")
    with pytest.raises(CallError, match="text or image must be given, or data, and not both"):
        duosent.explain(checkpoint)
    with pytest.raises(CallError, match="limit has no meaning without data, got 3"):
        duosent.explain(checkpoint, "good", limit=3)
    with pytest.raises(CallError, match="target has no meaning beside data, got 'dog'"):
        duosent.explain(checkpoint, data="posts", target="dog")
    with pytest.raises(CallError, match="processor must be given"):
        duosent.explain(model_of("mdse", tokenizer), "good")
    questions = RadmForVisualQuestionAnswering(model_of("radm", tokenizer).config)
    with pytest.raises(CallError, match="answers questions about pictures"):
        duosent.explain(questions, "good", processor=processor)
    single = MdseForImageTextClassification(model_of("mdse", tokenizer, id2label=None, num_labels=1).config)
    with pytest.raises(CallError, match="must have two labels or more"):
        duosent.explain(single, "good", processor=processor)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    picture().save(folder / "photo.png")
    (folder / "broken.png").write_bytes(b"no picture")
    rows = [{"id": f"p{number}", "text": "good sun", "image": "photo.png"} for number in range(24)]
    rows[1]["image"] = "broken.png"
    rows[2]["text"] = None
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def test_a_table_is_explained_row_by_row(checkpoint, table):
    explainer = Explainer(checkpoint, attributions=False)
    rows = dict(explain_table(explainer, table, ids=["p2", "p1", "p0"]))
    assert list(rows) == ["p2", "p1", "p0"]
    assert "broken.png" in rows["p1"] and rows["p2"].text is None and rows["p0"].id == "p0"
    assert len(dict(explain_table(explainer, table))) == 20
    assert list(dict(explain_table(explainer, table, limit=1))) == ["p0"]
    [only] = duosent.explain(checkpoint, data=table, ids=["p0", "p1"], attributions=False)
    assert only.answers[0].scores == pytest.approx(rows["p0"].answers[0].scores)
    with pytest.raises(CallError, match="ids must be ids of posts of .*, which p99 is not"):
        explain_table(explainer, table, ids=["p0", "p99"])
    with pytest.raises(CallError, match="limit must be >= 1, got 0"):
        explain_table(explainer, table, limit=0)
