"""How long one post takes, in the median, beside the bare towers."""

import argparse
from dataclasses import replace

from benchmarks.harness import Row
from benchmarks.parts.inference import measure_forward
from benchmarks.shapes import chosen_shapes

ROUNDS = 21


def add_options(parser: argparse.ArgumentParser) -> None:
    pass


def measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    for name, shape in chosen_shapes(options, ["tweet", "small"]).items():
        one = replace(shape, batch_size=1)
        rows += measure_forward(f"one post, {name}", one, options, options.rounds or ROUNDS)
    return rows
