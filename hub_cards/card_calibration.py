"""How far scores can be trusted, in sentences for a card: what a config was calibrated by, else what was measured."""

from duosent.hub_cards.run_files import RunFiles

BINS = "15 bins of equal width"


def calibration_lines(run: RunFiles) -> list[list[str]]:
    """Sentences for each task, or for each task of an evaluated part; none where nothing was measured."""
    stored = run.config.get("calibration") or {}
    fitted = [_fitted(task, row, stored.get("split")) for task, row in stored.get("tasks", {}).items()]
    measured = [
        [
            f"{_in_front(task)}no temperature was fitted; {_figures(row['scores'])} "
            f"({figures.get('split') or 'part not recorded'}, {row['n']:,} posts)."
        ]
        for figures in run.evaluations
        for task, row in figures.get("calibration", {}).get("tasks", {}).items()
        if "scores" in row
    ]
    return fitted or measured


def _fitted(task: str, row: dict, split: str | None) -> list[str]:
    parts = [
        f"{_in_front(task)}temperature {row['temperature']:.2f}, fitted on {row['n']:,} posts "
        f"({split or 'part not recorded'}).",
        "Measured half by half, each with the fit of the other: "
        f"{_figures(row['before'])} before, {_figures(row['after'])} after.",
    ]
    if "sets" in row:
        sets = row["sets"]
        parts.append(
            f"Label sets of confidence {sets['confidence']:g} hold the true label of {100 * sets['coverage']:.1f} % "
            f"of the posts, with {sets['mean_size']:.2f} labels in the mean."
        )
    if "abstain" in row:
        answers = row["abstain"]
        share = "no accuracy" if answers["accuracy"] is None else f"an accuracy of {100 * answers['accuracy']:.1f} %"
        parts.append(
            f"Answers that score {answers['threshold']:.2f} or more, for a wanted accuracy of "
            f"{100 * answers['accuracy_target']:g} %: {100 * answers['coverage']:.1f} % of the posts, with {share}."
        )
    return parts


def _figures(row: dict) -> str:
    """Expected calibration error and Brier score."""
    return f"ECE {100 * row['ece']:.1f} %, Brier score {row['brier']:.3f}"


def _in_front(task: str) -> str:
    return "" if task == "label" else f"{task}: "


__all__ = ["BINS", "calibration_lines"]
