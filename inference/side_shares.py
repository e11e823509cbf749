"""How much the words and the picture of a post each moved its answer: exact Shapley values of two players.

Shapley, A value for n-person games (1953). A side that is left out is a missing side, as the model itself knows it:
one learned token (a baseline's zeros), never a black image or an empty text.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from duosent.inference.label_odds import odds_of
from duosent.inference.left_as_it_was import left_as_it_was
from duosent.inference.post_logits import model_inputs


class SideValues(NamedTuple):
    """Log-odds of one label with what is there of the post, `(B,)` each. A side that a post lacks is never there."""

    both: Tensor
    words: Tensor
    picture: Tensor
    neither: Tensor


class Shares(NamedTuple):
    """What each side adds to the log-odds, `(B,)` each; together `both - neither`."""

    words: Tensor
    picture: Tensor


@torch.inference_mode()
def side_values(model: PreTrainedModel, batch: dict[str, Tensor], chosen: Tensor) -> SideValues:
    """
    Args:
        batch: a collator's, with both sides.
        chosen: index of the label of each post, `(B,)`.
    """
    rows = len(chosen)
    asked = {name: torch.cat([tensor] * 4) for name, tensor in model_inputs(model, batch).items()}
    text = torch.tensor([True, True, False, False]).repeat_interleave(rows).to(model.device)
    image = torch.tensor([True, False, True, False]).repeat_interleave(rows).to(model.device)
    asked["text_present"] = asked["text_present"] & text
    asked["image_present"] = asked["image_present"] & image
    with left_as_it_was(model):
        logits = model(**asked).logits.float().cpu()
    both, words, picture, neither = odds_of(logits, chosen.cpu().repeat(4), model.config).split(rows)
    # One post in two rows of a batch may differ in the last bit, but what is not there, or not read, moves nothing.
    has_text = batch["text_present"].cpu().bool() & (model.config.text_config is not None)
    has_image = batch["image_present"].cpu().bool() & (model.config.vision_config is not None)
    both = torch.where(has_text, torch.where(has_image, both, words), picture)
    neither = torch.where(has_text, torch.where(has_image, neither, picture), words)
    return SideValues(both, words, picture, neither)


def shapley_shares(values: SideValues) -> Shares:
    """Each side's mean gain over the two orders in which the sides can come in."""
    words = ((values.words - values.neither) + (values.both - values.picture)) / 2
    picture = ((values.picture - values.neither) + (values.both - values.words)) / 2
    return Shares(words, picture)


__all__ = ["Shares", "SideValues", "shapley_shares", "side_values"]
