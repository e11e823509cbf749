"""RADM's fusion without score maps against the same written out: time, memory kept for backward, and its growth.

The towers are left out: their tokens are given, and want a gradient as in training. Both ways are taken at every
length, whichever the model itself would take. What is kept for backward is what the allocator has given out after a
forward and had not before it; on a GPU its peak stands beside it.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.harness import Row, Spread, compare, spread, take_turns
from benchmarks.models import build
from benchmarks.shapes import LABELS, Shape, chosen_shapes
from benchmarks.waiting import wait_for

ROUNDS = 7
FORMS = WITHOUT, WITH = "without maps", "with maps"


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("residual_attention")
    group.add_argument(
        "--growth-tokens",
        type=int,
        nargs="+",
        default=[325, 650, 1300, 2600],
        metavar="N",
        help="text and image tokens of one post together (%(default)s)",
    )
    group.add_argument("--growth-heads", type=int, default=2, metavar="N", help="of the growing fusion (%(default)s)")


def measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    for name, shape in chosen_shapes(options, ["paper", "tweet", "small"]).items():
        rows += measure_shape(name, shape, options)
    (shape,) = chosen_shapes(argparse.Namespace(**vars(options) | {"shapes": None}), ["paper"]).values()
    return rows + measure_growth(shape, options)


def measure_shape(name: str, shape: Shape, options: argparse.Namespace) -> list[Row]:
    lengths = shape.text_tokens, shape.image_tokens
    steps = {form: fusion_step(shape, form, lengths, shape.batch_size, options) for form in FORMS}
    rows = [compare_bytes(f"kept for backward, {name}", {form: kept_bytes(step) for form, step in steps.items()})]
    learn = {form: lambda step=step: step().backward() for form, step in steps.items()}
    if options.device == "cuda":
        rows.append(compare_bytes(f"peak, {name}", {form: peak_bytes(step) for form, step in learn.items()}))
    times = take_turns(learn, options.rounds or ROUNDS, options.warmup, wait=wait_for(options.device))
    what = f"fusion forward and backward, {name}"
    return [*rows, compare(what, WITHOUT, times[WITHOUT], WITH, times[WITH], shape.batch_size)]


def measure_growth(shape: Shape, options: argparse.Namespace) -> list[Row]:
    """What one post of growing length keeps, in few heads of the shape's own width."""
    part = options.growth_heads / shape.radm_heads
    shape = replace(
        shape,
        width=round(shape.width * part),
        radm_inner=round(shape.radm_inner * part),
        radm_heads=options.growth_heads,
    )
    rows, shortest = [], {}
    for tokens in options.growth_tokens:
        lengths = tokens * 2 // 5, tokens - tokens * 2 // 5
        kept = {form: kept_bytes(fusion_step(shape, form, lengths, 1, options)) for form in FORMS}
        shortest = shortest or {"tokens": tokens} | kept
        rows.append(compare_bytes(f"kept for backward, {tokens} tokens", kept))
        if tokens != shortest["tokens"]:
            for form in FORMS:
                before = f"{form}, {shortest['tokens']} tokens"
                pair = {f"{form}, {tokens} tokens": kept[form], before: shortest[form]}
                rows.append(compare_bytes(f"growth, {tokens / shortest['tokens']:.3g} times the tokens", pair))
    return rows


def fusion_step(
    shape: Shape, form: str, lengths: tuple[int, int], posts: int, options: argparse.Namespace
) -> Callable[[], Tensor]:
    """Forward of RADM over given tokens of both sides; gives the loss."""
    torch.manual_seed(options.seed)
    # Towers as wide as the fusion need no projection; they are not run, so one layer is enough.
    sides = {
        f"{side}_{name}": size
        for side in ("text", "image")
        for name, size in (("width", shape.width), ("layers", 1), ("heads", shape.radm_heads), ("inner", 1))
    }
    shape = replace(shape, vocabulary=100, **sides)
    model = build("radm", shape, options.attention_dropout, attn_implementation="sdpa").train()
    model.base_model._writes_attention_out = lambda text, image: form == WITH
    words, picture = (torch.randn(posts, length, shape.width).to(options.device) for length in lengths)
    words, picture = words.requires_grad_(), picture.requires_grad_()
    model.to(options.device)
    model.base_model.read_text = lambda tower, input_ids, **inputs: words
    model.base_model.read_image = lambda tower, pixel_values: picture
    inputs = {
        "input_ids": torch.zeros(posts, lengths[0], dtype=torch.long),
        "pixel_values": torch.zeros(posts, 3, 1, 1),
        "labels": torch.arange(posts) % LABELS,
    }
    return partial(loss_of, model, {name: tensor.to(options.device) for name, tensor in inputs.items()})


def loss_of(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    return model(**inputs).loss


def kept_bytes(step: Callable[[], Tensor]) -> int:
    """What a forward keeps for its backward."""
    if next(step.args[0].parameters()).is_cuda:
        before = torch.cuda.memory_allocated()
        loss = step()
        return torch.cuda.memory_allocated() - before - loss.nbytes
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        loss = step()
    return sum(event.self_cpu_memory_usage for event in seen.events()) - loss.nbytes


def peak_bytes(step: Callable[[], object]) -> int:
    """The most that a GPU held during a step, beyond what it held before."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


def compare_bytes(what: str, kept: dict[str, int]) -> Row:
    """The first against the second; a count has no spread."""
    (subject, its), (against, other) = kept.items()
    quotient = its / other
    return Row(what, subject, spread([its / 1e6]), "MB", against, Spread(quotient, quotient, quotient))
