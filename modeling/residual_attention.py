"""Multi-head residual attention of RADM (MHRA): a layer's scores meet those of the layer before.

`S_l = Q_l K_l^T / sqrt(d)` are a layer's own scores and `R_l` its residual scores; `R_1 = S_1`, and
`softmax(R_l) V_l` is the answer. Each way to combine is written twice. `maps` takes and gives `R` itself,
`(B, H, Q, K)`. `factors` never builds it: the gate is one number per head and query row, so `R_l` stays a sum
`w_1 S_1 + .. + w_l S_l`, and a product of wide queries and wide keys,
`R_l = [w_1 Q_1 .. w_l Q_l] [K_1 .. K_l]^T / sqrt(d)`, which fused attention takes as it is. Both give the same values
and gradients. Keys of padding are 0, so that its scores are 0 and add nothing to a product or a norm of rows.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from duosent.modeling.attention import additive_mask, split_heads
from duosent.modeling.row_cosines import cosine, row_cosines
from duosent.modeling.score_products import score_products, score_squares
from duosent.modeling.wide_attention import attend_side_by_side


class ScoreFactors(NamedTuple):
    """Residual scores as a sum that is never carried out: `R = sum_i weights_i * (queries_i @ keys_i^T) / sqrt(d)`.

    Args:
        queries, keys: of layers 1 to l, `(B, H, Q, d)` and `(B, H, K, d)` each.
        weights: `(B, H, Q)` each, or None for 1.
        squares: `(B, H, Q)`, the squares of each row of `R * sqrt(d)`, once a gate has asked.
    """

    queries: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    weights: tuple[Tensor, ...] | None = None
    squares: Tensor | None = None


class ResidualAttentionGate(nn.Module):
    """How much of a layer's own scores is let in: one number per head and query row."""

    def __init__(self, num_heads: int):
        super().__init__()
        self.linear = nn.Linear(num_heads, num_heads)

    def forward(self, cosine: Tensor) -> Tensor:
        """Cosine of own and previous scores `(B, H, Q)` -> gate in (0, 1), `(B, H, Q)`."""
        return self.linear(cosine.transpose(1, 2).to(self.linear.weight.dtype)).transpose(1, 2).sigmoid()


class OwnScores(nn.Module):
    """`R_l = S_l`: the first layer of a stack, and every layer of plain attention."""

    def maps(self, scores, previous):
        return scores, None

    def factors(self, query, key, previous):
        return ScoreFactors((query,), (key,)), None


class AddedScores(nn.Module):
    """`R_l = S_l + R_{l-1}` (RealFormer, He et al. 2021; ablation rm_rg of RADM)."""

    def maps(self, scores, previous):
        return scores + previous, None

    def factors(self, query, key, previous):
        return ScoreFactors((*previous.queries, query), (*previous.keys, key)), None


class GatedScores(nn.Module):
    """`c = cos(S_l, R_{l-1})` over the valid keys, `g = sigmoid(W c)`, `R_l = (g * S_l + R_{l-1}) / 2`."""

    def __init__(self, num_heads: int):
        super().__init__()
        self.gate = ResidualAttentionGate(num_heads)

    def maps(self, scores: Tensor, previous: Tensor):
        """
        Args:
            scores, previous: `S_l` and `R_{l-1}`, `(B, H, Q, K)`, 0 for padding.

        Returns: `R_l` `(B, H, Q, K)` and the gate `(B, H, Q)`.
        """
        gate = self.gate(row_cosines(scores, previous)).to(scores.dtype)
        # Halves on the way: every step over a map is one more pass over it.
        return torch.add(scores * (gate / 2).unsqueeze(-1), previous, alpha=0.5), gate

    def factors(self, query: Tensor, key: Tensor, previous: ScoreFactors):
        """
        Args:
            query, key: `(B, H, Q, d)`, `(B, H, K, d)`, keys 0 for padding.
            previous: factors of `R_{l-1}`.

        Returns: factors of `R_l` and the gate `(B, H, Q)`.
        """
        weights = previous.weights or (torch.ones_like(query[..., 0]),)
        before = previous.squares
        if before is None:  # of the first layer, whose scores are its residual scores
            before = score_squares(*previous.queries, *previous.keys)
        own = score_squares(query, key)
        product = sum(
            weight * score_products(query, key, old_query, old_key)
            for weight, old_query, old_key in zip(weights, previous.queries, previous.keys, strict=True)
        )
        gate = self.gate(cosine(product, own, before))
        squares = (gate.square() * own + 2 * gate * product + before) / 4
        weights = tuple(weight / 2 for weight in (*weights, gate))
        return ScoreFactors((*previous.queries, query), (*previous.keys, key), weights, squares), gate


class AttentionTrace(NamedTuple):
    """What one residual attention shows: map and residual scores `(B, H, Q, K)`, gate `(B, H, Q)`."""

    weights: Tensor
    scores: Tensor
    gate: Tensor | None


class ResidualAttention(nn.Module):
    """Multi-head attention whose scores run on from layer to layer.

    Args:
        config: a `RadmConfig`.
        combine: how own and previous scores meet: `OwnScores`, `AddedScores` or `GatedScores`.
    """

    # transformers sets it wherever it stands: a checkpointed layer keeps nothing, so nothing is kept in parts.
    gradient_checkpointing = False

    def __init__(self, config, combine: nn.Module):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.scaling = (config.hidden_size // config.num_attention_heads) ** -0.5
        self.dropout = config.attention_probs_dropout_prob
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.combine = combine

    def forward(self, query, context, context_mask, previous, with_maps):
        """
        Args:
            query: `(B, Q, D)`.
            context: `(B, K, D)`.
            context_mask: `(B, K)`, True for real tokens, or None.
            previous: residual scores of the layer before in this stack, a map `(B, H, Q, K)` where `with_maps`, else
                `ScoreFactors`; None in the first layer.
            with_maps: build the maps (to look at them, or under eager attention) or never do.

        Returns: answer `(B, Q, D)`, residual scores for the next layer, and an `AttentionTrace` or None.
        """
        q = split_heads(self.q_proj(query), self.num_heads)  # (B, H, Q, d)
        k = split_heads(self.k_proj(context), self.num_heads)  # (B, H, K, d)
        v = split_heads(self.v_proj(context), self.num_heads)  # (B, H, K, d)
        if context_mask is not None:
            k = k * context_mask[:, None, :, None]
        if with_maps:
            answer, residual, trace = self._with_maps(q, k, v, context_mask, previous)
        else:
            answer, residual, trace = self._without_maps(q, k, v, context_mask, previous)
        return self.out_proj(answer.flatten(2)), residual, trace  # (B, Q, D)

    def _with_maps(self, q, k, v, context_mask, previous):
        scores = q * self.scaling @ k.mT  # (B, H, Q, K)
        residual, gate = self.combine.maps(scores, previous)
        mask = additive_mask(context_mask, residual.dtype)
        weights = (residual if mask is None else residual + mask).softmax(dim=-1)
        answer = nn.functional.dropout(weights, p=self.dropout, training=self.training) @ v  # (B, H, Q, d)
        return answer.transpose(1, 2), residual, AttentionTrace(weights, residual, gate)

    def _without_maps(self, q, k, v, context_mask, previous):
        residual, _ = self.combine.factors(q, k, previous)
        keep_parts = not (self.gradient_checkpointing and self.training)
        answer = attend_side_by_side(
            self, self.config, *residual[:3], v, context_mask, self.scaling, keep_parts
        )  # (B, Q, H, d)
        return answer, residual, None


__all__ = [
    "AddedScores",
    "AttentionTrace",
    "GatedScores",
    "OwnScores",
    "ResidualAttention",
    "ResidualAttentionGate",
    "ScoreFactors",
]
