"""What an answer rests on: how far a label's log-odds fall when a part of the post is hidden.

The measure of Zeiler and Fergus (Visualizing and Understanding Convolutional Networks, 2014): of pictures by cells, of
words by leaving them out. It asks nothing of a model but answers, so that it holds for each of them alike. Log-odds,
`log(score / (1 - score))`, because a score of nearly 1 hardly moves, whatever is hidden.
"""

import itertools
import math
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
# Of a picture in pixels; models look at fewer.
LARGEST_SIDE = 1024


@dataclass(frozen=True)
class Occlusion:
    """What is lost of each label's log-odds; a negative value says that the hidden part spoke against the label.

    Args:
        odds: label -> log-odds of the whole post.
        spans: the text in pieces that join to it again.
        cells: label -> `(GRID, GRID)`, of each cell of the picture; empty without a picture.
        words: label -> `(len(spans),)`, of each piece of the text; empty where nothing would be left of the post.
        alone: side -> label -> log-odds of that side alone, of a post that has both.
    """

    odds: dict[str, float]
    spans: list[str]
    cells: dict[str, np.ndarray] = field(default_factory=dict)
    words: dict[str, np.ndarray] = field(default_factory=dict)
    alone: dict[str, dict[str, float]] = field(default_factory=dict)


def occlude(classify, post: dict, progress: Callable[[float], None] = lambda share: None) -> Occlusion:
    """
    Args:
        classify: the pipeline.
        post: with text, picture (PIL, RGB) and target, as the pipeline's `read` gives it.
        progress: called with the share of the work that is done.
    """
    picture, spans = post["image"], split_words(post["text"] or "")
    if picture is not None:
        post = post | {"image": (picture := shrunk(picture, LARGEST_SIDE))}
    cells = GRID * GRID if picture is not None else 0
    words = len(spans) if picture is not None or len(spans) > 1 else 0
    sides = {"words": {"image": None}, "picture": {"text": None}} if picture is not None and spans else {}

    # One batch after the other, for sixty pictures at once are many.
    changes = itertools.chain(
        [{}],
        ({"image": hidden} for hidden in without_each_cell(picture)) if cells else [],
        ({"text": rest} for rest in without_each(spans)) if words else [],
        sides.values(),
    )
    answers = []
    while batch := [post | change for change in itertools.islice(changes, BATCH_SIZE)]:
        logits = classify(batch, top_k=None, function_to_apply="none", batch_size=BATCH_SIZE)
        answers += [log_odds(answer, classify.model.config) for answer in logits]
        progress(len(answers) / (1 + cells + words + len(sides)))
    rest = iter(answers)
    whole = next(rest)

    def lost(count: int, *shape: int) -> dict[str, np.ndarray]:
        hidden = list(itertools.islice(rest, count))
        return {
            label: np.reshape([odds - answer[label] for answer in hidden], shape)
            for label, odds in whole.items()
            if hidden
        }

    lost_by_cells, lost_by_words = lost(cells, GRID, GRID), lost(words, len(spans))
    return Occlusion(whole, spans, lost_by_cells, lost_by_words, alone=dict(zip(sides, rest, strict=True)))


def log_odds(logits: list[dict] | dict[str, list[dict]], config) -> dict[str, float]:
    """Of the pipeline's answer with `function_to_apply="none"`; labels as `by_label` names them.

    Args:
        config: the model's; where it is calibrated, its temperatures hold here too.
    """
    fits = (getattr(config, "calibration", None) or {"tasks": {}})["tasks"]
    independent = config.problem_type == "multi_label_classification"

    def odds_of(task: str, entries: list[dict]) -> list[dict]:
        fit = fits.get(task, {})
        # As the pipeline has it: what was fitted for another number of labels was fitted for another head.
        temperature = fit["temperature"] if fit.get("num_labels") == len(entries) else 1
        entries = [entry | {"score": entry["score"] / temperature} for entry in entries]
        return entries if independent else against_the_others(entries)

    if isinstance(logits, list):
        return by_label(odds_of("label", logits))
    return by_label({task: odds_of(task, entries) for task, entries in logits.items()})


def against_the_others(logits: list[dict]) -> list[dict]:
    """The log-odds behind a softmax: each logit less the logarithm of the others' summed exponentials."""
    values = np.array([entry["score"] for entry in logits])
    others = [np.logaddexp.reduce(np.delete(values, number)) for number in range(len(values))]
    return [entry | {"score": odds} for entry, odds in zip(logits, (values - others).tolist(), strict=True)]


def score_of(odds: float) -> float:
    return 0.5 * (1 + math.tanh(odds / 2))


def by_label(answer: list[dict] | dict[str, list[dict]]) -> dict[str, float]:
    """The pipeline's answer as label -> score, best first; of several tasks `task: label`, task by task."""
    if isinstance(answer, list):
        return {entry["label"]: entry["score"] for entry in answer}
    return {f"{task}: {entry['label']}": entry["score"] for task, entries in answer.items() for entry in entries}


def shrunk(picture: Image.Image, side: int) -> Image.Image:
    """The picture, or a smaller one whose longer side has so many pixels."""
    smaller = picture.copy()
    smaller.thumbnail((side, side))
    return smaller


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
