"""What models answer and get right, as tables for people."""


def text_table(header: list[str], rows: list[list]) -> str:
    """A table with its first column to the left and numbers to the right."""
    cells = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def figures_table(metrics: dict) -> str:
    """The figures of `metrics.json`."""
    shown = {
        "accuracy": "accuracy",
        "macro_f1": "macro F1",
        "micro_f1": "micro F1",
        "weighted_f1": "weighted F1",
        "majority_accuracy": "always the commonest answer",
        "ceiling": "always the best answer of the vocabulary",
        "joint_accuracy": "every label right",
        "contradictions": "answers that never occurred together",
    }
    figures = [[title, metrics[name]] for name, title in shown.items() if name in metrics]
    if "per_answer_type" in metrics:
        types = [[kind, row["accuracy"], row["n"]] for kind, row in metrics["per_answer_type"].items()]
        return "\n\n".join(
            [
                text_table([f"{metrics['split']}, {metrics['n']} questions", metrics["model"]], figures),
                text_table(["type of answer", "accuracy", "questions"], types),
            ]
        )
    per_class = metrics.get("per_class") or {
        f"{task}:{label}": row
        for task, of_task in metrics["tasks"].items()
        for label, row in of_task["per_class"].items()
    }
    labels = [[label, row["precision"], row["recall"], row["f1"], row["support"]] for label, row in per_class.items()]
    return "\n\n".join(
        [
            text_table([f"{metrics['split']}, {metrics['n']} posts", metrics["model"]], figures),
            *tasks_table(metrics.get("tasks")),
            text_table(["label", "precision", "recall", "F1", "posts"], labels),
            *sides_table(metrics.get("sides")),
        ]
    )


def tasks_table(tasks: dict | None) -> list[str]:
    """The figures of each task, of which those above are the means; nothing for a single label."""
    if tasks is None:
        return []
    shown = ("accuracy", "macro_f1", "weighted_f1", "majority_accuracy", "n")
    header = ["task (their means above)", "accuracy", "macro F1", "weighted F1", "commonest answer", "posts"]
    return [text_table(header, [[task, *(row[name] for name in shown)] for task, row in tasks.items()])]


def sides_table(sides: dict | None) -> list[str]:
    """What the model makes of one side alone; nothing where that was not asked."""
    if sides is None:
        return []
    shown = {
        "both": "as they are",
        "text": "words only",
        "image": "picture only",
        "shuffled_images": "picture of another post",
    }
    rows = [[title, sides[name]["accuracy"], sides[name]["macro_f1"]] for name, title in shown.items()]
    return [text_table([f"{sides['both']['n']} posts with both sides", "accuracy", "macro F1"], rows)]


def scores_table(answer: dict) -> str:
    """The answer to one post, or to a question."""
    if "tasks" in answer:
        return "\n\n".join(f"{task}: {scores_table(of_task)}" for task, of_task in answer["tasks"].items())
    column = "answer" if "answer" in answer else "label"
    lines = [_in_words(answer[column])]
    if "label_set" in answer:
        lines.append(f"label set: {_in_words(answer['label_set'])}")
    if answer.get("withheld"):
        lines.append("to be withheld: the best score is too low")
    rows = sorted(answer["scores"].items(), key=lambda pair: -pair[1])
    return "\n".join([*lines, "", text_table([column, "score"], [list(row) for row in rows])])


def targets_table(answers: list[dict]) -> str:
    """The answers to one post about several targets."""
    if "tasks" in answers[0]:
        return "\n\n".join(
            f"{task}\n{targets_table([{'target': answer['target'], **answer['tasks'][task]} for answer in answers])}"
            for task in answers[0]["tasks"]
        )
    labels = list(answers[0]["scores"])
    more = [name for name in ("label_set", "withheld") if name in answers[0]]
    rows = []
    for answer in answers:
        words = [_in_words(answer[name]) for name in ("label", *more)]
        rows.append([answer["target"], *words, *(answer["scores"][name] for name in labels)])
    titles = [name.replace("_", " ") for name in more]
    return text_table(["target", "label", *titles, *labels], rows)


def _in_words(value: str | list[str] | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else ", ".join(value) or "none"


def demo_table(result: dict) -> str:
    """What each model of the demo got right."""
    rows = [[name, figures["accuracy"], figures["macro_f1"]] for name, figures in result["models"].items()]
    floor = next(iter(result["models"].values()))
    rows.append(["always the commonest answer", floor["majority_accuracy"], ""])
    return text_table([f"{floor['n']} posts of the test part", "accuracy", "macro F1"], rows)


__all__ = ["demo_table", "figures_table", "scores_table", "targets_table", "text_table"]
