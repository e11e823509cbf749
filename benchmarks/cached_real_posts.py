"""Two epochs over real posts with frozen towers, with and without `cache_features`: figures and time side by side.

    python benchmarks/cached_real_posts.py --data ../shared/data/msed --label sentiment \
        --text-encoder TEXT --image-encoder IMAGE --posts 600

Both towers stand still, and what learns is MDSE's fusion. One run has no cache, one fills it in its first epoch; the
seed is the same. The time is the processor's, of the second epoch, words and pictures read and prepared anew in both.
"""

import argparse
import tempfile

import torch
from feature_cache import EpochTimes

from duosent import (
    ImageTextCollator,
    ImageTextProcessor,
    ImageTextTrainer,
    ImageTextTrainingArguments,
    MdseForImageTextClassification,
    load_pairs,
)

FUSION = {"hidden_size": 384, "num_attention_heads": 8, "intermediate_size": 384}
FIGURES = ("eval_accuracy", "eval_macro_f1", "eval_weighted_f1", "eval_loss")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="posts with a train and a validation part")
    parser.add_argument("--label", default="label", help="column of the labels (%(default)s)")
    parser.add_argument("--text-encoder", required=True)
    parser.add_argument("--image-encoder", required=True)
    parser.add_argument("--posts", type=int, help="so many of each part, the first ones; default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    splits = load_pairs(options.data, label_column=options.label)
    splits = {part: rows.select(range(min(len(rows), options.posts or len(rows)))) for part, rows in splits.items()}
    encoders = options.text_encoder, options.image_encoder
    collator = ImageTextCollator(ImageTextProcessor.from_encoders(*encoders))
    num_labels = splits["train"].features["label"].num_classes
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, cache in {"without": None, "with": f"{folder}/features"}.items():
            torch.manual_seed(0)
            model = MdseForImageTextClassification.from_encoders(
                *encoders, num_labels=num_labels, freeze_text=True, freeze_image=True, **FUSION
            )
            args = ImageTextTrainingArguments(
                f"{folder}/{name}",
                num_train_epochs=2,
                learning_rate=2e-4,
                eval_strategy="no",
                save_strategy="no",
                load_best_model_at_end=False,
                disable_tqdm=True,
                use_cpu=True,
                cache_features=cache,
            )
            times = EpochTimes()
            trainer = ImageTextTrainer(model, args, collator, splits["train"], splits["validation"], callbacks=[times])
            trainer.train()
            runs[name] = trainer.evaluate(), times.seconds
    print(f"{len(splits['train'])} posts to learn from, {len(splits['validation'])} of validation\n")
    print("| cache | " + " | ".join(FIGURES) + " | first epoch, s | second epoch, s |\n|---|" + "---|" * 6)
    for name, (figures, seconds) in runs.items():
        cells = [f"{figures[figure]:.6f}" for figure in FIGURES] + [f"{second:.1f}" for second in seconds]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\nsecond epoch, with over without: {runs['with'][1][1] / runs['without'][1][1]:.3f}")


if __name__ == "__main__":
    main()
