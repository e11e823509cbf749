"""RADM's residual attention: the written-out form against loops, the form without maps against the written-out one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from duosent.configuration.configuration_radm import RadmConfig
from duosent.modeling.modeling_radm import build_combination
from duosent.modeling.residual_attention import ResidualAttention

H, D, Q, K, B = 2, 8, 3, 5, 2


def build_stack(kind, layers, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    config = RadmConfig(
        hidden_size=D,
        num_attention_heads=H,
        residual_attention=kind,
        attention_probs_dropout_prob=dropout,
        attn_implementation="sdpa",
    )
    stack = [ResidualAttention(config, build_combination(config, layer)).double() for layer in range(layers)]
    for attention in stack:
        for parameter in attention.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    return torch.nn.ModuleList(stack).eval()


def make_inputs(seed=0, padded=True):
    generator = torch.Generator().manual_seed(seed)
    queries = [torch.randn(B, Q, D, generator=generator, dtype=torch.double) for _ in range(4)]
    contexts = [torch.randn(B, K, D, generator=generator, dtype=torch.double) for _ in range(4)]
    mask = torch.ones(B, K, dtype=torch.bool)
    if padded:
        mask[1, 3:] = False
    return queries, contexts, mask


def run(stack, queries, contexts, mask, with_maps):
    state, answers, traces = None, [], []
    for attention, query, context in zip(stack, queries, contexts, strict=False):
        answer, state, trace = attention(query, context, mask, state, with_maps)
        answers.append(answer)
        traces.append(trace)
    return answers, traces


def loop(stack, kind, queries, contexts, mask):
    """`S = QK^T / sqrt(d)`, `c = cos(S, R)` over valid keys, `g = sigm(Wc + b)`, `R = (gS + R) / 2`."""
    d = D // H
    answers, gates, previous = [], [], None
    for attention, query, context in zip(stack, queries, contexts, strict=False):

        def project(linear, tokens):
            return (tokens @ linear.weight.T + linear.bias).reshape(B, -1, H, d)

        q, k, v = (
            project(linear, tokens)
            for linear, tokens in ((attention.q_proj, query), (attention.k_proj, context), (attention.v_proj, context))
        )
        residual = torch.zeros(B, H, Q, K, dtype=torch.double)
        gate_of_layer = torch.zeros(B, H, Q, dtype=torch.double)
        joined = torch.zeros(B, Q, H, d, dtype=torch.double)
        for b in range(B):
            keys = [j for j in range(K) if mask[b, j]]
            for i in range(Q):
                own = [
                    [sum(float(q[b, i, h, x] * k[b, j, h, x]) for x in range(d)) / math.sqrt(d) for j in range(K)]
                    for h in range(H)
                ]
                if previous is None or kind == "none":
                    rows = own
                elif kind == "add":
                    rows = [[own[h][j] + float(previous[b, h, i, j]) for j in range(K)] for h in range(H)]
                else:
                    cosines = []
                    for h in range(H):
                        before = [float(previous[b, h, i, j]) for j in range(K)]
                        dot = sum(own[h][j] * before[j] for j in keys)
                        norms = sum(own[h][j] ** 2 for j in keys) * sum(before[j] ** 2 for j in keys)
                        cosines.append(dot / math.sqrt(norms))
                    linear = attention.combine.gate.linear
                    rows = []
                    for h in range(H):
                        z = float(linear.bias[h]) + sum(float(linear.weight[h, x]) * cosines[x] for x in range(H))
                        gate = 1 / (1 + math.exp(-z))
                        gate_of_layer[b, h, i] = gate
                        rows.append([(gate * own[h][j] + float(previous[b, h, i, j])) / 2 for j in range(K)])
                for h in range(H):
                    residual[b, h, i] = torch.tensor(rows[h], dtype=torch.double)
                    exponentials = {j: math.exp(rows[h][j]) for j in keys}
                    for j in keys:
                        joined[b, i, h] += exponentials[j] / sum(exponentials.values()) * v[b, j, h]
        out = attention.out_proj
        answers.append(joined.reshape(B, Q, D) @ out.weight.T + out.bias)
        gates.append(gate_of_layer)
        previous = residual
    return answers, gates


@pytest.mark.parametrize("kind", ["gated", "add", "none"])
@torch.no_grad()
def test_written_out_attention_equals_the_loop(kind):
    stack, inputs = build_stack(kind, 3), make_inputs()
    answers, traces = run(stack, *inputs, with_maps=True)
    expected, gates = loop(stack, kind, *inputs)
    for answer, by_hand in zip(answers, expected, strict=True):
        assert_close(answer, by_hand)
    if kind == "gated":
        assert traces[0].gate is None
        for trace, gate in zip(traces[1:], gates[1:], strict=True):
            assert_close(trace.gate, gate)


@pytest.mark.parametrize("kind", ["gated", "add", "none"])
@given(layers=st.integers(1, 4), seed=st.integers(0, 1000), padded=st.booleans())
def test_the_map_need_not_exist(kind, layers, seed, padded):
    """Values and gradients of both forms, in double precision."""
    stack = build_stack(kind, layers, seed=seed)
    queries, contexts, mask = make_inputs(seed, padded)
    results = []
    for with_maps in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in (*queries, *contexts)]
        stack.zero_grad()
        answers, _ = run(stack, leaves[:4], leaves[4:], mask, with_maps)
        sum((answer * (i + 1)).sin().sum() for i, answer in enumerate(answers)).backward()
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        gradients += [parameter.grad.clone() for parameter in stack.parameters()]
        results.append((answers, gradients))
    (plain, plain_gradients), (fast, fast_gradients) = results
    for a, b in zip(plain, fast, strict=True):
        assert_close(b, a, atol=1e-12, rtol=1e-10)
    for a, b in zip(plain_gradients, fast_gradients, strict=True):
        assert_close(b, a, atol=1e-11, rtol=1e-8)


@torch.no_grad()
def test_without_maps_no_score_map_is_built(monkeypatch):
    """The fast form may not multiply queries by keys itself: nothing of the shape (B, H, Q, K) may leave a matmul."""
    stack, inputs = build_stack("gated", 3), make_inputs()
    shapes = []
    original = torch.Tensor.__matmul__

    def spy(a, b):
        result = original(a, b)
        shapes.append(tuple(result.shape))
        return result

    monkeypatch.setattr(torch.Tensor, "__matmul__", spy)
    run(stack, *inputs, with_maps=False)
    assert shapes and (B, H, Q, K) not in shapes
    shapes.clear()
    run(stack, *inputs, with_maps=True)
    assert (B, H, Q, K) in shapes


@torch.no_grad()
def test_scores_of_padding_are_nothing():
    stack, (queries, contexts, mask) = build_stack("gated", 3), make_inputs()
    for trace in run(stack, queries, contexts, mask, with_maps=True)[1]:
        for shown in (trace.scores, trace.weights):
            assert (shown[1, :, :, 3:] == 0).all() and (shown[1, :, :, :3] != 0).all()


@torch.no_grad()
def test_padded_keys_do_not_move_the_gate():
    stack = build_stack("gated", 3)
    queries, contexts, mask = make_inputs()
    other = [context.clone() for context in contexts]
    for context in other:
        context[1, 3:] = 50.0
    for with_maps in (True, False):
        before, _ = run(stack, queries, contexts, mask, with_maps)
        after, _ = run(stack, queries, other, mask, with_maps)
        for a, b in zip(before, after, strict=True):
            assert_close(b, a)


def test_dropout_acts_on_the_attention_in_training():
    stack = build_stack("gated", 2, dropout=0.5).train()
    queries, contexts, mask = make_inputs()
    for with_maps in (True, False):
        answers = [run(stack, queries, contexts, mask, with_maps)[0][1] for _ in range(2)]
        assert not torch.equal(*answers)
