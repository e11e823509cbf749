"""RADM's alignment of words and regions: which part of the picture a word asks, and which words a region asks.

The source shows such maps in its figure 3 and gives no formula; this definition is ours.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from duosent.inference.left_as_it_was import left_as_it_was
from duosent.inference.post_logits import model_inputs
from duosent.modeling.modeling_radm import RadmForImageTextClassification

# Below it a share is 0, and nothing can be divided by it.
SMALLEST = torch.finfo(torch.float64).tiny


class Alignment(NamedTuple):
    """
    Args:
        to_regions: `(B, T, P)`, of each valid text token how its attention lies over the patches; a row sums to 1.
        to_words: `(B, P, T)`, of each patch how its attention lies over the chosen text tokens; a row sums to 1.
    """

    to_regions: Tensor
    to_words: Tensor


@torch.inference_mode()
def alignment(
    model: RadmForImageTextClassification, batch: dict[str, Tensor], word_tokens: Tensor
) -> Alignment | None:
    """Cross-attention over layers and heads, rolled out through the residual scores.

    The residual scores `R_L` of the last interaction layer are a weighted sum of the scores of all layers,
    `R_L = sum_l w_l S_l` with the weights of the gates (design of `modeling/residual_attention.py`), so that their
    softmax is cross-attention over all layers. The alignment is the mean over heads of `softmax(R_L)` over the valid
    tokens of the other side. Then special tokens are left out, the class token of the picture and the tokens of no
    word, and what remains of each row is divided by its sum. With `residual_attention="none"` no scores run on, and
    `R_L` is the last layer's alone.

    Args:
        batch: a collator's, of posts that have both sides.
        word_tokens: `(B, T)` bool, True for tokens of words; at least one a post.

    Returns: in double precision, on the CPU; None of a model without cross-attention (`cross_modal=False`).
    """
    with left_as_it_was(model):
        scores = model(**model_inputs(model, batch), output_cross_scores=True).cross_scores
    if scores is None:
        return None
    text_to_image, image_to_text = (residual.cpu().double() for residual in scores[-1])
    prefix = model.radm.num_prefix_tokens
    valid = batch["attention_mask"].bool().cpu()  # (B, T)
    to_regions = text_to_image.softmax(dim=-1).mean(dim=1)[..., prefix:]  # (B, T, P)
    image_to_text = image_to_text.masked_fill(~valid[:, None, None, :], -torch.inf)
    to_words = image_to_text.softmax(dim=-1).mean(dim=1)[:, prefix:]  # (B, P, T)
    to_words = to_words * word_tokens.cpu()[:, None, :]
    return Alignment(_shares(to_regions) * valid[:, :, None], _shares(to_words))


def _shares(rows: Tensor) -> Tensor:
    return rows / rows.sum(dim=-1, keepdim=True).clamp_min(SMALLEST)


__all__ = ["Alignment", "alignment"]
