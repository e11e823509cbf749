"""What an answer rests on: how far a label's score falls when a part of the post is hidden.

The measure of Zeiler and Fergus (Visualizing and Understanding Convolutional Networks, 2014): of pictures by cells, of
words by leaving them out. It asks nothing of a model but answers, so that it holds for each of them alike.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageStat

# Cells across and down a picture, as many as ResNet's and VGG's last grid has at 224 pixels.
GRID = 7
# A longer text is hidden by groups of words.
MOST_SPANS = 48
BATCH_SIZE = 16


@dataclass(frozen=True)
class Occlusion:
    """What is lost of each label's score; a negative value says that the hidden part spoke against the label.

    Args:
        scores: label -> score of the whole post.
        spans: the text in pieces that join to it again.
        cells: label -> `(GRID, GRID)`, of each cell of the picture; empty without a picture.
        words: label -> `(len(spans),)`, of each piece of the text; empty where nothing would be left of the post.
        alone: side -> label -> score of that side alone, of a post that has both.
    """

    scores: dict[str, float]
    spans: list[str]
    cells: dict[str, np.ndarray] = field(default_factory=dict)
    words: dict[str, np.ndarray] = field(default_factory=dict)
    alone: dict[str, dict[str, float]] = field(default_factory=dict)


def occlude(classify, post: dict, scores: dict[str, float], progress: Callable = lambda share: None) -> Occlusion:
    """
    Args:
        classify: the pipeline.
        post: with text, picture (PIL, RGB) and target, as the pipeline's `read` gives it.
        scores: the post's own, as `scores_of` gives them.
        progress: called with the share of the work that is done.
    """
    text, picture = post["text"] or "", post["image"]
    spans = split_words(text)
    variants = []
    if picture is not None:
        variants += [post | {"image": hidden} for hidden in without_each_cell(picture)]
    shorter = [post | {"text": rest} for rest in without_each(spans)] if picture is not None or len(spans) > 1 else []
    variants += shorter
    both = picture is not None and bool(spans)
    if both:
        variants += [post | {"image": None}, post | {"text": None}]
    answers = []
    for start in range(0, len(variants), BATCH_SIZE):
        batch = classify(variants[start : start + BATCH_SIZE], top_k=None, batch_size=BATCH_SIZE)
        answers += [scores_of(answer) for answer in batch]
        progress(len(answers) / len(variants))

    def lost(first: int, count: int) -> dict[str, np.ndarray]:
        chosen = answers[first : first + count]
        return {label: score - np.array([answer[label] for answer in chosen]) for label, score in scores.items()}

    count = GRID * GRID if picture is not None else 0
    cells = {label: values.reshape(GRID, GRID) for label, values in lost(0, count).items()} if count else {}
    words = lost(count, len(shorter)) if shorter else {}
    alone = {"words": answers[-2], "picture": answers[-1]} if both else {}
    return Occlusion(scores, spans, cells, words, alone)


def scores_of(answer: list[dict] | dict[str, list[dict]]) -> dict[str, float]:
    """The pipeline's answer as label -> score, best first; of several tasks `task: label`, task by task."""
    if isinstance(answer, list):
        return {entry["label"]: entry["score"] for entry in answer}
    return {f"{task}: {entry['label']}": entry["score"] for task, entries in answer.items() for entry in entries}


def split_words(text: str) -> list[str]:
    """Words with the space behind them, in `MOST_SPANS` groups of neighbours at most."""
    words = re.findall(r"\s*\S+\s*", text)
    groups = min(len(words), MOST_SPANS)
    ends = [len(words) * number // groups for number in range(groups + 1)] if groups else []
    return ["".join(words[start:end]) for start, end in itertools.pairwise(ends)]


def without_each(spans: list[str]) -> Iterator[str]:
    return ("".join(spans[:number] + spans[number + 1 :]) for number in range(len(spans)))


def without_each_cell(picture: Image.Image) -> Iterator[Image.Image]:
    """The picture with one cell after the other, row by row, in the picture's mean colour."""
    mean = tuple(round(value) for value in ImageStat.Stat(picture).mean)
    for box in cells_of(picture):
        hidden = picture.copy()
        hidden.paste(mean, box)
        yield hidden


def cells_of(picture: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, right and bottom of each cell, row by row; the last one is excluded."""
    columns = [picture.width * number // GRID for number in range(GRID + 1)]
    rows = [picture.height * number // GRID for number in range(GRID + 1)]
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            yield left, top, right, bottom
