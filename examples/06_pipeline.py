"""Classify posts by `transformers.pipeline`: one, several, and a whole data set.

    python examples/06_pipeline.py CHECKPOINT --text "What a day" --image photo.jpg

After `duosent demo` the checkpoint is `out/demo/runs/mdse`, and any picture will do.
"""

import argparse
import base64
from pathlib import Path

from datasets import Dataset, Image
from transformers import pipeline

import duosent  # noqa: F401  (makes the pipeline known)


def main(options: argparse.Namespace) -> None:
    # 1. Model and processor come from one folder (or one name on the Hub).
    classify = pipeline("image-text-classification", model=options.checkpoint)

    # 2. One post: its best label, or all of them.
    post = {"text": options.text, "image": options.image}
    print("best:", classify(post))
    print("all:", classify(post, top_k=None))

    # 3. Several posts at once. A side may be missing; a picture may come as base64, as in JSON.
    encoded = base64.b64encode(Path(options.image).read_bytes()).decode()
    posts = [{"text": options.text}, {"image": encoded}, {"text": options.text, "image": encoded}]
    for labels in classify(posts, batch_size=3, threshold=0.2):
        print("0.2 and more:", labels)

    # 4. A data set is answered as it is read.
    rows = Dataset.from_list([post] * 4).cast_column("image", Image())
    for number, labels in enumerate(classify(rows, batch_size=2)):
        print(f"row {number}:", labels[0]["label"])

    # 5. Posts of others: none of this machine's files, and pictures from the web, but from no private network.
    trusting_less = {"allow_paths": False, "allow_urls": True, "timeout": 5, "max_bytes": 5 * 2**20}
    try:
        classify({"text": options.text, "image": "http://127.0.0.1/photo.jpg"}, **trusting_less)
    except ValueError as error:
        print("refused:", error)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--text", required=True)
    parser.add_argument("--image", required=True)
    main(parser.parse_args())
