"""Cosines between the rows of two maps of scores, with a backward that passes over the maps as seldom as it can.

Of `c = S P / (|S| |P|)`, row by row, the gradients are `dS = u P - v |P|^2 S` and `dP = u S - v |S|^2 P`, with
`u = dc / (|S| |P|)` and `v = u c / (|S| |P|)`. Maps are large and arithmetic on them is little, so a pass over them is
what counts. It is computed in float32 at least: norms of long rows overflow in float16 and lose their digits in
bfloat16.
"""

import torch
from torch import Tensor

# Below this product of squares two rows count as having no direction in common.
EPS = 1e-20


def row_cosines(scores: Tensor, others: Tensor) -> Tensor:
    """Two maps `(B, H, Q, K)` -> `(B, H, Q)`. A row of zeros has the cosine 0 with any other one."""
    return _RowCosines.apply(scores, others)


def cosine(product: Tensor, square: Tensor, other_square: Tensor) -> Tensor:
    """Of rows whose product and squares are known, all of one shape."""
    return product * _inverse_norms(square, other_square)


class _RowCosines(torch.autograd.Function):
    @staticmethod
    def forward(scores, others):
        product = (upcast(scores) * others).sum(dim=-1)
        return cosine(product, _row_squares(scores), _row_squares(others))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, gradient):
        scores, others, cosines = ctx.saved_tensors
        square, other_square = _row_squares(scores), _row_squares(others)
        inverse = _inverse_norms(square, other_square)
        across = gradient * inverse  # u
        along = across * cosines * inverse * (square * other_square > EPS)  # v
        of_scores = _combined(scores, -along * other_square, others, across)
        return of_scores, _combined(others, -along * square, scores, across)


def _combined(one: Tensor, weight: Tensor, other: Tensor, other_weight: Tensor) -> Tensor:
    """Both maps by a weight a row, `(B, H, Q)`, added, in the dtype of the weights."""
    return (one * weight[..., None]).addcmul_(other, other_weight[..., None])


def _row_squares(scores: Tensor) -> Tensor:
    dtype = torch.promote_types(scores.dtype, torch.float32)
    return torch.linalg.vector_norm(scores, dim=-1, dtype=dtype).square()


def _inverse_norms(square: Tensor, other_square: Tensor) -> Tensor:
    return (square * other_square).clamp_min(EPS).rsqrt()


def upcast(tensor: Tensor) -> Tensor:
    """In float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


__all__ = ["cosine", "row_cosines", "upcast"]
