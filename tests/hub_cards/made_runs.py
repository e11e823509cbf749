"""Folders as a run leaves them, without weights: cards are written of these JSON files alone."""

import json
from pathlib import Path

from markdown_it import MarkdownIt

CONFIG = {
    "architectures": ["MdseForImageTextClassification"],
    "model_type": "mdse",
    "id2label": {"0": "negative", "1": "positive"},
    "problem_type": "single_label_classification",
    "text_config": {"model_type": "bert", "_name_or_path": "bert-base-uncased"},
    "vision_config": {"model_type": "vit"},
}
RUN = {
    "recipe": None,
    "model": "mdse",
    "task": "classification",
    "data": "../data/posts",
    "init_from": None,
    "text_encoder": "someone/text-encoder",
    "image_encoder": "/home/someone/encoders/vit",
    "from_hub": ["text_encoder"],
    "columns": {"label_column": "mood"},
    "config": {"hidden_size": 16},
    "processing": {"clean_text": True},
    "training": {"num_train_epochs": 2.0},
    "seed": 3,
    "train_fingerprint": "0123456789abcdef",
    "train_rows": 2500,
    "best_checkpoint": "checkpoint-7",
    "epochs": 2.0,
    "steps": 14,
    "parameters": 123456,
    "trainable_parameters": 23456,
    "device": "cpu",
    "versions": {"torch": "2.6", "transformers": "5.23"},
    "command": "duosent train --data /home/someone/posts --seed 3 --hub-token hf_abc",
    "seconds": 12.5,
}
METRICS = {
    "accuracy": 0.8,
    "macro_f1": 0.79,
    "weighted_f1": 0.81,
    "per_class": {
        "negative": {"precision": 0.75, "recall": 0.7, "f1": 0.72, "support": 40},
        "positive": {"precision": 0.8, "recall": 0.87, "f1": 0.83, "support": 60},
    },
    "confusion": [[28, 12], [8, 52]],
    "n": 100,
    "majority_accuracy": 0.6,
    "labels": ["negative", "positive"],
    "split": "validation",
    "fingerprint": "fedcba9876543210",
    "model": "mdse",
    "seed": 3,
    "data": "../data/posts",
}
ARGUMENTS = {"learning_rate": 2e-5, "per_device_train_batch_size": 64, "seed": 3}


def made_run(folder: Path, **files: dict | None) -> Path:
    """`config={...}` writes config.json, and so on; None leaves a file out."""
    files = {"config": CONFIG, "run": RUN, "metrics": METRICS, "arguments": ARGUMENTS, **files}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def page(card: str) -> list:
    """The tokens of a card's page by a Markdown parser that lets HTML through."""
    return MarkdownIt("commonmark").enable("table").parse(card.split("\n---\n", 1)[1])


def code_blocks(card: str, language: str) -> list[str]:
    return [token.content for token in page(card) if token.type == "fence" and token.info == language]


def words(card: str) -> str:
    """What a reader sees of the lines and cells."""
    return "\n".join(
        "".join(child.content for child in token.children) for token in page(card) if token.type == "inline"
    )
