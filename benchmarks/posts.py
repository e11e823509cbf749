"""Posts with words as long as tweets and photographs, real ones or made up, and the processor that reads them."""

import argparse
import io
import random
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as Picture
from transformers import AutoTokenizer, ViTImageProcessor

from benchmarks.harness import NotMeasured
from duosent import ImageTextProcessor, load_pairs
from duosent.data.demo_posts import train_demo_tokenizer

WORDS = [f"{first}{last}" for first in ("ba", "ko", "mi", "ru", "te", "so", "lu", "na") for last in "bdfgklmnprst"]
LONGEST = 128


def add_post_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("posts of feeding, loading and exported")
    group.add_argument("--data", metavar="DIR", help="real posts, as duosent train reads them; made-up ones otherwise")
    group.add_argument("--split", default="train", help="part of --data for feeding and loading (%(default)s)")
    group.add_argument("--tokenizer", metavar="DIR", help="of a text encoder; one of whole words otherwise")
    group.add_argument(
        "--picture", type=int, nargs=2, default=[640, 480], metavar=("WIDTH", "HEIGHT"), help="of made-up posts"
    )


def posts_source(options: argparse.Namespace, folder: Path, count: int) -> str:
    """Where the posts lie: `--data`, or made-up ones, written to `folder`."""
    if options.data is not None:
        return options.data
    return str(make_up_posts(folder, count, options.seed, options.picture) / "train.parquet")


def open_posts(source: str, options: argparse.Namespace) -> Dataset:
    """The posts of a source, without labels.

    Raises:
        NotMeasured: if it has not the part that is wanted.
    """
    split = "train" if options.data is None else options.split
    parts = load_pairs(source, label_column=None, check_rows=False, parts=[split])
    if split not in parts:
        raise NotMeasured(f"{Path(source).name} has no part {split}.")
    return parts[split]


def make_up_posts(
    folder: Path, count: int, seed: int, size: tuple[int, int], labels: tuple[str, ...] = ("a", "b")
) -> Path:
    """`train.parquet` in `folder`: posts of 20 words in the median, one in thirty beyond 60, with a JPEG each.

    Returns: the folder.
    """
    draw, noise = random.Random(seed), np.random.default_rng(seed)
    rows = []
    for number in range(count):
        words = min(LONGEST, 1 + round(draw.lognormvariate(2.95, 0.6)))
        rows.append(
            {
                "id": str(number),
                "text": " ".join(draw.choices(WORDS, k=words)),
                "image": {"bytes": photograph(noise, *size), "path": None},
                "label": labels[number % len(labels)],
            }
        )
    features = Features({"id": Value("string"), "text": Value("string"), "image": Image(), "label": Value("string")})
    Dataset.from_list(rows, features=features).to_parquet(folder / "train.parquet")
    return folder


def photograph(noise: np.random.Generator, width: int, height: int) -> bytes:
    """A JPEG of soft random colours, about as many bytes as a photograph of its size."""
    coarse = noise.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    picture = Picture.fromarray(coarse).resize((width, height), Picture.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def processor_of(options: argparse.Namespace, rows: Dataset, image_size: int) -> ImageTextProcessor:
    """With the tokenizer of `--tokenizer`, or one that knows every word of these posts."""
    if options.tokenizer is not None:
        tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    else:
        tokenizer = train_demo_tokenizer([text or "" for text in rows["text"][:]])
        tokenizer.model_max_length = LONGEST
    return ImageTextProcessor(ViTImageProcessor(size={"height": image_size, "width": image_size}), tokenizer)
