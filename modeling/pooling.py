"""Mean over the tokens that are really there."""

from torch import Tensor


def masked_mean(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Average tokens, leaving padding out of the sum and of the count.

    Args:
        tokens: `(B, N, D)`.
        mask: `(B, N)`, True for real tokens; None where all are.

    Returns: `(B, D)`; a row without any real token gives zeros.
    """
    if mask is None:
        return tokens.mean(dim=1)
    weights = mask.unsqueeze(-1).to(tokens.dtype)  # (B, N, 1)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)  # (B, D)


__all__ = ["masked_mean"]
