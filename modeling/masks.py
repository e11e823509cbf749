"""Masks `(B, N)`, True for real tokens; None where all are real, which attention may know without a look."""

import torch
from torch import Tensor


def side_by_side(first: Tensor, first_mask: Tensor | None, second: Tensor, second_mask: Tensor | None):
    """Two sequences as one.

    Args:
        first: `(B, N, D)`, its mask `(B, N)` or None.
        second: `(B, M, D)`, its mask `(B, M)` or None.

    Returns: tokens `(B, N + M, D)` and mask `(B, N + M)`; None where both masks are.
    """
    tokens = torch.cat([first, second], dim=1)
    if first_mask is None and second_mask is None:
        return tokens, None
    masks = [all_real(part) if mask is None else mask for part, mask in ((first, first_mask), (second, second_mask))]
    return tokens, torch.cat(masks, dim=1)


def all_real(tokens: Tensor) -> Tensor:
    """The mask, written out, of tokens `(B, N, D)` that all are real."""
    return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


__all__ = ["all_real", "side_by_side"]
