"""How right a model is on one kind of posts and another, and what moved since another evaluation, as tables."""

from duosent.tables import text_table

FIGURES = {"accuracy": "accuracy", "macro_f1": "macro F1", "recall": "recall", "precision": "precision"}


def slice_tables(slices: dict | None) -> list[str]:
    """A table for each task's each way to part the posts; nothing where that was not asked."""
    tables = []
    for task, slicings in (slices or {}).items():
        for name, slicing in slicings.items():
            title = f"{name}, by {slicing['by']}" if slicing["by"] != "words" else name
            rows = [
                [row_name, row["n"], row["accuracy"], f"{row['low']:.4f} to {row['high']:.4f}"]
                for row_name, row in slicing["slices"].items()
            ]
            tables.append(text_table([f"{_in_front(task)}{title}", "posts", "accuracy", "95 % interval"], rows))
    return tables


def drift_tables(against: dict | None) -> list[str]:
    """What moved, in words and as a table; nothing where that was not asked."""
    if against is None:
        return []
    rows = [
        [
            f"{'* ' if line['moved'] else ''}{_in_front(line['task'])}{line_title(line)}",
            line["old"],
            line["new"],
            f"{line['difference']:+.4f}",
            f"{line['low']:+.4f} to {line['high']:+.4f}",
            f"{line['p_holm']:.4f}",
        ]
        for line in against["lines"]
    ]
    header = ["against before", "old", "new", "moved by", f"{100 * against['level']:g} % interval", "p (Holm)"]
    return [text_table(header, rows), "\n".join(drift_notes(against))]


def line_title(line: dict) -> str:
    """What a line is about."""
    name = f"{line['slicing']}: {line['name']}" if "slicing" in line else line["name"]
    return f"{name}, {FIGURES[line['figure']]}"


def drift_notes(against: dict) -> list[str]:
    """What to know of a comparison."""
    moved, lines = against["moved"], len(against["lines"])
    notes = [
        f"{moved or 'None'} of {lines} lines moved beyond noise"
        f"{' (*)' if moved else ''}: p <= {against['alpha']:g} after Holm's correction over all of them."
    ]
    if against["paired"]:
        notes.append("The posts are the same: the two are compared post by post.")
    elif against["same_posts"]:
        notes.append(
            "The posts are the same, but the old answers to them do not lie beside the old figures as "
            "predictions_<part>.parquet: the two are compared as if the posts were others, which finds less."
        )
    else:
        notes.append("The posts are not the same: the two are compared by counts alone.")
    for what, sides in against["differs"].items():
        notes.append(f"Another {what}: {sides['old']} before, {sides['new']} now.")
    for what in against["not_compared"]:
        notes.append(f"Not compared: {_in_front(what['task'])}{what['why']}.")
    return notes


def _in_front(task: str) -> str:
    return "" if task == "label" else f"{task}: "


__all__ = ["drift_notes", "drift_tables", "line_title", "slice_tables"]
