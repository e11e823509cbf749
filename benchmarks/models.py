"""What is compared: duosent's models, the bare towers, and the fusion models that transformers has itself.

All models with two towers read with the very same ones: they share the modules, so that neither weights nor memory
can make a difference.
"""

import torch
from torch import Tensor, nn
from transformers import (
    BertModel,
    ViltConfig,
    ViltModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from benchmarks.harness import Row, compare
from benchmarks.shapes import LABELS, Shape
from duosent import BaselineForImageTextClassification, MdseForImageTextClassification, RadmForImageTextClassification
from duosent.modeling.encoders import build_text_model, build_vision_model

OURS = {
    "mdse": MdseForImageTextClassification,
    "radm": RadmForImageTextClassification,
    "concat": BaselineForImageTextClassification,
}
TOWERS, DUAL_ENCODER, VILT = "bare towers", "VisionTextDualEncoder", "ViLT"
RIVALS = (DUAL_ENCODER, VILT)


class BareTowers(nn.Module):
    """Both towers and nothing else: what any fusion of them costs at least. Its loss is the mean of their tokens."""

    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.text_model = build_text_model(shape.text_config(dropout))
        self.vision_model = build_vision_model(shape.image_config(dropout))

    def forward(
        self, input_ids: Tensor, pixel_values: Tensor, labels: Tensor | None = None
    ) -> SequenceClassifierOutput:
        words = self.text_model(input_ids=input_ids).last_hidden_state  # (B, T, W)
        picture = self.vision_model(pixel_values=pixel_values).last_hidden_state  # (B, N, W)
        means = torch.cat([words.mean(dim=1), picture.mean(dim=1)], dim=-1)  # (B, 2W)
        return SequenceClassifierOutput(loss=None if labels is None else means.mean(), logits=means)


class DualEncoderClassifier(nn.Module):
    """`VisionTextDualEncoderModel` with a linear layer over both embeddings."""

    def __init__(self, shape: Shape, dropout: float, towers: BareTowers):
        super().__init__()
        text = _with_modules_of(towers.text_model, BertModel(shape.text_config(dropout)))
        image = _with_modules_of(towers.vision_model, ViTModel(shape.image_config(dropout)))
        config = VisionTextDualEncoderConfig.from_vision_text_configs(
            image.config, text.config, projection_dim=shape.width
        )
        self.encoders = VisionTextDualEncoderModel(config, image, text)
        self.classifier = nn.Linear(2 * shape.width, LABELS)

    def forward(self, labels: Tensor | None = None, **inputs: Tensor) -> SequenceClassifierOutput:
        embeds = self.encoders(**inputs)
        return _classified(self.classifier, torch.cat([embeds.text_embeds, embeds.image_embeds], dim=-1), labels)


class ViltClassifier(nn.Module):
    """`ViltModel` with a linear layer over its pooled token.

    It has one transformer for both sides: as wide as the wider of the two towers, as deep as the deeper one, with the
    same patches and words.
    """

    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        side = "text" if shape.text_width >= shape.image_width else "image"
        config = ViltConfig(
            vocab_size=shape.vocabulary,
            hidden_size=getattr(shape, f"{side}_width"),
            num_hidden_layers=max(shape.text_layers, shape.image_layers),
            num_attention_heads=getattr(shape, f"{side}_heads"),
            intermediate_size=getattr(shape, f"{side}_inner"),
            max_position_embeddings=max(512, shape.text_tokens),
            image_size=shape.image_size,
            patch_size=shape.patch_size,
            attention_probs_dropout_prob=dropout,
        )
        self.transformer = ViltModel(config)
        self.classifier = nn.Linear(config.hidden_size, LABELS)

    def forward(self, labels: Tensor | None = None, **inputs: Tensor) -> SequenceClassifierOutput:
        return _classified(self.classifier, self.transformer(**inputs).pooler_output, labels)


def _classified(classifier: nn.Module, feature: Tensor, labels: Tensor | None) -> SequenceClassifierOutput:
    logits = classifier(feature)  # (B, L)
    loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
    return SequenceClassifierOutput(loss=loss, logits=logits)


def _with_modules_of(tower: nn.Module, other: nn.Module) -> nn.Module:
    """`other`, whose modules are those of `tower`, as far as that has them."""
    for name, module in tower.named_children():
        setattr(other, name, module)
    return other


def build(name: str, shape: Shape, dropout: float, towers: BareTowers | None = None, **fields) -> nn.Module:
    """One of duosent's own models, over these towers or over new ones.

    Args:
        dropout: of attention maps, in towers and fusion.
        fields: others of its config.
    """
    model_class = OURS[name]
    model = model_class(
        model_class.config_class(
            text_config=shape.text_config(dropout),
            vision_config=shape.image_config(dropout),
            **shape.fusion_fields(name, dropout),
            **fields,
        )
    )
    if towers is not None:
        model.base_model.text_model, model.base_model.vision_model = towers.text_model, towers.vision_model
    return model


def build_all(shape: Shape, dropout: float, seed: int, device: str = "cpu") -> dict[str, nn.Module]:
    """The bare towers, and every model over them, by name."""
    torch.manual_seed(seed)
    towers = BareTowers(shape, dropout)
    models = {TOWERS: towers}
    models |= {name: build(name, shape, dropout, towers) for name in OURS}
    models |= {DUAL_ENCODER: DualEncoderClassifier(shape, dropout, towers), VILT: ViltClassifier(shape, dropout)}
    return {name: model.to(device) for name, model in models.items()}


# Whose time stands beside whose.
COMPARISONS = (
    *((name, TOWERS) for name in OURS),
    ("mdse", "concat"),
    ("radm", "concat"),
    *((rival, name) for rival in RIVALS for name in ("mdse", "radm")),
)


def compare_all(what: str, times: dict[str, list[float]], flops: dict[str, int], posts: int) -> list[Row]:
    """All `COMPARISONS`.

    Args:
        times: seconds of each model, round by round.
        flops: of each model in a round.
        posts: of a round.
    """
    return [
        compare(what, subject, times[subject], against, times[against], posts, flops[subject] / flops[against])
        for subject, against in COMPARISONS
    ]
