"""Losses: tensors in, a scalar out."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

IGNORED_LABEL = -100
ROWS_AT_ONCE = 256  # of the similarity matrix of the contrastive loss


def count_labelled(labels: Tensor) -> Tensor:
    """How many posts have a label: `(B,)` or `(B, L)`, as in `classification_loss` -> scalar"""
    known = labels != IGNORED_LABEL
    return (known if labels.ndim == 1 else known.all(dim=-1)).sum()


def classification_loss(
    logits: Tensor, labels: Tensor, problem_type: str | None = None, num_posts: Tensor | None = None
) -> Tensor:
    """Cross-entropy for one label a post, binary cross-entropy for several.

    Args:
        logits: `(B, L)`.
        labels: `(B,)` class indices, -100 for none; or `(B, L)` of 0 and 1 when `problem_type` is
            "multi_label_classification", a row that holds -100 having no label.
        num_posts: what the sum is divided by, where these posts are part of a larger batch: the posts of all of it
            that have a label. None for those of `labels`.

    Returns: scalar, the mean over the posts that have a label; 0 with a gradient of 0 where none has.
    """
    num_posts = (count_labelled(labels) if num_posts is None else num_posts).clamp_min(1)
    if problem_type == "multi_label_classification":
        known = (labels != IGNORED_LABEL).all(dim=-1)  # (B,)
        targets = labels.to(logits.dtype).masked_fill(~known[:, None], 0.0)
        each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=-1)  # (B,)
        return (each * known).sum() / num_posts

    return F.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="sum") / num_posts


def answer_loss(logits: Tensor, answer_scores: Tensor, num_posts: Tensor | None = None) -> Tensor:
    """Binary cross-entropy against soft answer scores, summed over the answers (visual question answering).

    Args:
        logits: `(B, L)`, one a candidate answer.
        answer_scores: `(B, L)` in [0, 1], how many of the annotators gave the answer.
        num_posts: as in `classification_loss`; every post counts.

    Returns: scalar, mean over posts of the sum over answers.
    """
    targets = answer_scores.to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=-1)  # (B,)
    return each.mean() if num_posts is None else each.sum() / num_posts


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
        if len(views) <= ROWS_AT_ONCE:
            sums = _log_sums(views, labels, 0, len(views), temperature)
        else:
            # Each block is computed again in the backward pass: memory grows with N, not with its square.
            options = {"use_reentrant": False, "preserve_rng_state": False}
            starts = range(0, len(views), ROWS_AT_ONCE)
            blocks = [checkpoint(_log_sums, views, labels, i, ROWS_AT_ONCE, temperature, **options) for i in starts]
            sums = tuple(torch.cat(parts) for parts in zip(*blocks, strict=True))
    positives, pairs, any_positive, any_pair = sums  # each (N,)
    if form == "ratio":
        # Where no row has a positive all of them are let in, so that no -inf reaches the gradient.
        none = ~any_positive.any()
        total = pairs.masked_fill(~(any_pair | none), -torch.inf).logsumexp(dim=0)
        share = positives.masked_fill(~(any_positive | none), -torch.inf).logsumexp(dim=0)
        return torch.where(none, 0.0, total - share)
    each = torch.where(any_positive, pairs - positives, 0.0)
    return each.sum() / any_positive.sum().clamp_min(1)


def _log_sums(views: Tensor, labels: Tensor, first: int, count: int, temperature: float) -> tuple[Tensor, ...]:
    """Of `count` rows (n) from `first` on: the logarithms of the sums of `C_ij` over their positives and over all
    their pairs, and whether they have any of either, each `(n,)`. A sum over nothing is one over all entries."""
    rows = torch.arange(len(labels), device=labels.device)[first : first + count, None]  # (n, 1)
    known = labels != IGNORED_LABEL  # (N,)
    similarity = views[first : first + count] @ views.T / temperature  # (n, N)
    pair = known[rows] & known & (rows != torch.arange(len(labels), device=labels.device))  # (n, N)
    positive = pair & (labels[rows] == labels)
    sums = []
    for mask in (positive, pair):
        # A row without entries is given all, so that no -inf reaches the gradient.
        empty = ~mask.any(dim=-1, keepdim=True)
        sums.append(similarity.masked_fill(~(mask | empty), -torch.inf).logsumexp(dim=-1))
    return *sums, positive.any(dim=-1), pair.any(dim=-1)


def label_set_index(labels: Tensor) -> Tensor:
    """Number the sets of labels: `(N, L)` of 0 and 1 -> `(N,)`, equal where the sets are, -100 where unknown."""
    same = (labels[:, None] == labels[None]).all(dim=-1)  # (N, N)
    first = same.to(torch.uint8).argmax(dim=-1)  # (N,) the first row that holds the same set
    return first.masked_fill((labels == IGNORED_LABEL).any(dim=-1), IGNORED_LABEL)


__all__ = [
    "IGNORED_LABEL",
    "answer_loss",
    "classification_loss",
    "count_labelled",
    "label_set_index",
    "modality_agnostic_contrastive_loss",
]
