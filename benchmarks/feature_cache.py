"""What an epoch of MDSE over a frozen ViT costs with and without `cache_features`, on made-up posts.

    python benchmarks/feature_cache.py
    python benchmarks/feature_cache.py --posts 256 --width 768 --heads 12

The tower has random weights and, by default, the size of ViT-Tiny/16 (12 layers, width 192, 224 pixels); words have a
tower of two layers of width 192, frozen too. The posts are those of `augmentation_cost.py`: JPEG files 384 pixels
high, read and prepared in every epoch, cached or not. Two runs over one cache are set beside a run without any; the
time is the processor's.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from augmentation_cost import made_up_posts, made_up_processor
from transformers import TrainerCallback

from duosent import (
    ImageTextCollator,
    ImageTextTrainer,
    ImageTextTrainingArguments,
    MdseConfig,
    MdseForImageTextClassification,
)


class EpochTimes(TrainerCallback):
    """Seconds of processor's time of each epoch."""

    def __init__(self):
        self.seconds = []

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.began = time.process_time()

    def on_epoch_end(self, args, state, control, **kwargs):
        self.seconds.append(time.process_time() - self.began)


def epochs(posts: list[dict], collator: ImageTextCollator, options: argparse.Namespace, cache: str | None) -> list:
    """Seconds of each epoch of a run."""
    torch.manual_seed(0)
    tower = {
        "hidden_size": options.width,
        "num_attention_heads": options.heads,
        "intermediate_size": 4 * options.width,
    }
    words = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768, "num_hidden_layers": 2}
    config = MdseConfig(
        text_config={"model_type": "bert", "vocab_size": len(collator.processor.tokenizer), **words},
        vision_config={"model_type": "vit", **tower},
        **{"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768, "num_labels": 2},
        freeze_text=True,
        freeze_image=True,
    )
    times = EpochTimes()
    with tempfile.TemporaryDirectory() as folder:
        args = ImageTextTrainingArguments(
            folder,
            num_train_epochs=2,
            per_device_train_batch_size=16,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            cache_features=cache,
        )
        model = MdseForImageTextClassification(config)
        ImageTextTrainer(model, args, collator, posts, callbacks=[times]).train()
    return times.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=64)
    parser.add_argument("--width", type=int, default=192, help="of the image tower")
    parser.add_argument("--heads", type=int, default=3, help="of the image tower")
    options = parser.parse_args()
    torch.set_num_threads(1)
    posts = made_up_posts(options.posts, words=16, side=384)
    collator = ImageTextCollator(made_up_processor())

    began = time.process_time()
    for start in range(0, len(posts), 16):
        collator(posts[start : start + 16])
    preparing = time.process_time() - began
    with tempfile.TemporaryDirectory() as cache:
        plain = epochs(posts, collator, options, None)
        first, second = (epochs(posts, collator, options, cache) for _ in range(2))
        size = sum(file.stat().st_size for file in Path(cache).rglob("*") if file.is_file())

    print(f"{options.posts} posts, {size / len(posts) / 1e6:.2f} MB a post; preparing them alone {preparing:.2f} s")
    print("| epoch | seconds without | seconds with | ratio |\n|---|---|---|---|")
    rows = [("first of the first run", 0, first), ("second of the first run", 1, first)]
    rows += [("first of the second run", 0, second), ("second of the second run", 1, second)]
    for name, number, cached in rows:
        print(f"| {name} | {plain[number]:.2f} | {cached[number]:.2f} | {cached[number] / plain[number]:.3f} |")


if __name__ == "__main__":
    main()
