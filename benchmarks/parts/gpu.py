"""Training steps on a GPU: float32, bfloat16 and compiled, the share of the card's peak arithmetic, and memory.

The peak is that of dense bfloat16 products, by NVIDIA's data sheets; `--peak-tflops` gives that of a card which is
not in the table.
"""

import argparse
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.arithmetic import count_flops
from benchmarks.harness import NotMeasured, Row, compare, spread, take_turns
from benchmarks.models import build
from benchmarks.parts.residual_attention import peak_bytes
from benchmarks.parts.training import update
from benchmarks.shapes import Shape, chosen_shapes, made_up_batch
from benchmarks.waiting import wait_for

ROUNDS = 11
MODELS = ("mdse", "radm")
# TFLOP/s by a part of the name that torch gives the card; the first that fits.
PEAKS = {"H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "A10": 125, "L40S": 362, "L4": 121, "RTX 4090": 165}
DEVICE = "cuda"
FLOAT32, BFLOAT16, COMPILED = "float32", "bfloat16", "bfloat16, compiled"


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("gpu")
    group.add_argument("--gpu-batches", type=int, nargs="+", default=[64, 256], metavar="N", help="%(default)s")
    group.add_argument("--peak-tflops", type=float, metavar="X", help="of the card, dense bfloat16")


def measure(options: argparse.Namespace) -> list[Row]:
    if not torch.cuda.is_available():
        raise NotMeasured("there is no GPU.")
    peak = peak_tflops(torch.cuda.get_device_name(), options.peak_tflops)
    rows = []
    for name, shape in chosen_shapes(options, ["paper", "tweet"]).items():
        for model in MODELS:
            for size in options.gpu_batches:
                rows += measure_model(f"{model}, {name}", model, replace(shape, batch_size=size), peak, options)
    return rows


def peak_tflops(card: str, given: float | None) -> float:
    """
    Raises:
        NotMeasured: for a card that is not in the table.
    """
    peaks = [given] if given is not None else [peak for name, peak in PEAKS.items() if name in card]
    if not peaks:
        raise NotMeasured(f"--peak-tflops must be given for a card that is not in the table, got {card}.")
    return peaks[0]


def measure_model(what: str, model_name: str, shape: Shape, peak: float, options: argparse.Namespace) -> list[Row]:
    torch.manual_seed(options.seed)
    model = build(model_name, shape, options.attention_dropout).to(DEVICE).train()
    batch = made_up_batch(shape, options.seed, DEVICE)
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)]
    ways = {FLOAT32: (model, False), BFLOAT16: (model, True), COMPILED: (torch.compile(model), True)}
    steps = {
        way: partial(training_step, forward, batch, optimizers, in_bfloat16)
        for way, (forward, in_bfloat16) in ways.items()
    }
    flops = count_flops(steps[FLOAT32])
    steps[COMPILED]()
    peaks = {way: peak_bytes(step) for way, step in steps.items()}
    times = take_turns(steps, options.rounds or ROUNDS, options.warmup, wait=wait_for(DEVICE))

    size = shape.batch_size
    named = f"{what}, {size} posts"
    rows = [
        compare(f"training step, {named}", FLOAT32, times[FLOAT32], way, times[way], size)
        for way in (BFLOAT16, COMPILED)
    ]
    for way in (BFLOAT16, COMPILED):
        shares = [100 * flops / (seconds * peak * 1e12) for seconds in times[way]]
        rows.append(Row(f"share of peak arithmetic, {named}", way, spread(shares), f"% of {peak:g} TFLOP/s"))
    rows += [Row(f"peak memory, {named}", way, spread([held / 1e6]), "MB") for way, held in peaks.items()]
    return rows


def training_step(
    model: nn.Module, batch: dict[str, Tensor], optimizers: list[torch.optim.Optimizer], in_bfloat16: bool
) -> None:
    with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=in_bfloat16):
        loss = model(**batch).loss
    loss.backward()
    update(optimizers)
