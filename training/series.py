"""One run over several seeds or folds, one after the other, and what these come to together."""

import dataclasses
import gc
import statistics
from collections.abc import Sequence
from pathlib import Path

from duosent.data.folds import Fold
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import RUN_FILE, CallError, check_output_dir, read_json, read_run, write_json
from duosent.training.run import RESULT_FILES, train

SUMMARY_FILE = "summary.json"
SUMMARISED = ("accuracy", "macro_f1", "weighted_f1")


def train_series(
    model: str,
    data: str,
    args: ImageTextTrainingArguments,
    *,
    seeds: Sequence[int] = (),
    folds: int | None = None,
    fold_seed: int = 0,
    overwrite: bool = False,
    command: str | None = None,
    **options,
) -> dict:
    """Train once with each seed, into `output_dir/seed-<seed>`, or for each fold, into `output_dir/fold-<number>`.

    Each folder holds what `train` leaves, as if it had been called for it alone. A second call goes on where the first
    one stopped: a finished run is kept, one that was cut short is resumed from its last checkpoint, or begun again
    where it has none. A run with other options in one of the folders is an error.

    Args:
        model, data, options: as in `train`.
        args: as in `train`; `output_dir` and with `seeds` also `seed` are each run's own.
        seeds: one run each.
        folds: one run for each of so many folds, which `held_out` describes; the test part has no share in them.
        fold_seed: deals the posts out to the folds, so that runs with another `seed` have the same ones.
        overwrite: begin every run anew, whatever is in its folder.
        command: the command line, for the records.

    Returns: what `summary.json` in `output_dir` then holds: under `runs` the accuracy, macro F1 and weighted F1 of
        each, under `validation` and `test` their `mean` and `std` (ddof=1; None of a single run).

    Raises:
        CallError: for an option that cannot be followed, or data that have changed between two runs.
    """
    runs = _runs(args, seeds, folds, fold_seed)
    if args.resume_from_checkpoint is not None:
        raise CallError("resume_from_checkpoint must not be given beside seeds or folds, which go on by themselves.")
    output_dir = Path(args.output_dir)
    check_output_dir(output_dir, may_be_used=True)
    for own_args, fold in runs:
        train(
            model,
            data,
            own_args,
            fold=fold,
            continuing=not overwrite,
            overwrite=overwrite,
            command=command,
            **options,
        )
        gc.collect()  # a Trainer and its callbacks hold each other, and the model's memory with them
    if args.distributed_state is not None:
        args.distributed_state.wait_for_everyone()  # until the first process has written the last run
    summary = summarise([Path(own_args.output_dir) for own_args, _ in runs])
    summary = {"model": model, "data": str(data), **summary, "command": command}
    if args.process_index == 0:
        write_json(output_dir / SUMMARY_FILE, summary)
    return summary


def summarise(folders: list[Path]) -> dict:
    """The figures of several runs, their means and standard deviations; see `train_series`.

    Raises:
        CallError: if runs that are no folds had different posts.
    """
    runs, parts = [], {}
    for folder in folders:
        record = read_run(folder)
        fold = record.get("fold")
        if not fold:
            _check_same_posts(folders[0], folder, "train", RUN_FILE, "train_fingerprint")
        run = {"run": folder.name, "seed": record["seed"], **({"fold": fold["number"]} if fold else {})}
        for part, file in RESULT_FILES.items():
            metrics = read_json(folder / file)
            if not metrics:
                continue
            if not fold or part == "test":
                _check_same_posts(folders[0], folder, part, file, "fingerprint")
            run[part] = {name: metrics[name] for name in SUMMARISED if name in metrics}
            parts.setdefault(part, []).append(run[part])
        runs.append(run)
    return {"runs": runs} | {part: _spread(figures) for part, figures in parts.items()}


def _check_same_posts(first: Path, other: Path, part: str, file: str, name: str) -> None:
    if read_json(first / file)[name] != read_json(other / file)[name]:
        raise CallError(f"{first} and {other} had different posts in {part}: the data have changed.")


def _spread(runs: list[dict]) -> dict:
    spread = {}
    for name in runs[0]:
        values = [figures[name] for figures in runs]
        spread[name] = {
            "mean": statistics.fmean(values),
            "std": statistics.stdev(values) if len(values) > 1 else None,
        }
    return spread


def _runs(
    args: ImageTextTrainingArguments, seeds: Sequence[int], folds: int | None, fold_seed: int
) -> list[tuple[ImageTextTrainingArguments, Fold | None]]:
    if bool(seeds) == (folds is not None):
        raise CallError("Either seeds or folds must be given, and not both.")
    if len(set(seeds)) < len(seeds):
        raise CallError(f"seeds must differ, got {', '.join(map(str, seeds))}.")
    try:
        planned = [(f"seed-{seed}", seed, None) for seed in seeds] or [
            (f"fold-{number}", args.seed, Fold(number, folds, fold_seed)) for number in range(1, max(folds, 1) + 1)
        ]
    except ValueError as error:
        raise CallError(str(error)) from error
    return [
        (dataclasses.replace(args, output_dir=str(Path(args.output_dir) / name), seed=seed), fold)
        for name, seed, fold in planned
    ]


__all__ = ["SUMMARISED", "SUMMARY_FILE", "summarise", "train_series"]
