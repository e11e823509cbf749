"""Exported classifiers on real posts: what they keep of the answers, how large they are, how fast beside eager torch.

    python benchmarks/exported_posts.py out/msed/mdse-0 out/msed/radm-0 --data ../shared/data/msed --posts 300 --seed 0

Each checkpoint is exported as ONNX in float32 and in eight bits (`duosent.inference.export`). Eager torch in float32
and in bfloat16, and the graphs, answer the same posts, drawn from the part by the seed: share of same answers, largest
difference of logits, accuracy. Then they take turns at the same batches, on one thread each: in every round each
answers every batch once, batch by batch, and the table gives the median over the rounds of posts a second as a ratio
to eager torch in float32 in the same round, with the smallest and the largest. The pictures are read before the clock
runs.
"""

import argparse
import copy
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch

from duosent.inference.export import export
from duosent.inference.exported_program import graph_inputs
from duosent.inference.onnx_files import EMBEDDINGS, MATRIX_PRODUCTS, ONNX_FILE, quantise
from duosent.inference.onnx_model import OnnxModelForImageTextClassification
from duosent.inference.parity import compare_answers
from duosent.inference.post_logits import post_logits
from duosent.modeling.label_scores import label_names
from duosent.training.checkpoints import load_checkpoint, read_run
from duosent.training.classification_task import ClassificationTask

# What is in eight bits: as `duosent export --int8` has it, and without the embeddings.
EIGHT_BITS = {"int8": (MATRIX_PRODUCTS, EMBEDDINGS), "int8, embeddings float32": (MATRIX_PRODUCTS,)}


def batches_of(checkpoint: str, model, processor, options) -> list[dict]:
    """The drawn posts as batches with labels."""
    aim = ClassificationTask()
    columns = aim.evaluation_columns(model.config, read_run(checkpoint).get("columns", {}), {})
    names = model.config.tasks or label_names(model.config)
    rows = aim.load(options.data, {**columns, "parts": [options.split]}, names)[options.split]
    drawn = sorted(random.Random(options.seed).sample(range(len(rows)), min(options.posts, len(rows))))
    rows, collate = rows.select(drawn), aim.collator(processor, model.config)
    starts = range(0, len(rows), options.batch_size)
    return [
        collate([rows[row] for row in range(start, min(start + options.batch_size, len(rows)))]) for start in starts
    ]


def one_round(models: dict[str, Callable], batches: list[dict]) -> dict[str, float]:
    """Posts a second, by name; the models take turns at every batch."""
    seconds = dict.fromkeys(models, 0.0)
    for batch in batches:
        for name, model in models.items():
            start = time.perf_counter()
            post_logits(model, batch)
            seconds[name] += time.perf_counter() - start
    posts = sum(len(batch["text_present"]) for batch in batches)
    return {name: posts / taken for name, taken in seconds.items()}


def compare(checkpoint: str, options) -> tuple[dict[str, dict], dict[str, float], list[dict[str, float]]]:
    """
    Args:
        options: `data`, `split`, `posts`, `seed`, `batch_size`, `rounds`, `timed_batches` as the command has them, and
            `threads` of ONNX Runtime.

    Returns: by name of the model its figures of parity, its megabytes (weights, of a graph the whole file), and its
        posts a second in each round.
    """
    model, processor = load_checkpoint(checkpoint)
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = options.threads
    with tempfile.TemporaryDirectory() as work:
        files = {name: Path(work) / name / ONNX_FILE for name in ("float32", *EIGHT_BITS)}
        export(checkpoint, str(files["float32"].parent))
        for name, operators in EIGHT_BITS.items():
            files[name].parent.mkdir()
            quantise(files["float32"], files[name].parent, operators)
        inputs = graph_inputs(model, processor)
        models = {"eager": model, "eager, bfloat16": copy.deepcopy(model).bfloat16()} | {
            name: OnnxModelForImageTextClassification.from_graph(model.config, inputs, file, session_options=threads)
            for name, file in files.items()
        }
        sizes = {"eager, bfloat16": sum(parameter.numel() for parameter in model.parameters()) * 2 / 1e6}
        sizes |= {name: file.stat().st_size / 1e6 for name, file in files.items()}
    labelled = batches_of(checkpoint, model, processor, options)
    figures = compare_answers(models, labelled, model.config)
    posts = [{name: tensor for name, tensor in batch.items() if not name.endswith("labels")} for batch in labelled]
    return figures, sizes, [one_round(models, posts[: options.timed_batches]) for _ in range(options.rounds)]


def measure(checkpoint: str, options) -> None:
    figures, sizes, rounds = compare(checkpoint, options)
    for name, its in figures.items():
        ratios = [speed[name] / speed["eager"] for speed in rounds]
        cells = [checkpoint, name, its["posts"], f"{100 * its['accuracy']:.2f}"]
        if name == "eager":
            cells += ["", "", "", f"1 ({statistics.median(speed[name] for speed in rounds):.1f} posts/s)"]
        else:
            cells += [f"{100 * its['label_agreement']:.2f}", f"{its['largest_logit_difference']:.1e}"]
            cells += [f"{sizes[name]:.1f}"]
            cells += [f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", help="folders of finished runs")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--posts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timed-batches", type=int, default=4, help="batches of each round (%(default)s)")
    options = parser.parse_args()
    options.threads = 1
    torch.set_num_threads(options.threads)
    print("| checkpoint | | posts | accuracy | same answers | logits differ by | MB | posts/s beside eager |")
    print("|---|---|---|---|---|---|---|---|")
    for checkpoint in options.checkpoints:
        measure(checkpoint, options)


if __name__ == "__main__":
    main()
