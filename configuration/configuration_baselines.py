"""Configuration of the baselines: words only, picture only, or both towers side by side."""

from typing import ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import SubConfigSpec

from duosent.configuration.configuration_image_text import ImageTextConfig


@strict
class BaselineConfig(ImageTextConfig):
    """One tower or two, pooled, and the classifier of MDSE. A side whose config is None is not read at all.

    Args: those of `ImageTextConfig`; at least one of `text_config` and `vision_config` is given.
    """

    model_type = "image_text_baseline"
    auto_classes: ClassVar[dict[str, str]] = {
        "AutoModelForSequenceClassification": "modeling_baselines.BaselineForImageTextClassification"
    }
    has_no_defaults_at_init = True
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert", optional=True),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vit", optional=True),
    }

    def validate_towers(self):
        if self.text_config is None and self.vision_config is None:
            raise ValueError("text_config or vision_config must be given, got None for both.")


__all__ = ["BaselineConfig"]
