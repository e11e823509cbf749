"""Losses: tensors in, a scalar out."""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED_LABEL = -100


def classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None = None) -> Tensor:
    """Cross-entropy for one label a post, binary cross-entropy for several.

    Args:
        logits: `(B, L)`.
        labels: `(B,)` class indices, -100 for none; or `(B, L)` of 0 and 1 when `problem_type` is
            "multi_label_classification", a row that holds -100 having no label.

    Returns: scalar, the mean over the posts that have a label; 0 with a gradient of 0 where none has.
    """
    if problem_type == "multi_label_classification":
        known = (labels != IGNORED_LABEL).all(dim=-1)  # (B,)
        targets = labels.to(logits.dtype).masked_fill(~known[:, None], 0.0)
        each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=-1)  # (B,)
        return (each * known).sum() / known.sum().clamp_min(1)

    known = labels != IGNORED_LABEL  # (B,)
    return F.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="sum") / known.sum().clamp_min(1)


def answer_loss(logits: Tensor, answer_scores: Tensor) -> Tensor:
    """Binary cross-entropy against soft answer scores, summed over the answers (visual question answering).

    Args:
        logits: `(B, L)`, one a candidate answer.
        answer_scores: `(B, L)` in [0, 1], how many of the annotators gave the answer.

    Returns: scalar, mean over posts of the sum over answers.
    """
    targets = answer_scores.to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=-1).mean()


def modality_agnostic_contrastive_loss(
    views: Tensor, labels: Tensor, temperature: float = 0.07, form: str = "anchor"
) -> Tensor:
    """Pull all views of one sentiment together, whichever modality and post they come from (MDSE, (10) and (11)).

    With `C_ij = exp(cos(e_i, e_j) / temperature)` over pairs `i != j`:
    `"ratio"`, (11) as printed: `-log(sum over pairs with l_i = l_j of C_ij / sum over all pairs of C_ij)`;
    `"anchor"`: the mean over anchors `i` that have a positive of `-log(sum_{l_j = l_i} C_ij / sum_j C_ij)`.

    Args:
        views: `(N, D)`, one feature a row; normalised here.
        labels: `(N,)` class indices; a row of -100 takes no part.
        temperature: divides the cosines; > 0.
        form: "anchor" or "ratio".

    Returns: scalar >= 0. An anchor without a positive is left out of the mean; without any positive pair the loss is
        0 and so is its gradient.

    Raises:
        ValueError: for an unknown `form`.
    """
    if form not in ("anchor", "ratio"):
        raise ValueError(f'form must be "anchor" or "ratio", got {form!r}.')
    # Sums of exponentials need float32, also where autocast would run the product in half precision.
    with torch.autocast(views.device.type, enabled=False):
        views = F.normalize(views.to(torch.promote_types(views.dtype, torch.float32)), dim=-1)
        similarity = views @ views.T / temperature  # (N, N)

    known = labels != IGNORED_LABEL  # (N,)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    pair = known[:, None] & known[None, :] & ~itself  # (N, N)
    positive = pair & (labels[:, None] == labels[None, :])  # (N, N)
    if form == "ratio":
        return _minus_log_share(similarity.flatten(), positive.flatten(), pair.flatten())
    each = _minus_log_share(similarity, positive, pair)  # (N,)
    return each.sum() / positive.any(dim=-1).sum().clamp_min(1)


def _minus_log_share(similarity: Tensor, positive: Tensor, pair: Tensor) -> Tensor:
    """`-log(sum exp over positive / sum exp over pair)` along the last axis, 0 where nothing is positive."""
    any_positive = positive.any(dim=-1, keepdim=True)
    # A row without positives is given all its entries, so that no -inf reaches the gradient.
    numerator = similarity.masked_fill(~(positive | ~any_positive), -torch.inf).logsumexp(dim=-1)
    denominator = similarity.masked_fill(~(pair | ~any_positive), -torch.inf).logsumexp(dim=-1)
    return torch.where(any_positive.squeeze(-1), denominator - numerator, 0.0)


__all__ = ["IGNORED_LABEL", "answer_loss", "classification_loss", "modality_agnostic_contrastive_loss"]
