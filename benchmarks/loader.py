"""What the ways to decode a picture make of the loader, with worker processes that stay, beside what the model takes.

    python -m benchmarks.loader
    python -m benchmarks.loader --data posts/ --rows 256 --rounds 9

The part `loading` has the loader as it is by default, with workers that start anew in each pass. Here every pixel of a
JPEG is decoded, or no more than are needed (reduced decoding), or pictures come from a cache; the model's forward and
training step are those of that part. Without --data the posts are made up, with a JPEG of 1600 x 1200 pixels each. A
ratio below 1 to the model's time is a loader that feeds it. The last rows are memory that a worker shares with nobody
(private and written to, by Linux's count).
"""

import argparse
import copy
import tempfile
from functools import partial
from pathlib import Path

from datasets import Dataset
from torch.utils.data import DataLoader

from benchmarks.harness import Row, compare, spread, table, take_turns
from benchmarks.parts.loading import FORWARD, STEP, model_alone, model_of
from benchmarks.posts import add_post_options, open_posts, posts_source, processor_of
from benchmarks.shapes import add_shape_options, chosen_shapes
from duosent import ImageTextCollator, ImageTextProcessor
from duosent.training.picture_cache import cache_pictures

EVERY_PIXEL, REDUCED, CACHED = "every pixel", "reduced", "from the cache"


def loaders(
    rows: Dataset, processor: ImageTextProcessor, batch_size: int, worker_counts: list[int], cache: str
) -> dict[tuple[str, int], DataLoader]:
    """By what they do with pictures, and number of workers."""
    whole = copy.copy(processor)
    whole.reduced_decoding = False
    reduced = ImageTextCollator(processor)
    collators = {
        EVERY_PIXEL: ImageTextCollator(whole),
        REDUCED: reduced,
        CACHED: cache_pictures(reduced, cache),
    }
    return {
        (name, workers): DataLoader(
            rows, batch_size, collate_fn=collator, num_workers=workers, persistent_workers=workers > 0
        )
        for workers in worker_counts
        for name, collator in collators.items()
    }


def own_memory(loader: DataLoader) -> float:
    """MB of the loader's first worker."""
    lines = Path(f"/proc/{loader._iterator._workers[0].pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def measure(options: argparse.Namespace, folder: Path) -> list[Row]:
    rows = open_posts(posts_source(options, folder, options.rows), options)
    rows = rows.select(range(min(options.rows, len(rows))))
    (shape,) = chosen_shapes(options, ["small"]).values()
    processor = processor_of(options, rows, shape.image_size)
    made = loaders(rows, processor, shape.batch_size, options.workers, str(folder / "cache"))
    for loader in made.values():  # caches fill, workers start
        list(loader)
    batches = list(made[REDUCED, options.workers[0]])
    steps = model_alone(model_of(shape, len(processor.tokenizer), options), batches)
    times = take_turns(steps | {key: partial(list, loader) for key, loader in made.items()}, options.rounds)
    found, memory = [], []
    for (name, workers), loader in made.items():
        others = {FORWARD: times[FORWARD], STEP: times[STEP]}
        if name != EVERY_PIXEL:
            others[EVERY_PIXEL] = times[EVERY_PIXEL, workers]
        what = f"{workers} workers"
        found += [
            compare(what, name, times[name, workers], other, taken, len(rows)) for other, taken in others.items()
        ]
        if workers > 0:
            memory.append(Row(what, name, spread([own_memory(loader)]), "MB of a worker's own"))
    return found + memory


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64, help="posts (%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="after one that does not count (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attention-dropout", type=float, default=0.0, metavar="P")
    add_post_options(parser)
    add_shape_options(parser)
    parser.set_defaults(picture=[1600, 1200])
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        print(table(measure(options, Path(folder))))


if __name__ == "__main__":
    main()
