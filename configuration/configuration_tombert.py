"""Configuration of TomBERT, target-oriented multimodal BERT (Yu and Jiang, IJCAI 2019)."""

from typing import ClassVar

from huggingface_hub.dataclasses import strict

from duosent.configuration.configuration_image_text import ImageTextConfig

POOLINGS = ("first", "cls", "both")


@strict
class TombertConfig(ImageTextConfig):
    """The target asks the picture, and the answer is read together with the words.

    Args (besides those of `ImageTextConfig`):
        num_matching_layers: cross-attention layers from the target to the picture; > 0.
        num_multimodal_layers: self-attention layers over the target's answer and the words; > 0.
        max_target_length: tokens of the target's own encoding, the first special one included; what is longer is cut;
            > 1.
        pooling: what is classified after the last layer: "first", the target's answer; "cls", the words' first token;
            "both" side by side.
    """

    model_type = "tombert"
    auto_classes: ClassVar[dict[str, str]] = {
        "AutoModelForSequenceClassification": "modeling_tombert.TombertForImageTextClassification"
    }

    num_attention_heads: int = 12
    intermediate_size: int = 3072
    num_matching_layers: int = 1
    num_multimodal_layers: int = 1
    max_target_length: int = 16
    pooling: str = "first"

    def validate_depth(self):
        for name in ("num_matching_layers", "num_multimodal_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")

    def validate_max_target_length(self):
        if self.max_target_length <= 1:
            raise ValueError(f"max_target_length must be > 1, got {self.max_target_length}.")

    def validate_pooling(self):
        if self.pooling not in POOLINGS:
            raise ValueError(f'pooling must be "first", "cls" or "both", got {self.pooling!r}.')


__all__ = ["TombertConfig"]
