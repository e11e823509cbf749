"""How deep a parameter lies in its tower, for encoders of every kind, and the rates that follow."""

import pytest
import timm
from torch import nn
from transformers import BertConfig, BertModel, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from duosent.training.layer_depths import depths_below_top

SMALL = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}


def bert():
    return BertModel(BertConfig(vocab_size=5, max_position_embeddings=4, **SMALL), add_pooling_layer=False)


def vit():
    return ViTModel(ViTConfig(image_size=8, patch_size=4, **SMALL), add_pooling_layer=False)


def resnet():
    shape = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 2], "layer_type": "basic"}
    return ResNetModel(ResNetConfig(**shape))


# Beginnings of names, and the layers above them.
TOWERS = {
    "bert": (bert, {"embeddings.": 3, "encoder.layer.0.": 2, "encoder.layer.1.": 1, "encoder.layer.2.": 0}),
    "vit": (vit, {"embeddings.": 3, "layers.0.": 2, "layers.2.": 0, "layernorm.": 0}),
    "resnet": (resnet, {"embedder.": 2, "encoder.stages.0.": 1, "encoder.stages.1.": 0}),
    "timm resnet": (
        lambda: timm.create_model("resnet18", num_classes=0),
        {"conv1.": 4, "bn1.": 4, "layer1.": 3, "layer2.": 2, "layer3.": 1, "layer4.": 0},
    ),
    "timm vit": (
        lambda: timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2),
        {"cls_token": 2, "pos_embed": 2, "patch_embed.": 2, "blocks.0.": 1, "blocks.1.": 0, "norm.": 0},
    ),
    "vgg": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)),
        {"0.": 1, "2.": 0},
    ),
    "no numbers": (lambda: nn.LSTM(2, 2), {"weight": 0, "bias": 0}),
}


@pytest.mark.parametrize("kind", TOWERS)
def test_depths(kind):
    make, wanted = TOWERS[kind]
    tower = make()
    depths = depths_below_top(tower)
    assert depths.keys() == {name for name, _ in tower.named_parameters()}
    for start, depth in wanted.items():
        of_part = {depths[name] for name in depths if name.startswith(start)}
        assert of_part == {depth}, start
