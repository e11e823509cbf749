"""Shares, importance, alignment and attributions: exact under their own definitions, alone and in any batch."""

import itertools

import numpy as np
import pytest
import torch
from explained import odds_by_hand, words_of
from hypothesis import given
from hypothesis import strategies as st
from tiny import CLASSIFIERS, build, make_batch, take

from duosent.inference.alignment import alignment
from duosent.inference.attributions import FLOOR, TOLERANCE, check_attributions, integrated_gradients
from duosent.inference.label_odds import label_odds, odds_of
from duosent.inference.private_shares import private_logits, shared_parts, without_private
from duosent.inference.side_shares import SideValues, shapley_shares, side_values
from duosent.modeling.label_scores import label_scores
from duosent.training.checkpoints import CallError

CNN = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
CHOSEN = torch.tensor([0, 2, 1, 0])


@pytest.fixture(scope="module")
def models() -> dict:
    named = ("mdse", "radm", "concat", "text", "image", "tombert")
    built = {name: build(CLASSIFIERS[name][0], **CLASSIFIERS[name][1]) for name in named}
    mdse = CLASSIFIERS["mdse"][0]
    built["paper"] = build(mdse, private_similarity="sum", private_contrast="max")
    built["cnn"] = build(mdse, vision_config=CNN)
    with torch.no_grad():
        for kernel in built["cnn"].mdse.vision_model.parameters():
            if kernel.ndim == 4:  # as large as what they sum over is small
                kernel.normal_(std=kernel[0].numel() ** -0.5)
    return built


def posts(**changes) -> dict:
    """Four posts: the second is short, the third has no picture, the fourth no words."""
    batch = make_batch()
    batch["image_present"][2] = False
    batch["text_present"][3] = False
    batch["pixel_values"][2] = 0
    del batch["labels"]
    return {**batch, **changes}


def alone(batch: dict, row: int) -> dict:
    """One post without padding."""
    batch = take(batch, [row])
    length = int(batch["attention_mask"].sum())
    return {name: of[:, :length] if name in ("input_ids", "attention_mask") else of for name, of in batch.items()}


def close(found, expected, **tolerance) -> None:
    torch.testing.assert_close(found, expected, **({"atol": 1e-5, "rtol": 1e-4} | tolerance))


# Log-odds.


def test_log_odds_are_those_of_the_score(models):
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 9.0]])
    config = models["mdse"].config
    by_hand = [[odds_by_hand(row, chosen) for chosen in range(3)] for row in logits.tolist()]
    close(label_odds(logits, config), torch.tensor(by_hand))
    close(label_odds(logits, config).sigmoid(), label_scores(logits, config))
    close(odds_of(logits, torch.tensor([1, 2]), config), torch.tensor([by_hand[0][1], by_hand[1][2]]))


def test_log_odds_of_tasks_of_several_labels_and_of_a_calibrated_model():
    mdse = CLASSIFIERS["mdse"][0].config_class
    logits = torch.tensor([[2.0, -1.0, 0.5, 1.0, 3.0]])
    tasks = mdse(num_labels=5, tasks={"mood": ["sad", "glad"], "desire": ["none", "family", "love"]})
    odds = label_odds(logits, tasks)
    close(odds[0, :2], torch.tensor([3.0, -3.0]))  # of two labels the difference
    close(odds[0, 4], torch.tensor(odds_by_hand([0.5, 1.0, 3.0], 2)))
    several = mdse(num_labels=5, problem_type="multi_label_classification")
    close(label_odds(logits, several), logits)
    calibrated = mdse(num_labels=5, calibration={"tasks": {"label": {"temperature": 2.0, "num_labels": 5}}})
    close(label_odds(logits, calibrated).sigmoid(), (logits / 2).softmax(dim=-1))


# Words and picture.


def test_shapley_shares_worked_by_hand():
    """Words first: 4 - 1 and then 10 - 4; picture first: 3 - 1 and then 10 - 3."""
    values = SideValues(*(torch.tensor([value]) for value in (10.0, 4.0, 3.0, 1.0)))
    shares = shapley_shares(values)
    assert shares.words.tolist() == [(3 + 7) / 2] and shares.picture.tolist() == [(6 + 2) / 2]


@given(values=st.lists(st.floats(-20, 20), min_size=4, max_size=4))
def test_shares_sum_to_what_both_sides_change(values):
    of = SideValues(*(torch.tensor([value], dtype=torch.float64) for value in values))
    shares = shapley_shares(of)
    close(shares.words + shares.picture, of.both - of.neither)
    swapped = shapley_shares(SideValues(of.both, of.picture, of.words, of.neither))
    close(swapped.words, shares.picture)


@pytest.mark.parametrize("name", ["mdse", "radm", "concat", "text", "image", "tombert"])
def test_a_side_that_is_left_out_is_a_missing_side(models, name):
    """Each value by a call of its own, of one post, with `None` or absence in place of a side."""
    batch, model = posts(), models[name]
    values = side_values(model, batch, CHOSEN)
    for row in range(4):
        post = alone(batch, row)
        text, image = bool(post["text_present"]), bool(post["image_present"])
        for part, (words, picture) in zip(
            SideValues._fields, [(text, image), (text, False), (False, image), (False, False)], strict=True
        ):
            asked = {**post, "text_present": torch.tensor([words]), "image_present": torch.tensor([picture])}
            with torch.no_grad():
                logits = model(**asked).logits[0].tolist()
            assert getattr(values, part)[row].item() == pytest.approx(odds_by_hand(logits, CHOSEN[row]), abs=2e-4)
    shares = shapley_shares(values)
    assert shares.picture[2] == 0 and shares.words[3] == 0  # what a post lacks moves nothing
    assert name != "text" or (shares.picture == 0).all()  # nor does what a model does not read
    assert name != "image" or (shares.words == 0).all()


# MDSE: shared and private.


@pytest.mark.parametrize("name", ["mdse", "paper", "cnn"])
def test_importance_sums_to_one_and_the_rest_is_kept(models, name):
    batch = posts()
    parts = shared_parts(models[name], batch)
    valid = batch["attention_mask"].bool()
    valid[3] = torch.arange(7) == 0  # a missing side is one token
    text, image = parts["text"], parts["image"]
    assert image.importance.shape == (4, 16)
    for part in (text, image):
        close(part.importance.sum(dim=-1), torch.ones(4))
        assert (part.importance >= 0).all()
    assert (text.importance[~valid] == 0).all()
    largest = text.importance.max(dim=-1, keepdim=True).values if name == "paper" else 1
    close(text.kept[valid], (1 - text.importance / largest)[valid])


def test_importance_is_that_of_equation_4(models):
    """Softmax over the patches of their mean product with `f_v^s`, over sqrt(D), in a plain loop."""
    batch = alone(posts(), 1)
    with torch.no_grad():
        states = models["mdse"](**batch, output_hidden_states=True).hidden_states
    patches, shared = states[1][0].double().numpy(), states[2][0].double().numpy()
    similarity = [np.mean([patch @ word for word in shared]) / 4 for patch in patches]
    by_hand = np.exp(similarity) / np.exp(similarity).sum()
    np.testing.assert_allclose(shared_parts(models["mdse"], batch)["image"].importance[0], by_hand, atol=1e-5)


@pytest.mark.parametrize("side", ["text", "image"])
def test_the_intervention_is_a_model_built_without_that_side(models, side):
    model = models["mdse"]
    model_class = CLASSIFIERS["mdse"][0]
    smaller = build(model_class, **{f"{side}_private": False})
    weights = model.state_dict()
    smaller.load_state_dict({name: weights[name] for name in smaller.state_dict()})
    with torch.no_grad():
        expected = smaller(**posts()).logits
        full = model(**posts()).logits
    found = private_logits(model, posts())
    close(found[f"without_{side}_private"], expected)
    close(found["full"], full)
    assert (found["full"] - expected).abs().max() > 0.01
    view = without_private(model, side)
    assert getattr(view.mdse, f"private_{side}") is None and getattr(model.mdse, f"private_{side}") is not None
    assert all(one is other for one, other in zip(view.parameters(), smaller_of(model, side), strict=True))


def smaller_of(model, side: str):
    return (
        of for name, of in model.named_parameters() if f"private_{side}" not in name and f"{side}_fusion" not in name
    )


def test_a_side_without_private_features_has_no_map():
    model = build(CLASSIFIERS["mdse"][0], text_private=False)
    assert list(shared_parts(model, posts())) == ["image"]
    assert list(private_logits(model, posts())) == ["full", "without_image_private"]


# RADM: words and regions.


def test_alignment_is_the_softmax_of_the_last_residual_scores(models):
    """Softmax for each head, mean over heads, class token and other tokens left out, over the sum: plain loops."""
    model, batch = models["radm"], alone(posts(), 1)
    words = words_of(batch)
    with torch.no_grad():
        to_image, to_text = model(**batch, output_cross_scores=True).cross_scores[-1]
    found = alignment(model, batch, words)
    assert found.to_regions.shape == (1, 4, 16) and found.to_words.shape == (1, 16, 4)
    for token in range(4):
        heads = [np.exp(row) / np.exp(row).sum() for row in to_image[0, :, token].double().numpy()]
        row = np.mean(heads, axis=0)[1:]
        np.testing.assert_allclose(found.to_regions[0, token], row / row.sum(), atol=1e-6)
    for patch in range(16):
        heads = [np.exp(row) / np.exp(row).sum() for row in to_text[0, :, patch + 1].double().numpy()]
        row = np.mean(heads, axis=0) * words[0].numpy()
        np.testing.assert_allclose(found.to_words[0, patch], row / row.sum(), atol=1e-6)


def test_alignment_needs_cross_attention(models):
    assert alignment(build(CLASSIFIERS["radm"][0], cross_modal=False), make_batch(), words_of(make_batch())) is None


@pytest.mark.parametrize("scores", ["gated", "add", "none"])
def test_alignment_is_shares(scores):
    batch = make_batch()
    found = alignment(build(CLASSIFIERS["radm"][0], residual_attention=scores), batch, words_of(batch))
    valid, words = batch["attention_mask"].bool(), words_of(batch)
    close(found.to_regions.sum(dim=-1), valid.double())
    close(found.to_words.sum(dim=-1), torch.ones(4, 16, dtype=torch.float64))
    assert (found.to_words.transpose(1, 2)[~words] == 0).all()


# Attributions.


def odds_at_both_ends(model, batch):
    """Of each post, by calls of their own: as it is, and with padding for its words and zeros for its picture."""
    empty = {
        **batch,
        "input_ids": torch.where(words_of(batch), 3, batch["input_ids"]),
        "pixel_values": torch.zeros(4, 3, 32, 32),
    }
    with torch.no_grad():
        ends = [model(**of).logits.tolist() for of in (batch, empty)]
    for chosen, *logits in zip(CHOSEN.tolist(), *ends, strict=True):
        yield [odds_by_hand(of, chosen) for of in logits]


@pytest.mark.parametrize("name", ["mdse", "radm", "concat", "text", "image", "cnn"])
def test_attributions_sum_to_the_difference(models, name):
    model, batch = models[name], posts()
    words = words_of(batch)
    found = integrated_gradients(model, batch, CHOSEN, words, pad_token_id=3)
    for row, (value, baseline) in enumerate(odds_at_both_ends(model, batch)):
        attributed = sum(float(part[row].sum()) for part in (found.tokens, found.pixels) if part is not None)
        assert abs(attributed - (value - baseline)) <= max(TOLERANCE * abs(value - baseline), FLOOR) + 1e-4
        assert found.gap[row].item() == pytest.approx(attributed - (value - baseline), abs=1e-4)
    if found.tokens is not None:
        assert (found.tokens[~words] == 0).all() and (found.tokens[3] == 0).all()
    if found.pixels is not None:
        assert found.pixels.shape == (4, 32, 32) and (found.pixels[2] == 0).all()


def test_attributions_are_the_mean_gradient_along_the_path(models):
    """The integral as a plain mean over the middles of 400 steps."""
    model, batch = models["mdse"], alone(posts(), 0)
    words = words_of(batch)
    found = integrated_gradients(model, batch, CHOSEN[:1], words, pad_token_id=3)
    embedding = model.mdse.text_model.get_input_embeddings()
    end, picture = embedding(batch["input_ids"]).detach(), batch["pixel_values"]
    start = torch.where(words[..., None], embedding(torch.tensor(3)).detach(), end)
    share = ((torch.arange(400) + 0.5) / 400).reshape(-1, 1, 1)
    point = (start + share * (end - start)).requires_grad_()
    pixels = (share[..., None] * picture).requires_grad_()
    asked = {name: of.repeat(400, *[1] * (of.ndim - 1)) for name, of in batch.items()}
    hook = embedding.register_forward_hook(lambda module, inputs, output: point)
    scores = model(**{**asked, "pixel_values": pixels}).logits.softmax(dim=-1)[:, 0]
    hook.remove()
    of_words, of_pixels = torch.autograd.grad((scores / (1 - scores)).log().sum(), (point, pixels))
    by_hand = (of_words.mean(dim=0) * (end - start)[0]).sum(dim=-1)
    close(found.tokens[0].float(), by_hand, atol=0.02 * float(by_hand.abs().max()))
    by_hand = (of_pixels.mean(dim=0) * picture[0]).sum(dim=0)
    close(found.pixels[0].float(), by_hand, atol=0.02 * float(by_hand.abs().max()))


def test_a_larger_tolerance_takes_fewer_points_and_is_kept(models):
    model, batch = models["radm"], posts()
    words = words_of(batch)
    fine, coarse = (integrated_gradients(model, batch, CHOSEN, words, 3, share) for share in (TOLERANCE, 0.3))
    assert (coarse.steps <= fine.steps).all() and coarse.steps.sum() < fine.steps.sum()
    for row, (value, baseline) in enumerate(odds_at_both_ends(model, batch)):
        attributed = float(coarse.tokens[row].sum() + coarse.pixels[row].sum())
        assert abs(attributed - (value - baseline)) <= max(0.3 * abs(value - baseline), FLOOR) + 1e-4


def test_where_the_steps_end_the_gap_is_told(models, monkeypatch):
    monkeypatch.setattr("duosent.inference.attributions.MOST_STEPS", 16)
    found = integrated_gradients(models["radm"], posts(), CHOSEN, words_of(posts()), pad_token_id=3)
    assert found.steps.tolist() == [16] * 4
    attributed = found.tokens.sum(dim=1) + found.pixels.sum(dim=(1, 2))
    close(found.gap, attributed - (found.value - found.baseline_value))
    assert (found.gap.abs() > TOLERANCE * (found.value - found.baseline_value).abs()).any()


def test_tombert_and_a_missing_captum_are_told(models, monkeypatch):
    with pytest.raises(CallError, match="TomBERT reads the target's words twice"):
        check_attributions(models["tombert"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CallError, match=r'captum, which is not installed: pip install "duosent\[explain\]"'):
        check_attributions(models["mdse"])


# What holds for all of them.


def every_map(models: dict, batch: dict) -> dict[str, torch.Tensor]:
    """Name -> `(B, ...)`; the tokens' axis is the last one, or behind the posts'."""
    words, chosen = words_of(batch), batch["chosen"]
    batch = {name: of for name, of in batch.items() if name != "chosen"}
    parts = shared_parts(models["mdse"], batch)
    aligned = alignment(models["radm"], batch, words)
    maps = {f"importance_{side}": part.importance.double() for side, part in parts.items()}
    maps |= {"to_regions": aligned.to_regions.transpose(1, 2), "to_words": aligned.to_words}
    found = integrated_gradients(models["mdse"], batch, chosen, words, pad_token_id=3)
    maps |= {"tokens": found.tokens, "pixels": found.pixels.flatten(1)}
    maps["shares"] = torch.stack(shapley_shares(side_values(models["radm"], batch, chosen)), dim=-1).double()
    return maps


@pytest.fixture(scope="module")
def of_all(models) -> dict[str, torch.Tensor]:
    return every_map(models, make_batch() | {"chosen": CHOSEN})


def test_padding_changes_no_map(models, of_all):
    """The short post by itself, and beside longer ones."""
    for name, found in every_map(models, alone(make_batch(), 1) | {"chosen": CHOSEN[1:2]}).items():
        beside = of_all[name][1]
        if name in ("importance_text", "to_regions", "to_words", "tokens"):
            assert (beside[..., 4:] == 0).all(), name
            beside = beside[..., :4]
        close(found[0], beside, atol=1e-4 * float(beside.abs().max()) + 1e-6, rtol=1e-3)


@pytest.mark.parametrize("order", [[3, 0, 2, 1], [1, 1, 0]])
def test_batch_order_changes_no_map(models, of_all, order):
    for name, found in every_map(models, take(make_batch() | {"chosen": CHOSEN}, order)).items():
        expected = of_all[name][order]
        close(found, expected, atol=1e-4 * float(expected.abs().max()) + 1e-6, rtol=1e-3)


@pytest.mark.parametrize("name", ["mdse", "radm", "concat"])
def test_the_model_is_left_as_it_was(name, monkeypatch):
    monkeypatch.setattr("duosent.inference.attributions.MOST_STEPS", 16)
    model = build(CLASSIFIERS[name][0]).train()
    model.classifier.eval()
    first, second = itertools.islice(model.parameters(), 2)
    first.requires_grad_(False)
    second.grad = torch.ones_like(second)
    weights = {key: of.clone() for key, of in model.state_dict().items()}
    config, modes = model.config.to_dict(), [of.training for of in model.modules()]
    learns = [of.requires_grad for of in model.parameters()]
    batch = make_batch()
    integrated_gradients(model, batch, CHOSEN, words_of(batch), pad_token_id=3)
    side_values(model, batch, CHOSEN)
    if name == "mdse":
        shared_parts(model, batch)
        private_logits(model, batch)
    if name == "radm":
        alignment(model, batch, words_of(batch))
    assert [of.training for of in model.modules()] == modes and any(modes) and not all(modes)
    assert [of.requires_grad for of in model.parameters()] == learns
    assert [of.grad is not None for of in model.parameters()] == [False, True] + [False] * (len(learns) - 2)
    assert (second.grad == 1).all() and model.config.to_dict() == config
    assert not any(of._forward_hooks for of in model.modules())
    assert all(torch.equal(of, weights[key]) for key, of in model.state_dict().items())
