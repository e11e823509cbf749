"""RADM: its layers against loops, its ablations, its maps, and the way from question answering to sentiment."""

import pytest
import torch
from tiny import build, make_batch
from torch.testing import assert_close
from transformers import AutoModelForVisualQuestionAnswering, ResNetConfig

from duosent import RadmForImageTextClassification, RadmForVisualQuestionAnswering, RadmModel


def attend_by_hand(block, query, context, mask, previous):
    """One residual attention block with einsum in place of the model's matrix products."""
    attention = block.attention
    heads = attention.num_heads
    q, k, v = (
        layer(tokens).reshape(*tokens.shape[:2], heads, -1)
        for layer, tokens in ((attention.q_proj, query), (attention.k_proj, context), (attention.v_proj, context))
    )
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / q.shape[-1] ** 0.5
    residual = scores
    if previous is not None:
        valid = mask[:, None, None, :].double()
        dots = torch.einsum("bhij,bhij,bhij->bhi", scores, previous, valid.expand_as(scores))
        norms = (scores**2 * valid).sum(-1).sqrt() * (previous**2 * valid).sum(-1).sqrt()
        gate_layer = attention.combine.gate.linear
        logits = torch.einsum("gh,bhi->bgi", gate_layer.weight, dots / norms) + gate_layer.bias[:, None]
        residual = (logits.sigmoid()[..., None] * scores + previous) / 2
    exponentials = residual.exp() * mask[:, None, None, :]
    weights = exponentials / exponentials.sum(-1, keepdim=True)
    answer = torch.einsum("bhij,bjhd->bihd", weights, v).flatten(2)
    return block.norm(query + attention.out_proj(answer)), residual


def feed_by_hand(feed, x):
    inner = feed.expand(x)
    inner = inner / 2 * (1 + torch.erf(inner / 2**0.5))
    return feed.norm(x + feed.contract(inner))


@torch.no_grad()
def test_the_whole_network_equals_the_description(without_maps):
    """Two paths of self-attention, cross-attention and feed-forward; then one encoder over both; then both [CLS]."""
    model = build(RadmForImageTextClassification, dtype=torch.double, attn_implementation="sdpa")
    batch = make_batch(dtype=torch.double)
    output = model(**batch, output_hidden_states=True)
    radm = model.radm
    text, image = output.hidden_states[0][:, :7], output.hidden_states[0][:, 7:]
    assert image.shape[1] == 17  # the class token is kept
    text_mask = batch["attention_mask"].bool()
    image_mask = torch.ones(4, 17, dtype=torch.bool)
    scores = [None] * 4
    for layer in radm.interaction_layers:
        text, scores[0] = attend_by_hand(layer.text_self, text, text, text_mask, scores[0])
        image, scores[1] = attend_by_hand(layer.image_self, image, image, image_mask, scores[1])
        seen_text, scores[2] = attend_by_hand(layer.text_cross, text, image, image_mask, scores[2])
        seen_image, scores[3] = attend_by_hand(layer.image_cross, image, text, text_mask, scores[3])
        text, image = (
            feed_by_hand(layer.text_feed_forward, seen_text),
            feed_by_hand(layer.image_feed_forward, seen_image),
        )
    tokens = torch.cat([text + radm.modality_embedding[0], image + radm.modality_embedding[1]], dim=1)
    mask, previous = torch.cat([text_mask, image_mask], dim=1), None
    for layer in radm.fusion_layers:
        tokens, previous = attend_by_hand(layer.attention, tokens, tokens, mask, previous)
        tokens = feed_by_hand(layer.feed_forward, tokens)
    pair = torch.cat([tokens[:, 0], tokens[:, 7]], dim=-1)
    assert_close(output.fused_embeds, pair)
    assert_close(output.logits, pair @ model.classifier.weight.T + model.classifier.bias)


@pytest.mark.parametrize("kind", ["gated", "add", "none"])
@pytest.mark.parametrize("cross_modal", [True, False])
def test_both_forms_give_the_same_model(kind, cross_modal, without_maps):
    """Logits and gradients with the maps and without them."""
    results = []
    for with_maps in (True, False):
        model = build(
            RadmForImageTextClassification,
            dtype=torch.double,
            residual_attention=kind,
            cross_modal=cross_modal,
            attn_implementation="sdpa",
        )
        output = model(**make_batch(dtype=torch.double), output_attentions=with_maps)
        output.loss.backward()
        results.append((output.logits, [parameter.grad for parameter in model.parameters()]))
    (plain, plain_gradients), (fast, fast_gradients) = results
    assert_close(fast, plain, atol=1e-11, rtol=1e-9)
    for a, b in zip(fast_gradients, plain_gradients, strict=True):
        assert_close(a, b, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize(
    "tokens, dropout, training, written_out",
    [
        (600, 0.0, True, True),
        (601, 0.0, True, False),
        (601, 0.0, False, False),
        (601, 0.1, True, True),
        (601, 0.1, False, False),
    ],
)
def test_attention_goes_the_faster_way(tokens, dropout, training, written_out):
    model = build(RadmModel, attention_probs_dropout_prob=dropout, attn_implementation="sdpa").train(training)
    text, image = torch.zeros(1, 100, 16), torch.zeros(1, tokens - 100, 16)
    assert model._writes_attention_out(text, image) is written_out
    assert not model._writes_attention_out(text.to("meta"), image.to("meta"))
    model.set_attn_implementation("eager")
    assert model._writes_attention_out(text.to("meta"), image.to("meta"))


@pytest.mark.parametrize(
    "switch",
    [
        {"residual_attention": "add"},
        {"residual_attention": "none"},
        {"cross_modal": False},
        {"num_interaction_layers": 2},
        {"num_fusion_layers": 1},
    ],
    ids=str,
)
@torch.no_grad()
def test_each_switch_changes_the_output(switch):
    plain = build(RadmForImageTextClassification)
    switched = build(RadmForImageTextClassification, **switch)
    switched.load_state_dict({k: v for k, v in plain.state_dict().items() if k in switched.state_dict()})
    assert not torch.allclose(switched(**make_batch()).logits, plain(**make_batch()).logits)


@torch.no_grad()
def test_without_cross_modal_attention_the_paths_meet_only_in_the_fusion():
    model = build(RadmModel, cross_modal=False)
    batch = make_batch()
    batch.pop("labels")
    other = {**batch, "pixel_values": batch["pixel_values"] + 1}
    layers = model.config.num_interaction_layers
    before = model(**batch, output_hidden_states=True).hidden_states
    after = model(**other, output_hidden_states=True).hidden_states
    for state, changed in zip(before[: layers + 1], after[: layers + 1], strict=True):
        assert torch.equal(state[:, :7], changed[:, :7])
    assert not torch.allclose(before[-1][:, :7], after[-1][:, :7])


def test_only_later_layers_have_a_gate():
    model = build(RadmModel)
    gates = [name for name, _ in model.named_modules() if name.endswith("combine.gate")]
    assert len(gates) == 2 * 4 + 1  # interaction layers 2 and 3 with four maps each, fusion layer 2
    assert not [name for name in gates if name.startswith(("interaction_layers.0", "fusion_layers.0"))]


@torch.no_grad()
def test_maps_on_request():
    model = build(RadmForImageTextClassification, attn_implementation="sdpa")
    batch = make_batch()
    output = model(
        **batch, output_attentions=True, output_hidden_states=True, output_cross_scores=True, output_gates=True
    )
    layer = [(4, 4, 7, 7), (4, 4, 17, 17), (4, 4, 7, 17), (4, 4, 17, 7)]
    assert [tuple(a.shape) for a in output.attentions] == layer * 3 + [(4, 4, 24, 24)] * 2
    for weights in output.attentions:
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert [tuple(s.shape) for s in output.hidden_states] == [(4, 24, 16)] * 6
    assert [(tuple(a.shape), tuple(b.shape)) for a, b in output.cross_scores] == [tuple(layer[2:])] * 3
    assert [g.shape[-1] for g in output.gates] == [7, 17, 7, 17] * 2 + [24]
    assert all(((g > 0) & (g < 1)).all() for g in output.gates)
    # The cross-attention map is the softmax of the residual score over the valid keys.
    to_text = output.cross_scores[1][1][1, :, :, :4].softmax(-1)
    assert_close(output.attentions[7][1, :, :, :4], to_text)
    plain = model(**batch)
    assert plain.attentions is None and plain.gates is None and plain.cross_scores is None
    assert_close(plain.logits, output.logits, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_tower_without_class_token_gives_the_mean_of_its_cells():
    vision = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    model = build(RadmForImageTextClassification, vision_config=vision.to_dict())
    output = model(**{**make_batch(), "pixel_values": torch.randn(4, 3, 48, 48)}, output_hidden_states=True)
    assert_close(output.image_embeds, output.hidden_states[-1][:, 7:].mean(dim=1))


def test_answers_are_summed_and_posts_averaged():
    model = build(RadmForVisualQuestionAnswering, num_labels=6)
    batch = {**make_batch(), "labels": torch.rand(4, 6)}
    output = model(**batch)
    x, y = output.logits.double(), batch["labels"].double()
    total = -(y * x.sigmoid().log() + (1 - y) * (1 - x.sigmoid()).log()).sum()
    assert_close(output.loss.double(), total / 4, atol=1e-5, rtol=1e-5)
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@torch.no_grad()
def test_a_question_answering_checkpoint_loads_with_only_the_head_new(tmp_path):
    answering = build(RadmForVisualQuestionAnswering, num_labels=9)
    answering.save_pretrained(tmp_path)
    assert type(AutoModelForVisualQuestionAnswering.from_pretrained(tmp_path)) is RadmForVisualQuestionAnswering
    classifier, report = RadmForImageTextClassification.from_pretrained(
        tmp_path, num_labels=3, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert {key for key, *_ in report["mismatched_keys"]} == {"classifier.weight", "classifier.bias"}
    assert classifier.classifier.out_features == 3
    for name, tensor in answering.radm.state_dict().items():
        assert torch.equal(classifier.radm.state_dict()[name], tensor)
