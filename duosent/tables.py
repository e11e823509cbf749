"""Results as tables for people."""


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
    label = answer[column] if isinstance(answer[column], str) else ", ".join(answer[column]) or "none"
    rows = sorted(answer["scores"].items(), key=lambda pair: -pair[1])
    return f"{label}\n\n{text_table([column, 'score'], [list(row) for row in rows])}"


def targets_table(answers: list[dict]) -> str:
    """The answers to one post about several targets."""
    if "tasks" in answers[0]:
        return "\n\n".join(
            f"{task}\n{targets_table([{'target': answer['target'], **answer['tasks'][task]} for answer in answers])}"
            for task in answers[0]["tasks"]
        )
    labels = list(answers[0]["scores"])
    rows = []
    for answer in answers:
        label = answer["label"] if isinstance(answer["label"], str) else ", ".join(answer["label"]) or "none"
        rows.append([answer["target"], label, *(answer["scores"][name] for name in labels)])
    return text_table(["target", "label", *labels], rows)


def prepared_table(card: dict, output_dir: str) -> str:
    """What `duosent prepare` wrote."""
    columns = list(next(iter(card["parts"].values()))["labels"])
    counts = [
        [part, column, label, count]
        for part, figures in card["parts"].items()
        for column in columns
        for label, count in figures["labels"][column].items()
    ]
    parts = [[part, figures["rows"], figures["rejected"]] for part, figures in card["parts"].items()]
    lines = [text_table(["part", "rows", "rejected"], parts), text_table(["part", "column", "label", "rows"], counts)]
    if card["dropped"]:
        dropped = [[reason, count] for reason, count in card["dropped"].items()]
        lines.append(text_table(["dropped by the label rule", "rows"], dropped))
    lines.append(
        f"Labels: {card['rule']}.\nParts: {card['split']}.\nWritten to {output_dir}; dataset.json says it all."
    )
    rejected = sum(figures["rejected"] for figures in card["parts"].values())
    if rejected:
        lines.append(f"{rejected} rows cannot be read: rejected.parquet says why.")
    return "\n\n".join(lines)


def demo_table(result: dict) -> str:
    """What each model of the demo got right."""
    rows = [[name, figures["accuracy"], figures["macro_f1"]] for name, figures in result["models"].items()]
    floor = next(iter(result["models"].values()))
    rows.append(["always the commonest answer", floor["majority_accuracy"], ""])
    return text_table([f"{floor['n']} posts of the test part", "accuracy", "macro F1"], rows)


SIDES = {"text": "text", "image": "picture", "post": "post"}
# Of a long list a table shows the beginning; the JSON has all of it.
SHOWN_ROWS = 10


def audit_table(report: dict) -> str:
    """What `duosent.data.audit.audit` found."""
    parts = [_posts_table(report), *_label_tables(report), *_determined_lines(report["determines"])]
    parts += [_doubles_table(report), *_leak_lines(report), *_conflicts_table(report), *_bad_rows(report["bad_rows"])]
    return "\n\n".join([*parts, *([_clean_table(report["clean"])] if "clean" in report else [])])


def _posts_table(report: dict) -> str:
    parts = report["splits"]
    named = {**report["texts"], "plain": report["plain_pictures"]}
    of_part = {
        name: [sum(post["split"] == split for post in posts) for split in parts] for name, posts in named.items()
    }
    rows = [
        [name, *(part[name.replace(" ", "_")] for part in parts.values())] for name in ("posts", "texts", "pictures")
    ]
    rows += [
        ["rows that cannot be read", *(part["bad_rows"] for part in parts.values())],
        ["empty texts", *of_part["empty"]],
        ["texts of one word", *of_part["one_word"]],
        ["texts of links and @names alone", *of_part["bare"]],
        ["pictures too plain for a perceptual hash", *of_part["plain"]],
    ]
    for name in ("characters", "words", "width", "height"):
        spreads = [part[name] for part in parts.values()]
        cells = [f"{x['min']} / {x['median']:g} / {x['p95']:g} / {x['max']}" if x else "" for x in spreads]
        rows.append([f"{name}: least / median / 95 % / most", *cells])
    return text_table([report["data"], *parts], rows)


def _label_tables(report: dict) -> list[str]:
    tables = []
    sizes = [part["posts"] for part in report["splits"].values()]
    for column, found in report["labels"].items():
        rows = []
        for label in next(iter(found["counts"].values())):
            counts = [part[label] for part in found["counts"].values()]
            shares = [f"{n} ({100 * n / size:.1f} %)" for n, size in zip(counts, sizes, strict=True)]
            rows.append([_short(label), *shares])
        if any(found["unlabelled"].values()):
            rows.append(["(none)", *found["unlabelled"].values()])
        tables.append(text_table([column, *found["counts"]], rows))
    return tables


def _determined_lines(determined: list[dict]) -> list[str]:
    lines = []
    for found in determined:
        shown = [f"{_short(here)} is {_short(there)}" for here, there in found["labels"].items()]
        rest = ["..."] if len(shown) > SHOWN_ROWS else []
        lines.append(f"{found['column']} fixes {found['other']}: {', '.join(shown[:SHOWN_ROWS] + rest)}.")
    return ["\n".join(lines)] if lines else []


def _levels(report: dict) -> list[tuple[str, str, str]]:
    """Title, side and level of the columns of doubles; none of a side that the data does not have."""
    parts = report["splits"].values()
    present = {"text": any(part["texts"] for part in parts), "image": any(part["pictures"] for part in parts)}
    sides = [side for side in SIDES if present.get(side, all(present.values()))]
    return [
        (f"{'same' if level == 'exact' else 'near'} {SIDES[side]}", side, level)
        for side in sides
        for level in ("exact", "near")
    ]


def _doubles_table(report: dict) -> str:
    levels = _levels(report)
    rows = []
    for split in report["splits"]:
        for other in report["splits"]:
            cells = [report["doubles"][side][level]["posts"][split][other] for _, side, level in levels]
            rows.append([f"{split}, {'more than once' if split == other else f'also in {other}'}", *cells])
    table = text_table(["posts with a double", *(title for title, _, _ in levels)], rows)
    return f"{table}\nWhat is the same is near too."


def _leak_lines(report: dict) -> list[str]:
    lines = [
        f"{count} of {report['splits'][split]['posts']} posts of {split} have a text or picture, the same or a near "
        f"one, that stands in {other} too."
        for split, others in report["leaks"].items()
        for other, count in others.items()
    ]
    return ["\n".join(lines)] if lines else []


def _conflicts_table(report: dict) -> list[str]:
    levels = _levels(report)
    rows = [
        [column, *(len(report["conflicts"][side][level][column]) for _, side, level in levels)]
        for column in report["labels"]
    ]
    return (
        [text_table(["groups of doubles with several labels", *(title for title, _, _ in levels)], rows)]
        if rows
        else []
    )


def _bad_rows(bad_rows: list[dict]) -> list[str]:
    if not bad_rows:
        return []
    lines = [f"{post['split']} row {post['row']} ({post['id']}): {post['reason']}." for post in bad_rows[:SHOWN_ROWS]]
    if len(bad_rows) > SHOWN_ROWS:
        lines.append(f"... and {len(bad_rows) - SHOWN_ROWS} more rows that cannot be read.")
    return ["\n".join(lines)]


def _clean_table(clean: dict) -> str:
    rows = [[split, part["kept"], part["leaks"], part["bad_rows"]] for split, part in clean["splits"].items()]
    lines = [text_table([clean["dir"], "kept", "leaks removed", "bad rows removed"], rows)]
    lines.append(f"{clean['removed_file']} holds what was removed, and why.")
    for column, labels in clean["labels_lost"].items():
        lines.append(f"No post of train has the {column} {', '.join(labels)} any more.")
    return "\n".join(lines)


def _short(label: str) -> str:
    return label if len(label) <= 40 else f"{label[:39]}…"


__all__ = [
    "audit_table",
    "demo_table",
    "figures_table",
    "prepared_table",
    "scores_table",
    "targets_table",
    "text_table",
]
