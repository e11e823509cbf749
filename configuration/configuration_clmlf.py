"""Configuration of CLMLF, contrastive learning and multi-layer fusion (Li et al., Findings of NAACL 2022)."""

from typing import ClassVar

from huggingface_hub.dataclasses import strict

from duosent.configuration.configuration_image_text import ImageTextConfig


@strict
class ClmlfConfig(ImageTextConfig):
    """Transformer layers for each side, then for both sides joined, attention pooling, two contrastive tasks.

    Args (besides those of `ImageTextConfig`):
        num_text_layers: transformer layers over the words' tokens alone, on top of the tower's own; >= 0.
        num_image_layers: the same over the picture's tokens; >= 0.
        num_fusion_layers: transformer layers over both sides joined; > 0.
        label_contrastive_weight: weight of the label based contrastive loss in the total loss; unitless, >= 0, 0 skips
            its computation.
        data_contrastive_weight: the same of the data based one; 0 also skips the second pass over each training post.
        contrastive_temperature: divides cosine similarities; unitless, > 0, smaller is sharper.
    """

    model_type = "clmlf"
    auto_classes: ClassVar[dict[str, str]] = {
        "AutoModelForSequenceClassification": "modeling_clmlf.ClmlfForImageTextClassification"
    }
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        *ImageTextConfig.keys_to_ignore_at_inference,
        "augmented_embeds",
        "label_contrastive_loss",
        "data_contrastive_loss",
    ]

    num_attention_heads: int = 12
    intermediate_size: int = 3072
    num_text_layers: int = 0
    num_image_layers: int = 2
    num_fusion_layers: int = 3
    label_contrastive_weight: float | int = 1.0
    data_contrastive_weight: float | int = 1.0
    contrastive_temperature: float | int = 0.07

    def validate_depth(self):
        for name in ("num_text_layers", "num_image_layers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}.")
        if self.num_fusion_layers <= 0:
            raise ValueError(f"num_fusion_layers must be > 0, got {self.num_fusion_layers}.")

    def validate_contrastive_losses(self):
        for name in ("label_contrastive_weight", "data_contrastive_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}.")
        if self.contrastive_temperature <= 0:
            raise ValueError(f"contrastive_temperature must be > 0, got {self.contrastive_temperature}.")


__all__ = ["ClmlfConfig"]
