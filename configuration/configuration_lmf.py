"""Configuration of Low-rank Multimodal Fusion (Liu et al., ACL 2018)."""

from typing import ClassVar

from huggingface_hub.dataclasses import strict

from duosent.configuration.configuration_image_text import ImageTextConfig


@strict
class LmfConfig(ImageTextConfig):
    """The Tensor Fusion Network with a linear layer of low rank.

    Args (besides those of `ImageTextConfig`, which mean what they mean in `TfnConfig`):
        fusion_rank: rank `r` of the linear layer's weight; > 0.
    """

    model_type = "lmf"
    auto_classes: ClassVar[dict[str, str]] = {
        "AutoModelForSequenceClassification": "modeling_lmf.LmfForImageTextClassification"
    }

    hidden_size: int = 128
    fusion_rank: int = 4

    def validate_fusion_rank(self):
        if self.fusion_rank <= 0:
            raise ValueError(f"fusion_rank must be > 0, got {self.fusion_rank}.")


__all__ = ["LmfConfig"]
