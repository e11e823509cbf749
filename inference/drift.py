"""What moved between an evaluation of before and a new one: overall, by label and by slice, beyond noise.

Every line is one test; Holm's correction over all lines keeps the chance of even one false alarm at `ALPHA`. Where the
posts are the same and both evaluations' answers to them are known, the tests are paired. docs/error_report.md.
"""

from collections.abc import Callable, Iterator

import numpy as np

from duosent.hub_cards.intervals import LEVEL, kinds_of_confusion
from duosent.inference.answered_posts import AnsweredPosts
from duosent.inference.error_slices import OWN_ANSWERS, Slicing
from duosent.inference.f1_difference import RESAMPLES, f1_of_different_posts, f1_of_the_same_posts
from duosent.inference.old_evaluation import OldEvaluation, labels_of, tasks_of
from duosent.inference.significance import holm
from duosent.inference.two_shares import of_different_posts, of_the_same_posts
from duosent.training.checkpoints import CallError

ALPHA = 0.05
SEED = 0
# What may differ between two evaluations and is then said.
SAID = {"split": "part", "data": "data", "checkpoint": "checkpoint"}

# A task, and the `slices` of before (none to cut as the new posts lie) -> slicings of the new posts that have a label.
SlicesLike = Callable[[str, dict], dict[str, Slicing]]
Share = tuple[int, int]  # how many of how many


def check_same_labels(old: OldEvaluation, labels: dict[str, list[str]], several: bool = False) -> None:
    """
    Args:
        labels: names of each task's labels of the model that is evaluated now.
        several: whether a post may have several labels there, or none.

    Raises:
        CallError: if the old evaluation is of other labels.
    """
    before = labels_of(old.figures)  # without tasks of which no post had a label
    if any(sorted(names) != sorted(labels.get(task, [])) for task, names in before.items()):
        raise CallError(
            f"against {old.file} must be of the same labels, got {_named(before)} there and {_named(labels)} here."
        )
    if any(isinstance(of_task["confusion"], dict) != several for of_task in tasks_of(old.figures).values()):
        here, there = ("several", "one") if several else ("one", "several")
        raise CallError(f"against {old.file} must be of posts with {here} of these labels each, got {there}.")


def _named(labels: dict[str, list[str]]) -> str:
    several = len(labels) > 1
    return "; ".join(f"{task} {', '.join(names)}" if several else ", ".join(names) for task, names in labels.items())


def compare_with(
    old: OldEvaluation,
    figures: dict,
    ids: list[str],
    answered: dict[str, AnsweredPosts],
    slices_like: SlicesLike,
) -> dict:
    """What `metrics.json` says under `against`.

    Args:
        figures: of the new evaluation.
        ids: of its posts, N of them.
        answered: its answers, by task.
        slices_like: see `SlicesLike`.

    Returns: `file`, `same_posts`, `paired`, `differs` (of part, data and checkpoint those that are not the same, old
        and new), `level` of the intervals, `alpha`, `resamples`, `lines`, `moved` (how many of them) and
        `not_compared` (`task` and `why`). A line has `task`, `kind` (overall, label, slice), with slices `slicing`,
        `name`, `figure`, `old`, `new`, `n_old`, `n_new` (the posts that the figure is a share of), `difference`,
        `low`, `high`, `test`, `p`, `p_holm` and `moved`.
    """
    same_posts = old.figures.get("fingerprint") == figures["fingerprint"]
    before = old.posts[1] if same_posts and old.posts is not None and old.posts[0] == ids else None
    lines, left_out = [], []
    for task, is_now in tasks_of(figures).items():
        was, slices = tasks_of(old.figures).get(task), (old.figures.get("slices") or {}).get(task, {})
        if was is None:
            left_out.append({"task": task, "why": "no old post has a label of it"})
            continue
        if before is not None:
            slicings = _of_the_posts(slices_like(task, {}))
            found = [*_paired(before[task], answered[task], slicings), *_precisions(was, is_now)]
        else:
            slicings = _of_the_posts(slices_like(task, slices))
            found = [*_independent(was, is_now), *_slices_of_different_posts(slices, slicings, answered[task].right)]
            left_out += [{"task": task, **what} for what in _not_compared(slices, slicings)]
        lines += [{"task": task, **line} for line in found]
    for line, p in zip(lines, holm(np.array([line["p"] for line in lines])), strict=True):
        line |= {"p_holm": float(p), "moved": bool(p <= ALPHA)}
    return {
        "file": str(old.file),
        "same_posts": same_posts,
        "paired": before is not None,
        "differs": {
            title: {"old": old.figures.get(name), "new": figures.get(name)}
            for name, title in SAID.items()
            if old.figures.get(name) != figures.get(name)
        },
        "level": LEVEL,
        "alpha": ALPHA,
        "resamples": RESAMPLES,
        "lines": lines,
        "moved": sum(line["moved"] for line in lines),
        "not_compared": left_out,
    }


def _of_the_posts(slicings: dict[str, Slicing]) -> dict[str, Slicing]:
    """Those that rest on the posts: which posts lie where by a model's own answers is the model's own doing."""
    return {title: slicing for title, slicing in slicings.items() if slicing.by != OWN_ANSWERS}


def _paired(old: AnsweredPosts, new: AnsweredPosts, slicings: dict[str, Slicing]) -> Iterator[dict]:
    """Lines of two models on the same posts, post by post."""
    before = old.answered[:, [old.labels.index(label) for label in new.labels]]
    was_right, is_right = (before == new.truth).all(axis=1), new.right
    yield _of_same("overall", "all posts", "accuracy", was_right, is_right)
    f1 = f1_of_the_same_posts(new.truth, before, new.answered, new.several, SEED)
    yield _macro_f1(len(before), len(before), f1)
    for place, label in enumerate(new.labels):
        has = new.truth[:, place]
        if has.any():
            yield _of_same("label", label, "recall", before[has, place], new.answered[has, place])
    for title, slicing in slicings.items():
        for number, name in enumerate(slicing.names):
            here = slicing.place == number
            if here.any():
                yield _of_same("slice", name, "accuracy", was_right[here], is_right[here]) | {"slicing": title}


def _of_same(kind: str, name: str, figure: str, old: np.ndarray, new: np.ndarray) -> dict:
    return _line(kind, name, figure, (int(old.sum()), len(old)), (int(new.sum()), len(new))) | of_the_same_posts(
        old, new
    )


def _independent(was: dict, is_now: dict) -> Iterator[dict]:
    """Lines of two models on different posts, from counts alone."""
    right = [(round(figures["accuracy"] * figures["n"]), figures["n"]) for figures in (was, is_now)]
    yield _of_different("overall", "all posts", "accuracy", *right)
    if isinstance(is_now["confusion"], list):
        tables = was["confusion"], is_now["confusion"]
        f1 = f1_of_different_posts(*(kinds_of_confusion(table) for table in tables), several=False, seed=SEED)
        yield _macro_f1(right[0][1], right[1][1], f1)
    for label in is_now["per_class"]:
        recalls = [label_counts(figures, label)[0] for figures in (was, is_now)]
        if all(n for _, n in recalls):
            yield _of_different("label", label, "recall", *recalls)
    yield from _precisions(was, is_now)


def _precisions(was: dict, is_now: dict) -> Iterator[dict]:
    """Who was given a label is not the same posts in two evaluations, whatever they were asked: these are no pairs."""
    for label in is_now["per_class"]:
        precisions = [label_counts(figures, label)[1] for figures in (was, is_now)]
        if all(n for _, n in precisions):
            yield _of_different("label", label, "precision", *precisions)


def label_counts(figures: dict, label: str) -> tuple[Share, Share]:
    """Recall and precision of a label as counts."""
    confusion = figures["confusion"]
    if isinstance(confusion, dict):
        (_, false_positives), (false_negatives, hits) = confusion[label]
        return (hits, hits + false_negatives), (hits, hits + false_positives)
    place = list(figures["per_class"]).index(label)
    hits = confusion[place][place]
    return (hits, sum(confusion[place])), (hits, sum(row[place] for row in confusion))


def _slices_of_different_posts(slices: dict, slicings: dict[str, Slicing], right: np.ndarray) -> Iterator[dict]:
    for title, slicing in slicings.items():
        was = slices.get(title, {}).get("slices", {}) if _compares(slices.get(title), slicing) else {}
        for name, now in slicing.figures(right)["slices"].items():
            if name in was:
                counts = [(row["right"], row["n"]) for row in (was[name], now)]
                yield _of_different("slice", name, "accuracy", *counts) | {"slicing": title}


def _compares(was: dict | None, slicing: Slicing | None) -> bool:
    return was is not None and slicing is not None and was["by"] == slicing.by


def _not_compared(slices: dict, slicings: dict[str, Slicing]) -> list[dict]:
    """Slicings of before that the new posts are not cut by."""
    return [
        {"why": f"{title}, by {was['by']}: the new posts are not cut so"}
        for title, was in slices.items()
        if not _compares(was, slicings.get(title))
    ]


def _of_different(kind: str, name: str, figure: str, old: Share, new: Share) -> dict:
    return _line(kind, name, figure, old, new) | of_different_posts(old, new)


def _macro_f1(n_old: int, n_new: int, f1: dict) -> dict:
    return {"kind": "overall", "name": "all posts", "figure": "macro_f1", "n_old": n_old, "n_new": n_new} | f1


def _line(kind: str, name: str, figure: str, old: Share, new: Share) -> dict:
    sides = {"old": old[0] / old[1], "new": new[0] / new[1], "n_old": old[1], "n_new": new[1]}
    return {"kind": kind, "name": name, "figure": figure, **sides}


__all__ = ["ALPHA", "check_same_labels", "compare_with", "label_counts"]
