"""MDSE's equations against plain loops, its switches, its towers, its size."""

import math

import pytest
import torch
from tiny import IMAGE, build, make_batch
from torch.testing import assert_close
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    ConvNextConfig,
    Dinov2Config,
    MobileNetV2Config,
    ResNetConfig,
    SiglipVisionConfig,
    SiglipVisionModel,
    SwinConfig,
    TimmWrapperConfig,
)

from duosent import MdseConfig, MdseForImageTextClassification, MdseModel
from duosent.modeling.losses import modality_agnostic_contrastive_loss

WAYS = [("sum", "softmax"), ("sum", "max"), ("mean", "softmax"), ("mean", "max")]


def linear(layer, x):
    """One vector through a linear layer, entry by entry."""
    return [
        sum(w * a for w, a in zip(row, x, strict=True)) + b
        for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    ]


def gelu(x):
    return [a / 2 * (1 + math.erf(a / math.sqrt(2))) for a in x]


def layer_norm(norm, x):
    mean = sum(x) / len(x)
    deviation = math.sqrt(sum((a - mean) ** 2 for a in x) / len(x) + norm.eps)
    return [
        (a - mean) / deviation * w + b for a, w, b in zip(x, norm.weight.tolist(), norm.bias.tolist(), strict=True)
    ]


def softmax(x):
    exponentials = [math.exp(a - max(x)) for a in x]
    return [e / sum(exponentials) for e in exponentials]


def add(x, y):
    return [a + b for a, b in zip(x, y, strict=True)]


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def mean(rows):
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def block(layer, queries, context):
    """FF(CA(queries, context)) for one post: lists of vectors, real tokens only."""
    attention = layer.attention
    q = [linear(attention.q_proj, x) for x in queries]
    k = [linear(attention.k_proj, x) for x in context]
    v = [linear(attention.v_proj, x) for x in context]
    width = len(q[0]) // attention.num_heads
    result = []
    for i, query in enumerate(queries):
        answer = []
        for head in range(attention.num_heads):
            part = slice(head * width, (head + 1) * width)
            weights = softmax([dot(q[i][part], key[part]) / math.sqrt(width) for key in k])
            answer += [sum(w * value[part][x] for w, value in zip(weights, v, strict=True)) for x in range(width)]
        x = layer_norm(layer.norm, add(query, linear(attention.out_proj, answer)))
        feed = layer.feed_forward
        result.append(layer_norm(feed.norm, add(x, linear(feed.contract, gelu(linear(feed.expand, x))))))
    return result


def private(learning, tokens, shared, similarity, contrast):
    """(3) to (6) for one side of one post."""
    scores = []
    for token in tokens:
        products = [dot(token, s) for s in shared]
        scores.append(
            sum(products) if similarity == "sum" else mean([[p] for p in products])[0] / math.sqrt(len(token))
        )
    importance = softmax(scores)
    taken = importance if contrast == "softmax" else [i / max(importance) for i in importance]
    kept = [[(1 - t) * a for a in token] for t, token in zip(taken, tokens, strict=True)]
    if learning.adaptation is not None:
        kept = block(learning.adaptation, kept, kept)
    return mean(kept), importance


def by_hand(model, z, v, similarity, contrast):
    """(1) to (9) for one post from its tokens at fusion width."""
    mdse = model.mdse
    image_shared = block(mdse.shared_image, z, v)  # (1), as long as the text
    text_shared = block(mdse.shared_text, v, z)
    shared = mean(image_shared + text_shared)  # (2)
    image, text = shared, shared
    image_importance = text_importance = None
    if mdse.private_image is not None:
        own, image_importance = private(mdse.private_image, v, image_shared, similarity, contrast)
        image = gelu(linear(mdse.image_fusion.linear, shared + own))  # (7): the lists are joined
    if mdse.private_text is not None:
        own, text_importance = private(mdse.private_text, z, text_shared, similarity, contrast)
        text = gelu(linear(mdse.text_fusion.linear, shared + own))
    fused = gelu(linear(mdse.fusion.linear, image + text))  # (8)
    head = model.classifier
    logits = linear(head.output, gelu(linear(head.hidden, fused)))  # (9)
    return text, image, fused, logits, text_importance, image_importance


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "config",
    [{"private_similarity": s, "private_contrast": c} for s, c in WAYS]
    + [{"image_private": False}, {"text_private": False}, {"feature_adaptation": False}],
)
@torch.no_grad()
def test_equations_1_to_9_equal_the_loops(config, implementation):
    model = build(MdseForImageTextClassification, dtype=torch.double, attn_implementation=implementation, **config)
    batch = make_batch(rows=2, tokens=6, dtype=torch.double)
    output = model(**batch, output_hidden_states=True, output_importance=True)
    z, v = output.hidden_states[:2]
    assert v.shape[1] == 16  # the patches without the class token
    for row in range(2):
        words = int(batch["attention_mask"][row].sum())
        similarity = config.get("private_similarity", model.config.private_similarity)
        contrast = config.get("private_contrast", model.config.private_contrast)
        expected = by_hand(model, z[row, :words].tolist(), v[row].tolist(), similarity, contrast)
        text, image, fused, logits, text_importance, image_importance = expected
        for got, hand in (
            (output.text_embeds[row], text),
            (output.image_embeds[row], image),
            (output.fused_embeds[row], fused),
            (output.logits[row], logits),
        ):
            assert_close(got, torch.tensor(hand, dtype=torch.double))
        if text_importance is not None:
            assert_close(output.text_importance[row, :words], torch.tensor(text_importance, dtype=torch.double))
            assert (output.text_importance[row, words:] == 0).all()
        if image_importance is not None:
            assert_close(output.image_importance[row], torch.tensor(image_importance, dtype=torch.double))


@pytest.mark.parametrize("form", ["anchor", "ratio"])
@pytest.mark.parametrize("views", [("image", "text", "fused"), ("image", "text")])
@torch.no_grad()
def test_loss_is_both_terms_over_three_label_columns(form, views):
    model = build(
        MdseForImageTextClassification,
        contrastive_form=form,
        contrastive_views=views,
        contrastive_weight=0.3,
        contrastive_temperature=0.5,
    )
    batch = make_batch()  # labels 0, 1, 1, 2
    batch["text_present"][3] = False
    output = model(**batch, text_labels=torch.tensor([2, -100, 0, 1]), image_labels=torch.tensor([-100, 0, 0, -100]))
    # A view without a label of its own has the post's; the view of an absent side takes no part.
    columns = {"image": [0, 0, 0, 2], "text": [2, 1, 0, -100], "fused": [0, 1, 1, 2]}
    rows = torch.cat([output[f"{view}_embeds"] for view in views])
    labels = torch.tensor([label for view in views for label in columns[view]])
    expected = modality_agnostic_contrastive_loss(rows, labels, 0.5, form)
    assert_close(output.contrastive_loss, expected)
    picked = output.logits.double().log_softmax(-1)[range(4), batch["labels"].tolist()]
    assert_close(output.classification_loss.double(), -picked.mean(), atol=1e-6, rtol=1e-5)
    assert_close(output.loss, output.classification_loss + 0.3 * output.contrastive_loss)


@torch.no_grad()
def test_posts_with_the_same_set_of_labels_are_positives():
    model = build(MdseForImageTextClassification, problem_type="multi_label_classification")
    batch = make_batch()
    batch["labels"] = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1], [1, 1, 1]])
    output = model(**batch)
    rows = torch.cat([output.image_embeds, output.text_embeds, output.fused_embeds])
    expected = modality_agnostic_contrastive_loss(rows, torch.tensor([0, 1, 0, 2] * 3))
    assert_close(output.contrastive_loss, expected)


@torch.no_grad()
def test_weight_zero_skips_the_contrastive_loss():
    output = build(MdseForImageTextClassification, contrastive_weight=0)(**make_batch())
    assert output.contrastive_loss is None
    assert output.loss == output.classification_loss


@pytest.mark.parametrize(
    "switch",
    [
        {"image_private": False},
        {"text_private": False},
        {"feature_adaptation": False},
        {"private_similarity": "sum"},
        {"private_contrast": "softmax"},
        {"contrastive_weight": 0},
        {"contrastive_form": "ratio"},
        {"contrastive_views": ("image", "text")},
        {"contrastive_temperature": 0.5},
    ],
    ids=lambda switch: next(iter(switch)),
)
@torch.no_grad()
def test_each_switch_changes_the_output(switch):
    defaults = {"private_similarity": "mean", "private_contrast": "max"}
    batch = make_batch()
    plain = build(MdseForImageTextClassification, **defaults)
    switched = build(MdseForImageTextClassification, **{**defaults, **switch})
    switched.load_state_dict({k: v for k, v in plain.state_dict().items() if k in switched.state_dict()})
    assert not torch.allclose(switched(**batch).loss, plain(**batch).loss)


def test_everything_off_is_the_base_model():
    switches = {"image_private": False, "text_private": False, "contrastive_weight": 0}
    model = build(MdseForImageTextClassification, **switches)
    output = model(**make_batch())
    assert torch.equal(output.text_embeds, output.image_embeds)
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_fusion_has_the_papers_size():
    """17.7 M parameters outside towers and classifier at the default configuration."""
    with torch.device("meta"):
        model = MdseModel(MdseConfig())
    towers = ("text_model.", "vision_model.")
    parameters = sum(p.numel() for name, p in model.named_parameters() if not name.startswith(towers))
    assert abs(parameters - 17.7e6) < 0.01 * 17.7e6


@torch.no_grad()
def test_maps_on_request():
    model = build(MdseForImageTextClassification, attn_implementation="sdpa")
    output = model(**make_batch(), output_attentions=True, output_hidden_states=True, output_importance=True)
    assert [tuple(a.shape) for a in output.attentions] == [(4, 4, 7, 16), (4, 4, 16, 7), (4, 4, 16, 16), (4, 4, 7, 7)]
    for weights in output.attentions:
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert (output.attentions[1][1, :, :, 4:] == 0).all()  # the second post has four tokens
    lengths = [7, 16, 7, 16, 16, 7]
    assert [tuple(state.shape) for state in output.hidden_states] == [(4, length, 16) for length in lengths]
    plain = model(**make_batch())
    assert plain.attentions is None and plain.hidden_states is None and plain.text_importance is None
    assert_close(output.logits, plain.logits, atol=2e-5, rtol=1e-4)


SMALL_VIT = {field: value for field, value in IMAGE.items() if field != "model_type"}
TOWERS = {
    "clip": (CLIPVisionConfig(**SMALL_VIT), 32, (16, 16)),
    "siglip": (SiglipVisionConfig(**SMALL_VIT), 32, (16, 16)),
    "dinov2": (Dinov2Config(**SMALL_VIT), 32, (16, 16)),
    "convnext": (ConvNextConfig(hidden_sizes=[4, 8, 8, 16], depths=[1, 1, 1, 1]), 64, (4, 16)),
    "resnet": (
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic"),
        64,
        (4, 32),
    ),
    "swin": (
        SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4),
        32,
        (16, 16),
    ),
    "timm vit": (
        TimmWrapperConfig(
            architecture="vit_tiny_patch16_224",
            model_args={"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2},
        ),
        32,
        (16, 16),
    ),
    "timm swin": (
        TimmWrapperConfig(
            architecture="swin_tiny_patch4_window7_224",
            model_args={"img_size": 32, "embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4},
        ),
        32,
        (16, 16),
    ),
    "timm resnet": (
        TimmWrapperConfig(architecture="resnet18", model_args={"channels": (8, 8, 8, 8), "layers": (1, 1, 1, 1)}),
        64,
        (4, 8),
    ),
    "timm mobilenet": (TimmWrapperConfig(architecture="mobilenetv3_small_050"), 64, (4, 288)),
}


@pytest.mark.parametrize("name", TOWERS)
def test_any_image_tower(name, tmp_path):
    """A grid becomes h * w tokens, a class token is left out, every parameter learns, and reloading is exact."""
    vision_config, size, (patches, width) = TOWERS[name]
    torch.manual_seed(0)
    fields = {
        "text_config": {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    }
    config = MdseConfig(vision_config=vision_config.to_dict(), hidden_size=24, num_attention_heads=4, **fields)
    model = MdseForImageTextClassification(config).train()
    batch = make_batch()
    batch["pixel_values"] = torch.randn(4, 3, size, size)
    batch["labels"] = torch.tensor([0, 1, 1, 0])
    tokens, mask, _ = model.mdse.run_image_tower(batch["pixel_values"])
    assert tuple(tokens.shape) == (4, patches, width) and mask is None
    model(**batch).loss.backward()
    learning = [(name, parameter) for name, parameter in model.named_parameters() if not name.endswith("mask_token")]
    assert not [name for name, parameter in learning if parameter.grad is None]
    model.eval().save_pretrained(tmp_path)
    again = MdseForImageTextClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_what_no_forward_reads_is_not_trained(tmp_path):
    model = build(MdseForImageTextClassification, vision_config=TOWERS["dinov2"][0].to_dict())
    model.save_pretrained(tmp_path)
    for each in (model, MdseForImageTextClassification.from_pretrained(tmp_path)):
        still = [name for name, parameter in each.named_parameters() if not parameter.requires_grad]
        assert still == ["mdse.vision_model.embeddings.mask_token"]


@pytest.mark.parametrize(
    "vision_model",
    [CLIPVisionModel(CLIPVisionConfig(**SMALL_VIT)), SiglipVisionModel(SiglipVisionConfig(**SMALL_VIT))],
    ids=["clip", "siglip"],
)
def test_an_encoder_comes_without_what_stands_behind_its_tokens(vision_model, text_encoder_dir, tmp_path):
    vision_model.save_pretrained(tmp_path)
    model = MdseForImageTextClassification.from_encoders(text_encoder_dir, str(tmp_path), hidden_size=16)
    loaded, original = model.mdse.vision_model.state_dict(), vision_model.state_dict()
    assert {name for name in original if name not in loaded}
    assert all(torch.equal(tensor, original[name]) for name, tensor in loaded.items())


def test_a_tower_of_unknown_width_is_refused():
    with pytest.raises(ValueError, match="hidden_sizes, which MobileNetV2Config has not: take timm's model"):
        build(MdseForImageTextClassification, vision_config=MobileNetV2Config(depth_multiplier=0.35).to_dict())


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "grid", "width"), [("resnet50", 49, 2048), ("vgg19", 49, 512)])
def test_the_papers_cnn_towers(architecture, grid, width):
    """ResNet-50 and VGG-19 at 224 pixels."""
    vision = TimmWrapperConfig(architecture=architecture)
    config = MdseConfig(text_config={"model_type": "roberta", "num_hidden_layers": 1}, vision_config=vision.to_dict())
    model = MdseForImageTextClassification(config)
    batch = make_batch(rows=2)
    batch["pixel_values"], batch["labels"] = torch.randn(2, 3, 224, 224), torch.tensor([0, 1])
    with torch.no_grad():
        assert tuple(model.mdse.run_image_tower(batch["pixel_values"])[0].shape) == (2, grid, width)
    model(**batch).loss.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("freeze_batch_norm", [True, False])
def test_batch_norm_of_a_cnn_tower(freeze_batch_norm):
    vision_config = TOWERS["resnet"][0].to_dict()
    model = build(
        MdseForImageTextClassification, vision_config=vision_config, freeze_batch_norm=freeze_batch_norm
    ).train()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    batch = {**make_batch(), "pixel_values": torch.randn(4, 3, 64, 64)}
    model(**batch)
    moved = any(not torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True))
    assert moved is not freeze_batch_norm
