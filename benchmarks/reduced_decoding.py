"""What reduced decoding changes and what it saves, on the pictures of real posts made large.

    python benchmarks/reduced_decoding.py out/mdse --data posts/ --split validation

Each picture is enlarged (Lanczos), gets noise of the camera's kind (standard deviation 6 of 255), loses 3 pixels of
either side, so that no scale divides it, and is saved as JPEG at quality 90. The checkpoint's processor reads it with
every pixel, with reduced decoding, and with every pixel after it was saved once more at quality 95. The table has, of
the last two against the first: the pixels that the model reads (of 255), the logits, the share of equal answers, and
the processor's time, which is the median over batches of the ratio, one taken after the other.
"""

import argparse
import copy
import io
import statistics
import time

import numpy as np
import torch
from PIL import Image

from duosent import ImageTextCollator, load_pairs
from duosent.inference.post_logits import post_logits
from duosent.processing.pictures import open_picture
from duosent.training.checkpoints import load_checkpoint

BATCH = 10


def jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def made_large(picture: Image.Image, times: int, seed: int) -> bytes:
    picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.LANCZOS)
    noise = np.random.default_rng(seed).normal(0, 6, (picture.height, picture.width, 1))
    levels = (np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)
    return jpeg(Image.fromarray(levels[:-3, :-3]), 90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder or Hub name of a model with one label a post")
    parser.add_argument("--data", required=True, help="what load_pairs takes")
    parser.add_argument("--split", default="validation", help="(%(default)s)")
    parser.add_argument("--rows", type=int, default=100, help="posts with a picture (%(default)s)")
    parser.add_argument("--times", type=int, default=5, help="that a picture is enlarged (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker process of a data loader
    model, reduced = load_checkpoint(options.checkpoint)
    whole = copy.copy(reduced)
    whole.reduced_decoding, reduced.reduced_decoding = False, True
    rows = load_pairs(options.data, label_column=None, check_rows=False)[options.split]
    posts = [row for row in rows.select(range(min(options.rows, len(rows)))) if any(row["image"].values())]
    logits, pixels, seconds = ({name: [] for name in ("every pixel", "reduced", "quality 95")} for _ in range(3))
    for start in range(0, len(posts), BATCH):
        some = posts[start : start + BATCH]
        files = [made_large(open_picture(row["image"]), options.times, start + n) for n, row in enumerate(some)]
        again = [jpeg(open_picture(file), 95) for file in files]
        for name, processor, pictures in (
            ("every pixel", whole, files),
            ("reduced", reduced, files),
            ("quality 95", whole, again),
        ):
            began = time.process_time()
            batch = ImageTextCollator(processor)(
                [{"text": row["text"], "image": picture} for row, picture in zip(some, pictures, strict=True)]
            )
            seconds[name].append(time.process_time() - began)
            logits[name].append(post_logits(model, batch))
            scale = torch.tensor(processor.image_processor.image_std)[:, None, None] * 255
            pixels[name].append(batch["pixel_values"] * scale)
    print("| | pixels, mean | largest | logits, mean | largest | same answers | time |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    answers, base = torch.cat(logits["every pixel"]), torch.cat(pixels["every pixel"])
    for name in ("reduced", "quality 95"):
        given = torch.cat(logits[name])
        apart, levels = (given - answers).abs(), (torch.cat(pixels[name]) - base).abs()
        same = (given.argmax(-1) == answers.argmax(-1)).float().mean()
        ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds["every pixel"], strict=True))
        changes = f"{levels.mean():.3f} | {levels.max():.0f} | {apart.mean():.4f} | {apart.max():.4f}"
        print(f"| {name} | {changes} | {same:.3f} | {ratio:.2f} |")
    print(f"\n{len(answers)} posts; the largest logit is {answers.abs().max():.1f}.")


if __name__ == "__main__":
    main()
