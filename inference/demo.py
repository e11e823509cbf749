"""`duosent demo`: made-up posts, small encoders, three trained models, one table; no network."""

import logging
import shlex
import shutil
from pathlib import Path

import torch
from datasets import Dataset

from duosent.data.demo_posts import make_demo_encoders, make_demo_posts
from duosent.data.pairs import load_pairs
from duosent.inference.score_table import predict_table
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError, write_json
from duosent.training.run import evaluate, train

logger = logging.getLogger(__name__)

DEMO_FILE = "demo.json"
# Title in the table -> --model
MODELS = {"words only": "text", "picture only": "image", "both (MDSE)": "mdse"}
SMALL = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}


def run_demo(output_dir: str, seed: int = 0) -> dict:
    """Make posts and encoders, train words only, picture only and MDSE, evaluate each, answer the test part.

    `output_dir` then holds `posts/`, `encoders/`, `runs/<model>/` (checkpoint, `metrics.json`, `metrics_test.json`),
    `predictions/`, one picture to try, and `demo.json`, what is returned. A folder of an earlier demo is replaced.

    Args:
        output_dir: where everything goes.
        seed: draws posts, weights and the order of training.

    Returns: `{"models": {title: figures on the test part}, "output_dir", "predictions", "text", "image", "seed"}`.

    Raises:
        CallError: if the folder holds something else than an earlier demo.
    """
    # Towers this small gain nothing from a second thread, and lose much of their time where others want the cores too.
    torch.set_num_threads(1)
    folder = Path(output_dir)
    _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # From here on the folder is known as a demo's, even if it is cut short.
    write_json(folder / DEMO_FILE, {"seed": seed})
    posts = make_demo_posts(folder / "posts", seed=seed)
    splits = load_pairs(str(posts))
    text_encoder, image_encoder = make_demo_encoders(folder / "encoders", splits["train"]["text"][:], seed=seed)

    result = {"output_dir": str(folder), "seed": seed, "models": {}}
    for number, (title, model) in enumerate(MODELS.items(), start=1):
        logger.info("Training %d of %d: %s", number, len(MODELS), title)
        run = folder / "runs" / model
        train(
            model,
            str(posts),
            _arguments(run, seed),
            text_encoder=str(text_encoder),
            image_encoder=str(image_encoder),
            config=SMALL,
        )
        result["models"][title] = evaluate(str(run), str(posts), "test", str(run / "metrics_test.json"))
    mdse = folder / "runs" / "mdse"
    predictions = predict_table(str(mdse), str(posts), str(folder / "predictions"), split="test", batch_size=64)
    result |= {"predictions": predictions["predictions"], **_one_post(splits["test"], folder)}
    write_json(folder / DEMO_FILE, result)
    return result


def next_commands(result: dict) -> list[str]:
    """Commands that work with what the demo left."""
    folder = Path(result["output_dir"])
    mdse, posts, encoders = folder / "runs" / "mdse", folder / "posts", folder / "encoders"
    train_radm = ["train", "--model", "radm", "--data", posts, "--output-dir", folder / "runs" / "radm"]
    train_radm += ["--text-encoder", encoders / "text_encoder", "--image-encoder", encoders / "image_encoder"]
    train_radm += [word for field, value in SMALL.items() for word in (f"--{field}", value)]
    train_radm += ["--text_learning_rate", "1e-3", "--image_learning_rate", "1e-3", "--learning_rate", "1e-3"]
    commands = [
        ["predict", mdse, "--text", result["text"], "--image", result["image"]],
        ["evaluate", mdse, "--data", posts, "--split", "test"],
        ["predict", mdse, "--data", posts, "--split", "validation", "--output", folder / "answers"],
        train_radm,
    ]
    return [shlex.join(["duosent", *map(str, words)]) for words in commands]


def _arguments(run: Path, seed: int) -> ImageTextTrainingArguments:
    """Nothing is pretrained here: the towers learn as fast as the rest."""
    return ImageTextTrainingArguments(
        str(run),
        learning_rate=1e-3,
        text_learning_rate=None,
        image_learning_rate=None,
        num_train_epochs=10,
        seed=seed,
    )


def _clear(folder: Path) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / DEMO_FILE).is_file():
        raise CallError(f"output_dir {folder} is not empty and holds no earlier demo: take another one.")
    shutil.rmtree(folder)


def _one_post(rows: Dataset, folder: Path) -> dict:
    """A test post for the commands to try, its picture as a file."""
    post = rows[0]
    file = folder / f"post{Path(post['image']['path']).suffix}"
    file.write_bytes(post["image"]["bytes"])
    return {"text": post["text"], "image": str(file)}


__all__ = ["next_commands", "run_demo"]
