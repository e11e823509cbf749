"""Posts a second and peak memory of one epoch over a stream, for tables of growing size.

    python benchmarks/streaming.py --rows 10000 100000 1000000

Writes made-up posts (a sentence, and a PNG of 8 x 8 random pixels, a few hundred bytes) to Parquet, or with
`--format csv` or `jsonl` to text without pictures, then streams an epoch, shuffled through the usual buffer, in a
process of its own for each size, and checks that each post came once. `ratio` is the time against pyarrow's own
`iter_batches` with `to_pylist` over the same files (Parquet only).
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, Value
from PIL import Image as Picture

GROUP_ROWS, FILE_ROWS = 5_000, 250_000


def made_up(first: int, count: int, rng: np.random.Generator) -> list[dict]:
    rows = []
    for number in range(first, first + count):
        row = {
            "id": str(number),
            "text": f"post {number} says that all is well {number % 97}",
            "label": "ab"[number % 2],
        }
        file = io.BytesIO()
        Picture.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "PNG")
        rows.append(row | {"image": {"bytes": file.getvalue(), "path": None}})
    return rows


def write(folder: Path, rows: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    features = Features({"id": Value("string"), "text": Value("string"), "image": Image(), "label": Value("string")})
    for first in range(0, rows, FILE_ROWS):
        count = min(FILE_ROWS, rows - first)
        path = folder / f"train-{first // FILE_ROWS:05d}.{kind}"
        if kind == "parquet":
            with pq.ParquetWriter(path, features.arrow_schema) as writer:
                for start in range(first, first + count, GROUP_ROWS):
                    posts = made_up(start, min(GROUP_ROWS, first + count - start), rng)
                    writer.write_table(pa.Table.from_pylist(posts, schema=features.arrow_schema))
            continue
        with path.open("w") as file:
            if kind == "csv":
                file.write("id,text,label\n")
            for n in range(first, first + count):
                post = {"id": str(n), "text": f"post {n} says that all is well {n % 97}", "label": "ab"[n % 2]}
                file.write((json.dumps(post) if kind == "jsonl" else ",".join(post.values())) + "\n")


def stream(folder: str) -> dict:
    """One epoch in this process."""
    from duosent.data.pairs import load_pairs
    from duosent.data.streaming import StreamedBatches

    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    rows = load_pairs(folder, streaming=True)["train"]
    opened = time.perf_counter()
    seen, total = bytearray(len(rows)), 0
    for posts in StreamedBatches(rows, batch_size=64, buffer_size=1000, seed=0):
        for post in posts:
            number = int(post["id"])
            if seen[number]:
                raise SystemExit(f"post {number} came twice.")
            seen[number], total = 1, total + 1
    done = time.perf_counter()
    if total != len(rows):
        raise SystemExit(f"{total} of {len(rows)} posts came.")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {"rows": total, "open": opened - start, "epoch": done - opened, "imports": imported, "peak": peak}
    files = sorted(Path(folder).glob("*.parquet"))
    start = time.perf_counter()
    for path in files:
        for batch in pq.ParquetFile(path).iter_batches(1000):
            batch.to_pylist()
    return figures | ({"bare": time.perf_counter() - start} if files else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--format", choices=["parquet", "csv", "jsonl"], default="parquet")
    parser.add_argument("--folder", help="stream the posts of this folder in this process, and print JSON")
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(stream(options.folder)))
        return
    print("| rows | MB on disk | rows/s | ratio to bare pyarrow | peak MB | of it before any row |")
    print("|---|---|---|---|---|---|", flush=True)
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), rows, options.format)
            size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
            command = [sys.executable, __file__, "--folder", folder]
            run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        seconds = run["open"] + run["epoch"]
        ratio = f"{seconds / run['bare']:.1f}" if "bare" in run else ""
        megabytes = f"{run['peak'] / 1024:.0f} | {run['imports'] / 1024:.0f}"
        print(f"| {rows:,} | {size:.0f} | {rows / seconds:,.0f} | {ratio} | {megabytes} |", flush=True)


if __name__ == "__main__":
    main()
