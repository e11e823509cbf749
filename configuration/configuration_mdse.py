"""Configuration of MDSE, the modality-dependent sentiment exploring network (ICASSP 2024)."""

from typing import ClassVar

from huggingface_hub.dataclasses import strict

from duosent.configuration.configuration_image_text import ImageTextConfig

CONTRASTIVE_VIEWS = ("image", "text", "fused")


@strict
class MdseConfig(ImageTextConfig):
    """What an MDSE model is made of. Equation and table numbers are the paper's; see `docs/paper_index.md`.

    Args (besides those of `ImageTextConfig`):
        image_private: learn private features of the picture, (3) to (6); off, that side's feature is the shared one.
        text_private: learn private features of the words, (3) to (6); off, that side's feature is the shared one.
        feature_adaptation: run FF(SA(.)) over the private tokens in (6) before they are averaged (table 4).
        private_similarity: how a token's similarity to the other side enters (4): "sum" is the paper's sum of dot
            products, "mean" the mean of dot products over sqrt(D).
        private_contrast: what (5) takes away: "softmax" is the paper's importance, "max" the importance over its
            largest value in the post.
        contrastive_weight: weight of the contrastive loss in the total loss; unitless, >= 0, 0 skips its computation.
        contrastive_temperature: divides cosine similarities; unitless, > 0, smaller is sharper.
        contrastive_form: "ratio" is (11) as printed, one logarithm of summed pairs; "anchor" has one logarithm an
            anchor.
        contrastive_views: which features enter the contrastive loss, of "image", "text" and "fused" (table 5).
    """

    model_type = "mdse"
    auto_classes: ClassVar[dict[str, str]] = {
        "AutoModel": "modeling_mdse.MdseModel",
        "AutoModelForSequenceClassification": "modeling_mdse.MdseForImageTextClassification",
    }

    num_attention_heads: int = 8
    intermediate_size: int = 768
    image_private: bool = True
    text_private: bool = True
    feature_adaptation: bool = True
    private_similarity: str = "mean"
    private_contrast: str = "softmax"
    contrastive_weight: float | int = 1.0
    contrastive_temperature: float | int = 0.07
    contrastive_form: str = "anchor"
    contrastive_views: tuple[str, ...] | list[str] = CONTRASTIVE_VIEWS

    def __post_init__(self, **kwargs):
        if isinstance(self.contrastive_views, list):
            self.contrastive_views = tuple(self.contrastive_views)
        super().__post_init__(**kwargs)

    def validate_private_features(self):
        if self.private_similarity not in ("sum", "mean"):
            raise ValueError(f'private_similarity must be "sum" or "mean", got {self.private_similarity!r}.')
        if self.private_contrast not in ("softmax", "max"):
            raise ValueError(f'private_contrast must be "softmax" or "max", got {self.private_contrast!r}.')

    def validate_contrastive_loss(self):
        if self.contrastive_weight < 0:
            raise ValueError(f"contrastive_weight must be >= 0, got {self.contrastive_weight}.")
        if self.contrastive_temperature <= 0:
            raise ValueError(f"contrastive_temperature must be > 0, got {self.contrastive_temperature}.")
        if self.contrastive_form not in ("anchor", "ratio"):
            raise ValueError(f'contrastive_form must be "anchor" or "ratio", got {self.contrastive_form!r}.')
        views = self.contrastive_views
        if not views or set(views) - set(CONTRASTIVE_VIEWS) or len(set(views)) != len(views):
            raise ValueError(f"contrastive_views must be one or more of {', '.join(CONTRASTIVE_VIEWS)}, got {views}.")


__all__ = ["MdseConfig"]
