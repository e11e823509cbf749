"""Rows in, a batch out: the same keys whatever the rows lack."""

import pytest
import torch
from PIL import Image

from duosent import ImageTextCollator

RED = Image.new("RGB", (8, 8), (255, 0, 0))


def test_a_batch_of_rows(processor):
    rows = [
        {"id": "1", "text": "good", "image": RED, "label": 2, "text_label": 1, "image_label": None},
        {
            "id": "2",
            "text": "so very sad and awful",
            "image": None,
            "label": None,
            "text_label": None,
            "image_label": 0,
        },
    ]
    batch = ImageTextCollator(processor)(rows)
    assert batch["labels"].tolist() == [2, -100]
    assert batch["text_labels"].tolist() == [1, -100]
    assert batch["image_labels"].tolist() == [-100, 0]
    assert batch["input_ids"].shape == (2, 8)  # 7 tokens, rounded up to a multiple of 8
    assert batch["attention_mask"].sum(1).tolist() == [3, 7]
    assert ImageTextCollator(processor, pad_to_multiple_of=None)(rows)["input_ids"].shape == (2, 7)


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": "good", "image": None}, {"text": "sad", "image": None}],
        [{"text": None, "image": RED}],
        [{"text": "good", "image": RED}],
        [{"image": RED}],
    ],
)
def test_keys_are_always_the_same(processor, rows):
    batch = ImageTextCollator(processor)(rows)
    sides = {"input_ids", "token_type_ids", "attention_mask", "pixel_values", "text_present", "image_present"}
    assert set(batch) == sides
    assert all(len(value) == len(rows) for value in batch.values())
    assert batch["pixel_values"].shape == (len(rows), 3, 32, 32)
    assert batch["text_present"].tolist() == [row.get("text") is not None for row in rows]


def test_several_labels_a_post(processor):
    rows = [{"text": "a", "label": [0, 2]}, {"text": "b", "label": []}, {"text": "c", "label": None}]
    labels = ImageTextCollator(processor, num_labels=4)(rows)["labels"]
    assert torch.equal(labels, torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 0], [-100, -100, -100, -100]]))
    with pytest.raises(ValueError, match="num_labels must be given where label holds lists of labels"):
        ImageTextCollator(processor)(rows)


def test_targets_of_some_rows(processor, tokenizer):
    batch = ImageTextCollator(processor)([{"text": "$T$ good", "target": "cat"}, {"text": "sad", "target": None}])
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0])[:6] == [
        "[CLS]",
        "cat",
        "good",
        "[SEP]",
        "cat",
        "[SEP]",
    ]
    assert batch["input_ids"].shape == (2, 8)


def test_a_bad_row_is_named_by_its_id(processor):
    rows = [{"id": "first", "text": "a", "image": RED}, {"id": "second", "text": "b", "image": b"no picture"}]
    with pytest.raises(ValueError, match=r"Row second: images\[1\]: 10 bytes cannot be read as a picture"):
        ImageTextCollator(processor)(rows)
