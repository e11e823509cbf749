"""Eight made-up posts and a tiny model for the trainer's tests."""

import io

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Picture

from duosent import MdseForImageTextClassification

LABELS = ["negative", "neutral", "positive"]


def picture(index: int) -> dict:
    file = io.BytesIO()
    Picture.new("RGB", (32, 32), (30 * index, 255 - 30 * index, 90)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture(scope="session")
def rows() -> Dataset:
    """Seven posts: with batches of two the last one is short."""
    texts = ["good sun", "bad rain", "the city", "love tea", "so sad", "a bus", "great dog"]
    labels = [2, 0, 1, 2, 0, 1, 2]
    features = Features(
        {
            "id": Value("string"),
            "text": Value("string"),
            "image": Image(decode=False),
            "label": ClassLabel(names=LABELS),
        }
    )
    columns = {
        "id": [str(i) for i in range(7)],
        "text": texts,
        "image": [picture(i) for i in range(7)],
        "label": labels,
    }
    return Dataset.from_dict(columns, features=features)


@pytest.fixture
def tiny_mdse(text_encoder_dir, image_encoder_dir):
    """A maker of the model, so that a test can have two with different weights."""

    def make(seed: int = 0, **config) -> MdseForImageTextClassification:
        torch.manual_seed(seed)
        return MdseForImageTextClassification.from_encoders(
            text_encoder_dir,
            image_encoder_dir,
            **{"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3, **config},
        )

    return make
