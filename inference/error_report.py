"""What an error report says: every number and post of the page, as one dict for JSON.

What `metrics.json` holds is taken from there and never computed again; this adds intervals, mistakes, doubles,
doubtful labels and curves.
"""

import numpy as np

from duosent.hub_cards.card_results import GIVEN, SIDES, TITLES
from duosent.hub_cards.intervals import f1_intervals, kinds_of_confusion, kinds_of_posts, share_interval
from duosent.inference.answered_posts import AnsweredPosts
from duosent.inference.drift import label_counts
from duosent.inference.evaluated_part import EvaluatedPart
from duosent.inference.label_issues import label_issues
from duosent.inference.old_evaluation import tasks_of

# Posts of each kind that are shown.
SHOWN = 24


def error_report(part: EvaluatedPart, figures: dict, curves: dict | None, learnt_from: bool) -> dict:
    """
    Args:
        part: the posts and answers.
        figures: what `metrics.json` holds of them, with `slices`.
        curves: see `training_curves`.
        learnt_from: whether these posts are those that the model learnt from.

    Returns: `metrics`, the figures as they are; `curves`; `doubles`, see `_doubles`; `tasks`, by name: `figures` and
        `labels` (each figure with `value`, `low` and `high`, which are None where no interval can be told), `slices`,
        `sides`, `mistakes` (how many) and `surest_mistakes`, `label_issues` (how many, of `checked` posts, and the
        worst `posts`; None where the posts were learnt from, or have one label only).
    """
    return {
        "metrics": figures,
        "curves": curves,
        "doubles": _doubles(part),
        "tasks": {
            task: _of_task(part, part.answered[task], of_task, task, figures, learnt_from)
            for task, of_task in tasks_of(figures).items()
        },
    }


def _of_task(
    part: EvaluatedPart, posts: AnsweredPosts, figures: dict, task: str, whole: dict, learnt_from: bool
) -> dict:
    mistakes = np.flatnonzero(~posts.right)
    surest = mistakes[np.argsort(-posts.confidence[mistakes], kind="stable")][:SHOWN]
    return {
        **_with_intervals(posts, figures),
        "slices": whole["slices"][task],
        "sides": _sides(whole.get("sides"), task),
        "mistakes": len(mistakes),
        "surest_mistakes": [_post(part, posts, post) for post in surest.tolist()],
        "label_issues": None if learnt_from or posts.truth.any(axis=0).sum() < 2 else _issues(part, posts),
    }


def _with_intervals(posts: AnsweredPosts, figures: dict) -> dict:
    """Of posts with one label as on a model card: from the confusion matrix."""
    confusion = figures["confusion"]
    if isinstance(confusion, list):
        bounds = f1_intervals(*kinds_of_confusion(confusion))
    else:
        bounds = f1_intervals(*kinds_of_posts(posts.truth, posts.answered), several=True)
    of_labels = bounds.pop("per_class")
    bounds["accuracy"] = share_interval(figures["accuracy"], figures["n"])
    return {
        "figures": {
            name: {"title": title, **_figure(figures[name], bounds.get(name)), "estimated": name not in GIVEN}
            for name, title in TITLES.items()
            if name in figures
        },
        "labels": {
            label: _label(row, label_counts(figures, label), bound)
            for (label, row), bound in zip(figures["per_class"].items(), of_labels, strict=True)
        },
    }


def _figure(value: float, interval: tuple[float, float] | None) -> dict:
    low, high = interval or (None, None)
    return {"value": value, "low": low, "high": high}


def _label(row: dict, counts: tuple[tuple[int, int], tuple[int, int]], f1: tuple[float, float] | None) -> dict:
    """`n` posts have the label, `answered` were given it; precision and recall with Wilson intervals."""
    shares = {}
    for name, (hits, n) in zip(("recall", "precision"), counts, strict=True):
        shares[name] = _figure(row[name], share_interval(hits / n, n) if n else None)
    return {"n": row["support"], "answered": counts[1][1], **shares, "f1": _figure(row["f1"], f1)}


def _sides(sides: dict | None, task: str) -> dict | None:
    """Words only, picture only and pictures of other posts beside the posts as they are, on those with both sides."""
    if sides is None:
        return None
    found = {}
    for name, title in SIDES.items():
        row = sides[name].get("tasks", {}).get(task) if "tasks" in sides[name] else sides[name]
        if row is None:  # no post with both sides has a label of the task
            return None
        accuracy = _figure(row["accuracy"], share_interval(row["accuracy"], row["n"]))
        found[name] = {"title": title, "n": row["n"], "accuracy": accuracy, "macro_f1": row["macro_f1"]}
    return found


def _issues(part: EvaluatedPart, posts: AnsweredPosts) -> dict:
    found = label_issues(posts)
    at = {int(place): post for post, place in enumerate(posts.places)}
    shown = [_post(part, posts, at[issue["place"]]) | issue for issue in found[:SHOWN]]
    return {"n": len(found), "checked": len(posts.places), "posts": shown}


def _doubles(part: EvaluatedPart) -> dict | None:
    """`part`, its `rows`, how many evaluated posts are doubled (`n` of `checked`), some of them with their `labels`
    and what they are `like`; None where that was not looked at. How right the answers to them are stands among the
    slices."""
    doubles = part.doubles
    if doubles is None:
        return None
    posts = [
        _named(part, place) | {"labels": _labels(part, place), "like": found}
        for place, found in sorted(doubles.found.items())[:SHOWN]
    ]
    return {
        "part": doubles.part,
        "rows": doubles.rows,
        "n": len(doubles.found),
        "checked": len(part.ids),
        "posts": posts,
    }


def _labels(part: EvaluatedPart, place: int) -> dict[str, str]:
    """A post's label of each task of which it has one."""
    return {
        task: posts.words(posts.truth[found[0]])
        for task, posts in part.answered.items()
        if len(found := np.flatnonzero(posts.places == place))
    }


def _post(part: EvaluatedPart, posts: AnsweredPosts, post: int) -> dict:
    """A post with its label and the answer to it, for people."""
    return _named(part, int(posts.places[post])) | {
        "label": posts.words(posts.truth[post]),
        "answer": posts.words(posts.answered[post]),
        "confidence": float(posts.confidence[post]),
    }


def _named(part: EvaluatedPart, place: int) -> dict:
    """Where a post stands, and its words."""
    row = part.words[place]
    target = {"target": row["target"]} if row.get("target") else {}
    return {"place": place, "row": place + 1, "id": part.ids[place], "text": row.get("text") or "", **target}


__all__ = ["error_report"]
