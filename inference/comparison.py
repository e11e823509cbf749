"""`duosent compare`: figures of several models over seeds and posts, and tests of their differences."""

import itertools
import math
import statistics
from dataclasses import dataclass

import numpy as np

from duosent.inference.finished_runs import Answers, FinishedRun, find_runs, one_by_one, read_answers
from duosent.inference.significance import (
    FIGURES,
    RunFigures,
    bootstrap_p_value,
    combined_p_value,
    holm,
    mcnemar,
    percentile_interval,
)
from duosent.training.checkpoints import CallError

LEVEL = 0.95


@dataclass
class Group:
    """Runs of one kind.

    Args:
        name: what people see.
        runs: at least one.
        places: where they stand among all runs.
    """

    name: str
    runs: list[FinishedRun]
    places: list[int]


def compare(
    folders: list[str],
    *,
    split: str | None = None,
    label: str | None = None,
    metric: str = "accuracy",
    resamples: int = 10_000,
    seed: int = 0,
) -> dict:
    """Compare training runs by their answers to the same posts; docs/compare.md says what is computed.

    Args:
        folders: output folders of `train`: of one run, or of several seeds or folds. Runs with the same options but
            the seed make one group.
        split: "validation" or "test"; None takes test where every run has it, else validation.
        label: which label of models with several.
        metric: which figure the groups are tested by: accuracy, macro_f1 or weighted_f1.
        resamples: bootstrap samples of the posts.
        seed: draws them.

    Returns: `groups`, in the order of `folders`, with their `runs` and for each figure `mean`, `std`, `low`, `high`;
        `pairs` of groups with `difference` (first less second), `low`, `high`, `p`, `p_holm` and `mcnemar`; and what
        all this rests on: `split`, `n`, `labels`, `fingerprints`, `metric`, `resamples`, `seed`, `level`.

    Raises:
        CallError: for an option that cannot be followed, and for runs that cannot be compared: other posts, another
            part, other labels, or the same run twice.
    """
    if metric not in FIGURES:
        raise CallError(f"metric must be one of {', '.join(FIGURES)}, got {metric!r}.")
    if resamples < 1:
        raise CallError(f"resamples must be >= 1, got {resamples}.")
    runs = [run for folder in folders for run in find_runs(folder)]
    split = split or ("test" if all(run.has("test") for run in runs) else "validation")
    if split == "test":
        runs = [single for run in runs for single in one_by_one(run)]
    groups = _groups(runs)
    answers = [read_answers(run, split, label) for run in runs]
    for run, its_answers in zip(runs, answers, strict=True):
        _check_same(runs[0], answers[0], run, its_answers, split)

    first = answers[0]
    figures = RunFigures(first.truth, np.stack([its.answered for its in answers]), first.several)
    observed, resampled = figures.observed(), figures.resampled(resamples, seed)
    return {
        "split": split,
        "n": len(first.posts),
        "labels": first.labels,
        "fingerprints": first.fingerprints,
        "metric": metric,
        "resamples": resamples,
        "seed": seed,
        "level": LEVEL,
        "groups": [_group_figures(group, observed, resampled) for group in groups],
        "pairs": _pairs(groups, figures.correct, observed[metric], resampled[metric]),
    }


def _groups(runs: list[FinishedRun]) -> list[Group]:
    """Runs of one kind together, in the order of their first ones.

    Raises:
        CallError: if two of them are the same run.
    """
    places: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        places.setdefault(run.kind, []).append(place)
    groups: list[Group] = []
    for members in places.values():
        known: dict = {}
        for run in (runs[place] for place in members):
            record = run.record
            twin = known.setdefault((record["seed"], str(record.get("fold"))), run)
            if twin is not run:
                raise CallError(
                    f"Each run must be given once, but {twin.name} and {run.name} have the same options and seed."
                )
        name = _name([runs[place] for place in members])
        alike = sum(group.name.partition(" (")[0] == name for group in groups)
        groups.append(Group(f"{name} ({alike + 1})" if alike else name, [runs[place] for place in members], members))
    return groups


def _name(runs: list[FinishedRun]) -> str:
    """Model and folder; of several folders the first, and how many more."""
    sources = list(dict.fromkeys(run.source for run in runs))
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{runs[0].record['model']} {sources[0]}{more}"


def _check_same(first: FinishedRun, wanted: Answers, run: FinishedRun, got: Answers, split: str) -> None:
    if got.labels != wanted.labels or got.several != wanted.several:
        raise CallError(
            f"All runs must have the same labels, but {first.name} has {', '.join(wanted.labels)} and {run.name} has "
            f"{', '.join(got.labels)}{' with several a post' if got.several != wanted.several else ''}."
        )
    if got.fingerprints != wanted.fingerprints:
        raise CallError(
            f"All runs must be measured on the same posts, but the {split} part of {first.name} has fingerprint "
            f"{', '.join(wanted.fingerprints)} and that of {run.name} {', '.join(got.fingerprints)}."
        )
    if got.posts != wanted.posts or not np.array_equal(got.truth, wanted.truth):
        raise CallError(
            f"The answers of {first.name} and {run.name} to the {split} part are not to the same ids and true labels."
        )


def _group_figures(group: Group, observed: dict, resampled: dict) -> dict:
    figures = {}
    for name in FIGURES:
        values = observed[name][group.places].tolist()
        low, high = percentile_interval(resampled[name][:, group.places].mean(axis=1), LEVEL)
        spread = statistics.stdev(values) if len(values) > 1 else None
        figures[name] = {"mean": math.fsum(values) / len(values), "std": spread, "low": low, "high": high}
    runs = [
        {
            "run": run.name,
            "seed": run.record["seed"],
            **{name: float(observed[name][place]) for name in FIGURES},
        }
        for run, place in zip(group.runs, group.places, strict=True)
    ]
    return {"name": group.name, "model": group.runs[0].record["model"], "runs": runs, **figures}


def _pairs(groups: list[Group], correct: np.ndarray, observed: np.ndarray, resampled: np.ndarray) -> list[dict]:
    """The tests of every two groups.

    Args:
        correct: `(R, N)` bool, whether each run is right.
        observed: `(R,)`, the figure that is tested.
        resampled: `(S, R)`, it on each resample.
    """
    pairs = []
    for first, second in itertools.combinations(groups, 2):
        ours, theirs = first.places, second.places
        differences = resampled[:, ours].mean(axis=1) - resampled[:, theirs].mean(axis=1)
        low, high = percentile_interval(differences, LEVEL)
        pairs.append(
            {
                "first": first.name,
                "second": second.name,
                "difference": float(observed[ours].mean() - observed[theirs].mean()),
                "low": low,
                "high": high,
                "p": bootstrap_p_value(differences),
                "mcnemar": _mcnemar_of_groups(correct[ours], correct[theirs]),
            }
        )
    for tests in (pairs, [pair["mcnemar"] for pair in pairs]):
        for test, adjusted in zip(tests, holm(np.array([test["p"] for test in tests])), strict=True):
            test["p_holm"] = float(adjusted)
    return pairs


def _mcnemar_of_groups(first: np.ndarray, second: np.ndarray) -> dict:
    """McNemar's test for each run of one group with each of the other, as one p value; the counts are means."""
    tests = [mcnemar(one, other) for one in first for other in second]
    return {
        "first_only": statistics.fmean(test.first_only for test in tests),
        "second_only": statistics.fmean(test.second_only for test in tests),
        "p": combined_p_value(np.array([test.p for test in tests])),
        "tests": len(tests),
    }


__all__ = ["compare"]
