"""How long a user waits: imports, help, a pipeline's first answer and the next ones, beside a plain text pipeline.

    python benchmarks/first_answer.py --rounds 5

Two checkpoints with random weights (seed 0) over the same text tower, 6 layers of width 384: BERT with a head for
`text-classification`, and MDSE with a ViT of 12 layers, width 192, for `image-text-classification`. In each round
every step of the one is timed right before the same of the other, each in a process of its own; the table gives the
median over the rounds of the seconds on the clock, and of the ratio within a round. `next` is one post after the
first, the median of ten.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from transformers import BertConfig, BertForSequenceClassification, BertModel, ViTConfig, ViTImageProcessor, ViTModel

from duosent import ImageTextProcessor, MdseForImageTextClassification
from duosent.data.demo_posts import train_demo_tokenizer

TEXT = "the beach was so beautiful this morning and all of us laughed and stayed until it rained"
TEXT_TOWER = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
IMAGE_TOWER = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
ANSWER = """
import json, statistics, sys, time
start = time.perf_counter()
import torch
from transformers import pipeline
{more}
torch.set_num_threads(1)
classify = pipeline({task!r}, model={model!r})
post = {post!r}
classify(post)
first = time.perf_counter() - start
times = []
for _ in range(10):
    start = time.perf_counter()
    classify(post)
    times.append(time.perf_counter() - start)
print(json.dumps([first, statistics.median(times)]))
"""


def make_checkpoints(folder: Path) -> None:
    torch.manual_seed(0)
    tokenizer = train_demo_tokenizer([TEXT])
    words = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, num_labels=3, **TEXT_TOWER)
    BertForSequenceClassification(words).save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    BertModel(words).save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    ViTModel(ViTConfig(**IMAGE_TOWER)).save_pretrained(folder / "image")
    ViTImageProcessor().save_pretrained(folder / "image")
    encoders = str(folder / "text"), str(folder / "image")
    MdseForImageTextClassification.from_encoders(*encoders, hidden_size=384).save_pretrained(folder / "mdse")
    ImageTextProcessor.from_encoders(*encoders).save_pretrained(folder / "mdse")
    Image.effect_noise((640, 480), 60).convert("RGB").save(folder / "photo.jpg")


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - start


def answers(folder: Path, name: str, image: bool) -> list[float]:
    own = name == "mdse"
    post = ({"text": TEXT, "image": str(folder / "photo.jpg")} if image else {"text": TEXT}) if own else TEXT
    code = ANSWER.format(
        more="import duosent" if own else "",
        task="image-text-classification" if own else "text-classification",
        model=str(folder / name),
        post=post,
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def one_round(folder: Path) -> dict[str, tuple[float, float]]:
    """Seconds of duosent and of plain transformers, by step."""
    plain_import = "from transformers import AutoModelForSequenceClassification, pipeline"
    plain_help = ["-c", "import sys; from transformers.cli.transformers import main; main()", "--help"]
    steps = {
        "import": (seconds("-c", "import duosent"), seconds("-c", plain_import)),
        "--help": (seconds("-m", "duosent", "--help"), seconds(*plain_help)),
    }
    for sides, image in (("words alone", False), ("words and picture", True)):
        own, plain = answers(folder, "mdse", image), answers(folder, "plain", False)
        for place, step in enumerate(("first answer", "next answer")):
            steps[f"{step}, {sides}"] = own[place], plain[place]
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoints(Path(folder))
        rounds = [one_round(Path(folder)) for _ in range(options.rounds)]
    print("| step | duosent, s | transformers, text alone, s | ratio |\n|---|---|---|---|")
    for step in rounds[0]:
        own, plain = zip(*(taken[step] for taken in rounds), strict=True)
        ratio = statistics.median(a / b for a, b in zip(own, plain, strict=True))
        print(f"| {step} | {statistics.median(own):.3f} | {statistics.median(plain):.3f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
