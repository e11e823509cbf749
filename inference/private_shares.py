"""MDSE's shared and private features of a post: importance of each word and patch, and scores without a private one.

Equation numbers are those of the paper (ICASSP 2024), whose figure 2 shows the scores.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from duosent.inference.left_as_it_was import left_as_it_was
from duosent.inference.post_logits import model_inputs
from duosent.modeling.modeling_mdse import MdseForImageTextClassification

# The parts that a config's `text_private` and `image_private` build.
PRIVATE_PARTS = {"text": ("private_text", "text_fusion"), "image": ("private_image", "image_fusion")}


class SharedParts(NamedTuple):
    """What one side shares with the other, and what (5) keeps.

    Args:
        importance: (4), `(B, N)`; over a post's valid tokens it sums to 1, elsewhere it is 0. High where a token is
            like what the other side drew from this one.
        kept: what (5) multiplies each token by, `(B, N)`: `1 - importance`, or with `private_contrast="max"`
            `1 - importance / max`.
    """

    importance: Tensor
    kept: Tensor


@torch.inference_mode()
def shared_parts(model: MdseForImageTextClassification, batch: dict[str, Tensor]) -> dict[str, SharedParts]:
    """Of "text" `(B, T)` and "image" `(B, P)`, the class token left out; a side that the model learns nothing private
    of is not there.

    Args:
        batch: a collator's, with both sides. Of a side that a post lacks the one learned token has it all.
    """
    with left_as_it_was(model):
        output = model(**model_inputs(model, batch), output_importance=True)
    parts = {}
    for side, importance in (("text", output.text_importance), ("image", output.image_importance)):
        if importance is not None:
            learning = getattr(model.mdse, f"private_{side}")
            parts[side] = SharedParts(importance.float().cpu(), learning.contrast(importance).float().cpu())
    return parts


def without_private(model: MdseForImageTextClassification, side: str) -> MdseForImageTextClassification:
    """The model as its config's `text_private=False` or `image_private=False` builds it, over the same weights: that
    side's `f` is `f^s`. The model itself, and its config, stay as they are.

    Args:
        side: "text" or "image".
    """
    inner = _with_parts(model.mdse, dict.fromkeys(PRIVATE_PARTS[side]))
    return _with_parts(model, {"mdse": inner})


@torch.inference_mode()
def private_logits(model: MdseForImageTextClassification, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logits `(B, L)` of the full model under "full", and as far as it has private features, under
    "without_text_private" and "without_image_private" what it says when one side's are left out.

    One model, whose other weights were trained beside the missing ones: an intervention, not the paper's separately
    trained models.
    """
    inputs = model_inputs(model, batch)
    with left_as_it_was(model):
        logits = {"full": model(**inputs).logits}
        for side in PRIVATE_PARTS:
            if getattr(model.mdse, f"private_{side}") is not None:
                logits[f"without_{side}_private"] = without_private(model, side)(**inputs).logits
    return {name: row.float().cpu() for name, row in logits.items()}


def _with_parts(module: PreTrainedModel, parts: dict) -> PreTrainedModel:
    """The module once more, over the same weights, some of its parts exchanged."""
    view = copy.copy(module)
    view._modules = {**module._modules, **parts}
    return view


__all__ = ["PRIVATE_PARTS", "SharedParts", "private_logits", "shared_parts", "without_private"]
