"""What a step costs, in counts that no clock and no machine changes; `docs/speed.md` says what each is."""

import random
from functools import partial

import pytest
import torch
from kept_memory import kept_bytes
from tiny import CLASSIFIERS, build, make_batch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from duosent.modeling.encoders import count_prefix_tokens
from duosent.processing.full_masks import without_full_masks
from duosent.training.length_groups import LengthGroupedSampler

aten = torch.ops.aten
B, T, PATCHES = 2, 11, 16  # lengths that no width of the tiny models is taken for: T, 1 + T, P, T + P
WORDS, PICTURE, D, FF, H, L = 24, 16, 16, 24, 4, 3
# Few layers of each kind; the others have one.
LAYERS = {
    "radm": {"num_interaction_layers": 2, "num_fusion_layers": 2},
    "clmlf": {"num_text_layers": 1, "num_image_layers": 1, "num_fusion_layers": 1},
}
# What makes the host wait for the device, or asks it how large a result is.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive")


class Watch(TorchDispatchMode):
    """Remembers the operations that run inside, with the shapes of their results."""

    def __init__(self):
        super().__init__()
        self.kernels: list[str] = []  # views leave data where they are, and are none
        self.shapes: set[tuple[int, ...]] = set()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not func.is_view:
            self.kernels.append(name)
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        if name in WAITS or any(index is not None and index.dtype == torch.bool for index in indices):
            self.waits.append(name)
        for result in results if isinstance(results, tuple | list) else [results]:
            if isinstance(result, torch.Tensor):
                self.shapes.add(tuple(result.shape))
        return results


def classifier(name: str, **config):
    model_class, fields = CLASSIFIERS[name]
    return build(model_class, **fields, **LAYERS.get(name, {}), **config)


def posts(padded=False, rows=B, tokens=T) -> dict[str, torch.Tensor]:
    batch = make_batch(rows, tokens)
    if not padded:
        batch["attention_mask"][:] = 1
    return without_full_masks(batch)


def with_fixed_towers(model, tokens=T, patches=PATCHES):
    """The model with towers that cost nothing: the same random tokens for every batch."""
    towers = model.base_model
    generator = torch.Generator().manual_seed(0)
    cells = patches + (0 if towers.vision_model is None else count_prefix_tokens(towers.vision_model))
    words = torch.randn(B, tokens, WORDS, generator=generator)
    picture = torch.randn(B, cells, PICTURE, generator=generator)
    towers.read_text = lambda tower, input_ids, **inputs: words[: len(input_ids), : input_ids.shape[1]]
    towers.read_image = lambda tower, pixel_values: picture[: len(pixel_values)]
    return model


def step(model, batch) -> None:
    model(**batch)["loss"].backward()


# FLOPs


def linear(rows, wide, out, passes=3):
    """A multiplication and an addition count as two; backward has a product for the input and one for the weight."""
    return passes * 2 * rows * wide * out


def attention(queries, keys, width=D):
    """Two products forward; backward has four, and one more for the scores, which fused attention computes again."""
    return (2 + 5) * 2 * B * queries * keys * width


def block(queries, keys, width=D, inner=FF):
    """q, k, v and out, attention, feed-forward."""
    outer = 2 * linear(B * queries, width, width) + 2 * linear(B * keys, width, width)
    return outer + attention(queries, keys, width) + 2 * linear(B * queries, width, inner)


def text_tower(tokens=T):
    return block(tokens, tokens, WORDS, 32)


def image_tower():
    """Patches of 8 x 8 pixels are a product too, whose input wants no gradient; then one layer, with the [CLS]."""
    return linear(B * PATCHES, 3 * 8 * 8, PICTURE, passes=2) + block(PATCHES + 1, PATCHES + 1, PICTURE, 32)


def head(width):
    return linear(B, width, width // 2) + linear(B, width // 2, L)


def words_projected(tokens=T):
    return linear(B * tokens, WORDS, D)


def mdse():
    shared = block(T, PATCHES) + block(PATCHES, T)
    # A product of each token with one vector for the importance, then self-attention.
    private = sum(linear(B * tokens, D, 1) + block(tokens, tokens) for tokens in (T, PATCHES))
    views = 3 * B
    return words_projected() + shared + private + 3 * linear(B, 2 * D, D) + head(D) + linear(views, D, views)


def residual_block(queries, keys, layer):
    """Layer `l`, from 1: attention over queries and keys of `l` layers side by side; products for the gate."""
    d = D // H
    outer = 2 * linear(B * queries, D, D) + 2 * linear(B * keys, D, D)
    gate = 0
    if layer > 1:
        # A Gram matrix of keys and a product with the queries; in backward both again, and the gradients of queries
        # and keys, which own scores with themselves have once and scores of two layers twice.
        product = 2 * B * H * (queries + keys) * d * d
        squares = 1 + (layer == 2)  # those of the first layer too; later ones follow from the gate
        gate = (3 * squares + 4 * (layer - 1)) * product + linear(B * queries, H, H)
    return outer + gate + attention(queries, keys, layer * D)


def written_out_block(queries, keys, layer):
    """The same by way of the maps: two products forward, four backward; the gate is theirs."""
    outer = 2 * linear(B * queries, D, D) + 2 * linear(B * keys, D, D)
    gate = linear(B * queries, H, H) if layer > 1 else 0
    return outer + gate + 6 * 2 * B * queries * keys * D


def feed_forward(tokens):
    return 2 * linear(B * tokens, D, FF)


def radm(residual_block=residual_block):
    pictures, total = PATCHES + 1, 0
    for layer in (1, 2):
        for queries, keys in ((T, T), (pictures, pictures), (T, pictures), (pictures, T)):
            total += residual_block(queries, keys, layer)
        total += feed_forward(T) + feed_forward(pictures)
        both = T + pictures
        total += residual_block(both, both, layer) + feed_forward(both)
    return words_projected() + total + linear(B, 2 * D, L)


def tfn(fusion=None):
    sides = linear(B, WORDS, D) + linear(B, PICTURE, D) + 2 * linear(B, D, D)
    return sides + (linear(B, (D + 1) ** 2, D) if fusion is None else fusion) + head(D)


def lmf():
    return tfn(fusion=2 * 4 * linear(B, D + 1, D))  # two factors of rank 4


def clmlf():
    both = T + PATCHES + 1
    layers = block(T, T) + block(PATCHES + 1, PATCHES + 1) + block(both, both)
    pooling = linear(B * both, D, D // 2) + linear(B * both, D // 2, 1) + linear(B * both, 1, D)
    return words_projected() + layers + pooling + head(D) + 2 * linear(B, D, B)


def tombert():
    """The target is read by the text tower too, always in `max_target_length` tokens."""
    target = 16
    second = text_tower(target) + words_projected(target)
    fusion = block(target, PATCHES) + linear(B, D, D) + block(1 + T, 1 + T)
    return second + words_projected() + fusion + head(D)


# Text tower, image tower, and all that is neither.
FORMULAS = {
    "mdse": (1, 1, mdse),
    "radm": (1, 1, partial(radm, written_out_block)),
    "text": (1, 0, lambda: head(WORDS)),
    "image": (0, 1, lambda: head(PICTURE)),
    "concat": (1, 1, lambda: head(WORDS + PICTURE)),
    "tfn": (1, 1, tfn),
    "lmf": (1, 1, lmf),
    "clmlf": (1, 1, clmlf),
    "tombert": (1, 1, tombert),
}


def attention_forward(query, key, value, *args, out_shape=None, **kwargs):
    rows, heads, queries, width = query
    return 2 * 2 * rows * heads * queries * key[2] * width


def attention_backward(gradient, query, key, *args, out_shape=None, **kwargs):
    rows, heads, queries, width = query
    return 5 * 2 * rows * heads * queries * key[2] * width


# Fused attention of the CPU, which torch does not count in every version.
FUSED = {
    aten._scaled_dot_product_flash_attention_for_cpu: attention_forward,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_flops_of_a_step_are_those_of_the_formula(name):
    texts, pictures, rest = FORMULAS[name]
    assert flops(name) == texts * text_tower() + pictures * image_tower() + rest()


def test_flops_of_radm_without_maps_are_those_of_the_formula(without_maps):
    assert flops("radm") == text_tower() + image_tower() + radm()


def flops(name) -> int:
    model = classifier(name)
    with FlopCounterMode(display=False, custom_mapping=FUSED) as counter:
        step(model, posts())
    return counter.get_total_flops()


# Kernels and maps

# Kernels of a training step outside the towers, forward and backward, as counted with torch 2.15, and a twentieth.
KERNELS = {
    "mdse": 559,
    "radm": 1107,
    "text": 33,
    "image": 32,
    "concat": 36,
    "tfn": 87,
    "lmf": 98,
    "clmlf": 820,
    "tombert": 261,
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_of_a_step_outside_the_towers(name):
    model, batch = with_fixed_towers(classifier(name)).train(), posts()
    with Watch() as watch:
        step(model, batch)
    assert len(watch.kernels) <= 1.05 * KERNELS[name], len(watch.kernels)


def test_kernels_of_radm_without_maps(without_maps):
    model = with_fixed_towers(classifier("radm", attention_probs_dropout_prob=0.0)).train()
    with Watch() as watch:
        step(model, posts())
    assert len(watch.kernels) <= 1.05 * 1422, len(watch.kernels)


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@pytest.mark.parametrize("name", ["mdse", "radm", "clmlf", "tombert"])
def test_no_attention_map_is_ever_made(name, padded, without_maps):
    # Without dropout of the maps, which the CPU's fused attention has not; with lengths that are no width.
    model = with_fixed_towers(classifier(name, attention_probs_dropout_prob=0.0), T, 13).train()
    batch = posts(padded)
    with Watch() as watch:
        step(model, batch)
    lengths = {T, 1 + T, 13, 14, T + 14}
    assert not maps_among(watch.shapes, lengths)
    # The same look finds them where they are asked for.
    if name in ("mdse", "radm"):
        with Watch() as watch:
            model(**batch, output_attentions=True)
        assert (B, H, T, T) in maps_among(watch.shapes, lengths)


def maps_among(shapes, lengths) -> set[tuple[int, ...]]:
    return {shape for shape in shapes if len(shape) >= 3 and set(shape[-2:]) <= lengths}


def test_masks_cost_what_is_padded_alone():
    def kernels(name, padded):
        model, batch = with_fixed_towers(classifier(name)), posts(padded)
        with Watch() as watch:
            step(model, batch)
        return watch.kernels

    for name in ("mdse", "radm", "clmlf"):
        full, padded = kernels(name, False), kernels(name, True)
        assert len(full) < len(padded), name


# What nobody asked for


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_evaluation_draws_no_dropout(name):
    model, draws = classifier(name), {"native_dropout", "bernoulli", "bernoulli_", "rand_like"}
    with Watch() as watch, torch.no_grad():
        model(**posts())
    assert not draws & set(watch.kernels)
    with Watch() as watch, torch.no_grad():
        model.train()(**posts())
    assert draws & set(watch.kernels)


@pytest.mark.parametrize("side", ["text", "vision"])
@pytest.mark.parametrize("name", ["mdse", "radm", "concat", "tfn", "lmf", "clmlf", "tombert"])
def test_the_tower_of_a_missing_side_is_not_run(name, side):
    model, batch, ran = classifier(name), posts(), []
    getattr(model.base_model, f"{side}_model").register_forward_pre_hook(lambda *call: ran.append(side))
    with torch.no_grad():
        model(**batch)
        assert ran
        ran.clear()
        missing = {"text": ("input_ids", "attention_mask", "text_present"), "vision": ("pixel_values",)}[side]
        model(**{key: value for key, value in batch.items() if key not in missing})
    assert not ran


@torch.no_grad()
def test_importance_is_a_by_product():
    def kernels(**wanted):
        with Watch() as watch:
            model(**batch, **wanted)
        return len(watch.kernels)

    model, batch = with_fixed_towers(classifier("mdse")), posts()
    assert kernels(output_importance=True) == kernels()
    assert kernels(output_attentions=True) > kernels()


# Waits


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_step_reads_nothing_back(name, padded):
    model, batch = classifier(name).train(), posts(padded)
    with Watch() as watch:
        step(with_fixed_towers(model), batch)
    assert not watch.waits
    if padded:
        return
    # The towers too, where nothing is padded; TomBERT reads the target alone, which is padded.
    for side in ("read_text", "read_image"):
        delattr(model.base_model, side)
    with Watch() as watch:
        step(model, batch)
    assert watch.waits == (["_local_scalar_dense"] if name == "tombert" else [])


# Memory kept for the backward pass


def radm_bytes(tokens, patches, padded=False, **config) -> int:
    model = with_fixed_towers(classifier("radm", **config), tokens, patches - 1)
    return kept_bytes(partial(model, **posts(padded, tokens=tokens)))


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
def test_radm_keeps_memory_linear_in_length(padded, without_maps):
    short, long = radm_bytes(128, 197, padded), radm_bytes(1024, 1576, padded)  # 325 and 2,600 tokens
    assert 7.5 < long / short < 8.5


def test_the_written_out_attention_keeps_memory_quadratic_in_length():
    short, long = (radm_bytes(*lengths, attn_implementation="eager") for lengths in ((32, 49), (256, 392)))
    assert long / short > 30


# Graphs


BASELINES = [pytest.param(name, marks=pytest.mark.slow) for name in CLASSIFIERS if name not in ("mdse", "radm")]


@pytest.mark.parametrize("training", [pytest.param(False, marks=pytest.mark.slow), True], ids=["eval", "training"])
@pytest.mark.parametrize("name", ["mdse", "radm", *BASELINES])
def test_a_forward_is_one_graph(name, training):
    torch._dynamo.reset()
    model = classifier(name).train(training)
    found = torch._dynamo.explain(model)(**posts(padded=True))
    assert found.graph_break_count == 0 and found.graph_count == 1, found.break_reasons


# Padding


def padded_tokens(order, lengths, batch_size=32, multiple=8) -> int:
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return sum(len(batch) * -(-max(lengths[post] for post in batch) // multiple) * multiple for batch in batches)


def test_grouping_takes_the_padding_away():
    # Lengths as tweets have them: 22 tokens in the median, one in thirty beyond 60, 128 at most.
    draw = random.Random(0)
    lengths = [min(128, 3 + round(draw.lognormvariate(2.95, 0.6))) for _ in range(4000)]
    real = sum(lengths)
    shuffled = draw.sample(range(4000), 4000)
    grouped = list(LengthGroupedSampler(lengths, 32, seed=0))
    assert padded_tokens(grouped, lengths) < 1.25 * real
    assert padded_tokens(grouped, lengths) < 0.55 * padded_tokens(shuffled, lengths)
