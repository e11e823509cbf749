"""How far an exported classifier gives the answers of the one that it was made from."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from duosent.inference.post_logits import post_logits
from duosent.training.joint_labels import task_answers
from duosent.training.metrics import answers, score_answers

# Posts and lengths of made-up batches: one and several, short and long.
MADE_UP = ((1, 1), (2, 9), (5, 16))


def made_up_posts(example: dict[str, Tensor], vocabulary: int, longest: int, seed: int = 0) -> Iterator[dict]:
    """Batches of posts that mean nothing: random tokens and pictures, padding, sides that are not there.

    Args:
        example: see `example_posts`; its keys, and the size of its pictures, are those of the batches.
        vocabulary: tokens that the text tower knows.
        longest: tokens of a text at most.
    """
    generator = torch.Generator().manual_seed(seed)
    for posts, length in MADE_UP:
        length = min(length, longest)
        lengths = torch.randint(1, length + 1, (posts, 1), generator=generator)
        made = {
            "input_ids": torch.randint(max(vocabulary, 1), (posts, length), generator=generator),
            "attention_mask": (torch.arange(length) < lengths).long(),
            "token_type_ids": (torch.arange(length) > lengths // 2).long(),
            "text_present": torch.rand(posts, generator=generator) < 0.7,
            "image_present": torch.rand(posts, generator=generator) < 0.7,
        }
        if "pixel_values" in example:
            made["pixel_values"] = torch.randn(posts, *example["pixel_values"].shape[1:], generator=generator)
        yield {name: made[name] for name in example}


@torch.inference_mode()
def largest_difference(model: Callable, other: Callable, batches: Iterable[dict]) -> float:
    """The largest difference of two models' logits, over all posts and labels."""
    return max(float((model(**batch).logits - other(**batch).logits).abs().max()) for batch in batches)


def compare_answers(models: dict[str, Callable], batches: Iterable[dict], config) -> dict[str, dict]:
    """Let several models answer the same posts.

    Args:
        models: by name; the first is the one that the others are measured by.
        batches: of a collator, with both sides, and `labels` where they are known.
        config: the models'.

    Returns: for each model `posts` and, where there are labels, `accuracy` and `macro_f1`; for each but the first also
        `largest_logit_difference`, `label_agreement`, the share of posts with the same answer (of several labels: with
        all the same), and with labels `accuracy_lost`.
    """
    logits, references = {name: [] for name in models}, []
    for batch in batches:
        posts = {name: tensor for name, tensor in batch.items() if not name.endswith("labels")}
        if "labels" in batch:
            references.append(batch["labels"].numpy())
        for name, model in models.items():
            logits[name].append(post_logits(model, posts).numpy())
    logits = {name: np.concatenate(rows) for name, rows in logits.items()}
    truth = np.concatenate(references) if references else None
    figures = {name: _figures(rows, truth, config) for name, rows in logits.items()}
    first, *others = models
    for name in others:
        same = _answers(logits[name], config) == _answers(logits[first], config)
        figures[name]["largest_logit_difference"] = float(np.abs(logits[name] - logits[first]).max())
        figures[name]["label_agreement"] = float(same.reshape(len(same), -1).all(axis=1).mean())
        if truth is not None:
            figures[name]["accuracy_lost"] = figures[first]["accuracy"] - figures[name]["accuracy"]
    return figures


def _figures(logits: np.ndarray, truth: np.ndarray | None, config) -> dict:
    if truth is None:
        return {"posts": len(logits)}
    scores = score_answers(logits, truth, config)
    return {"posts": len(logits), "accuracy": scores["accuracy"], "macro_f1": scores["macro_f1"]}


def _answers(logits: np.ndarray, config) -> np.ndarray:
    """`(N,)`, or with several labels `(N, L)` or `(N, tasks)`"""
    return answers(logits, config) if config.tasks is None else task_answers(logits, config)


__all__ = ["compare_answers", "largest_difference", "made_up_posts"]
