"""Attention over several layers side by side: the sum written out, and what is kept for backward."""

import math
from types import SimpleNamespace

import pytest
import torch
from kept_memory import kept_bytes
from tiny import build, make_batch
from torch.testing import assert_close

from duosent import RadmForImageTextClassification
from duosent.modeling.residual_attention import ResidualAttention
from duosent.modeling.wide_attention import attend_side_by_side

B, H, Q, K, D = 2, 3, 7, 11, 4
SDPA = SimpleNamespace(_attn_implementation="sdpa")


def draw(layers, weighted=True, seed=0, dtype=torch.double, rows=B, queries=Q, keys=K):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    return (
        [random(rows, H, queries, D) for _ in range(layers)],
        [random(rows, H, keys, D) for _ in range(layers)],
        [random(rows, H, queries) for _ in range(layers)] if weighted else None,
        random(rows, H, keys, D),
    )


def module(dropout=0.0):
    """What `attend` reads of a module in training."""
    return SimpleNamespace(training=True, dropout=dropout, is_causal=False)


def attend(parts, mask=None, keep_parts=True, dropout=0.0):
    return attend_side_by_side(module(dropout), SDPA, *parts, mask, D**-0.5, keep_parts)


def leaves(parts):
    queries, keys, weights, value = parts
    return [*queries, *keys, *(weights or []), value]


def gradients(parts, answer):
    (answer * torch.arange(answer.numel(), dtype=answer.dtype).view_as(answer).sin()).sum().backward()
    found = [leaf.grad for leaf in leaves(parts)]
    for leaf in leaves(parts):
        leaf.grad = None
    return found


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_it_is_the_softmax_of_the_sum(layers, weighted):
    parts = draw(layers, weighted)
    mask = torch.ones(B, K, dtype=torch.bool)
    mask[1, 6:] = False
    queries, keys, weights, value = parts
    answer = attend(parts, mask)
    assert answer.shape == (B, Q, H, D)
    for b, h, q in ((0, 0, 0), (0, 2, 6), (1, 1, 3)):
        scores = []
        for k in range(K if b == 0 else 6):
            each = [float((queries[i][b, h, q] * keys[i][b, h, k]).sum()) for i in range(layers)]
            scores.append(sum(s * float(weights[i][b, h, q] if weighted else 1) for i, s in enumerate(each)))
        exponentials = [math.exp(score / math.sqrt(D)) for score in scores]
        expected = sum(e * value[b, h, k] for k, e in enumerate(exponentials)) / sum(exponentials)
        assert_close(answer[b, q, h], expected)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [True, False])
def test_what_is_made_again_is_what_was(weighted, dropout):
    """Bit by bit, in one backward and in a second one."""
    parts, found = draw(3, weighted), []
    for keep_parts in (False, True):
        torch.manual_seed(0)
        answer = attend(parts, keep_parts=keep_parts, dropout=dropout)
        answer.sum().backward(retain_graph=True)
        for leaf in leaves(parts):
            leaf.grad = None
        found.append([answer.detach(), *gradients(parts, answer)])
    for whole, again in zip(*found, strict=True):
        assert torch.equal(whole, again)


def test_the_whole_is_not_kept():
    layers, rows, length = 4, 2, 64
    parts = draw(layers, dtype=torch.float, rows=rows, queries=length, keys=length)
    narrow = rows * H * length * D * 4
    whole = kept_bytes(lambda: attend(parts, keep_parts=False))
    kept = kept_bytes(lambda: attend(parts))
    assert whole >= 4 * layers * narrow  # queries, keys, values and answer
    # The answer, and of each query a number of the kernel's and one of each layer's weight.
    assert narrow < kept <= narrow * (1 + (1 + layers) / D) + 1024


def radm_bytes(checkpointing, parts_in_checkpoints=False):
    model = build(RadmForImageTextClassification, attn_implementation="sdpa", attention_probs_dropout_prob=0.0).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    if parts_in_checkpoints:
        for part in model.modules():
            if isinstance(part, ResidualAttention):
                part.gradient_checkpointing = False
    batch = make_batch()
    return kept_bytes(lambda: model(**batch))


def test_a_checkpointed_layer_keeps_no_parts(without_maps):
    checkpointed = radm_bytes(True)
    assert checkpointed < radm_bytes(True, parts_in_checkpoints=True)
    assert checkpointed < radm_bytes(False)
