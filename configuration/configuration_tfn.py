"""Configuration of the Tensor Fusion Network (Zadeh et al., EMNLP 2017)."""

from typing import ClassVar

from huggingface_hub.dataclasses import strict

from duosent.configuration.configuration_image_text import ImageTextConfig


@strict
class TfnConfig(ImageTextConfig):
    """Two pooled towers, a small network for each, and one linear layer over the outer product of both.

    Args: those of `ImageTextConfig`. `hidden_size` is the width `D` of each side's network and of the fused feature;
        the linear layer has `(D + 1)^2 * D` weights, so that a width as large as the towers' is seldom wanted. There
        is no attention outside the towers: its fields have no effect.
    """

    model_type = "tfn"
    auto_classes: ClassVar[dict[str, str]] = {
        "AutoModelForSequenceClassification": "modeling_tfn.TfnForImageTextClassification"
    }

    hidden_size: int = 128


__all__ = ["TfnConfig"]
