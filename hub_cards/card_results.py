"""The figures of an evaluation, with their intervals, in the order in which a card shows them."""

from dataclasses import dataclass, field

from duosent.hub_cards.intervals import Interval, f1_intervals, kinds_of_confusion, kinds_of_posts, share_interval
from duosent.hub_cards.run_files import RunFiles

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "weighted_f1": "weighted F1",
    "joint_accuracy": "every label right",
    "contradictions": "answers that never occurred together in training",
    "majority_accuracy": "always the commonest answer",
    "ceiling": "always the best answer of the vocabulary",
}
GIVEN = ("majority_accuracy", "ceiling")
SIDES = {
    "both": "as they are",
    "text": "words only",
    "image": "picture only",
    "shuffled_images": "picture of another post",
}


@dataclass(frozen=True)
class Figure:
    """A share or an F1, in [0, 1]; the interval is None where none can be told, and not wanted of what is not
    estimated: a floor or ceiling that the posts themselves give."""

    title: str
    value: float
    interval: Interval | None = None
    estimated: bool = True


@dataclass(frozen=True)
class OfLabel:
    """What became of the posts of one label."""

    label: str
    precision: float
    recall: float
    f1: Figure
    support: int


@dataclass(frozen=True)
class Results:
    """
    Args:
        figures: overall.
        n: posts, or questions.
        labels: by label.
        names: of the labels, for the confusion matrix.
        confusion: rows of true labels, columns of answers; empty where a post may have several labels.
        binary: of such posts by label: true and false negatives and positives, as `[[tn, fp], [fn, tp]]`.
        sides: titles with accuracy and macro F1.
        sides_n: posts with both sides.
        answer_types: kinds of answers with accuracy and questions.
        tasks: the results of each task.
    """

    figures: list[Figure]
    n: int
    labels: list[OfLabel] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)
    binary: dict[str, list[list[int]]] = field(default_factory=dict)
    sides: list[tuple[str, float, float]] = field(default_factory=list)
    sides_n: int | None = None
    answer_types: list[tuple[str, float, int]] = field(default_factory=list)
    tasks: dict[str, "Results"] = field(default_factory=dict)


def results_of(figures: dict, run: RunFiles) -> Results:
    """What a `metrics.json` holds, or a task in it, with intervals where its counts allow them.

    Accuracy of posts with one label, or with a set of labels, is a share of posts. That of several tasks is a mean
    of shares over the same posts, and that of answers to questions a mean of scores: neither has an interval here.
    """
    intervals = _f1_intervals(figures, run)
    if "tasks" not in figures and not run.answers_questions:
        intervals["accuracy"] = share_interval(figures["accuracy"], figures["n"])
    confusion = figures.get("confusion", [])
    sides = figures.get("sides")
    bounds = intervals.get("per_class") or [None] * len(figures.get("per_class", {}))
    return Results(
        figures=[
            Figure(title, figures[name], intervals.get(name), name not in GIVEN)
            for name, title in TITLES.items()
            if name in figures
        ],
        n=figures["n"],
        labels=[
            OfLabel(label, row["precision"], row["recall"], Figure("F1", row["f1"], bound), row["support"])
            for (label, row), bound in zip(figures.get("per_class", {}).items(), bounds, strict=True)
        ],
        names=list(figures.get("per_class", {})),
        confusion=confusion if isinstance(confusion, list) else [],
        binary=confusion if isinstance(confusion, dict) else {},
        sides=[(title, sides[name]["accuracy"], sides[name]["macro_f1"]) for name, title in SIDES.items()]
        if sides
        else [],
        sides_n=sides["both"]["n"] if sides else None,
        answer_types=[(kind, row["accuracy"], row["n"]) for kind, row in figures.get("per_answer_type", {}).items()],
        tasks={
            task: results_of(of_task | {"sides": _sides_of_task(sides, task)}, run)
            for task, of_task in figures.get("tasks", {}).items()
        },
    )


def _sides_of_task(sides: dict | None, task: str) -> dict | None:
    if not sides or any(task not in sides[name].get("tasks", {}) for name in SIDES):
        return None
    return {name: sides[name]["tasks"][task] for name in SIDES}


def _f1_intervals(figures: dict, run: RunFiles) -> dict:
    confusion = figures.get("confusion")
    if isinstance(confusion, list):
        return f1_intervals(*kinds_of_confusion(confusion))
    posts = run.posts(figures["split"]) if isinstance(confusion, dict) and "split" in figures else None
    if posts is None or len(posts[0]) != figures["n"]:  # answers of another evaluation
        return {}
    return f1_intervals(*kinds_of_posts(*posts), several=True)


__all__ = ["Figure", "OfLabel", "Results", "results_of"]
