"""Configuration of RADM, the residual-attention cross-modal deep interaction model (2024)."""

from typing import ClassVar

from huggingface_hub.dataclasses import strict

from duosent.configuration.configuration_image_text import ImageTextConfig


@strict
class RadmConfig(ImageTextConfig):
    """What a RADM model is made of. doi 10.19734/j.issn.1001-3695.2024.07.0285; see `docs/paper_index.md`.

    Args (besides those of `ImageTextConfig`):
        num_interaction_layers: layers of the two-path interaction network; > 0.
        num_fusion_layers: layers of the self-fusion encoder; > 0.
        residual_attention: how a layer's scores meet those of the layer before: "gated" is the paper's adaptive gate,
            "add" the plain sum of RealFormer (ablation rm_rg), "none" plain attention.
        cross_modal: let each path look at the other modality; off is the ablation rm_c.
    """

    model_type = "radm"
    auto_classes: ClassVar[dict[str, str]] = {
        "AutoModel": "modeling_radm.RadmModel",
        "AutoModelForSequenceClassification": "modeling_radm.RadmForImageTextClassification",
        "AutoModelForVisualQuestionAnswering": "modeling_radm.RadmForVisualQuestionAnswering",
    }

    num_attention_heads: int = 12
    intermediate_size: int = 3072
    num_interaction_layers: int = 3
    num_fusion_layers: int = 2
    residual_attention: str = "gated"
    cross_modal: bool = True

    def validate_residual_attention(self):
        if self.residual_attention not in ("gated", "add", "none"):
            raise ValueError(f'residual_attention must be "gated", "add" or "none", got {self.residual_attention!r}.')

    def validate_depth(self):
        for name in ("num_interaction_layers", "num_fusion_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")


__all__ = ["RadmConfig"]
