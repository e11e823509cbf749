"""What a model does with one side of a post, or with a picture that is not the post's own."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow.compute as pc
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from transformers import PreTrainedModel, Trainer
from transformers.trainer_utils import PredictionOutput

from duosent.modeling.losses import IGNORED_LABEL
from duosent.training.checkpoints import CallError, answers_questions

FIGURES = ("accuracy", "macro_f1", "n")


def check_reads_both(model: PreTrainedModel, option: str) -> None:
    """
    Raises:
        CallError: for a model that reads words or pictures only, or answers questions.
    """
    if answers_questions(model):
        raise CallError(f"{option} must not be given for task vqa: a question or a picture alone has no answer.")
    if model.config.text_config is None or model.config.vision_config is None:
        side = "pictures" if model.config.text_config is None else "words"
        raise CallError(f"{option} must go with a model that reads words and pictures, got one of {side} only.")


def check_sides(model: PreTrainedModel, rows: Dataset, part: str) -> None:
    """
    Raises:
        CallError: where a model or a part has no two sides to tell apart.
    """
    check_reads_both(model, "sides")
    if not have_both_sides(rows):
        raise CallError(f"The {part} part must hold a post with words and a picture to evaluate the sides, got none.")


def have_both_sides(rows: Dataset) -> bool:
    """Whether there is a post with words and a picture."""
    return any(picture and (text or "").strip() for picture, text in zip(has_picture(rows), rows["text"], strict=True))


def answer_sides(trainer: Trainer, rows: Dataset, seed: int) -> dict[str, PredictionOutput]:
    """What a model answers to words only, to pictures only, and to words with the picture of another post.

    Args:
        trainer: with a model that reads both sides and an `ImageTextCollator`.
        rows: of one part, as `load_pairs` gives them.
        seed: of the shuffled pictures.

    Returns: `text`, `image` and `shuffled_images`, each what `trainer.predict` gives; a post without one of its sides
        has no label there.
    """
    plain, metrics = trainer.data_collator, trainer.compute_metrics
    passes = {
        "text": (rows, OneSide(plain, without="image")),
        "image": (rows, OneSide(plain, without="text")),
        "shuffled_images": (ShuffledPictures(rows, seed), OneSide(plain)),
    }
    answers = {}
    trainer.compute_metrics = None
    try:
        for name, (posts, collator) in passes.items():
            trainer.data_collator = collator
            answers[name] = trainer.predict(posts, metric_key_prefix=name)
    finally:
        trainer.data_collator, trainer.compute_metrics = plain, metrics
    return answers


def score_sides(prediction, answers: dict[str, PredictionOutput], score: Callable, seed: int) -> dict:
    """Figures of the same posts with both sides, with one of them, and with the picture of another post.

    Only posts that have words and a picture take part, so that the four compare.

    Args:
        prediction: what `trainer.predict` gave for the posts as they are.
        answers: what `answer_sides` gave for them.
        score: what gives the figures of a prediction.
        seed: of the shuffled pictures.

    Returns: `both`, `text`, `image` and `shuffled_images`, each with `accuracy`, `macro_f1` and `n`, with
        tasks of each task too, and `seed`.
    """
    # The passes know by their labels which posts have both sides.
    both = prediction._replace(label_ids=answers["text"].label_ids)
    return {name: pick(score(answer)) for name, answer in {"both": both, **answers}.items()} | {"seed": seed}


def pick(figures: dict) -> dict:
    """The few figures that are shown of a side."""
    picked = {name: figures[name] for name in FIGURES}
    if "tasks" in figures:
        picked["tasks"] = {task: pick(of_task) for task, of_task in figures["tasks"].items()}
    return picked


@dataclass
class OneSide:
    """The batch of the collator inside, every post without one of its sides; a post that lacks one loses its label.

    Args:
        collator: makes the batch.
        without: "text" or "image"; None takes nothing away.
    """

    collator: Callable[[list[dict]], dict[str, Tensor]]
    without: str | None = None

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        batch = self.collator(rows)
        whole = batch["text_present"] & batch["image_present"]  # (B,)
        labels = batch["labels"]  # (B,) or (B, L)
        batch["labels"] = labels.masked_fill(~(whole if labels.ndim == 1 else whole[:, None]), IGNORED_LABEL)
        if self.without is not None:
            batch[f"{self.without}_present"] = torch.zeros_like(whole)
        return batch


class ShuffledPictures(TorchDataset):
    """The same posts, each that has a picture with the picture of another one.

    Args:
        rows: as `load_pairs` gives them.
        seed: decides who gets whose.
    """

    def __init__(self, rows: Dataset, seed: int):
        self.rows, self._pictures = rows, rows.select_columns("image")
        there = [place for place, picture in enumerate(has_picture(rows)) if picture]
        random.Random(seed).shuffle(there)
        # Each takes that of the next in a circle: nobody keeps their own, where there are two.
        self._source = dict(zip(there, there[1:] + there[:1], strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict:
        return {**self.rows[place], "image": self._pictures[self._source.get(place, place)]["image"]}


def has_picture(rows: Dataset) -> list[bool]:
    """Which rows have a picture; no byte of it is read."""
    found = []
    for chunk in rows.select_columns("image").with_format("arrow")[:].column("image").chunks:
        inside, path = (chunk.field(part).is_valid() for part in ("bytes", "path"))
        found += pc.and_(chunk.is_valid(), pc.or_(inside, path)).to_pylist()
    return found


__all__ = [
    "OneSide",
    "ShuffledPictures",
    "answer_sides",
    "check_reads_both",
    "check_sides",
    "have_both_sides",
    "score_sides",
]
