"""Masks that hide nothing are not in a batch, whatever else is."""

import torch
from PIL import Image

from duosent.processing.collator import ImageTextCollator
from duosent.processing.full_masks import FullMasksLeftOut, without_full_masks

KEPT = {"input_ids", "token_type_ids", "pixel_values", "labels"}


def test_what_hides_something_stays(processor):
    picture = Image.new("RGB", (8, 8))
    collate = FullMasksLeftOut(ImageTextCollator(processor))
    long = {"text": "so good a sun so good", "image": picture, "label": 1}  # eight tokens, no padding
    short = {"text": "good", "image": picture, "label": 0}
    assert set(collate([long, long])) == KEPT
    batch = collate([long, short])
    assert set(batch) == KEPT | {"attention_mask"} and batch["attention_mask"].sum(dim=1).tolist() == [8, 3]
    assert set(collate([long, {**long, "image": None}])) == KEPT | {"image_present"}
    assert set(collate([long, {**long, "text": None}])) == KEPT | {"attention_mask", "text_present"}


def test_only_masks_are_looked_at():
    batch = {"input_ids": torch.ones(2, 3), "labels": torch.ones(2), "text_labels": torch.ones(2)}
    assert without_full_masks({**batch, "attention_mask": torch.ones(2, 3)}).keys() == batch.keys()
