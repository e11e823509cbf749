"""Imports, first answers and loading of a checkpoint beside plain transformers.

What `benchmarks/first_answer.py` takes, in processes of their own, and how long a saved MDSE loads beside its two
towers by transformers' own classes.
"""

import argparse
import tempfile
from pathlib import Path

from transformers import BertModel, ViTModel

from benchmarks import first_answer
from benchmarks.harness import Row, ratio, spread, take_turns
from duosent import MdseForImageTextClassification

ROUNDS = 3
LOADS = 5


def add_options(parser: argparse.ArgumentParser) -> None:
    pass


def measure(options: argparse.Namespace) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        first_answer.make_checkpoints(Path(folder))
        rounds = [first_answer.one_round(Path(folder)) for _ in range(options.rounds or ROUNDS)]
        rows = []
        for step in rounds[0]:
            own, plain = zip(*(taken[step] for taken in rounds), strict=True)
            rows.append(Row(step, "duosent", spread(own), "s", "transformers, text alone", ratio(own, plain)))
        return [*rows, measure_loading(Path(folder), options)]


def measure_loading(folder: Path, options: argparse.Namespace) -> Row:
    def load_towers() -> None:
        BertModel.from_pretrained(folder / "text")
        ViTModel.from_pretrained(folder / "image")

    steps = {
        "duosent": lambda: MdseForImageTextClassification.from_pretrained(folder / "mdse"),
        "transformers, both towers": load_towers,
    }
    times = take_turns(steps, options.rounds or LOADS, options.warmup)
    (subject, own), (against, plain) = times.items()
    return Row("load a checkpoint", subject, spread(own), "s", against, ratio(own, plain))
