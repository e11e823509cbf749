"""Posts a second and peak memory of `duosent predict --data`, for tables of growing size.

    python benchmarks/scoring_tables.py --rows 10000 1000000

Writes made-up posts (a sentence, and a PNG of 8 x 8 random pixels inside the row) to Parquet, with row groups of
`--group-rows` rows, and lets the command score each table in a process of its own, by a tiny MDSE with random weights
(towers of two layers, width 32, pictures of 32 x 32). `rows/s` are those of the whole call, the imports and the
loading of the model left out; `first 10 %` and `last 10 %` are those of the shards at both ends, by the times of their
files. The peak is the process's own, most of it there before any row (with workers theirs are said beside it), and the
answers are counted: every row once.
"""

import argparse
import io
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from transformers import BertConfig, BertModel, ViTConfig, ViTImageProcessor, ViTModel

from duosent import ImageTextProcessor, MdseForImageTextClassification
from duosent.data.demo_posts import train_demo_tokenizer

LABELS = {0: "negative", 1: "neutral", 2: "positive"}
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
FILE_ROWS, AT_ONCE = 250_000, 5_000


def sentence(number: int) -> str:
    return f"post {number} says that all is well {' and so on' * (number % 7)}"


def make_checkpoint(folder: Path) -> None:
    torch.manual_seed(0)
    tokenizer = train_demo_tokenizer([sentence(number) for number in range(1000)])
    BertModel(BertConfig(vocab_size=len(tokenizer), **SMALL)).save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    ViTModel(ViTConfig(image_size=32, patch_size=8, **SMALL)).save_pretrained(folder / "image")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder / "image")
    encoders = str(folder / "text"), str(folder / "image")
    small = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    MdseForImageTextClassification.from_encoders(*encoders, id2label=LABELS, **small).save_pretrained(folder / "mdse")
    ImageTextProcessor.from_encoders(*encoders).save_pretrained(folder / "mdse")


def made_up(first: int, count: int, rng: np.random.Generator) -> list[dict]:
    rows = []
    for number in range(first, first + count):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "PNG")
        rows.append({"id": str(number), "text": sentence(number), "image": {"bytes": file.getvalue(), "path": None}})
    return rows


def write(folder: Path, rows: int, group_rows: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("image", picture)])
    for first in range(0, rows, FILE_ROWS):
        last = min(first + FILE_ROWS, rows)
        with pq.ParquetWriter(folder / f"posts-{first // FILE_ROWS:05d}.parquet", schema) as writer:
            for start in range(first, last, group_rows):
                stop = min(start + group_rows, last)
                parts = [
                    pa.Table.from_pylist(made_up(begin, min(AT_ONCE, stop - begin), rng), schema)
                    for begin in range(start, stop, AT_ONCE)
                ]
                writer.write_table(pa.concat_tables(parts), row_group_size=group_rows)


def score(words: tuple, options: dict, told) -> None:
    """In a process of its own: seconds, and the peak of its memory in MB, and that of its largest worker."""
    from duosent.inference.score_table import predict_table

    torch.set_num_threads(1)
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    result = predict_table(*words, device="cpu", progress="none", **options)
    seconds = time.perf_counter() - start
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    told.send({"seconds": seconds, "imported": imported, "peak": peaks[0], "worker": peaks[1], **result})


def check(folder: Path, rows: int) -> None:
    """Every row once."""
    seen = np.zeros(rows, dtype=np.int64)
    for file in folder.glob("predictions-*.parquet"):
        np.add.at(seen, pq.read_table(file, columns=["id"])["id"].to_numpy(zero_copy_only=False).astype(np.int64), 1)
    if not (seen == 1).all():
        sys.exit(f"{(seen == 0).sum()} of {rows} rows have no answer, {(seen > 1).sum()} have several.")


def ends(folder: Path) -> list[float]:
    """Rows a second of the first and of the last tenth of the shards; none of too few."""
    shards = json.loads((folder / "manifest.json").read_text())["shards"]
    tenth = len(shards) // 10
    if tenth < 2:
        return []
    times = [(folder / "shards" / f"{number:05d}.json").stat().st_mtime for number in range(len(shards))]
    rates = []
    for part in (range(1, tenth + 1), range(len(shards) - tenth, len(shards))):
        rows = sum(shards[number]["rows"] for number in part)
        rates.append(rows / (times[part[-1]] - times[part[0] - 1]))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 1_000_000])
    parser.add_argument("--group-rows", type=int, default=50_000, help="of a row group of Parquet (%(default)s)")
    parser.add_argument("--shard-rows", type=int, default=10_000, help="(%(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="(%(default)s)")
    parser.add_argument("--num-workers", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--with-sides", action="store_true")
    parser.add_argument("--work-dir", help="for the tables and their answers; default: a temporary folder")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"], os.environ["TOKENIZERS_PARALLELISM"] = "1", "false"
    how = {name: getattr(options, name) for name in ("shard_rows", "batch_size", "num_workers", "with_sides")}
    print("| rows | MB | seconds | rows/s | first 10 % | last 10 % | before any row, MB | peak, MB |", end=" ")
    print("largest worker, MB | of the first peak |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
    first = None
    with tempfile.TemporaryDirectory(dir=options.work_dir) as work:
        work = Path(work)
        make_checkpoint(work)
        for rows in options.rows:
            posts, answers = work / f"posts-{rows}", work / f"answers-{rows}"
            write(posts, rows, options.group_rows)
            size = sum(file.stat().st_size for file in posts.iterdir()) / 1e6
            # Not a fork of this process, whose own peak it would begin with.
            spawned = multiprocessing.get_context("spawn")
            told, tell = spawned.Pipe(duplex=False)
            process = spawned.Process(target=score, args=((str(work / "mdse"), str(posts), str(answers)), how, tell))
            process.start()
            tell.close()
            try:
                run = told.recv()
            except EOFError:
                sys.exit("The process that scores has failed.")
            process.join()
            check(answers, rows)
            first = first or run["peak"]
            both = ends(answers)
            rates = " | ".join(f"{rate:,.0f}" for rate in both) if both else " | "
            worker = f"{run['worker']:.0f}" if options.num_workers else ""
            peaks = f"{run['imported']:.0f} | {run['peak']:.0f} | {worker} | {run['peak'] / first:.3f}"
            rate = rows / run["seconds"]
            print(f"| {rows:,} | {size:.0f} | {run['seconds']:.0f} | {rate:,.0f} | {rates} | {peaks} |", flush=True)
            shutil.rmtree(posts)
            shutil.rmtree(answers)


if __name__ == "__main__":
    main()
