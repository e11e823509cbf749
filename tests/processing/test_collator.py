"""Rows in, a batch out: the same keys whatever the rows lack."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from duosent import ImageTextCollator, ImageTextProcessor

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
    with pytest.raises(ValueError, match="^Row second, image: 10 bytes cannot be read as a picture"):
        ImageTextCollator(processor)(rows)
    with pytest.raises(ValueError, match="^Row second, text must be a string or None, got int"):
        ImageTextCollator(processor)([rows[0], {"id": "second", "text": 3}])
    del rows[1]["id"]
    with pytest.raises(ValueError, match=r"^images\[1\]: 10 bytes"):
        ImageTextCollator(processor)(rows)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("happy", "Row 7, label must be a class index >= 0 and < 3, or None, got 'happy'"),
        (3, "Row 7, label must be a class index >= 0 and < 3, or None, got 3"),
        (-1, "got -1"),
        (1.5, "got 1.5"),
        ([0, 3], "Row 7, label must be a class index >= 0 and < 3, or None, got 3"),
    ],
)
def test_a_label_that_is_no_class_index_is_refused(processor, label, message):
    with pytest.raises(ValueError, match=message):
        ImageTextCollator(processor, num_labels=3)([{"id": "7", "text": "a", "label": label}])


@pytest.mark.parametrize(("limit", "length"), [(64, 64), (30, 30), (12, 12)])
def test_padding_stays_within_the_limit_of_the_tokenizer(processor, tokenizer, limit, length):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_max_length = limit
    collator = ImageTextCollator(ImageTextProcessor(processor.image_processor, tokenizer))
    assert collator([{"text": "good " * 100}, {"text": "sad"}])["input_ids"].shape == (2, length)
    assert collator([{"text": "good"}])["input_ids"].shape == (1, 8)


def test_any_max_length_goes_with_any_multiple(processor, tokenizer):
    short = ImageTextProcessor(processor.image_processor, tokenizer, max_length=9)
    batch = ImageTextCollator(short)([{"text": "good " * 100}])
    assert batch["input_ids"].shape == (1, 16)
    assert batch["attention_mask"].sum() == 9


TEXTS = st.sampled_from(["good", "so sad", "a very happy day in the city", None, "  ", "$T$ is great"])


@given(rows=st.lists(st.tuples(TEXTS, st.booleans(), st.sampled_from([None, "the dog"])), min_size=1, max_size=4))
def test_a_batch_is_its_rows_side_by_side(processor, rows):
    """Whatever stands beside a row, its tokens, its picture and its flags are those that it has alone."""
    rows = [{"text": text, "image": RED if image else None, "target": target} for text, image, target in rows]
    collate = ImageTextCollator(processor)
    batch = collate(rows)
    for index, row in enumerate(rows):
        alone = collate([row])
        for key in ("pixel_values", "image_present", "text_present"):
            assert torch.equal(batch[key][index], alone[key][0])
        if not alone["text_present"]:
            continue  # what stands in the row of a missing text is not read
        for key in ("input_ids", "token_type_ids"):
            used = batch["attention_mask"][index].bool()
            assert batch[key][index][used].tolist() == alone[key][0][alone["attention_mask"][0].bool()].tolist()


def test_several_tasks_are_columns_of_labels(processor):
    tasks = {"mood": ["sad", "glad"], "label": ["a", "b", "c"]}
    rows = [
        {"text": "good", "mood": 1, "label": 2, "text_label": 9},
        {"text": "bad", "mood": None, "label": 0},
        {"text": "sun", "mood": 0},
    ]
    batch = ImageTextCollator(processor, tasks=tasks)(rows)
    assert batch["labels"].tolist() == [[1, 2], [-100, 0], [0, -100]]
    assert not {"text_labels", "image_labels"} & batch.keys()
    assert "labels" not in ImageTextCollator(processor, tasks=tasks)([{"text": "good"}])
    with pytest.raises(ValueError, match=r"^Row 7, mood must be a class index >= 0 and < 2, or None, got 2\.$"):
        ImageTextCollator(processor, num_labels=5, tasks=tasks)([{"id": 7, "text": "good", "mood": 2}])
