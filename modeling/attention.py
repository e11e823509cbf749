"""Attention bricks: one modality asks, another (or the same) answers."""

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def additive_mask(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Turn `(B, K)`, True for real tokens, into `(B, 1, 1, K)`: 0 for them, the dtype's lowest number for padding."""
    if mask is None:
        return None
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)[:, None, None, :]


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[Tensor, Tensor]:
    """Attention written out, for the sake of its map.

    Args:
        query, key, value: `(B, H, Q, d)`, `(B, H, K, d)`, `(B, H, K, d)`.
        attention_mask: added to the scores, `(B, 1, 1 or Q, K)`.

    Returns: answer `(B, Q, H, d)` and map `(B, H, Q, K)`.
    """
    scores = query @ key.transpose(-1, -2) * scaling  # (B, H, Q, K)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(dim=-1)
    answer = nn.functional.dropout(weights, p=dropout, training=module.training) @ value  # (B, H, Q, d)
    return answer.transpose(1, 2).contiguous(), weights


def attend(module, config, query, key, value, context_mask, scaling, output_attentions=False):
    """Run the attention that `config.attn_implementation` names; the written-out one where its map is wanted.

    Args:
        module: whose `training` and `dropout` hold.
        query, key, value: `(B, H, Q, w)`, `(B, H, K, w)`, `(B, H, K, w)`.
        context_mask: `(B, K)`, True for real tokens, or None.

    Returns: answer `(B, Q, H, w)`, and the map `(B, H, Q, K)` or None.
    """
    implementation = "eager" if output_attentions else config._attn_implementation
    if implementation == "eager":
        mask = additive_mask(context_mask, query.dtype)
    elif implementation == "sdpa":
        # One row for all queries, and no question to the device whether it hides anything.
        mask = None if context_mask is None else context_mask[:, None, None, :]  # (B, 1, 1, K)
    else:
        # The mask builder reads batch and lengths from (B, N, ...) tensors.
        mask = create_bidirectional_mask(
            config, query.transpose(1, 2), context_mask, encoder_hidden_states=key.transpose(1, 2)
        )
    interface = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention)
    dropout = module.dropout if module.training else 0.0
    answer, weights = interface(module, query, key, value, mask, scaling=scaling, dropout=dropout, is_causal=False)
    return answer, weights if output_attentions else None


class MultiHeadAttention(nn.Module):
    """Multi-head attention of one sequence over another."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.scaling = (config.hidden_size // config.num_attention_heads) ** -0.5
        self.dropout = config.attention_probs_dropout_prob
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, query, context, context_mask=None, output_attentions=False) -> tuple[Tensor, Tensor | None]:
        """Let `query` ask and `context` answer.

        Args:
            query: `(B, Q, D)`.
            context: `(B, K, D)`.
            context_mask: `(B, K)`, True for real tokens, False for padding. None attends to all.

        Returns: `(B, Q, D)`, and the map `(B, H, Q, K)` where `output_attentions`.
        """
        q = split_heads(self.q_proj(query), self.num_heads)  # (B, H, Q, d)
        k = split_heads(self.k_proj(context), self.num_heads)  # (B, H, K, d)
        v = split_heads(self.v_proj(context), self.num_heads)  # (B, H, K, d)
        answer, weights = attend(self, self.config, q, k, v, context_mask, self.scaling, output_attentions)
        return self.out_proj(answer.flatten(2)), weights  # (B, Q, D)


class FeedForward(nn.Module):
    """`D -> intermediate_size -> D`, residual and layer norm."""

    def __init__(self, config):
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.contract = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, N, D)` -> `(B, N, D)`"""
        return self.norm(tokens + self.dropout(self.contract(self.activation(self.expand(tokens)))))


class AttentionBlock(GradientCheckpointingLayer):
    """FF(CA(.)) and FF(SA(.)): attention, residual and layer norm on the query's stream, then a feed-forward block."""

    def __init__(self, config):
        super().__init__()
        self.attention = MultiHeadAttention(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)

    def forward(self, query, context, context_mask, output_attentions=False) -> tuple[Tensor, Tensor | None]:
        """
        Args:
            query: `(B, Q, D)`; context: `(B, K, D)`.
            context_mask: `(B, K)`, True for real tokens, or None for all.

        Returns: `(B, Q, D)`, and the map `(B, H, Q, K)` where `output_attentions`.
        """
        answer, weights = self.attention(query, context, context_mask, output_attentions)
        return self.feed_forward(self.norm(query + self.dropout(answer))), weights


def attention_blocks(config, depth: int) -> nn.ModuleList:
    """A stack of `depth` blocks."""
    return nn.ModuleList(AttentionBlock(config) for _ in range(depth))


def self_attend(blocks: nn.ModuleList, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Each block over the tokens themselves: `(B, N, D)`, mask `(B, N)`, True for real tokens, or None for all ->
    `(B, N, D)`"""
    for block in blocks:
        tokens, _ = block(tokens, tokens, mask)
    return tokens


def split_heads(tokens: Tensor, num_heads: int) -> Tensor:
    """`(B, N, D)` -> `(B, H, N, d)`"""
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


__all__ = [
    "AttentionBlock",
    "FeedForward",
    "MultiHeadAttention",
    "additive_mask",
    "attend",
    "attention_blocks",
    "eager_attention",
    "self_attend",
    "split_heads",
]
