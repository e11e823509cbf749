"""Calibration of trained runs: fitted on one half of the validation posts, measured on the other, over random halves.

    python benchmarks/calibration.py out/msed/mdse-0 out/msed/mdse-1 out/msed/mdse-2 --splits 100 --seed 0

One line for each group of folders that differ in their last number. No model is run: `predictions_validation.parquet`
of a run that was not calibrated holds each post's scores, whose logarithms are its logits but for a constant, which
changes neither scores nor temperature.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from duosent.training.calibration import set_figures
from duosent.training.calibration_figures import calibration_figures, scores_of
from duosent.training.temperature import fit_temperature, set_thresholds

CONFIDENCES = (80, 90, 95)


def posts(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Logits `(N, L)` and labels `(N,)` of a run's validation posts."""
    table = pq.read_table(folder / "predictions_validation.parquet")
    names = [name.removeprefix("score_") for name in table.column_names if name.startswith("score_")]
    scores = np.stack([table.column(f"score_{name}").to_numpy() for name in names], axis=1).astype(np.float64)
    return np.log(scores), np.array([names.index(label) for label in table.column("true_label").to_pylist()])


def one_split(logits: np.ndarray, labels: np.ndarray, draws: np.random.Generator) -> list[float]:
    """Temperature, ECE before and after, Brier before and after, then coverage and size of each confidence's sets."""
    order = draws.permutation(len(labels))
    fitted_on, measured_on = order[: len(order) // 2], order[len(order) // 2 :]
    temperature = fit_temperature(logits[fitted_on], labels[fitted_on])
    thresholds = set_thresholds(scores_of(logits[fitted_on] / temperature, labels[fitted_on]), labels[fitted_on])
    own, scaled = labels[measured_on], logits[measured_on] / temperature
    before, after = calibration_figures(logits[measured_on], own), calibration_figures(scaled, own)
    row = [temperature, before["ece"], after["ece"], before["brier"], after["brier"]]
    for percent in CONFIDENCES:
        sets = set_figures(scores_of(scaled, own) >= thresholds[percent], own)
        row += [sets["coverage"], sets["mean_size"]]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path)
    parser.add_argument("--splits", type=int, default=100, help="random halves of each run (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws them (%(default)s)")
    options = parser.parse_args()
    groups: dict[str, list[Path]] = {}
    for run in options.runs:
        groups.setdefault(re.sub(r"-\d+$", "", f"{run.parent.name}/{run.name}"), []).append(run)
    sets = [f"{percent} %, labels" for percent in CONFIDENCES]
    print("| model | runs | temperature | ECE before | after | Brier before | after |", " | ".join(sets), "|")
    print("|---" * (7 + len(sets)) + "|")
    draws = np.random.default_rng(options.seed)
    for name, runs in groups.items():
        rows = [one_split(*posts(run), draws) for run in runs for _ in range(options.splits)]
        temperature, before, after, brier, brier_after, *of_sets = np.mean(rows, axis=0)
        cells = [f"{100 * cover:.1f}, {size:.2f}" for cover, size in zip(of_sets[::2], of_sets[1::2], strict=True)]
        figures = f"{temperature:.2f} | {100 * before:.1f} | {100 * after:.1f} | {brier:.3f} | {brier_after:.3f}"
        print(f"| {name} | {len(runs)} | {figures} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
