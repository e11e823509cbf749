"""How two maps of scores go together, row by row, without either of them.

Of `S = query @ key^T` and `T = other_query @ other_key^T` the sum `sum_k S_qk T_qk` over the valid keys is
`query_q^T G other_query_q` with `G = key^T other_key`. It is computed in float32 at least: norms of long rows overflow
in float16 and lose their digits in bfloat16. For backward only what was given is kept, and the rest computed again.
"""

import torch
from torch import Tensor


def score_products(query: Tensor, key: Tensor, other_query: Tensor, other_key: Tensor, valid: Tensor | None) -> Tensor:
    """`sum_k S_qk T_qk`, of two different maps.

    Args:
        query, other_query: `(B, H, Q, d)`.
        key, other_key: `(B, H, K, d)`.
        valid: `(B, K)`, True for real keys, or None.

    Returns: `(B, H, Q)`.
    """
    return _ScoreProducts.apply(query, key, other_query, other_key, valid)


def score_squares(query: Tensor, key: Tensor, valid: Tensor | None) -> Tensor:
    """`sum_k S_qk^2`: as `score_products`, of a map with itself."""
    return _ScoreSquares.apply(query, key, valid)


class _ScoreProducts(torch.autograd.Function):
    @staticmethod
    def forward(query, key, other_query, other_key, valid):
        with torch.autocast(query.device.type, enabled=False):
            gram = _masked(key, valid).mT @ upcast(other_key)  # (B, H, d, d)
            return (upcast(query) @ gram * upcast(other_query)).sum(-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        query, key, other_query, other_key, valid = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            own, other = (upcast(tensor) * gradient[..., None] for tensor in (query, other_query))
            own_keys, other_keys = _masked(key, valid), _masked(other_key, valid)
            gram = own_keys.mT @ other_keys
            of_gram = own.mT @ upcast(other_query)  # (B, H, d, d)
            return (
                (other @ gram.mT).to(query.dtype),
                (other_keys @ of_gram.mT).to(key.dtype),
                (own @ gram).to(other_query.dtype),
                (own_keys @ of_gram).to(other_key.dtype),
                None,
            )


class _ScoreSquares(torch.autograd.Function):
    @staticmethod
    def forward(query, key, valid):
        with torch.autocast(query.device.type, enabled=False):
            keys, queries = _masked(key, valid), upcast(query)
            return (queries @ (keys.mT @ keys) * queries).sum(-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        query, key, valid = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            keys, queries = _masked(key, valid), upcast(query)
            twice = 2 * gradient[..., None] * queries
            of_queries = twice @ (keys.mT @ keys)
            return of_queries.to(query.dtype), (keys @ (twice.mT @ queries)).to(key.dtype), None


def upcast(tensor: Tensor) -> Tensor:
    """In float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _masked(keys: Tensor, valid: Tensor | None) -> Tensor:
    """Keys `(B, H, K, d)` in float32 at least, 0 where they are padding."""
    return upcast(keys) if valid is None else upcast(keys) * valid[:, None, :, None]


__all__ = ["score_products", "score_squares", "upcast"]
