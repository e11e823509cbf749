"""Multi-head residual attention of RADM (MHRA): a layer's scores meet those of the layer before.

`S_l = Q_l K_l^T / sqrt(d)` are a layer's own scores and `R_l` its residual scores; `R_1 = S_1`, and
`softmax(R_l) V_l` is the answer. Each way to combine is written twice. `maps` takes and gives `R` itself,
`(B, H, Q, K)`. `factors` never builds it: the gate is one number per head and query row, so `R_l` stays a product of
wide queries and wide keys, `R_l = [w_1 Q_1 .. w_l Q_l] [K_1 .. K_l]^T / sqrt(d)`, which fused attention takes as it
is. Both give the same values and gradients.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from duosent.modeling.attention import additive_mask, attend, split_heads

# Below this product of norms two rows of scores count as having no direction in common.
COSINE_EPS = 1e-20


class ScoreFactors(NamedTuple):
    """Residual scores as a product that is never carried out: `R = queries @ keys^T / sqrt(d)`.

    Args:
        queries: `(B, H, Q, l * d)`, the weighted queries of layers 1 to l side by side.
        keys: `(B, H, K, l * d)`, their keys.
    """

    queries: Tensor
    keys: Tensor


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

    def maps(self, scores, previous, valid):
        return scores, None

    def factors(self, query, key, previous, valid):
        return ScoreFactors(query, key), None


class AddedScores(nn.Module):
    """`R_l = S_l + R_{l-1}` (RealFormer, He et al. 2021; ablation rm_rg of RADM)."""

    def maps(self, scores, previous, valid):
        return scores + previous, None

    def factors(self, query, key, previous, valid):
        queries = torch.cat([previous.queries, query], dim=-1)  # (B, H, Q, l * d)
        return ScoreFactors(queries, torch.cat([previous.keys, key], dim=-1)), None


class GatedScores(nn.Module):
    """`c = cos(S_l, R_{l-1})` over the valid keys, `g = sigmoid(W c)`, `R_l = (g * S_l + R_{l-1}) / 2`."""

    def __init__(self, num_heads: int):
        super().__init__()
        self.gate = ResidualAttentionGate(num_heads)

    def maps(self, scores: Tensor, previous: Tensor, valid: Tensor | None):
        """
        Args:
            scores, previous: `S_l` and `R_{l-1}`, `(B, H, Q, K)`, unmasked.
            valid: `(B, K)`, True for real keys, or None.

        Returns: `R_l` `(B, H, Q, K)` and the gate `(B, H, Q)`.
        """
        own, before = _upcast(scores), _upcast(previous)
        if valid is not None:
            own = own * valid[:, None, None, :]
            before = before * valid[:, None, None, :]
        cosine = _cosine((own * before).sum(-1), own.square().sum(-1), before.square().sum(-1))  # (B, H, Q)
        gate = self.gate(cosine).to(scores.dtype)
        return (gate.unsqueeze(-1) * scores + previous) / 2, gate

    def factors(self, query: Tensor, key: Tensor, previous: ScoreFactors, valid: Tensor | None):
        """
        Args:
            query, key: `(B, H, Q, d)`, `(B, H, K, d)`.
            previous: factors of `R_{l-1}`.
            valid: `(B, K)`, True for real keys, or None.

        Returns: factors of `R_l`, `l * d` wide, and the gate `(B, H, Q)`.
        """
        # With G = K_a^T K_b over the valid keys, the product of two rows of scores is q_a G q_b: no (Q, K) map is
        # needed.
        with torch.autocast(query.device.type, enabled=False):
            own_query, own_key = _upcast(query), _upcast(key)
            old_queries, old_keys = _upcast(previous.queries), _upcast(previous.keys)
            if valid is not None:
                own_key = own_key * valid[:, None, :, None]
                old_keys = old_keys * valid[:, None, :, None]
            own_gram = own_key.mT @ own_key  # (B, H, d, d)
            cross_gram = old_keys.mT @ own_key  # (B, H, (l-1) * d, d)
            old_gram = old_keys.mT @ old_keys  # (B, H, (l-1) * d, (l-1) * d)
            cosine = _cosine(
                (old_queries @ cross_gram * own_query).sum(-1),
                (own_query @ own_gram * own_query).sum(-1),
                (old_queries @ old_gram * old_queries).sum(-1),
            )  # (B, H, Q)
        gate = self.gate(cosine).to(query.dtype)
        queries = torch.cat([previous.queries, gate.unsqueeze(-1) * query], dim=-1) / 2  # (B, H, Q, l * d)
        return ScoreFactors(queries, torch.cat([previous.keys, key], dim=-1)), gate


def _upcast(tensor: Tensor) -> Tensor:
    """Norms of long rows overflow in float16 and lose their digits in bfloat16."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _cosine(product: Tensor, square_a: Tensor, square_b: Tensor) -> Tensor:
    return product * (square_a * square_b).clamp_min(COSINE_EPS).rsqrt()


class AttentionTrace(NamedTuple):
    """What one residual attention shows: map and unmasked residual scores `(B, H, Q, K)`, gate `(B, H, Q)`."""

    weights: Tensor
    scores: Tensor
    gate: Tensor | None


class ResidualAttention(nn.Module):
    """Multi-head attention whose scores run on from layer to layer.

    Args:
        config: a `RadmConfig`.
        combine: how own and previous scores meet: `OwnScores`, `AddedScores` or `GatedScores`.
    """

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
        if with_maps:
            answer, residual, trace = self._with_maps(q, k, v, context_mask, previous)
        else:
            answer, residual, trace = self._without_maps(q, k, v, context_mask, previous)
        return self.out_proj(answer.flatten(2)), residual, trace  # (B, Q, D)

    def _with_maps(self, q, k, v, context_mask, previous):
        scores = q @ k.mT * self.scaling  # (B, H, Q, K)
        residual, gate = self.combine.maps(scores, previous, context_mask)
        mask = additive_mask(context_mask, residual.dtype)
        weights = (residual if mask is None else residual + mask).softmax(dim=-1)
        answer = nn.functional.dropout(weights, p=self.dropout, training=self.training) @ v  # (B, H, Q, d)
        return answer.transpose(1, 2), residual, AttentionTrace(weights, residual, gate)

    def _without_maps(self, q, k, v, context_mask, previous):
        residual, _ = self.combine.factors(q, k, previous, context_mask)
        width = v.shape[-1]
        # Values as wide as the keys: fused kernels want one width, and the CPU's is many times slower without it.
        wide_values = nn.functional.pad(v, (0, residual.keys.shape[-1] - width))  # (B, H, K, l * d)
        queries, keys = residual.queries.to(v.dtype), residual.keys.to(v.dtype)
        answer, _ = attend(self, self.config, queries, keys, wide_values, context_mask, self.scaling)
        return answer[..., :width], residual, None  # (B, Q, H, d)


__all__ = [
    "AddedScores",
    "AttentionTrace",
    "GatedScores",
    "OwnScores",
    "ResidualAttention",
    "ResidualAttentionGate",
    "ScoreFactors",
]
