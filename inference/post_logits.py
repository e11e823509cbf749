"""A batch of posts -> logits, and which of the posts the model can read."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from duosent.processing.full_masks import without_full_masks

SIDES = {"text": ("input_ids", "attention_mask", "token_type_ids"), "image": ("pixel_values",)}


@torch.inference_mode()
def post_logits(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """`(B, L)`, float32 on the CPU, whatever the model's own type and device.

    Args:
        batch: a collator's, with both sides. The tower of a side that no post has is not run.
    """
    model.eval()
    inputs = model_inputs(model, without_full_masks(_without_absent_side(batch)))
    return model(**inputs).logits.float().cpu()


def model_inputs(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What of a batch an answer needs, all but the labels, on the model's device."""
    return {name: tensor.to(model.device) for name, tensor in batch.items() if "labels" not in name}


def readable_posts(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """`(B,)` bool, True for posts with a side that the model reads."""
    sides = {"text_present": model.config.text_config, "image_present": model.config.vision_config}
    present = [batch[name] for name, tower in sides.items() if tower is not None and name in batch]
    return torch.stack(present).any(dim=0)


def _without_absent_side(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    absent = [side for side in SIDES if not batch[f"{side}_present"].any()]
    if len(absent) != 1:  # a model needs one of the two to count the posts
        return batch
    return {name: tensor for name, tensor in batch.items() if name not in SIDES[absent[0]]}


__all__ = ["model_inputs", "post_logits", "readable_posts"]
