"""TFN and LMF against plain loops over the whole tensor."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from hypothesis import given
from hypothesis import strategies as st
from tiny import build, make_batch
from torch.testing import assert_close

import duosent
from duosent.modeling.modeling_lmf import LowRankFusion
from duosent.modeling.modeling_tfn import SideNetwork, TensorFusion


def features(width: int, rows: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, width, generator=generator, dtype=torch.float64) for _ in range(2))


def drawn(fusion: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return fusion.double()


def fused_by_hand(text, image, weight, bias) -> torch.Tensor:
    """`W ([t; 1] outer [v; 1]) + b`, entry by entry; weight `(D, D + 1, D + 1)`."""
    rows = []
    for t, v in zip(text.tolist(), image.tolist(), strict=True):
        t, v = [*t, 1.0], [*v, 1.0]
        rows.append(
            [
                sum(matrix[i][j] * t[i] * v[j] for i in range(len(t)) for j in range(len(v))) + shift
                for matrix, shift in zip(weight.tolist(), bias.tolist(), strict=True)
            ]
        )
    return torch.tensor(rows, dtype=torch.float64)


@torch.no_grad()
def test_tensor_fusion_reads_every_product():
    config = duosent.TfnConfig(hidden_size=4, num_attention_heads=1)
    fusion = drawn(TensorFusion(config))
    text, image = features(4)
    weight = fusion.linear.weight.unflatten(1, (5, 5))
    assert_close(fusion(text, image), fused_by_hand(text, image, weight, fusion.linear.bias))


@torch.no_grad()
@given(width=st.integers(1, 5), rank=st.integers(1, 4), seed=st.integers(0, 100))
def test_low_rank_fusion_is_tensor_fusion_with_a_low_rank_weight(width, rank, seed):
    config = duosent.LmfConfig(hidden_size=width, num_attention_heads=1, fusion_rank=rank)
    fusion = drawn(LowRankFusion(config))
    text, image = features(width, seed=seed)
    weight = torch.zeros(width, width + 1, width + 1, dtype=torch.float64)
    for r in range(rank):
        for out in range(width):
            for i in range(width + 1):
                for j in range(width + 1):
                    weight[out, i, j] += fusion.text_factors[r, i, out] * fusion.image_factors[r, j, out]
    assert_close(fusion(text, image), fused_by_hand(text, image, weight, fusion.bias))


@torch.no_grad()
def test_an_absent_side_leaves_what_the_other_says_alone():
    """[0; 1] takes out every product with the absent side, and no more."""
    model, batch = build(duosent.TfnForImageTextClassification), make_batch()
    batch["image_present"][1] = False
    output = model(**batch)
    assert torch.equal(output.image_embeds[1], torch.zeros(16)) and output.image_embeds[0].any()
    weight = model.fusion.linear.weight.unflatten(1, (17, 17))
    text = torch.cat([output.text_embeds[1], torch.ones(1)])
    alone = model.activation(weight[:, :, 16] @ text + model.fusion.linear.bias)
    assert_close(output.fused_embeds[1], alone)


@torch.no_grad()
def test_side_network_by_hand():
    config = duosent.TfnConfig(hidden_size=2, num_attention_heads=1, hidden_act="relu")
    network = SideNetwork(2, config).eval()
    network.first.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
    network.first.bias.copy_(torch.tensor([0.0, 0.5]))
    network.second.weight.copy_(torch.tensor([[1.0, 1.0], [-3.0, 1.0]]))
    network.second.bias.copy_(torch.tensor([1.0, 4.0]))
    # relu(1 + 4, -1 + 0.5) = (5, 0); relu(5 + 1, -15 + 4) = (6, 0)
    pooled = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    assert network(pooled, torch.tensor([True, False])).tolist() == [[6.0, 0.0], [0.0, 0.0]]


def test_weights_of_the_two_fusions():
    """TFN's grow with the square of the width, LMF's with the rank."""
    width, rank = 16, 3
    tfn = build(duosent.TfnForImageTextClassification)
    lmf = build(duosent.LmfForImageTextClassification, fusion_rank=rank)
    assert sum(p.numel() for p in tfn.fusion.parameters()) == width * ((width + 1) ** 2 + 1)
    assert sum(p.numel() for p in lmf.fusion.parameters()) == 2 * rank * (width + 1) * width + width


def test_factors_start_at_xaviers_deviation():
    config = duosent.LmfConfig(
        text_config={"model_type": "bert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1},
        vision_config={"model_type": "vit", "hidden_size": 12, "num_hidden_layers": 1, "image_size": 32},
        hidden_size=64,
        fusion_rank=8,
    )
    config.text_config.num_attention_heads = 2
    fusion = duosent.LmfForImageTextClassification(config).fusion
    for factors in (fusion.text_factors, fusion.image_factors):
        assert factors.std().item() == pytest.approx((2 / 129) ** 0.5, rel=0.02)
    assert not fusion.bias.any()


def test_a_rank_of_none_is_refused():
    with pytest.raises(StrictDataclassError, match="fusion_rank") as error:
        duosent.LmfConfig(fusion_rank=0)
    assert str(error.value.__cause__) == "fusion_rank must be > 0, got 0."
