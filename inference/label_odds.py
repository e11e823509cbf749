"""How sure a model is of a label, as a number that adds up: its log-odds."""

import torch
from torch import Tensor

from duosent.modeling.fitted_calibration import calibrated_logits, task_widths


def label_odds(logits: Tensor, config) -> Tensor:
    """`log(p / (1 - p))` of each label's score `p`: `(B, L)` -> `(B, L)`

    Each logit less the logarithm of the others' summed exponentials, over the labels of its task; of two labels the
    difference of the two logits. Of a model with several labels a post each is its own logit. Of a calibrated model
    the logits are divided by its temperatures, as they are for the score.
    """
    logits = calibrated_logits(logits, config)
    if config.problem_type == "multi_label_classification":
        return logits
    spans = logits.split(list(task_widths(config).values()), dim=-1)
    return torch.cat([span - others(span) for span in spans], dim=-1)


def others(span: Tensor) -> Tensor:
    """Of each label the log of the other labels' summed exponentials: `(B, n)` -> `(B, n)`"""
    itself = torch.eye(span.shape[-1], dtype=torch.bool, device=span.device)
    return span.unsqueeze(-2).masked_fill(itself, -torch.inf).logsumexp(dim=-1)


def odds_of(logits: Tensor, chosen: Tensor, config) -> Tensor:
    """The log-odds of one label a post: logits `(B, L)`, index of the label `(B,)` -> `(B,)`"""
    return label_odds(logits, config).gather(-1, chosen.unsqueeze(-1)).squeeze(-1)


__all__ = ["label_odds", "odds_of"]
