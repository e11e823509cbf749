"""Bulk scoring by exported models, in float32 and in eight bits, against eager torch.

What `benchmarks/exported_posts.py` takes, of trained checkpoints (`--checkpoints`) on the posts of `--data`; without
them of an MDSE with random weights over MiniLM's and ViT-Tiny's shapes on made-up posts, whose answers mean nothing:
then times alone.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import exported_posts, first_answer
from benchmarks.harness import NotMeasured, Row, compare, spread
from benchmarks.posts import make_up_posts

ROUNDS = 5


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("exported")
    group.add_argument("--checkpoints", nargs="+", metavar="DIR", help="of finished runs, trained on posts as --data")
    group.add_argument("--exported-split", default="validation", metavar="PART", help="of --data (%(default)s)")
    group.add_argument(
        "--exported-posts", type=int, default=300, metavar="N", help="whose answers are compared (%(default)s)"
    )
    group.add_argument("--exported-batch", type=int, default=8, metavar="N", help="posts of a batch (%(default)s)")
    group.add_argument("--timed-batches", type=int, default=4, metavar="N", help="of a round (%(default)s)")


def measure(options: argparse.Namespace) -> list[Row]:
    if options.checkpoints is not None:
        if options.data is None:
            raise NotMeasured("--checkpoints need --data with posts of their labels.")
        rows = []
        for checkpoint in options.checkpoints:
            rows += measure_checkpoint(checkpoint, Path(checkpoint).name, options)
        return rows
    with tempfile.TemporaryDirectory() as folder:
        first_answer.make_checkpoints(Path(folder))
        count = options.exported_batch * options.timed_batches
        labels = tuple(f"LABEL_{label}" for label in range(3))
        make_up_posts(Path(folder), count, options.seed, options.picture, labels)
        made_up = {"data": str(Path(folder) / "train.parquet"), "exported_split": "train", "exported_posts": count}
        rows = measure_checkpoint(
            str(Path(folder) / "mdse"), "mdse, small", argparse.Namespace(**vars(options) | made_up)
        )
        return [row for row in rows if row.ratio is not None]


def measure_checkpoint(checkpoint: str, named: str, options: argparse.Namespace) -> list[Row]:
    wanted = argparse.Namespace(
        data=options.data,
        split=options.exported_split,
        posts=options.exported_posts,
        seed=options.seed,
        batch_size=options.exported_batch,
        rounds=options.rounds or ROUNDS,
        timed_batches=options.timed_batches,
        threads=options.threads,
    )
    figures, sizes, rounds = exported_posts.compare(checkpoint, wanted)
    seconds = {name: [1 / speed[name] for speed in rounds] for name in figures}
    rows = []
    for name, its in figures.items():
        if name == "eager":
            continue
        rows.append(compare(f"bulk scoring, {named}", "eager", seconds["eager"], name, seconds[name]))
        rows.append(Row(f"same answers, {named}", name, spread([100 * its["label_agreement"]]), "%"))
        rows.append(Row(f"accuracy lost, {named}", name, spread([100 * its["accuracy_lost"]]), "points"))
        rows.append(Row(f"size, {named}", name, spread([sizes[name]]), "MB"))
    return rows
