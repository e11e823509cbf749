"""`pipeline("image-text-classification")`: the same answers from every form of a post, in batches of any size."""

import base64
import io
import itertools
import json
import math
import shutil

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import CLASSIFIERS, TEXT, build
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from duosent import (
    ImageTextClassificationPipeline,
    ImageTextProcessor,
    RadmForVisualQuestionAnswering,
)
from duosent.inference.scoring import predict

TASK = "image-text-classification"
LABELS = {0: "negative", 1: "neutral", 2: "positive"}
TASKS = {"mood": ["sad", "glad"], "desire": ["none", "family", "love"]}


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def model_of(name: str, tokenizer, dtype=torch.float32, **config):
    model_class, fields = CLASSIFIERS[name]
    towers = {"text_config": {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64}}
    return build(model_class, dtype=dtype, **{**towers, "id2label": LABELS, **fields, **config})


@pytest.fixture(scope="module")
def checkpoint(tokenizer, processor, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("mdse"))
    model_of("mdse", tokenizer).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classify(checkpoint) -> ImageTextClassificationPipeline:
    return pipeline(TASK, model=checkpoint, device="cpu")


@pytest.fixture(scope="module")
def of_tasks(tokenizer, processor) -> ImageTextClassificationPipeline:
    model = model_of("mdse", tokenizer, id2label=None, num_labels=5, tasks=TASKS, label_combinations=[[0, 0], [1, 2]])
    return pipeline(TASK, model=model, processor=processor, device="cpu")


def by_hand(pipe, text=None, image=None, target=None) -> list[float]:
    """Logits of a post through processor and model alone."""
    batch = pipe.processor(text=[text], images=[image], target=[target], return_tensors="pt")
    with torch.no_grad():
        return pipe.model(**batch).logits[0].tolist()


def softmax(logits: list[float]) -> list[float]:
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def scores(answer: list[dict]) -> dict[str, float]:
    return {label["label"]: label["score"] for label in answer}


def assert_same(answers: list, expected: list, tolerance=1e-5) -> None:
    """The same labels with the same scores, but for the rounding of float32; of equal scores the order is free."""
    assert len(answers) == len(expected)
    for answer, other in zip(answers, expected, strict=True):
        assert scores(answer) == pytest.approx(scores(other), abs=tolerance)


def test_the_answer_is_the_softmax_of_the_logits_best_first(classify):
    expected = dict(zip(LABELS.values(), softmax(by_hand(classify, "good sun", picture(0))), strict=True))
    answer = classify({"text": "good sun", "image": picture(0)}, top_k=None)
    assert scores(answer) == pytest.approx(expected, abs=1e-6)
    assert [label["label"] for label in answer] == sorted(expected, key=expected.get, reverse=True)
    assert json.loads(json.dumps(answer)) == answer
    assert classify({"text": "good sun", "image": picture(0)}) == answer[:1]
    assert classify({"text": "good sun", "image": picture(0)}, top_k=2) == answer[:2]


def test_threshold_leaves_lower_scores_out(classify):
    everything = classify("good sun", top_k=None)
    second = everything[1]["score"]
    assert classify("good sun", threshold=second) == everything[:2]  # at the threshold is not below
    assert classify("good sun", threshold=math.nextafter(second, 1)) == everything[:1]
    assert classify("good sun", threshold=second, top_k=1) == everything[:1]
    assert classify("good sun", threshold=1.1) == []


def test_every_form_of_a_post_gives_the_same_answer(classify, tmp_path):
    image = picture(1)
    image.save(tmp_path / "photo.png")
    content = encoded(image)
    expected = classify(text="the rain", image=image, top_k=None)
    forms = [str(tmp_path / "photo.png"), tmp_path / "photo.png", content, np.asarray(image), {"bytes": content}]
    forms += [base64.b64encode(content).decode(), f"data:image/png;base64,{base64.b64encode(content).decode()}"]
    for form in [*forms, {"bytes": None, "path": str(tmp_path / "photo.png")}]:
        assert classify({"text": "the rain", "image": form}, top_k=None) == expected
    assert classify({"image": image, "text": "the rain", "target": None, "id": 7, "label": 1}, top_k=None) == expected
    assert classify("the rain") == classify({"text": "the rain", "image": None}) == classify(text="the rain")
    assert classify(image) == classify({"image": image, "text": "  "}) == classify(image=content)
    assert classify("the rain") != classify(image) != expected[:1]


def test_many_posts_come_back_in_their_form_and_order(classify):
    texts, images = ["the rain", None, "so good", "sad"], [picture(1), picture(2), None, picture(3)]
    posts = [{"text": text, "image": image} for text, image in zip(texts, images, strict=True)]
    expected = [classify(post) for post in posts]
    assert isinstance(classify(posts), list)
    assert_same(classify(posts, batch_size=3), expected)
    assert_same(classify(tuple(posts)), expected)
    assert_same(classify(text=texts, image=images, batch_size=2), expected)

    endless = classify(itertools.cycle(posts), batch_size=3)
    assert_same([next(endless) for _ in range(6)], [*expected, *expected[:2]])
    assert_same([*classify((post for post in posts), batch_size=3)], expected)
    assert classify([]) == [] and [*classify(iter([]))] == []


def test_data_sets_and_their_columns(classify):
    texts, images = ["the rain", None, "so good"], [picture(1), picture(2), None]
    expected = [classify({"text": text, "image": image}) for text, image in zip(texts, images, strict=True)]
    columns = {"id": ["a", "b", "c"], "text": texts, "image": images, "mood": ["x", "y", "z"]}
    features = {"image": datasets.Image()}
    rows = datasets.Dataset.from_dict(columns).cast_column("image", features["image"])

    answers = classify(rows, batch_size=2)
    assert not isinstance(answers, list) and len(answers) == 2  # batches
    assert_same([*answers], expected)
    assert_same([*classify(rows, batch_size=2, num_workers=2)], expected)
    assert_same([*classify(rows.to_iterable_dataset(), batch_size=2)], expected)
    assert_same([*classify(text=rows["text"], image=rows["image"])], expected)
    words = rows.select([0, 2])
    for column in (words["text"], KeyDataset(words, "text")):
        assert_same([*classify(column, batch_size=2)], [classify("the rain"), classify("so good")])
    assert_same([*classify(rows.select([0, 1])["image"])], [classify(picture(1)), classify(picture(2))])
    with pytest.raises(ValueError, match="A data set of posts must have a column text or image, got id, mood."):
        classify(rows.select_columns(["id", "mood"]))


WORDS = st.lists(st.sampled_from(["good", "bad", "rain", "the", "city", "sad", "sun"]), max_size=12).map(" ".join)
POSTS = st.lists(
    st.tuples(WORDS, st.none() | st.integers(0, 3)).filter(lambda post: post[0] or post[1] is not None),
    min_size=1,
    max_size=7,
)


@pytest.fixture(scope="module")
def pipelines(tokenizer, processor) -> dict[str, ImageTextClassificationPipeline]:
    """In float64: rounding then hides nothing, and is no reason to fail."""
    models = {
        name: model_of(name, tokenizer, torch.float64)
        for name in ("mdse", "radm", "concat", "tfn", "lmf", "clmlf", "tombert")
    }
    return {
        name: pipeline(TASK, model=model, processor=processor, device="cpu", top_k=None)
        for name, model in models.items()
    }


@given(posts=POSTS, batch_size=st.integers(2, 8), data=st.data())
def test_a_batch_answers_as_one_by_one(pipelines, posts, batch_size, data):
    classify = pipelines[data.draw(st.sampled_from(sorted(pipelines)))]
    rows = [{"text": text, "image": None if seed is None else picture(seed)} for text, seed in posts]
    for row, targeted in zip(rows, data.draw(st.lists(st.booleans(), min_size=7, max_size=7)), strict=False):
        if targeted:
            row |= {"text": f"$T$ {row['text']}", "target": "sun"}
    assert_same(classify(rows, batch_size=batch_size), [classify(row) for row in rows], tolerance=1e-6)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.bfloat16) for name in CLASSIFIERS),
        *((name, torch.float32) for name in ("mdse", "text", "image")),
    ],
)
def test_every_kind_of_checkpoint_is_loaded_and_asked(name, dtype, tokenizer, processor, tmp_path):
    model_of(name, tokenizer, dtype).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    classify = pipeline(TASK, model=str(tmp_path), device="cpu", top_k=None)
    assert isinstance(classify, ImageTextClassificationPipeline) and classify.model.dtype == dtype
    post = {"text": "so good", "image": picture(4)}
    [answer, words, image] = classify([post, "so good", picture(4)] if name not in ("text", "image") else [post] * 3)
    batch = processor(text=["so good"], images=[picture(4)], return_tensors="pt")
    batch["pixel_values"] = batch["pixel_values"].to(dtype)
    with torch.no_grad():
        expected = softmax(classify.model(**batch).logits[0].tolist())
    # With masks that hide nothing, which the pipeline leaves out, bfloat16 is rounded otherwise.
    tolerance = 1e-6 if dtype is torch.float32 else 5e-3
    assert scores(answer) == pytest.approx(dict(zip(LABELS.values(), expected, strict=True)), abs=tolerance)
    if name not in ("text", "image"):
        assert scores(words) != pytest.approx(scores(image), abs=1e-3)


@pytest.mark.parametrize("tower", ["resnet", "timm_wrapper"])
def test_a_cnn_in_bfloat16_is_given_pictures_of_its_type(tower, tokenizer, processor):
    small = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    config = small if tower == "resnet" else {"architecture": "resnet18", "model_args": {"layers": (1, 1, 1, 1)}}
    model = model_of("concat", tokenizer, torch.bfloat16, vision_config={"model_type": tower, **config})
    [label] = pipeline(TASK, model=model, processor=processor, device="cpu")({"text": "good", "image": picture(0)})
    assert label["label"] in LABELS.values() and math.isfinite(label["score"])


def test_the_tower_of_a_side_that_no_post_has_is_not_run(classify, monkeypatch):
    expected = classify(["good", "sun"], batch_size=2)
    monkeypatch.setattr(classify.model.base_model.vision_model, "forward", None)
    assert classify(["good", "sun"], batch_size=2) == expected
    with pytest.raises(TypeError):
        classify(["good", picture(0)], batch_size=2)


def test_a_model_in_training_answers_without_dropout(tokenizer, processor):
    model = model_of("mdse", tokenizer).train()
    classify = pipeline(TASK, model=model, processor=processor, device="cpu")
    assert classify("good") == classify("good")


def test_several_labels_a_post(tokenizer, processor, tmp_path):
    model = model_of("mdse", tokenizer, problem_type="multi_label_classification")
    with torch.no_grad():
        model.classifier.output.weight.zero_()
        model.classifier.output.bias.copy_(torch.tensor([2.0, -0.5, 0.5]))
    classify = pipeline(TASK, model=model, processor=processor, device="cpu")
    everything = {"negative": 1 / (1 + math.exp(-2)), "positive": 1 / (1 + math.exp(-0.5)), "neutral": 0.3775407}
    assert scores(classify("good", top_k=None)) == pytest.approx(everything, abs=1e-6)
    assert [label["label"] for label in classify("good", threshold=0.5)] == ["negative", "positive"]
    assert [label["label"] for label in classify("good")] == ["negative"]
    softmaxed = softmax([2.0, -0.5, 0.5])
    assert scores(classify("good", top_k=None, function_to_apply="softmax")) == pytest.approx(
        dict(zip(LABELS.values(), softmaxed, strict=True)), abs=1e-6
    )


def test_function_to_apply(classify, of_tasks):
    logits = dict(zip(LABELS.values(), by_hand(classify, "good"), strict=True))
    assert scores(classify("good", top_k=None, function_to_apply="none")) == pytest.approx(logits, abs=1e-5)
    sigmoids = {name: 1 / (1 + math.exp(-logit)) for name, logit in logits.items()}
    assert scores(classify("good", top_k=None, function_to_apply="sigmoid")) == pytest.approx(sigmoids, abs=1e-6)
    assert classify("good", function_to_apply="softmax") == classify("good")
    assert of_tasks("good", function_to_apply="softmax") == of_tasks("good")


def test_several_tasks(of_tasks):
    logits = by_hand(of_tasks, "good rain")
    answer = of_tasks("good rain", top_k=None)
    assert list(answer) == ["mood", "desire"]
    for task, span in {"mood": logits[:2], "desire": logits[2:]}.items():
        assert scores(answer[task]) == pytest.approx(dict(zip(TASKS[task], softmax(span), strict=True)), abs=1e-6)
    best = {task: labels[0]["label"] for task, labels in answer.items()}
    for other in (of_tasks("good rain"), of_tasks(["sad", "good rain"], batch_size=2)[1]):
        assert {task: labels[0]["label"] for task, labels in other.items()} == best
        assert [len(labels) for labels in other.values()] == [1, 1]


def test_consistent_puts_the_most_probable_combination_first(of_tasks):
    """The two combinations of training are sad and none, or glad and love: by hand."""
    contradicted = 0
    for text in ("good rain", "sad", "the city so bad", "sun", "hate love", "we fear the night"):
        mood, desire = (softmax(span) for span in (by_hand(of_tasks, text)[:2], by_hand(of_tasks, text)[2:]))
        first, second = mood[0] * desire[0], mood[1] * desire[2]
        expected = ["sad", "none"] if first >= second else ["glad", "love"]
        answer = of_tasks(text, consistent=True, top_k=None)
        assert [answer[task][0]["label"] for task in TASKS] == expected
        assert {task: scores(labels) for task, labels in answer.items()} == {
            task: scores(labels) for task, labels in of_tasks(text, top_k=None).items()
        }
        contradicted += [of_tasks(text)[task][0]["label"] for task in TASKS] != expected
        for labels in answer.values():
            rest = [label["score"] for label in labels[1:]]
            assert rest == sorted(rest, reverse=True)
    assert contradicted


def test_predict_and_pipeline_say_the_same(checkpoint, classify):
    for text, image in (("good sun", encoded(picture(5))), ("bad", None), (None, encoded(picture(6)))):
        said = predict(checkpoint, text, image, device="cpu")
        answer = classify({"text": text, "image": image}, top_k=None)
        assert scores(answer) == pytest.approx(said["scores"], abs=1e-6) and answer[0]["label"] == said["label"]


def test_a_target_fills_the_text_and_changes_the_answer(tokenizer, processor):
    classify = pipeline(TASK, model=model_of("tombert", tokenizer), processor=processor, device="cpu", top_k=None)
    expected = softmax(by_hand(classify, "$T$ is good", picture(0), "city"))
    answer = classify({"text": "$T$ is good", "image": picture(0), "target": "city"})
    assert scores(answer) == pytest.approx(dict(zip(LABELS.values(), expected, strict=True)), abs=1e-6)
    assert scores(answer) != pytest.approx(scores(classify(text="city is good", image=picture(0))), abs=1e-4)


def test_a_post_is_read_as_the_model_gets_it(checkpoint, tmp_path):
    """On its side, and clear in one half: upright, on white, and allowed what the pipeline allows."""
    picture = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (2, 0, 4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is at the right
    picture.save(tmp_path / "turned.png", exif=exif)
    content = base64.b64encode((tmp_path / "turned.png").read_bytes()).decode()
    classify = pipeline("image-text-classification", model=checkpoint, allow_paths=False)
    post = classify.read({"text": "a good day", "image": content, "id": 7})
    assert (post["text"], post["target"]) == ("a good day", None)
    assert (post["image"].mode, post["image"].size) == ("RGB", (2, 4))
    assert post["image"].getpixel((0, 0)) == (255, 0, 0) and post["image"].getpixel((0, 3)) == (255, 255, 255)
    with pytest.raises(ValueError, match="must be base64"):
        classify.read({"image": str(tmp_path / "turned.png")})
    assert classify.read({"image": str(tmp_path / "turned.png")}, allow_paths=True)["image"].size == (2, 4)


def test_options_of_the_call_go_before_those_of_the_pipeline(checkpoint):
    classify = pipeline(TASK, model=checkpoint, device="cpu", top_k=None, allow_paths=False, batch_size=2)
    assert len(classify("good")) == 3 and len(classify("good", top_k=1)) == 1 and len(classify("good")) == 3
    with pytest.raises(ValueError, match="A picture must be base64 or an address on the web"):
        classify(image="photo.jpg", timeout=3)
    with pytest.raises(ValueError, match=r"There is no file photo\.jpg\."):
        classify(image="photo.jpg", allow_paths=True)


def test_what_was_saved_answers_alike(classify, checkpoint, tmp_path):
    classify.save_pretrained(tmp_path / "whole")
    again = pipeline(TASK, model=str(tmp_path / "whole"), device="cpu")
    assert again("good sun", top_k=None) == classify("good sun", top_k=None)
    shutil.copytree(checkpoint, tmp_path / "bare")
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "bare" / name).unlink()
    processor = ImageTextProcessor.from_pretrained(checkpoint)
    given = pipeline(TASK, model=str(tmp_path / "bare"), processor=processor, device="cpu")
    assert given("good sun", top_k=None) == classify("good sun", top_k=None)


@pytest.mark.parametrize(("form", "num_workers"), [(list, 0), (list, 2), (iter, 0)])
def test_an_error_names_its_row(classify, form, num_workers):
    posts = form(["good", "sad", {"text": "good", "image": "no/such/photo.jpg"}, "bad"])
    with pytest.raises(ValueError, match=r"Row 2: There is no file no/such/photo\.jpg\."):
        list(classify(posts, batch_size=4, num_workers=num_workers))


def test_a_broken_picture_of_a_data_set_names_its_row(classify):
    rows = [{"image": {"bytes": encoded(picture(0)), "path": None}}, {"image": {"bytes": b"no picture", "path": None}}]
    rows = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    with pytest.raises(ValueError, match="Row 1: "):
        list(classify(rows))


@pytest.mark.parametrize(
    ("post", "message"),
    [
        ({"text": " ", "image": None}, "The post must have a text or a picture that the model reads, got neither."),
        ({}, "The post must have a text or a picture that the model reads, got neither."),
        ({"text": "good", "images": None}, "A post has text, image and target, got 'images'; did you mean image?"),
        ({"text": ["good"]}, "text must be a string or None, got list."),
        ({"text": "good", "target": 3}, "target must be a string or None, got int."),
        ({"text": "good", "image": 3}, "A picture must be a path, bytes, a PIL image or an array, got int."),
        (3, "A post must be a dict with text and image, words, or a picture, got int."),
        (
            {"text": "good", "image": "http://127.0.0.1/a.png"},
            "An address on the web is fetched only with allow_urls=True, got http://127.0.0.1/a.png.",
        ),
    ],
)
def test_a_post_that_cannot_be_read_is_one_sentence(classify, post, message):
    with pytest.raises(ValueError) as error:
        classify(post)
    assert str(error.value) == message
    with pytest.raises(ValueError) as error:
        classify(["good", post])
    assert str(error.value) == f"Row 1: {message}"


def test_a_side_that_the_model_does_not_read_is_no_side(tokenizer, processor):
    classify = pipeline(TASK, model=model_of("text", tokenizer), processor=processor, device="cpu")
    with pytest.raises(ValueError, match="must have a text or a picture that the model reads, got neither"):
        classify(image=picture(0))
    answers = classify(["good", {"text": "good", "image": picture(0)}], batch_size=2)
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"top_k": 0}, ValueError, "top_k must be a whole number >= 1, or None for all labels, got 0."),
        ({"top_k": True}, ValueError, "top_k must be a whole number >= 1, or None for all labels, got True."),
        ({"threshold": "high"}, ValueError, "threshold must be a number or None, got 'high'."),
        ({"consistent": 1}, ValueError, "consistent must be True or False, got 1."),
        ({"consistent": True}, ValueError, "consistent must go with a model of several labels, got one that gives"),
        ({"function_to_apply": "tanh"}, ValueError, "must be None or one of sigmoid, softmax, none, got 'tanh'."),
        ({"timeout": 0}, ValueError, "timeout must be a number > 0, got 0."),
        ({"topk": 2}, TypeError, "ImageTextClassificationPipeline takes no topk; did you mean top_k?"),
    ],
)
def test_wrong_options_are_one_sentence_at_once(classify, checkpoint, options, error, message):
    with pytest.raises(error) as raised:
        classify("good", **options)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(error) as raised:
        pipeline(TASK, model=checkpoint, device="cpu", **options)
    assert message in str(raised.value)


def test_wrong_forms_are_one_sentence(classify):
    for call, message in [
        (lambda: classify(), "Posts must be given as inputs, or by text, image and target, and not by both."),
        (lambda: classify("good", text="good"), "and not by both."),
        (lambda: classify(text=["a", "b"], image=[None]), "text and image must be of one length, got 2 of text, 1 of"),
        (lambda: classify(text=["a", "b"], image=picture(0)), "must be all of one post, or all lists or columns"),
    ]:
        with pytest.raises(ValueError) as error:
            call()
        assert message in str(error.value)


def test_what_classifies_no_posts_is_refused(tokenizer, processor, tmp_path):
    towers = {"text_config": {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64}}
    model = build(RadmForVisualQuestionAnswering, **towers)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    for source in ({"model": model, "processor": processor}, {"model": str(tmp_path)}):
        with pytest.raises(ValueError, match="answers questions about pictures and classifies no posts") as error:
            pipeline(TASK, device="cpu", **source)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="The model must be one ForImageTextClassification, got ViTModel."):
        pipeline(TASK, model=model.base_model.vision_model, processor=processor, device="cpu")
    with pytest.raises(ValueError, match="processor must be given"):
        ImageTextClassificationPipeline(model_of("mdse", tokenizer))
