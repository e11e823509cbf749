"""A table scored end to end, from Parquet to labels and scores, against a plain loop over the pipeline.

Each way begins with a checkpoint, or an exported folder, and a Parquet file on the disk, and ends when every post has
its answer: loading, reading, decoding, tokenising and writing are in it. `predict` is `duosent predict --data`. Of
trained checkpoints (`--checkpoints`) on the posts of `--data`; without them an MDSE with random weights on made-up
posts.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from transformers import pipeline
from transformers.utils import logging as transformers_logging

from benchmarks import first_answer
from benchmarks.harness import NotMeasured, Row, compare, take_turns
from benchmarks.posts import make_up_posts
from duosent.data.pairs import load_pairs
from duosent.inference.backends import trained_columns
from duosent.inference.export import export
from duosent.inference.score_table import predict_table

ROUNDS = 3
LOOP = "pipeline, post by post"
SIDES = ("text", "image", "target")


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scoring (and --checkpoints, --exported-split)")
    group.add_argument("--scored-posts", type=int, default=128, metavar="N", help="of a round (%(default)s)")
    group.add_argument("--scored-batch", type=int, default=32, metavar="N", help="posts of a batch (%(default)s)")


def measure(options: argparse.Namespace) -> list[Row]:
    if options.checkpoints is not None and options.data is None:
        raise NotMeasured("--checkpoints need --data with posts of their labels.")
    transformers_logging.set_verbosity_error()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        if options.checkpoints is None:
            first_answer.make_checkpoints(work)
            make_up_posts(work, options.scored_posts, options.seed, options.picture, ("a", "b", "c"))
            checkpoints, data, split = [str(work / "mdse")], str(work / "train.parquet"), "train"
        else:
            checkpoints, data, split = options.checkpoints, options.data, options.exported_split
        for number, checkpoint in enumerate(checkpoints):
            folder = work / f"of-{number}"
            folder.mkdir()
            rows += measure_checkpoint(checkpoint, data, split, folder, options)
    return rows


def measure_checkpoint(checkpoint: str, data: str, split: str, work: Path, options: argparse.Namespace) -> list[Row]:
    posts = load_pairs(data, **{**trained_columns(checkpoint), "label_column": None}, parts=[split])[split]
    posts = posts.select(range(min(options.scored_posts, len(posts))))
    file = work / "posts.parquet"
    posts.to_parquet(file)
    export(checkpoint, str(work / "int8"), int8=True)
    ways = {
        LOOP: lambda: answers_of_pipeline(checkpoint, file, None),
        "pipeline, batches": lambda: answers_of_pipeline(checkpoint, file, options.scored_batch),
        "predict": predicting(checkpoint, file, work / "answers", "torch", options),
        "predict, ONNX int8": predicting(str(work / "int8"), file, work / "answers", "onnx", options),
    }
    times = take_turns(ways, options.rounds or ROUNDS, options.warmup)
    what = f"Parquet to scores, {Path(checkpoint).name}, {len(posts)} posts"
    return [compare(what, LOOP, times[LOOP], way, times[way], len(posts)) for way in ways if way != LOOP]


def answers_of_pipeline(checkpoint: str, file: Path, batch_size: int | None) -> None:
    """Every answer of the pipeline: asked post by post, or in batches in the order of the rows."""
    answering = pipeline("image-text-classification", model=checkpoint, device="cpu")
    if batch_size is None:
        answers = [answering(post) for post in posts_of(file)]
    else:
        answers = list(answering(posts_of(file), batch_size=batch_size))
    if not all(answers):
        raise RuntimeError(f"The pipeline gave {len(answers)} answers, and some of them empty.")


def posts_of(file: Path) -> Iterator[dict]:
    for row in load_pairs(str(file), label_column=None, check_rows=False)["train"]:
        yield {side: row[side] for side in SIDES if row.get(side) is not None}


def predicting(checkpoint: str, file: Path, folder: Path, backend: str, options) -> Callable[[], None]:
    """`duosent predict --data` into a folder that is not there yet."""

    def predict() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        found = predict_table(
            checkpoint,
            str(file),
            str(folder),
            batch_size=options.scored_batch,
            device="cpu" if backend == "torch" else None,
            backend=backend,
            progress="none",
        )
        if found["rejected"]:
            raise RuntimeError(f"{found['rejected']} posts were rejected.")

    return predict
