"""Posts from Parquet to logits (decode, tokenise, pad, forward), and the loader alone beside the model's appetite.

A loader that takes less time than a forward, or a training step, keeps its model busy from a process of its own. Each
round opens the file anew where it goes from end to end; workers are started within their pass.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.harness import Row, compare, take_turns
from benchmarks.models import build
from benchmarks.parts.training import update
from benchmarks.posts import open_posts, posts_source, processor_of
from benchmarks.shapes import LABELS, Shape, chosen_shapes
from duosent import ImageTextCollator
from duosent.inference.post_logits import post_logits
from duosent.processing.full_masks import without_full_masks

ROUNDS = 5
FORWARD, STEP = "forward alone", "training step alone"


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("loading")
    group.add_argument("--posts", type=int, default=64, metavar="N", help="of a pass (%(default)s)")
    group.add_argument(
        "--workers", type=int, nargs="+", default=[0, 1], metavar="N", help="processes of the loader (%(default)s)"
    )


def measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = posts_source(options, Path(folder), options.posts)
        for name, shape in chosen_shapes(options, ["small"]).items():
            rows += measure_shape(name, shape, source, options)
    return rows


def measure_shape(name: str, shape: Shape, source: str, options: argparse.Namespace) -> list[Row]:
    posts = open_posts(source, options)
    processor = processor_of(options, posts, shape.image_size)
    model = model_of(shape, len(processor.tokenizer), options)
    collate = ImageTextCollator(processor)
    load = partial(loader, collate=collate, batch_size=shape.batch_size, count=options.posts)
    batches = list(load(posts, workers=0))

    steps = model_alone(model, batches)
    for workers in options.workers:
        ready = load(posts, workers=workers)
        steps["loader alone", workers] = partial(list, ready)
        steps["from Parquet", workers] = lambda workers=workers: answer(
            model, load(open_posts(source, options), workers=workers)
        )
    times = take_turns(steps, options.rounds or ROUNDS, options.warmup)

    count = sum(len(batch["text_present"]) for batch in batches)
    rows = []
    for workers in options.workers:
        named = f"{workers} workers, {name}"
        pairs = [("loader alone", FORWARD), ("loader alone", STEP), ("from Parquet", FORWARD)]
        for what, against in pairs:
            rows.append(compare(named, what, times[what, workers], against, times[against], count))
    return rows


def loader(rows: Dataset, collate: ImageTextCollator, batch_size: int, count: int, workers: int) -> DataLoader:
    some = rows.select(range(min(count, len(rows))))
    return DataLoader(some, batch_size=batch_size, collate_fn=collate, num_workers=workers)


def model_of(shape: Shape, words: int, options: argparse.Namespace) -> nn.Module:
    """MDSE, which knows so many words or more."""
    torch.manual_seed(options.seed)
    return build("mdse", replace(shape, vocabulary=max(shape.vocabulary, words)), options.attention_dropout)


def model_alone(model: nn.Module, batches: list[dict[str, Tensor]]) -> dict[str, Callable[[], None]]:
    """What a loader has to keep up with: the forward, and the training step, of batches at hand."""
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)]
    return {FORWARD: partial(answer, model, batches), STEP: partial(learn, model, batches, optimizers)}


def answer(model: nn.Module, batches: list[dict[str, Tensor]] | DataLoader) -> None:
    for batch in batches:
        post_logits(model, batch)


def learn(model: nn.Module, batches: list[dict[str, Tensor]], optimizers: list[torch.optim.Optimizer]) -> None:
    model.train()
    for batch in batches:
        labels = torch.arange(len(batch["text_present"])) % LABELS
        model(**without_full_masks(batch), labels=labels).loss.backward()
        update(optimizers)
