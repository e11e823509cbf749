"""What the loader alone delivers, against what the model takes: posts a second, side by side in one run.

    python benchmarks/loader.py
    python benchmarks/loader.py --data posts/ --rows 256 --rounds 9

The loader reads posts from Parquet, decodes, resizes, tokenises and pads, with 0, 1 and 2 worker processes that stay;
with every pixel of a JPEG decoded, with reduced decoding, and from a cache of pictures. The model is MDSE, 384 wide,
over towers of the sizes of MiniLM (6 layers, 384 wide) and ViT-Tiny/16 (224 pixels), with random weights; its batch is
ready in memory. Without --data the posts are made up, 16 words and a JPEG of 1600 x 1200 pixels each. A round takes
every measurement once, one after the other; the table has medians over the rounds of posts a second, and of the ratios
of the same round. A loader that feeds the model has a ratio above 1. The last column is memory that a worker shares
with nobody (private and written to, by Linux's count).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from augmentation_cost import made_up_posts, made_up_processor
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import ViTImageProcessor

from duosent import (
    ImageTextCollator,
    ImageTextProcessor,
    MdseConfig,
    MdseForImageTextClassification,
    load_pairs,
)
from duosent.training.picture_cache import cache_pictures

TEXT = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
IMAGE = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
FUSION = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536, "num_labels": 3}


def loaders(rows: Dataset, batch_size: int, cache: str) -> dict[tuple[str, int], DataLoader]:
    """By what they do with pictures, and number of workers."""
    tokenizer = made_up_processor().tokenizer
    whole, reduced = (
        ImageTextCollator(ImageTextProcessor(ViTImageProcessor(), tokenizer, reduced_decoding=reduced))
        for reduced in (False, True)
    )
    collators = {"every pixel": whole, "reduced": reduced, "cached": cache_pictures(reduced, cache)}
    return {
        (name, workers): DataLoader(
            rows, batch_size, collate_fn=collator, num_workers=workers, persistent_workers=workers > 0
        )
        for workers in (0, 1, 2)
        for name, collator in collators.items()
    }


def read(loader: DataLoader) -> None:
    for _ in loader:
        pass


def own_memory(loader: DataLoader) -> str:
    """MB of the loader's first worker, where there is one."""
    if loader.num_workers == 0:
        return ""
    lines = Path(f"/proc/{loader._iterator._workers[0].pid}/smaps_rollup").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
    return f"{kilobytes / 1024:.0f} MB"


def model_work(batch: dict) -> dict[str, Callable[[], None]]:
    """A training step, and the answers to a batch, by their names."""
    config = MdseConfig(
        text_config={"model_type": "bert", "vocab_size": int(batch["input_ids"].max()) + 1, **TEXT},
        vision_config={"model_type": "vit", **IMAGE},
        **FUSION,
    )
    model = MdseForImageTextClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    labels = torch.arange(len(batch["input_ids"])) % 3
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}

    def step() -> None:
        model.train()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.inference_mode()
    def answer() -> None:
        model.eval()
        model(**inputs)

    return {"training step": step, "inference": answer}


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()  # workers have times of their own
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="what load_pairs takes; its first part is read")
    parser.add_argument("--rows", type=int, default=64, help="posts (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.data
        if source is None:
            source = str(Path(folder) / "train.parquet")
            Dataset.from_list(made_up_posts(options.rows, words=16, side=1200)).to_parquet(source)
        rows = next(iter(load_pairs(source, label_column=None).values()))
        rows = rows.select(range(min(options.rows, len(rows))))
        made = loaders(rows, options.batch_size, str(Path(folder) / "cache"))
        for loader in made.values():  # caches fill, workers start
            read(loader)
        batch = next(iter(made["cached", 0]))
        works = model_work(batch)
        measured = {name: (work, len(batch["input_ids"])) for name, work in works.items()}
        measured |= {key: (lambda loader=loader: read(loader), len(rows)) for key, loader in made.items()}
        for work in works.values():
            work()
        rates: dict = {name: [] for name in measured}
        for _ in range(options.rounds):
            for name, (work, posts) in measured.items():
                rates[name].append(posts / seconds(work))
        memory = {key: own_memory(loader) for key, loader in made.items()}
    print("| | posts/s | of every pixel's | of a training step's | of inference's | a worker's own |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, taken in rates.items():
        against = ["training step", "inference"] if name in works else [("every pixel", name[1]), *works]
        ratios = [statistics.median(a / b for a, b in zip(taken, rates[other], strict=True)) for other in against]
        called, own = (name, "") if name in works else (f"{name[0]}, {name[1]} workers", memory[name])
        cells = ["", *ratios] if name in works else ratios
        shown = " | ".join(cell if cell == "" else f"{cell:.2f}" for cell in cells)
        print(f"| {called} | {statistics.median(taken):.1f} | {shown} | {own} |")


if __name__ == "__main__":
    main()
