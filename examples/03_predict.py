"""Ask a checkpoint what the author of a post feels: with both sides, with the words alone, with the picture alone.

    python examples/03_predict.py CHECKPOINT --text "What a day" --image photo.jpg

After `duosent demo` the checkpoint is `out/demo/runs/mdse`, and any picture will do.
"""

import argparse

import torch

from duosent import AutoModelForImageTextClassification, ImageTextProcessor


def main(options: argparse.Namespace) -> None:
    # 1. Model and processor come from one folder (or one name on the Hub).
    model = AutoModelForImageTextClassification.from_pretrained(options.checkpoint).eval()
    processor = ImageTextProcessor.from_pretrained(options.checkpoint)

    # 2. One batch of three posts. A side that is missing is None: never an empty text or a black picture.
    posts = {
        "both": (options.text, options.image),
        "words alone": (options.text, None),
        "picture alone": (None, options.image),
    }
    texts, images = zip(*posts.values(), strict=True)
    batch = processor(text=list(texts), images=list(images), return_tensors="pt")

    # 3. Scores that sum to one.
    with torch.inference_mode():
        scores = model(**batch).logits.softmax(dim=-1)  # (3, L)
    for name, row in zip(posts, scores.tolist(), strict=True):
        bars = "  ".join(f"{model.config.id2label[i]} {score:.2f}" for i, score in enumerate(row))
        print(f"{name:>14}: {bars}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--text", required=True)
    parser.add_argument("--image", required=True)
    main(parser.parse_args())
