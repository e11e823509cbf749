"""MDSE trained on posts padded to their batch and grouped by length, against all texts padded to 200 tokens.

Padding each text to 200 tokens, in batches as they are drawn, is how the released code of MDSE feeds its model. Both
ways feed the same model the same posts: a sample of the batches of one epoch. A round trains on all of them once in
each way, batch by batch in turns; pictures are decoded and texts tokenised within it, in the same process.
"""

import argparse
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from datasets import Dataset
from torch import Tensor, nn

from benchmarks.arithmetic import count_flops
from benchmarks.harness import Row, added, compare, spread, take_turns
from benchmarks.models import build
from benchmarks.parts.training import learn, update
from benchmarks.posts import add_post_options, open_posts, posts_source, processor_of
from benchmarks.shapes import LABELS, Shape, chosen_shapes
from duosent import ImageTextCollator
from duosent.processing.full_masks import without_full_masks
from duosent.training.length_groups import LengthGroupedSampler, text_lengths

ROUNDS = 3
OURS, RELEASED = "padded to the batch, grouped", "padded to a fixed length"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_post_options(parser)
    group = parser.add_argument_group("feeding")
    group.add_argument("--padded-to", type=int, default=200, metavar="N", help="tokens of each text (%(default)s)")
    group.add_argument("--feeding-batch", type=int, default=32, metavar="N", help="posts of a batch (%(default)s)")
    group.add_argument("--sample", type=int, default=3, metavar="N", help="batches of the epoch (%(default)s)")
    group.add_argument("--epoch", type=int, default=2000, metavar="N", help="posts, where made up (%(default)s)")


class Feeding:
    """One way to bring posts to the model, batch after batch.

    Args:
        batches: places of posts in `rows`.
        padded_to: length of every text; None for the longest of its batch.
    """

    def __init__(self, rows: Dataset, batches: list[list[int]], collate: ImageTextCollator, padded_to: int | None):
        self._rows, self.batches, self._collate, self._padded_to = rows, batches, collate, padded_to
        self._batch = None
        self.tokens = 0

    def feed(self, number: int) -> None:
        places = self.batches[number]
        batch = self._collate([self._rows[place] for place in places])
        if self._padded_to is not None:
            batch = pad_texts(batch, self._padded_to, self._collate.processor.tokenizer.pad_token_id)
        self._batch = without_full_masks(batch) | {"labels": torch.tensor([place % LABELS for place in places])}
        self.tokens = batch["input_ids"].numel()

    def learn(self, model: nn.Module) -> None:
        learn(model, self._batch)

    def pass_over(self, model: nn.Module) -> int:
        """Feed and learn every batch; returns the text tokens of all of them."""
        tokens = 0
        for number in range(len(self.batches)):
            self.feed(number)
            self.learn(model)
            tokens += self.tokens
        return tokens


def pad_texts(batch: dict[str, Tensor], length: int, pad_token: int) -> dict[str, Tensor]:
    """The batch with texts of `length` tokens, or of as many as it has already."""
    missing = max(0, length - batch["input_ids"].shape[1])
    of_padding = {"input_ids": pad_token, "attention_mask": 0, "token_type_ids": 0}
    return batch | {
        name: nn.functional.pad(batch[name], (0, missing), value=value)
        for name, value in of_padding.items()
        if name in batch
    }


def measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        posts = open_posts(posts_source(options, Path(folder), options.epoch), options)
        for name, shape in chosen_shapes(options, ["small"]).items():
            rows += measure_shape(name, shape, posts, options)
    return rows


def measure_shape(name: str, shape: Shape, posts: Dataset, options: argparse.Namespace) -> list[Row]:
    processor = processor_of(options, posts, shape.image_size)
    shape = replace(shape, vocabulary=max(shape.vocabulary, len(processor.tokenizer)))
    torch.manual_seed(options.seed)
    model = build("mdse", shape, options.attention_dropout).train()
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)]
    collate, size = ImageTextCollator(processor), options.feeding_batch
    grouped, shuffled = sampled_batches(text_lengths(posts, processor), size, options.sample, options.seed)
    ways = {
        OURS: Feeding(posts, grouped, collate, None),
        RELEASED: Feeding(posts, shuffled, collate, options.padded_to),
    }

    steps, flops, tokens = {}, {}, {}
    for way, feeding in ways.items():
        flops[way] = count_flops(lambda way=way, feeding=feeding: tokens.update({way: feeding.pass_over(model)}))
        update(optimizers)
    for number in range(len(grouped)):
        for way, feeding in ways.items():
            steps[way, "feed", number] = lambda feeding=feeding, number=number: feeding.feed(number)
            steps[way, "learn", number] = lambda feeding=feeding: (feeding.learn(model), update(optimizers))
    # The count has been over all batches already.
    times = take_turns(steps, options.rounds or ROUNDS, warmup=0)

    def of(way: str, *laps: str) -> list[float]:
        return added(*(times[way, lap, number] for lap in laps for number in range(len(grouped))))

    count = len(grouped) * size
    arithmetic = flops[RELEASED] / flops[OURS]
    rows = [
        compare(f"epoch, {name}", RELEASED, of(RELEASED, "feed", "learn"), OURS, of(OURS, "feed", "learn"), count),
        compare(
            f"its steps alone, {name}", RELEASED, of(RELEASED, "learn"), OURS, of(OURS, "learn"), count, arithmetic
        ),
    ]
    for way in ways:
        rows.append(Row(f"text tokens, {name}", way, spread([tokens[way] / count]), "a post"))
    return rows


def sampled_batches(lengths: list[int], size: int, count: int, seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """Places of the same posts in `count` batches, grouped by length as `duosent train` has them, and shuffled."""
    grouped = list(LengthGroupedSampler(lengths, size, seed))[: size * min(count, len(lengths) // size)]
    shuffled = random.Random(seed).sample(grouped, len(grouped))
    return cut(grouped, size), cut(shuffled, size)


def cut(places: list[int], size: int) -> list[list[int]]:
    return [places[start : start + size] for start in range(0, len(places), size)]
