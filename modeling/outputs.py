"""What the models return. Shape letters: `B` posts, `T` text tokens, `P` image tokens, `D` fusion width, `H` heads,
`L` labels.
"""

from dataclasses import dataclass

from torch import FloatTensor, Tensor
from transformers.utils import ModelOutput


def wanted_states(states: tuple[Tensor, ...], wanted: bool | list[int] | None) -> tuple[Tensor | None, ...] | None:
    """Hidden states as `output_hidden_states` asks: none, all, or those of some indices and None for the rest."""
    if not wanted:
        return None
    if wanted is True:
        return states
    kept = {index % len(states) for index in wanted}
    return tuple(state if index in kept else None for index, state in enumerate(states))


@dataclass
class MdseModelOutput(ModelOutput):
    """Features of `MdseModel`.

    Args:
        fused_embeds: `(B, D)`, `f` of (8).
        text_embeds: `(B, D)`, `f_z` of (7).
        image_embeds: `(B, D)`, `f_v` of (7).
        hidden_states: on request, six at most: text tokens `z (B, T, D)`, image tokens `v (B, P, D)`,
            `f_v^s (B, T, D)`, `f_z^s (B, P, D)` of (1), private image tokens `(B, P, D)` and private text tokens
            `(B, T, D)` of (6).
        attentions: on request, the maps behind them: words over picture `(B, H, T, P)`, picture over words
            `(B, H, P, T)`, private image `(B, H, P, P)`, private text `(B, H, T, T)`.
        text_importance: on request, `(B, T)`, (4) for the words; sums to 1 over the valid tokens.
        image_importance: on request, `(B, P)`, (4) for the picture, class token left out.
    """

    fused_embeds: FloatTensor | None = None
    text_embeds: FloatTensor | None = None
    image_embeds: FloatTensor | None = None
    hidden_states: tuple[FloatTensor, ...] | None = None
    attentions: tuple[FloatTensor, ...] | None = None
    text_importance: FloatTensor | None = None
    image_importance: FloatTensor | None = None


@dataclass
class MdseOutput(ModelOutput):
    """Answer of `MdseForImageTextClassification`; features as in `MdseModelOutput`.

    Args:
        loss: scalar, `classification_loss + contrastive_weight * contrastive_loss`.
        logits: `(B, L)`.
        classification_loss: scalar.
        contrastive_loss: scalar, unweighted; None where `contrastive_weight` is 0.
    """

    loss: FloatTensor | None = None
    logits: FloatTensor | None = None
    classification_loss: FloatTensor | None = None
    contrastive_loss: FloatTensor | None = None
    text_embeds: FloatTensor | None = None
    image_embeds: FloatTensor | None = None
    fused_embeds: FloatTensor | None = None
    hidden_states: tuple[FloatTensor, ...] | None = None
    attentions: tuple[FloatTensor, ...] | None = None
    text_importance: FloatTensor | None = None
    image_importance: FloatTensor | None = None


@dataclass
class RadmModelOutput(ModelOutput):
    """Features of `RadmModel`.

    Args:
        fused_embeds: `(B, 2D)`, `text_embeds` and `image_embeds` side by side.
        text_embeds: `(B, D)`, the text [CLS] after the self-fusion encoder.
        image_embeds: `(B, D)`, the image [CLS] (mean of the cells for a tower without one) after the same.
        last_hidden_state: `(B, T + P, D)`, both sequences after the self-fusion encoder.
        hidden_states: on request, `(B, T + P, D)` before the first layer and after each of the interaction and
            fusion layers.
        attentions: on request; for each interaction layer text self `(B, H, T, T)`, image self `(B, H, P, P)`, text
            to image `(B, H, T, P)`, image to text `(B, H, P, T)` (the last two only with `cross_modal`), then for each
            fusion layer `(B, H, T + P, T + P)`.
        cross_scores: on request; for each interaction layer the pair of residual scores text to image `(B, H, T, P)`
            and image to text `(B, H, P, T)`, before the softmax, 0 for padding.
        gates: on request; for each gated attention, in the order of `attentions`, `(B, H, Q)`. A stack's first layer
            has none.
    """

    fused_embeds: FloatTensor | None = None
    text_embeds: FloatTensor | None = None
    image_embeds: FloatTensor | None = None
    last_hidden_state: FloatTensor | None = None
    hidden_states: tuple[FloatTensor, ...] | None = None
    attentions: tuple[FloatTensor, ...] | None = None
    cross_scores: tuple[tuple[FloatTensor, FloatTensor], ...] | None = None
    gates: tuple[FloatTensor, ...] | None = None


@dataclass
class RadmOutput(ModelOutput):
    """Answer of the RADM heads; features as in `RadmModelOutput`.

    Args:
        loss: scalar, the classification loss (or the answer loss of visual question answering).
        logits: `(B, L)`.
        classification_loss: scalar, the same value, so that every model logs it under one name.
    """

    loss: FloatTensor | None = None
    logits: FloatTensor | None = None
    classification_loss: FloatTensor | None = None
    text_embeds: FloatTensor | None = None
    image_embeds: FloatTensor | None = None
    fused_embeds: FloatTensor | None = None
    hidden_states: tuple[FloatTensor, ...] | None = None
    attentions: tuple[FloatTensor, ...] | None = None
    cross_scores: tuple[tuple[FloatTensor, FloatTensor], ...] | None = None
    gates: tuple[FloatTensor, ...] | None = None


@dataclass
class BaselineOutput(ModelOutput):
    """Answer of the baselines.

    Args:
        loss: scalar, the classification loss.
        logits: `(B, L)`.
        classification_loss: scalar, the same value.
        text_embeds: `(B, W)`, mean of the words' tokens; None for picture only.
        image_embeds: `(B, W)`, the picture's [CLS] or the mean of its cells; None for words only.
        fused_embeds: `(B, D)`, of a baseline with a fusion; there the two others are what goes into it.
    """

    loss: FloatTensor | None = None
    logits: FloatTensor | None = None
    classification_loss: FloatTensor | None = None
    text_embeds: FloatTensor | None = None
    image_embeds: FloatTensor | None = None
    fused_embeds: FloatTensor | None = None


@dataclass
class ClmlfOutput(ModelOutput):
    """Answer of `ClmlfForImageTextClassification`.

    Args:
        loss: scalar, `classification_loss + label_contrastive_weight * label_contrastive_loss +
            data_contrastive_weight * data_contrastive_loss`.
        logits: `(B, L)`.
        classification_loss: scalar.
        label_contrastive_loss, data_contrastive_loss: scalars, unweighted; None where their weight is 0.
        fused_embeds: `(B, D)`, the pooled feature of both sides.
        augmented_embeds: `(B, D)`, the same of the second pass; only in training, and None where its weight is 0.
    """

    loss: FloatTensor | None = None
    logits: FloatTensor | None = None
    classification_loss: FloatTensor | None = None
    label_contrastive_loss: FloatTensor | None = None
    data_contrastive_loss: FloatTensor | None = None
    fused_embeds: FloatTensor | None = None
    augmented_embeds: FloatTensor | None = None


__all__ = [
    "BaselineOutput",
    "ClmlfOutput",
    "MdseModelOutput",
    "MdseOutput",
    "RadmModelOutput",
    "RadmOutput",
    "wanted_states",
]
