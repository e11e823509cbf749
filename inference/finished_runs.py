"""What training runs left in their folders: which of them are of one kind, and their answers to the same posts."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from duosent.training.checkpoints import CallError, is_finished, read_json, read_run
from duosent.training.predictions import predictions_file
from duosent.training.run import RESULT_FILES

logger = logging.getLogger(__name__)

# Of a run's record: what tells runs of one kind apart, and what only says how they went.
APART = {
    *("seed", "fold", "data", "command", "evaluate_test", "evaluate_sides"),
    *("seconds", "epochs", "steps", "best_checkpoint", "device", "versions", "train_rows", "train_fingerprint"),
    "from_hub",
}
# Options of training and config that change how a run is computed, and not, but for rounding, what it comes to.
SAME_RESULT = ("resume_from_checkpoint", "cache_features", "attn_implementation", "save_total_limit")
# When checkpoints are saved: those of a run that ends with its last weights, and not the best, change nothing either.
SAVING = ("save_strategy", "save_steps")


@dataclass
class FinishedRun:
    """One run, or the runs of a cross-validation, of which each post was held out in one.

    Args:
        name: its folder.
        folders: one; of a cross-validation one for each fold, in order.
        kind: what is the same in all runs of one kind: the options but seed and output, and the posts trained on.
        source: the argument of `find_runs` that it came by.
    """

    name: str
    folders: list[Path]
    kind: str
    source: str

    @property
    def record(self) -> dict:
        return read_run(self.folders[0])

    def has(self, part: str) -> bool:
        """Whether the answers to a part are there, with their metrics."""
        files = [
            file for folder in self.folders for file in (predictions_file(folder, part), folder / RESULT_FILES[part])
        ]
        return all(file.is_file() for file in files)


@dataclass
class Answers:
    """What a run answered to the posts of one part, in the order of their ids; posts without a true label left out.

    Args:
        posts: `(N,)`, what a post is known by: its id, and a number that tells posts of one id apart.
        truth: `(N, L)` bool.
        answered: `(N, L)` bool.
        labels: names, in alphabetical order.
        several: whether a post may have several labels.
        fingerprints: of the part; of a cross-validation one for each fold.
    """

    posts: list[tuple[str, int]]
    truth: np.ndarray
    answered: np.ndarray
    labels: list[str]
    several: bool
    fingerprints: list[str]


def find_runs(folder: str) -> list[FinishedRun]:
    """The finished runs in an output folder of `train`: one, or those of several seeds or folds.

    Raises:
        CallError: if there is none, or not every fold.
    """
    path = Path(folder)
    if is_finished(read_run(path)):
        return [_run(folder, [path], folder)]
    seeds, folds = (_members(path, kind) for kind in ("seed", "fold"))
    unfinished = [member.name for member in [*seeds, *folds] if not is_finished(read_run(member))]
    finished = [member for member in seeds if member.name not in unfinished]
    if seeds and unfinished:
        logger.warning("%s: %s not finished, left out.", folder, ", ".join(unfinished))
    if folds:
        wanted = range(1, 1 + (read_run(folds[0]).get("fold") or {}).get("of", len(folds)))
        missing = [f"fold-{n}" for n in wanted if f"fold-{n}" in unfinished or path / f"fold-{n}" not in folds]
        if missing:
            raise CallError(f"{folder} must hold every fold as a finished run, but not {', '.join(missing)}.")
        return [_run(folder, folds, folder), *(_run(str(path / m.name), [m], folder) for m in finished)]
    if not finished:
        raise CallError(f"{folder} holds no finished run of duosent train: there is no run.json that says so.")
    return [_run(str(member), [member], folder) for member in finished]


def one_by_one(run: FinishedRun) -> list[FinishedRun]:
    """The runs of a cross-validation, each by itself: all of them answered the same test part."""
    return [FinishedRun(str(folder), [folder], run.kind, run.source) for folder in run.folders]


def read_answers(run: FinishedRun, part: str, label: str | None = None) -> Answers:
    """The answers that a run left.

    Args:
        run: with answers to the part.
        part: "validation" or "test".
        label: which of the labels of a model with several; that of a model with a single one is the one.

    Raises:
        CallError: if they are not there, or are answers to questions, or of a model with several labels and none of
            them is meant.
    """
    if not run.has(part):
        raise CallError(
            f"{run.name} has no answers to the {part} part ({predictions_file('', part)} and {RESULT_FILES[part]}): "
            "evaluate it with --predictions and --output, or train it again."
        )
    metrics = [read_json(folder / RESULT_FILES[part]) for folder in run.folders]
    tables = [pq.read_table(predictions_file(folder, part)) for folder in run.folders]
    tasks = metrics[0].get("tasks")
    if tasks and label not in tasks:
        got = "none" if label is None else repr(label)
        raise CallError(f"{run.name} gives several labels: label must be one of {', '.join(tasks)}, got {got}.")
    if not tasks and "true_label" not in tables[0].column_names:
        raise CallError(f"{run.name} must be a run that gives posts one label or several, which it is not.")
    labels = sorted(tasks[label]["labels"] if tasks else metrics[0]["labels"])
    columns = ["id", *(f"{column}_{label}" if tasks else column for column in ("true_label", "label"))]
    posts = pd.concat([table.select(columns).to_pandas() for table in tables], ignore_index=True)
    posts.columns = ["id", "true_label", "label"]
    posts["number"] = posts.groupby("id").cumcount()
    posts = posts.dropna(subset="true_label").sort_values(["id", "number"])
    several = not isinstance(posts["label"].iloc[0], str)
    return Answers(
        list(zip(posts["id"], posts["number"], strict=True)),
        _indicators(posts["true_label"], labels, several),
        _indicators(posts["label"], labels, several),
        labels,
        several,
        [figures["fingerprint"] for figures in metrics],
    )


def _indicators(cells: pd.Series, labels: list[str], several: bool) -> np.ndarray:
    """`(N, L)` bool."""
    return np.array([[label in (cell if several else [cell]) for label in labels] for cell in cells], bool)


def _members(folder: Path, kind: str) -> list[Path]:
    members = [path for path in folder.glob(f"{kind}-*") if path.name.removeprefix(f"{kind}-").isdigit()]
    return sorted(members, key=lambda path: int(path.name.removeprefix(f"{kind}-")))


def _run(name: str, folders: list[Path], source: str) -> FinishedRun:
    records = [read_run(folder) for folder in folders]
    same = {option: value for option, value in records[0].items() if option not in APART}
    ends_with_best = same.get("training", {}).get("load_best_model_at_end", True)
    left_out = SAME_RESULT if ends_with_best else SAME_RESULT + SAVING
    for group in ("training", "config"):
        same[group] = {option: v for option, v in same.get(group, {}).items() if option not in left_out}
    trained_on = [record.get("train_fingerprint") for record in records]
    return FinishedRun(name, folders, json.dumps([same, trained_on], sort_keys=True), source)


__all__ = ["Answers", "FinishedRun", "find_runs", "one_by_one", "read_answers"]
