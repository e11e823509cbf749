"""How two maps of scores go together, row by row, without either of them.

Of `S = query @ key^T` and `T = other_query @ other_key^T` the sum `sum_k S_qk T_qk` is `query_q^T G other_query_q`
with `G = key^T other_key`. It is computed in float32 at least: norms of long rows overflow in float16 and lose their
digits in bfloat16. For backward only what was given is kept, and the rest computed again.
"""

import torch
from torch import Tensor

from duosent.modeling.row_cosines import upcast


def score_products(query: Tensor, key: Tensor, other_query: Tensor, other_key: Tensor) -> Tensor:
    """`sum_k S_qk T_qk`, of two different maps.

    Args:
        query, other_query: `(B, H, Q, d)`.
        key, other_key: `(B, H, K, d)`, 0 for padding, which then adds nothing.

    Returns: `(B, H, Q)`.
    """
    return _ScoreProducts.apply(query, key, other_query, other_key)


def score_squares(query: Tensor, key: Tensor) -> Tensor:
    """`sum_k S_qk^2`: as `score_products`, of a map with itself."""
    return _ScoreSquares.apply(query, key)


class _ScoreProducts(torch.autograd.Function):
    @staticmethod
    def forward(query, key, other_query, other_key):
        with torch.autocast(query.device.type, enabled=False):
            gram = upcast(key).mT @ upcast(other_key)  # (B, H, d, d)
            return (upcast(query) @ gram * upcast(other_query)).sum(-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        query, key, other_query, other_key = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            own, other = (upcast(tensor) * gradient[..., None] for tensor in (query, other_query))
            own_keys, other_keys = upcast(key), upcast(other_key)
            gram = own_keys.mT @ other_keys
            of_gram = own.mT @ upcast(other_query)  # (B, H, d, d)
            return (
                (other @ gram.mT).to(query.dtype),
                (other_keys @ of_gram.mT).to(key.dtype),
                (own @ gram).to(other_query.dtype),
                (own_keys @ of_gram).to(other_key.dtype),
            )


class _ScoreSquares(torch.autograd.Function):
    @staticmethod
    def forward(query, key):
        with torch.autocast(query.device.type, enabled=False):
            keys, queries = upcast(key), upcast(query)
            return (queries @ (keys.mT @ keys) * queries).sum(-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        query, key = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            keys, queries = upcast(key), upcast(query)
            twice = 2 * gradient[..., None] * queries
            of_queries = twice @ (keys.mT @ keys)
            return of_queries.to(query.dtype), (keys @ (twice.mT @ queries)).to(key.dtype)


__all__ = ["score_products", "score_squares"]
