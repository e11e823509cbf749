"""The two contrastive losses of CLMLF (Li et al., Findings of NAACL 2022): tensors in, a scalar out."""

import torch
import torch.nn.functional as F
from torch import Tensor

from duosent.modeling.losses import IGNORED_LABEL


def label_based_contrastive_loss(features: Tensor, labels: Tensor, temperature: float = 0.07) -> Tensor:
    """Pull the posts of one label together (LBCL).

    `-mean over ordered pairs i != j with l_i = l_j of log(C_ij / sum over k != i of C_ik)`,
    `C_ij = exp(cos(r_i, r_j) / temperature)`.

    Args:
        features: `(B, D)`, one a post; normalised here.
        labels: `(B,)` class indices; a post of -100 takes no part.
        temperature: divides the cosines; > 0.

    Returns: scalar >= 0; 0 with a gradient of 0 where no two posts share a label.
    """
    known = labels != IGNORED_LABEL  # (B,)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    pair = known[:, None] & known[None, :] & ~itself  # (B, B)
    positive = pair & (labels[:, None] == labels[None, :])  # (B, B)
    return _mean_over_pairs(_similarity(features, features, temperature), positive, pair)


def data_based_contrastive_loss(
    features: Tensor, augmented: Tensor, labels: Tensor, temperature: float = 0.07
) -> Tensor:
    """Let each post find its augmented self among the augmented posts of the batch (DBCL).

    `-mean over i of log(C_ii / sum over k of C_ik)`, `C_ij = exp(cos(r_i, r'_j) / temperature)`.

    Args:
        features: `(B, D)`, one a post; normalised here.
        augmented: `(B, D)`, the same posts seen another way.
        labels: `(B,)` class indices; a post of -100 takes no part, as in every loss of the package.
        temperature: divides the cosines; > 0.

    Returns: scalar >= 0; 0 with a gradient of 0 where no post has a label.
    """
    known = labels != IGNORED_LABEL  # (B,)
    pair = known[:, None] & known[None, :]  # (B, B)
    positive = pair & torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return _mean_over_pairs(_similarity(features, augmented, temperature), positive, pair)


def _similarity(rows: Tensor, columns: Tensor, temperature: float) -> Tensor:
    """Cosines over the temperature, `(B, B)`; in float32, also where autocast would take half precision."""
    with torch.autocast(rows.device.type, enabled=False):
        dtype = torch.promote_types(rows.dtype, torch.float32)
        return F.normalize(rows.to(dtype), dim=-1) @ F.normalize(columns.to(dtype), dim=-1).T / temperature


def _mean_over_pairs(similarity: Tensor, positive: Tensor, pair: Tensor) -> Tensor:
    """Mean over the positive pairs of the negative log-softmax along the row's pairs."""
    normaliser = similarity.masked_fill(~pair, -torch.inf).logsumexp(dim=-1, keepdim=True)  # (B, 1)
    each = torch.where(positive, normaliser - similarity, 0.0)  # (B, B)
    return each.sum() / positive.sum().clamp_min(1)


__all__ = ["data_based_contrastive_loss", "label_based_contrastive_loss"]
