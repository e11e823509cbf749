"""A forward of each model beside that of its bare towers, on the same posts, in evaluation and without gradients."""

import argparse
from functools import partial

import torch
from torch import nn

from benchmarks.arithmetic import count_flops
from benchmarks.harness import Row, take_turns
from benchmarks.models import build_all, compare_all
from benchmarks.shapes import Shape, chosen_shapes, made_up_batch
from benchmarks.waiting import wait_for

ROUNDS = 9


def add_options(parser: argparse.ArgumentParser) -> None:
    pass


def measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    for name, shape in chosen_shapes(options, ["paper", "tweet", "small"]).items():
        rows += measure_forward(f"inference, {name}", shape, options, options.rounds or ROUNDS)
    return rows


def measure_forward(what: str, shape: Shape, options: argparse.Namespace, rounds: int) -> list[Row]:
    models = build_all(shape, options.attention_dropout, options.seed, options.device)
    batch = made_up_batch(shape, options.seed, options.device)
    del batch["labels"]
    steps = {name: partial(answer, model.eval(), batch) for name, model in models.items()}
    flops = {name: count_flops(step) for name, step in steps.items()}
    times = take_turns(steps, rounds, options.warmup, wait=wait_for(options.device))
    return compare_all(what, times, flops, shape.batch_size)


@torch.inference_mode()
def answer(model: nn.Module, batch: dict[str, torch.Tensor]) -> None:
    model(**batch)
