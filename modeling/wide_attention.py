"""Attention over the heads of several layers side by side, which keeps their parts for its backward, not the whole."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from duosent.modeling.attention import attend


def attend_side_by_side(
    module: nn.Module,
    config,
    queries: Sequence[Tensor],
    keys: Sequence[Tensor],
    weights: Sequence[Tensor] | None,
    value: Tensor,
    context_mask: Tensor | None,
    scaling: float,
    keep_parts: bool,
) -> Tensor:
    """`softmax(sum_i w_i Q_i K_i^T * scaling + mask) V`, as one attention with heads `l` times as wide.

    Args:
        module, config, context_mask, scaling: see `attend`.
        queries, keys: of `l` layers, `(B, H, Q, d)` and `(B, H, K, d)` each.
        weights: `(B, H, Q)` of each layer, or None for 1.
        value: `(B, H, K, d)`.
        keep_parts: whether backward puts the parts side by side once more, in place of a forward that keeps the whole.

    Returns: `(B, Q, H, d)`.
    """
    width, layers = value.shape[-1], len(keys)
    wide = [weighted_beside(queries, weights), beside(keys), padded(value, layers)]
    if layers == 1 or not (keep_parts and torch.is_grad_enabled()) or torch.compiler.is_compiling():
        answer, _ = attend(module, config, *wide, context_mask, scaling)
        return answer[..., :width]

    again = (
        partial(weighted_beside, detached(queries), None if weights is None else detached(weights)),
        partial(beside, detached(keys)),
        partial(padded, value.detach(), layers),
    )
    kept: list[Kept] = []

    def keep(tensor: Tensor) -> Kept:
        kept.append(Kept(tensor))
        for whole, make in zip(wide, again, strict=True):
            if same_memory(whole, tensor):
                kept[-1].remake = make
        return kept[-1]

    with torch.autograd.graph.saved_tensors_hooks(keep, Kept.take):
        answer, _ = attend(module, config, *wide, context_mask, scaling)  # (B, Q, H, l * d)
    wide.clear()  # the graph holds on to `keep`, and with it to what that sees
    narrow = answer[..., :width].contiguous()
    for of in kept:
        if same_memory(of.tensor, answer.transpose(1, 2)):  # what lies beyond `width` is 0, like the values there
            of.remake = partial(widened, narrow.detach(), layers)
        if of.remake is not None:
            of.tensor = None
    return narrow


class Kept:
    """A tensor that backward needs, or the way to make it again."""

    def __init__(self, tensor: Tensor):
        self.tensor: Tensor | None = tensor
        self.remake: Callable[[], Tensor] | None = None

    def take(self) -> Tensor:
        return self.tensor if self.remake is None else self.remake()


def weighted_beside(queries: Sequence[Tensor], weights: Sequence[Tensor] | None) -> Tensor:
    """`[w_1 Q_1 .. w_l Q_l]`, `(B, H, Q, l * d)`"""
    if weights is not None:
        queries = [query * weight.to(query.dtype)[..., None] for query, weight in zip(queries, weights, strict=True)]
    return beside(queries)


def beside(parts: Sequence[Tensor]) -> Tensor:
    """`(B, H, N, d)` each, in memory as projections leave them, `(B, N, H, d)`: so does attention give its answer."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.transpose(1, 2) for part in parts], dim=-1).transpose(1, 2)


def padded(value: Tensor, layers: int) -> Tensor:
    """Values as wide as the keys: fused kernels want one width, and the CPU's is many times slower without it."""
    return nn.functional.pad(value, (0, value.shape[-1] * (layers - 1))) if layers > 1 else value


def widened(answer: Tensor, layers: int) -> Tensor:
    """The answer `(B, Q, H, d)` as attention gave it, `(B, H, Q, l * d)`."""
    return padded(answer, layers).transpose(1, 2)


def detached(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach() for tensor in tensors]


def same_memory(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride()


__all__ = ["attend_side_by_side"]
