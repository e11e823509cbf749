"""An evaluation of before, to compare a new one against: its `metrics.json`, and its answers where they lie beside."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from duosent.inference.answered_posts import ONLY_TASK, AnsweredPosts, read_answered
from duosent.training.checkpoints import CallError, read_json
from duosent.training.predictions import predictions_file
from duosent.training.run import RESULT_FILES


@dataclass(frozen=True)
class OldEvaluation:
    """
    Args:
        file: its `metrics.json`.
        figures: what that holds.
        posts: ids, and the answers of each task; None where they are not there, or are those of another evaluation.
    """

    file: Path
    figures: dict
    posts: tuple[list[str], dict[str, AnsweredPosts]] | None


def read_old(against: str, split: str) -> OldEvaluation:
    """
    Args:
        against: a `metrics.json`, or the folder of a run that holds one.
        split: which part is evaluated now: of a folder with several that of the same part.

    Raises:
        CallError: if there is none, or it is not of a model that classifies posts.
    """
    file = Path(against)
    if file.is_dir():
        there = {part: file / name for part, name in RESULT_FILES.items() if (file / name).is_file()}
        if not there:
            raise CallError(f"against {against} holds neither {' nor '.join(RESULT_FILES.values())}.")
        file = there.get(split) or next(iter(there.values()))
    try:
        figures = read_json(file)
    except ValueError as error:
        raise CallError(f"against {file} must be a metrics.json of duosent evaluate, and is no JSON.") from error
    if not isinstance(figures, dict) or not ({"confusion", "per_class"} <= set(figures) or figures.get("tasks")):
        what = "is not there" if not file.is_file() else "has no confusion matrix and no figures by label"
        raise CallError(f"against {file} must be a metrics.json of duosent evaluate for posts, but {what}.")
    return OldEvaluation(file, figures, _posts(file, figures))


def _posts(file: Path, figures: dict) -> tuple[list[str], dict[str, AnsweredPosts]] | None:
    answers = predictions_file(file.parent, figures.get("split", ""))
    if not answers.is_file():
        return None
    table = pq.read_table(answers)
    try:
        answered = read_answered(table, figures)
    except (KeyError, ValueError):
        return None
    for task, of_task in tasks_of(figures).items():
        posts = answered[task]
        if len(posts.places) != of_task["n"] or abs(posts.right.mean() - of_task["accuracy"]) > 1e-9:
            return None
    return table.column("id").to_pylist(), answered


def tasks_of(figures: dict) -> dict[str, dict]:
    """The figures of each task, by its name; `label` where there is only one."""
    return figures.get("tasks") or {ONLY_TASK: figures}


def labels_of(figures: dict) -> dict[str, list[str]]:
    """The names of each task's labels."""
    return {task: list(of_task["per_class"]) for task, of_task in tasks_of(figures).items()}


__all__ = ["OldEvaluation", "labels_of", "read_old", "tasks_of"]
