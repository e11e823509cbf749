"""Tiny checkpoints and posts to be explained."""

import numpy as np
import torch
from PIL import Image
from tiny import CLASSIFIERS, TEXT, build

LABELS = {0: "negative", 1: "neutral", 2: "positive"}


def picture(seed: int = 0, width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def model_of(name: str, tokenizer, **config):
    model_class, fields = CLASSIFIERS[name]
    towers = {"text_config": {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64}}
    return build(model_class, **{**towers, "id2label": LABELS, **fields, **config})


def words_of(batch) -> torch.Tensor:
    """`(B, T)`: all real tokens but the first of a row, which stands for [CLS]."""
    words = batch["attention_mask"].bool().clone()
    words[:, 0] = False
    return words


def odds_by_hand(logits: list[float], chosen: int) -> float:
    """`log(p / (1 - p))` of a softmax."""
    exponentials = np.exp(np.asarray(logits, dtype=np.float64))
    score = exponentials[chosen] / exponentials.sum()
    return float(np.log(score / (1 - score)))
