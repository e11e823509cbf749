"""`ImageTextProcessor`: one post or many, missing sides, targets, what is refused, and that saving loses nothing."""

import shutil

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import (
    AutoConfig,
    AutoProcessor,
    CLIPImageProcessor,
    ConvNextConfig,
    ConvNextImageProcessor,
    Dinov2Config,
    MobileViTImageProcessor,
    ResNetConfig,
    ViTConfig,
    ViTImageProcessor,
)

import duosent
from duosent import ImageTextProcessor

RED = Image.new("RGB", (40, 20), (255, 0, 0))
TEXTS = st.lists(
    st.sampled_from(["good", "so sad", "a very happy day", "why", "the rain and the sun"]), min_size=1, max_size=5
)


def test_one_post(processor, tokenizer):
    batch = processor(text="a good day", images=RED, return_tensors="pt")
    expected = [tokenizer.convert_tokens_to_ids(t) for t in ("[CLS]", "a", "good", "day", "[SEP]")]
    assert batch["input_ids"].tolist() == [expected]
    assert batch["attention_mask"].tolist() == [[1] * 5]
    # (255 / 255 - 0.5) / 0.5 = 1 for red, -1 for the others; both sides resized, nothing cropped.
    assert batch["pixel_values"].shape == (1, 3, 32, 32)
    assert torch.allclose(batch["pixel_values"][0].mean(dim=(1, 2)), torch.tensor([1.0, -1.0, -1.0]))
    assert batch["text_present"].tolist() == [True] and batch["image_present"].tolist() == [True]
    assert set(batch.keys()) == set(processor.model_input_names)


def test_nothing_is_cropped(processor):
    picture = Image.new("RGB", (64, 32), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 4, 32))  # a white left edge, a sixteenth of the width
    values = processor(images=picture, return_tensors="pt")["pixel_values"][0, 0]
    assert values[:, 0].min() > 0.5
    assert values[:, 8:].max() < -0.9


@given(texts=TEXTS)
def test_padding_changes_no_row(processor, texts):
    together = processor(text=texts, return_tensors="pt")
    for row, text in enumerate(texts):
        alone = processor(text=text, return_tensors="pt")
        length = alone["input_ids"].shape[1]
        assert together["input_ids"][row, :length].tolist() == alone["input_ids"][0].tolist()
        assert together["attention_mask"][row].sum() == length
        assert together["attention_mask"][row, length:].sum() == 0


def test_missing_sides_of_a_batch(processor):
    batch = processor(
        text=["good", None, "  ", "@anna http://t.co/x"],
        images=[RED, RED, None, np.zeros((3, 3, 3), np.uint8)],
        return_tensors="pt",
    )
    assert batch["text_present"].tolist() == [True, False, False, False]
    assert batch["image_present"].tolist() == [True, True, False, True]
    assert (batch["pixel_values"][2] == 0).all()
    assert batch["attention_mask"][1].sum() == 2  # [CLS] [SEP]


def test_a_side_that_no_post_has_is_left_out(processor):
    words = processor(text=["good", "sad"], return_tensors="pt")
    assert "pixel_values" not in words and words["image_present"].tolist() == [False, False]
    pictures = processor(images=[RED, RED], text=[None, None], return_tensors="pt")
    assert "input_ids" not in pictures and pictures["text_present"].tolist() == [False, False]
    assert processor(images=np.zeros((2, 5, 5, 3), np.uint8), return_tensors="pt")["pixel_values"].shape[0] == 2


def test_target_takes_its_place_and_stands_as_second_segment(processor, tokenizer):
    batch = processor(text=["$T$ is great", "so sad"], target=["the dog", None], return_tensors="pt")
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    assert tokens == ["[CLS]", "the", "dog", "is", "great", "[SEP]", "the", "dog", "[SEP]"]
    assert batch["token_type_ids"][0].tolist() == [0] * 6 + [1] * 3
    assert batch["attention_mask"][1].tolist() == [1] * 4 + [0] * 5
    assert batch["token_type_ids"][1].sum() == 0


def test_a_long_text_is_cut_and_the_target_stays(processor, tokenizer):
    text = "$T$ is " + "good " * 300
    batch = processor(text=text, target="my cat", max_length=12, return_tensors="pt")
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    assert len(tokens) == 12 and tokens[-4:] == ["[SEP]", "my", "cat", "[SEP]"]
    # A target longer than the limit is cut too.
    long = processor(text="good $T$", target="cat " * 40, max_length=12, return_tensors="pt")
    assert long["input_ids"].shape == (1, 12)
    # Without max_length: 128, but never more than the tokenizer's own limit, 64 here.
    assert processor(text=text, return_tensors="pt")["input_ids"].shape == (1, 64)


def test_cleaning_can_be_turned_off(processor):
    raw = ImageTextProcessor(processor.image_processor, processor.tokenizer, clean_text=False)
    assert raw(text="@anna good", return_tensors="pt")["input_ids"].shape[1] == 5  # [CLS] @ anna good [SEP]
    assert processor(text="@anna good", return_tensors="pt")["input_ids"].shape[1] == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({}, "text or images must be given, got None for both"),
        ({"text": []}, "must hold at least one post, got an empty list"),
        ({"text": ["a", "b"], "images": [RED]}, "Each text needs its own picture: got 2 texts and 1 images"),
        ({"text": ["a"], "target": ["b", "c"]}, "Each post needs its own target: got 1 posts and 2 targets"),
        ({"text": ["a", 3]}, r"text\[1\] must be a string or None, got int"),
        ({"text": "a", "target": 4}, r"target\[0\] must be a string or None, got int"),
        ({"images": [[RED, RED]]}, r"images\[0\]: A post has one picture, got 2"),
        ({"images": [RED, b"x"]}, r"images\[1\]: 1 bytes cannot be read as a picture"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(processor, call, message):
    with pytest.raises(ValueError, match=message):
        processor(**call)


def test_saving_loses_nothing(processor, tmp_path):
    kept = ImageTextProcessor(processor.image_processor, processor.tokenizer, clean_text=False)
    kept.save_pretrained(tmp_path)
    again = ImageTextProcessor.from_pretrained(tmp_path)
    assert again.clean_text is False and again.to_dict() == kept.to_dict()
    batch = {"text": ["@anna good", "sad"], "images": [RED, None]}
    for key, value in kept(**batch, return_tensors="pt").items():
        assert torch.equal(again(**batch, return_tensors="pt")[key], value)
    AutoConfig.for_model("mdse").save_pretrained(tmp_path)
    assert type(AutoProcessor.from_pretrained(tmp_path)) is ImageTextProcessor


def test_from_encoders(text_encoder_dir, image_encoder_dir, tmp_path):
    made = ImageTextProcessor.from_encoders(text_encoder_dir, image_encoder_dir, max_length=9, clean_text=False)
    made.save_pretrained(tmp_path)
    for processor in (made, ImageTextProcessor.from_pretrained(tmp_path)):
        batch = processor(text="good " * 50, images=RED, return_tensors="pt")
        assert batch["input_ids"].shape == (1, 9)
        assert batch["pixel_values"].shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="max_length must be > 3, .* got 3"):
        ImageTextProcessor.from_encoders(text_encoder_dir, image_encoder_dir, max_length=3)


def test_max_length_is_saved_and_may_be_chosen_anew(processor, tokenizer, tmp_path):
    assert processor.max_length == 64  # the tokenizer's limit, below the default of 128
    short = ImageTextProcessor(processor.image_processor, tokenizer, max_length=9)
    assert short.max_length == 9 and "max_length" not in tokenizer.init_kwargs
    short.save_pretrained(tmp_path)
    AutoConfig.for_model("mdse").save_pretrained(tmp_path)
    for load, expected in ((ImageTextProcessor.from_pretrained, 9), (AutoProcessor.from_pretrained, 9)):
        again = load(tmp_path)
        assert again.max_length == expected
        assert again(text="good " * 50)["input_ids"].shape == (1, expected)
    assert ImageTextProcessor.from_pretrained(tmp_path, max_length=7)(text="good " * 50)["input_ids"].shape == (1, 7)
    assert short(text="good " * 50, max_length=5)["input_ids"].shape == (1, 5)


def test_an_encoder_without_its_files_is_refused(text_encoder_dir, image_encoder_dir, tmp_path):
    """transformers would make a tokenizer that knows no word, and every text would be the same."""
    shutil.copy(f"{text_encoder_dir}/config.json", tmp_path)
    with pytest.raises(ValueError, match="has no tokenizer beside its model"):
        ImageTextProcessor.from_encoders(str(tmp_path), image_encoder_dir)
    shutil.copy(f"{image_encoder_dir}/config.json", tmp_path)
    with pytest.raises(ValueError, match="has no image processor beside its model"):
        ImageTextProcessor.from_encoders(text_encoder_dir, str(tmp_path))


@pytest.mark.parametrize(
    ("own", "config", "size"),
    [
        (CLIPImageProcessor(image_mean=[0.1, 0.2, 0.3]), Dinov2Config(image_size=518), 224),  # crops to 224
        (ConvNextImageProcessor(image_mean=[0.1, 0.2, 0.3]), ResNetConfig(), 224),  # neither says a size of both sides
        (ConvNextImageProcessor(image_mean=[0.1, 0.2, 0.3]), ConvNextConfig(image_size=48), 48),
        (
            ViTImageProcessor(image_mean=[0.1, 0.2, 0.3], size={"height": 40, "width": 40}),
            ViTConfig(image_size=40),
            40,
        ),
    ],
)
def test_size_and_means_of_a_vision_model(own, config, size, text_encoder_dir, tmp_path):
    own.save_pretrained(tmp_path)
    config.save_pretrained(tmp_path)
    processor = ImageTextProcessor.from_encoders(text_encoder_dir, str(tmp_path))
    picture = Image.new("RGB", (300, 100), (255, 255, 255))
    values = processor(images=picture)["pixel_values"]
    assert values.shape == (1, 3, size, size)
    expected = (1 - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor(own.image_std)
    assert torch.allclose(values[0, :, size // 2, size // 2], expected, atol=1e-5)
    assert processor.image_processor.resample == own.resample


def test_a_model_that_reads_blue_before_red_is_refused(text_encoder_dir, tmp_path):
    MobileViTImageProcessor().save_pretrained(tmp_path)
    ResNetConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="reads blue before red"):
        ImageTextProcessor.from_encoders(text_encoder_dir, str(tmp_path))


def test_a_target_that_is_a_user_name_stays(processor):
    tokens = processor.tokenizer.convert_ids_to_tokens(processor(text="$T$ good @bob", target="@dog")["input_ids"][0])
    assert tokens == ["[CLS]", "[UNK]", "dog", "good", "[SEP]", "[UNK]", "dog", "[SEP]"]  # @ is unknown here


@given(words=st.integers(0, 30), target=st.integers(1, 30), max_length=st.integers(5, 40))
def test_no_length_of_text_and_target_is_too_much(processor, words, target, max_length):
    batch = processor(text="good " * words + "$T$", target="dog " * target, max_length=max_length)
    ids = batch["input_ids"][0].tolist()
    total = words + 2 * target + 3  # the target once in the text, once behind it; [CLS] and two [SEP]
    assert len(ids) == min(max_length, total)
    if target + 3 < max_length:
        first, second = batch["token_type_ids"][0].tolist().count(0), batch["token_type_ids"][0].tolist().count(1)
        assert second == target + 1  # nothing of the target was cut
        assert first >= 3


def test_half_a_character_does_no_harm(processor):
    batch = processor(text=["good \ud83d day", "good \ud83d\ude00 day"])
    assert batch["input_ids"].shape == (2, 5)


def test_lists_of_other_libraries(processor):
    expected = processor(text=["good", "so sad"])["input_ids"]
    column = Dataset.from_dict({"text": ["good", "so sad"]})["text"]
    for texts in (("good", "so sad"), np.array(["good", "so sad"]), column):
        assert torch.equal(processor(text=texts)["input_ids"], expected)
    nested = processor(text=["good", "so sad"], images=[[RED], []])
    assert nested["image_present"].tolist() == [True, False]


def test_return_tensors(processor):
    assert isinstance(processor(text="good", images=RED)["pixel_values"], torch.Tensor)
    arrays = processor(text="good", images=RED, return_tensors="np")
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    assert processor(text="good", return_tensors=None)["text_present"] == [True]


def test_a_misspelt_keyword_is_refused(processor):
    with pytest.raises(TypeError, match="ImageTextProcessor takes no image; did you mean images"):
        processor(text="good", image=RED)


def test_from_a_timm_encoder(text_encoder_dir, tmp_path):
    """Mean, standard deviation and interpolation are the model's own, which TimmWrapper's processor could not save."""
    import json

    trained = {"input_size": [3, 48, 64], "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 1.0], "interpolation": "bicubic"}
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": "resnet18", "num_classes": 0, "pretrained_cfg": trained})
    )
    processor = ImageTextProcessor.from_encoders(text_encoder_dir, str(tmp_path))
    white = Image.new("RGB", (10, 10), (255, 255, 255))
    values = processor(images=white, return_tensors="pt")["pixel_values"]
    assert values.shape == (1, 3, 48, 64)
    assert torch.allclose(values[0, :, 0, 0], torch.tensor([0.9 / 0.5, 0.8 / 0.25, 0.7 / 1.0]))
    assert int(processor.image_processor.resample) == Image.Resampling.BICUBIC


@pytest.mark.parametrize("side", ["text", "image"])
def test_a_baseline_of_one_side(side, text_encoder_dir, image_encoder_dir, tmp_path):
    folders = {"text": (text_encoder_dir, None), "image": (None, image_encoder_dir)}
    ImageTextProcessor.from_encoders(*folders[side]).save_pretrained(tmp_path)
    processor = ImageTextProcessor.from_pretrained(tmp_path)
    batch = duosent.ImageTextCollator(processor)(
        [{"text": "so happy today", "image": RED}, {"text": None, "image": RED}]
    )
    assert batch["pixel_values"].shape[0] == batch["input_ids"].shape[0] == 2
    assert batch["pixel_values"].shape[-1] == (32 if side == "image" else 8)
