"""A training step of each model beside that of its bare towers, on the same posts.

Forward and backward are timed apart from the step of AdamW (fused, as Trainer has it) and stand in the table once
without it and once with it: the optimizer's work goes by the number of weights and is not in the FLOPs.
"""

import argparse
from functools import partial

import torch
from torch import nn

from benchmarks.arithmetic import count_flops
from benchmarks.harness import Row, added, take_turns
from benchmarks.models import TOWERS, build_all, compare_all
from benchmarks.shapes import Shape, chosen_shapes, made_up_batch
from benchmarks.waiting import wait_for

ROUNDS = 5


def add_options(parser: argparse.ArgumentParser) -> None:
    pass


def measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    for name, shape in chosen_shapes(options, ["paper", "tweet", "small"]).items():
        rows += measure_shape(name, shape, options)
    return rows


def measure_shape(name: str, shape: Shape, options: argparse.Namespace) -> list[Row]:
    models = build_all(shape, options.attention_dropout, options.seed, options.device)
    batch = made_up_batch(shape, options.seed, options.device)
    optimizers = build_optimizers(models)
    for model in models.values():
        model.train()

    steps, flops = {}, {}
    for model_name, model in models.items():
        step = partial(learn, model, batch)
        flops[model_name] = count_flops(step)
        steps["learn", model_name] = step
        steps["update", model_name] = partial(update, optimizers[model_name])
        update(optimizers[model_name])
    times = take_turns(steps, options.rounds or ROUNDS, options.warmup, wait=wait_for(options.device))

    learning = {model_name: times["learn", model_name] for model_name in models}
    whole = {model_name: added(seconds, times["update", model_name]) for model_name, seconds in learning.items()}
    rows = compare_all(f"forward and backward, {name}", learning, flops, shape.batch_size)
    return rows + compare_all(f"forward, backward and AdamW, {name}", whole, flops, shape.batch_size)


def learn(model: nn.Module, batch: dict[str, torch.Tensor]) -> None:
    model(**batch).loss.backward()


def build_optimizers(models: dict[str, nn.Module]) -> dict[str, list[torch.optim.Optimizer]]:
    """Those of each model: one for the towers, whose state all that have them share, and one for the rest."""
    of_towers = torch.optim.AdamW(models[TOWERS].parameters(), lr=1e-5, fused=True)
    shared = {id(parameter) for parameter in models[TOWERS].parameters()}
    optimizers = {}
    for name, model in models.items():
        own = [parameter for parameter in model.parameters() if id(parameter) not in shared]
        optimizers[name] = [of_towers] if len(own) < len(list(model.parameters())) else []
        optimizers[name] += [torch.optim.AdamW(own, lr=1e-5, fused=True)] if own else []
    return optimizers


def update(optimizers: list[torch.optim.Optimizer]) -> None:
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
