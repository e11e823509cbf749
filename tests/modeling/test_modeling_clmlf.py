"""CLMLF's equations against plain loops."""

import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from hypothesis import given
from hypothesis import strategies as st
from tiny import build, make_batch
from torch.testing import assert_close

import duosent
from duosent.modeling.contrastive_tasks import data_based_contrastive_loss, label_based_contrastive_loss
from duosent.modeling.modeling_clmlf import AttentionPooling

ALONE = {"label_contrastive_weight": 0, "data_contrastive_weight": 0}


def drawn(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def label_loss_by_hand(features, labels, temperature) -> float:
    rows, terms = features.tolist(), []
    known = [i for i, label in enumerate(labels) if label != -100]
    for i in known:
        for j in known:
            if i == j or labels[i] != labels[j]:
                continue
            total = sum(math.exp(cosine(rows[i], rows[k]) / temperature) for k in known if k != i)
            terms.append(-math.log(math.exp(cosine(rows[i], rows[j]) / temperature) / total))
    return sum(terms) / len(terms) if terms else 0.0


def data_loss_by_hand(features, augmented, labels, temperature) -> float:
    rows, others, terms = features.tolist(), augmented.tolist(), []
    known = [i for i, label in enumerate(labels) if label != -100]
    for i in known:
        total = sum(math.exp(cosine(rows[i], others[k]) / temperature) for k in known)
        terms.append(-math.log(math.exp(cosine(rows[i], others[i]) / temperature) / total))
    return sum(terms) / len(terms) if terms else 0.0


LABELS = st.lists(st.sampled_from([0, 1, 2, -100]), min_size=1, max_size=7)


@given(labels=LABELS, temperature=st.sampled_from([0.07, 0.5, 2.0]), seed=st.integers(0, 50))
def test_the_losses_equal_plain_loops(labels, temperature, seed):
    features = drawn(len(labels), 5, seed=seed).requires_grad_()
    augmented = drawn(len(labels), 5, seed=seed + 1)
    label_loss = label_based_contrastive_loss(features, torch.tensor(labels), temperature)
    assert_close(label_loss.item(), label_loss_by_hand(features, labels, temperature))
    data_loss = data_based_contrastive_loss(features, augmented, torch.tensor(labels), temperature)
    assert_close(data_loss.item(), data_loss_by_hand(features, augmented, labels, temperature))
    (label_loss + data_loss).backward()
    assert features.grad.isfinite().all()


def test_a_batch_without_two_of_a_label_teaches_nothing():
    features = drawn(3, 4).requires_grad_()
    loss = label_based_contrastive_loss(features, torch.tensor([0, 1, 2]))
    loss.backward()
    assert loss == 0 and not features.grad.any()


@torch.no_grad()
def test_attention_pooling_by_hand():
    config = duosent.ClmlfConfig(hidden_size=4, num_attention_heads=1, hidden_act="relu")
    pooling = AttentionPooling(config).double()
    tokens, mask = drawn(2, 3, 4), torch.tensor([[True, True, True], [True, False, True]])
    pooled = pooling(tokens, mask)
    for row in range(2):
        scores = []
        for n in range(3):
            hidden = [
                max(0.0, sum(w * x for w, x in zip(weights, tokens[row, n].tolist(), strict=True)) + shift)
                for weights, shift in zip(pooling.hidden.weight.tolist(), pooling.hidden.bias.tolist(), strict=True)
            ]
            score = sum(w * h for w, h in zip(pooling.score.weight[0].tolist(), hidden, strict=True))
            scores.append(math.exp(score + pooling.score.bias.item()) if mask[row, n] else 0.0)
        expected = sum(score / sum(scores) * token for score, token in zip(scores, tokens[row], strict=True))
        assert_close(pooled[row], expected)


@torch.no_grad()
def test_fusion_is_each_side_then_both_then_the_pooling():
    model = build(duosent.ClmlfForImageTextClassification, num_text_layers=1, num_fusion_layers=2)
    batch = make_batch()
    assert [len(layers) for layers in (model.text_layers, model.image_layers, model.fusion_layers)] == [1, 2, 2]
    output = model(**batch)
    row = 1  # four words, 16 patches and the class token; padding left out beforehand
    words = model.text_model(batch["input_ids"][[row], :4]).last_hidden_state
    text = model.text_projection.projection(words)
    image = model.image_projection.projection(model.vision_model(batch["pixel_values"][[row]]).last_hidden_state)
    text, _ = model.text_layers[0](text, text, None)
    for layer in model.image_layers:
        image, _ = layer(image, image, None)
    tokens = torch.cat([text, image], dim=1)
    for layer in model.fusion_layers:
        tokens, _ = layer(tokens, tokens, None)
    feature = model.pooling(tokens, torch.ones(1, 21, dtype=torch.bool))
    assert_close(output.fused_embeds[[row]], feature, atol=2e-5, rtol=1e-4)
    assert_close(output.logits[[row]], model.classifier(feature), atol=2e-5, rtol=1e-4)


def test_the_total_loss_weighs_its_terms():
    batch = make_batch()
    weights = {"label_contrastive_weight": 0.5, "data_contrastive_weight": 0.25, "contrastive_temperature": 0.3}
    output = build(duosent.ClmlfForImageTextClassification, **weights)(**batch)
    features, labels = output.fused_embeds.double(), batch["labels"].tolist()
    label_loss = label_loss_by_hand(features, labels, 0.3)
    data_loss = data_loss_by_hand(features, features, labels, 0.3)
    assert_close(output.label_contrastive_loss.item(), label_loss, atol=1e-4, rtol=1e-4)
    assert_close(output.data_contrastive_loss.item(), data_loss, atol=1e-4, rtol=1e-4)
    total = output.classification_loss.item() + 0.5 * label_loss + 0.25 * data_loss
    assert_close(output.loss.item(), total, atol=1e-4, rtol=1e-4)
    plain = build(duosent.ClmlfForImageTextClassification, **ALONE)(**batch)
    assert plain.label_contrastive_loss is None and plain.data_contrastive_loss is None
    assert_close(plain.loss, output.classification_loss)


def test_the_second_view_is_a_second_pass_under_other_dropout():
    batch, passes = make_batch(), []
    model = build(duosent.ClmlfForImageTextClassification)
    model.pooling.register_forward_hook(lambda module, inputs, pooled: passes.append(pooled.detach()))
    model(**batch)
    assert len(passes) == 1  # without dropout the second pass would give the same
    passes.clear()
    torch.manual_seed(0)
    output = model.train()(**batch)
    first, second = passes
    assert not torch.equal(first, second)
    loss = data_loss_by_hand(first.double(), second.double(), batch["labels"].tolist(), 0.07)
    assert_close(output.data_contrastive_loss.item(), loss, atol=1e-4, rtol=1e-4)
    passes.clear()
    build(duosent.ClmlfForImageTextClassification, **ALONE).train()(**batch)
    model.config.data_contrastive_weight = 0
    model(**batch)
    assert len(passes) == 1


def test_posts_with_equal_sets_of_labels_are_positives():
    model = build(duosent.ClmlfForImageTextClassification, problem_type="multi_label_classification")
    batch = make_batch()
    batch["labels"] = torch.tensor([[1.0, 0, 1], [1, 0, 1], [1, 1, 1], [-100, -100, -100]])
    output = model(**batch)
    expected = label_loss_by_hand(output.fused_embeds.double(), [0, 0, 1, -100], 0.07)
    assert_close(output.label_contrastive_loss.item(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("num_text_layers", -1, ">= 0"),
        ("num_image_layers", -1, ">= 0"),
        ("num_fusion_layers", 0, "> 0"),
        ("label_contrastive_weight", -0.5, ">= 0"),
        ("data_contrastive_weight", -0.5, ">= 0"),
        ("contrastive_temperature", 0, "> 0"),
    ],
)
def test_what_the_config_refuses(field, value, rule):
    with pytest.raises(StrictDataclassError) as error:
        duosent.ClmlfConfig(**{field: value})
    assert str(error.value.__cause__) == f"{field} must be {rule}, got {value}."
