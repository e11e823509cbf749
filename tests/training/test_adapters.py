"""LoRA on the towers: the update of one layer by hand, what learns and what stands still, and merging."""

import sys

import pytest
import torch
from tiny import CLASSIFIERS, build, make_batch
from transformers import ResNetConfig

from duosent import MdseForImageTextClassification
from duosent.training.adapters import adapted_layers, add_adapters, merged_state
from duosent.training.arguments import ImageTextTrainingArguments

QUERY = "mdse.text_model.encoder.layer.0.attention.self.query"
RESNET = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")


def stir(model) -> None:
    """Take the adapters away from their start, at which they do nothing."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)


def test_a_layer_adds_alpha_over_rank_times_b_a():
    model = build(MdseForImageTextClassification)
    weight, bias = (value.clone() for value in model.get_submodule(QUERY).parameters())
    add_adapters(model, rank=2, alpha=6)
    stir(model)
    layer = model.get_submodule(QUERY)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.shape == (2, 24) and b.shape == (24, 2)
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(0))
    by_hand = torch.zeros(5, 24)
    for row in range(5):
        for out in range(24):
            update = [sum(b[out, r] * a[r, column] for r in range(2)) for column in range(24)]
            by_hand[row, out] = bias[out] + sum((weight[out, c] + 3 * update[c]) * x[row, c] for c in range(24))
    torch.testing.assert_close(layer(x), by_hand, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(merged_state(model)[f"{QUERY}.weight"], weight + 3 * b @ a)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_merged_model_answers_as_the_one_with_adapters(name):
    model_class, config = CLASSIFIERS[name]
    model, batch = build(model_class, **config), make_batch()
    batch["token_type_ids"] = (torch.arange(7) > 3).long().expand(4, 7)
    with torch.no_grad():
        before = model(**batch).logits
        add_adapters(model, rank=2, alpha=4)
        torch.testing.assert_close(model(**batch).logits, before)  # B is zero at the start
        stir(model)
        adapted = model(**batch).logits
        assert (adapted - before).abs().max() > 1e-3
        plain = model_class(model.config).eval()
        plain.load_state_dict(merged_state(model))
        torch.testing.assert_close(plain(**batch).logits, adapted, rtol=1e-5, atol=1e-5)


def test_adapters_and_all_outside_the_towers_get_a_gradient():
    model = build(MdseForImageTextClassification).train()
    add_adapters(model, rank=2, alpha=4)
    stir(model)
    model(**make_batch()).loss.backward()
    for name, parameter in model.named_parameters():
        in_tower = "text_model" in name or "vision_model" in name
        learns = "lora_" in name or not in_tower
        assert parameter.requires_grad == learns and (parameter.grad is not None) == learns, name
    adapters = {name for name, parameter in model.named_parameters() if "lora_" in name and parameter.grad.any()}
    assert len(adapters) == 2 * 3 * 2  # A and B of queries, keys and values in two towers of one layer


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = build(MdseForImageTextClassification).train()
        add_adapters(model, rank=2, alpha=4)
        stir(model)
        if checkpointing:
            model.activation_checkpointing_enable()
        torch.manual_seed(0)
        model(**make_batch()).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if "lora_" in name})
    for name, gradient in gradients[0].items():
        assert gradient.any()
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_a_frozen_tower_gets_none():
    model = build(MdseForImageTextClassification, freeze_image=True)
    add_adapters(model, rank=2, alpha=4)
    assert all("text_model" in name for name, _ in model.named_parameters() if "lora_" in name)
    assert not any(p.requires_grad for p in model.mdse.vision_model.parameters())
    frozen = build(MdseForImageTextClassification, freeze_image=True, freeze_text=True)
    with pytest.raises(ValueError, match="lora_rank must be None where every tower is frozen"):
        add_adapters(frozen, rank=2, alpha=4)


def test_a_cnn_has_no_projections_but_may_have_other_targets():
    config = {"vision_config": RESNET.to_dict()}
    model = build(MdseForImageTextClassification, **config)
    with pytest.raises(ValueError, match=r"of the image tower too, in which \(ResNetModel\) .* with freeze_image"):
        add_adapters(model, rank=2, alpha=4)
    batch = make_batch()
    add_adapters(model, rank=2, alpha=4, targets=["query", "convolution"])
    stir(model)
    plain = build(MdseForImageTextClassification, seed=1, **config)
    plain.load_state_dict(merged_state(model))
    with torch.no_grad():
        torch.testing.assert_close(plain(**batch).logits, model(**batch).logits, rtol=1e-5, atol=1e-5)
    frozen = build(MdseForImageTextClassification, freeze_image=True, **config)
    assert adapted_layers(frozen) == [f"{QUERY[:-5]}{name}" for name in ("query", "key", "value")]


def test_timm_towers_have_projections():
    fields = {"model_type": "timm_wrapper", "architecture": "vit_tiny_patch16_224"}
    fields["model_args"] = {"depth": 1, "embed_dim": 16, "num_heads": 2, "img_size": 32, "patch_size": 8}
    model = build(MdseForImageTextClassification, vision_config=fields)
    layers = [name for name in adapted_layers(model) if "vision_model" in name]
    assert layers == ["mdse.vision_model.timm_model.blocks.0.attn.qkv"]


def test_targets_are_ends_of_names():
    model = build(MdseForImageTextClassification)
    assert adapted_layers(model, ["self.query", "q_proj"]) == [QUERY, "mdse.vision_model.layers.0.attention.q_proj"]
    model.mdse.text_model.conv = torch.nn.Linear(2, 2)
    assert adapted_layers(model) == adapted_layers(build(MdseForImageTextClassification))  # conv is no v
    with pytest.raises(ValueError, match="lora_targets must be ends of names of linear layers in the towers, got ery"):
        adapted_layers(model, ["query", "q_proj", "ery"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lora_rank": 0}, "lora_rank must be >= 1 or None, got 0"),
        ({"lora_rank": 2, "lora_alpha": 0.0}, "lora_alpha must be > 0 or None, got 0.0"),
        ({"lora_rank": 2, "lora_alpha": float("nan")}, "lora_alpha must be > 0 or None, got nan"),
        ({"lora_rank": 2, "lora_dropout": 1.0}, "lora_dropout must be >= 0 and < 1, got 1.0"),
        ({"lora_rank": 2, "lora_targets": []}, r"lora_targets must be names or None, got \[\]"),
        ({"lora_rank": 2, "lora_save": "pickle"}, "lora_save must be merged or adapter, got 'pickle'"),
        ({"lora_alpha": 4.0}, "lora_alpha must be None without lora_rank, got 4.0"),
        ({"lora_save": "adapter"}, "lora_save must be merged without lora_rank, got adapter"),
        (
            {"lora_rank": 2, "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
            "gradient_checkpointing_kwargs must not ask for use_reentrant with lora_rank, got True",
        ),
    ],
)
def test_bad_options_get_a_sentence(options, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        ImageTextTrainingArguments(str(tmp_path), **options)


def test_peft_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    ImageTextTrainingArguments(str(tmp_path))
    with pytest.raises(ImportError, match=r'LoRA needs peft, which is not installed: pip install "duosent\[lora\]"'):
        ImageTextTrainingArguments(str(tmp_path), lora_rank=2)
