"""Tiny configs, a batch, and models with weights large enough for a difference to show."""

import torch

from duosent import (
    BaselineForImageTextClassification,
    ClmlfForImageTextClassification,
    LmfForImageTextClassification,
    MdseForImageTextClassification,
    RadmForImageTextClassification,
    TfnForImageTextClassification,
    TombertForImageTextClassification,
)

TEXT = {
    "model_type": "bert",
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
IMAGE = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
# Every classifier, by the name that `duosent train --model` has for it, with the fields that make it one.
CLASSIFIERS = {
    "mdse": (MdseForImageTextClassification, {}),
    "radm": (RadmForImageTextClassification, {}),
    "text": (BaselineForImageTextClassification, {"vision_config": None}),
    "image": (BaselineForImageTextClassification, {"text_config": None}),
    "concat": (BaselineForImageTextClassification, {}),
    "tfn": (TfnForImageTextClassification, {}),
    "lmf": (LmfForImageTextClassification, {}),
    "clmlf": (ClmlfForImageTextClassification, {}),
    "tombert": (TombertForImageTextClassification, {}),
}
FUSION = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 24, "num_labels": 3}


def build(model_class, seed=0, dtype=torch.float32, **config):
    """A model in evaluation mode. Weights of a usual start (0.02) hide mistakes in rounding; these do not."""
    torch.manual_seed(seed)
    fields = {"text_config": dict(TEXT), "vision_config": dict(IMAGE), **FUSION, **config}
    model = model_class(model_class.config_class(**fields))
    draw_weights(model)
    return model.to(dtype).eval()


@torch.no_grad()
def draw_weights(model, size=1.5):
    """Weights so large that answers differ from post to post."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=size * parameter.shape[-1] ** -0.5)


def make_batch(rows=4, tokens=7, seed=0, dtype=torch.float32):
    """Posts of different lengths, labels for all: the second has four tokens."""
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(5, 50, (rows, tokens), generator=generator)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, 4:] = 0
    input_ids[1, 4:] = 0
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "pixel_values": torch.randn(rows, 3, 32, 32, generator=generator).to(dtype),
        "text_present": torch.ones(rows, dtype=torch.bool),
        "image_present": torch.ones(rows, dtype=torch.bool),
        "labels": torch.tensor([0, 1, 1, 2, 0, 2][:rows]),
    }


def take(batch, rows):
    """Some rows of a batch."""
    return {key: value[rows] for key, value in batch.items()}
