"""What an evaluation says of scores, as tables for people."""

from duosent.tables import text_table


def calibration_tables(calibration: dict | None) -> list[str]:
    """Figures of the scores, and what label sets and abstaining come to; nothing where scores were not measured."""
    if calibration is None:
        return []
    tasks = calibration["tasks"]
    rows = [
        [
            title,
            *(row[name][figure] for figure in ("ece", "ece_equal_mass", "brier", "nll")),
            row.get("temperature", ""),
        ]
        for task, row in tasks.items()
        for name, title in _titles(task, row).items()
    ]
    tables = [text_table(["scores", "ECE", "ECE, equal mass", "Brier", "NLL", "temperature"], rows)]
    sets = [
        [f"{_in_front(task)}sets of {row['sets']['confidence']:g}", *list(row["sets"].values())[1:]]
        for task, row in tasks.items()
        if "sets" in row
    ]
    if sets:
        tables.append(text_table(["label sets", "coverage", "labels a set", "empty"], sets))
    answers = [
        [
            f"{_in_front(task)}for an accuracy of {row['abstain']['accuracy_target']:g}",
            row["abstain"]["threshold"],
            row["abstain"]["coverage"],
            "none" if row["abstain"]["accuracy"] is None else row["abstain"]["accuracy"],
        ]
        for task, row in tasks.items()
        if "abstain" in row
    ]
    if answers:
        tables.append(text_table(["answers", "from a score of", "posts answered", "accuracy"], answers))
    if "seed" in calibration:
        tables.append(
            "Fitted on all posts. After, sets and answers are measured on halves by the fit of the other half."
        )
    return tables


def _titles(task: str, row: dict) -> dict[str, str]:
    names = {"before": "before", "after": "after"} if "before" in row else {"scores": "as given"}
    return {name: f"{_in_front(task)}{title}" for name, title in names.items()}


def _in_front(task: str) -> str:
    return "" if task == "label" else f"{task}: "


__all__ = ["calibration_tables"]
