"""Tiny classifiers, exported, for the tests."""

from pathlib import Path

import torch
from tiny import CLASSIFIERS, TEXT, build

LABELS = {0: "negative", 1: "neutral", 2: "positive"}


def tiny_classifier(name: str, tokenizer, **config):
    """A model of `duosent train --model NAME` that goes with the tests' tokenizer and image processor."""
    model_class, fields = CLASSIFIERS[name]
    towers = {"text_config": {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64}}
    return build(model_class, **{**towers, "id2label": LABELS, **fields, **config})


def save_checkpoint(model, processor, folder: Path) -> str:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def random_posts(model, rows: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Posts of different lengths, some without words, some without a picture, some without either."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, length + 1, (rows, 1), generator=generator)
    return {
        "input_ids": torch.randint(5, 50, (rows, length), generator=generator),
        "attention_mask": (torch.arange(length) < lengths).long(),
        "token_type_ids": torch.randint(0, 2, (rows, length), generator=generator),
        "text_present": torch.rand(rows, generator=generator) < 0.7,
        "pixel_values": torch.randn(rows, 3, 32, 32, generator=generator),
        "image_present": torch.rand(rows, generator=generator) < 0.7,
    }
