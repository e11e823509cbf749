"""Ask an Inference Endpoint of a published checkpoint: JSON there, JSON back.

    python examples/08_call_an_endpoint.py https://ENDPOINT --text "What a day" --image photo.jpg

Nothing of duosent is needed, here or there. The token is HF_TOKEN.
"""

import argparse
import base64
import json
import os
import urllib.request
from pathlib import Path


def ask(url: str, posts: list[dict], **parameters) -> list | dict:
    """The labels of each post, or `{"error": sentence}`."""
    body = json.dumps({"inputs": posts, "parameters": parameters}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('HF_TOKEN', '')}"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
        return json.load(answer)


def main(options: argparse.Namespace) -> None:
    # 1. A picture travels as base64; a side may be missing.
    image = base64.b64encode(Path(options.image).read_bytes()).decode()
    posts = [{"text": options.text, "image": image}, {"text": options.text}, {"image": image}]
    for sides, labels in zip(("both", "words alone", "picture alone"), ask(options.url, posts), strict=True):
        print(f"{sides}: {labels[0]['label']} {labels[0]['score']:.2f}")

    # 2. What is wrong with a request is said in a sentence.
    print("refused:", ask(options.url, [{"text": options.text, "image": "photo.jpg"}])["error"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--text", required=True)
    parser.add_argument("--image", required=True)
    main(parser.parse_args())
