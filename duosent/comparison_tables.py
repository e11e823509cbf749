"""Several runs as tables for people: a series of seeds or folds, and comparisons."""

from duosent.tables import text_table

TITLES = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1"}
PARTS = ("validation", "test")


def summary_table(summary: dict) -> str:
    """The `summary.json` of a series: each run, their mean and standard deviation."""
    tables = []
    for part in PARTS:
        if part not in summary:
            continue
        figures = summary[part]
        rows = [[run["run"], *(run[part][name] for name in figures)] for run in summary["runs"] if part in run]
        rows.append(["mean", *(spread["mean"] for spread in figures.values())])
        if len(rows) > 2:
            rows.append(["standard deviation", *(spread["std"] for spread in figures.values())])
        tables.append(text_table([f"{summary['model']}, {part}", *(TITLES[name] for name in figures)], rows))
    return "\n\n".join(tables) or "No validation part: nothing was evaluated."


def comparison_table(result: dict) -> str:
    """What `duosent.inference.comparison.compare` found."""
    return "\n\n".join([_groups_table(result), *([_pairs_table(result)] if result["pairs"] else [])])


def _groups_table(result: dict) -> str:
    rows = []
    for group in result["groups"]:
        for name, title in TITLES.items():
            figure = group[name]
            head = [group["name"], len(group["runs"])] if name == "accuracy" else ["", ""]
            spread = "" if figure["std"] is None else figure["std"]
            rows.append([*head, title, figure["mean"], spread, _interval(figure)])
    header = [f"{result['split']}, {result['n']} posts", "runs", "figure", "mean", "std", _percent(result)]
    return f"{text_table(header, rows)}\nThe interval is over posts ({result['resamples']} resamples), std over runs."


def _pairs_table(result: dict) -> str:
    rows, votes = [], []
    for pair in result["pairs"]:
        name = f"{pair['first']} less {pair['second']}"
        test = pair["mcnemar"]
        rows.append([name, f"{pair['difference']:+.4f}", _interval(pair, "+"), pair["p"], pair["p_holm"]])
        votes.append([name, f"{test['first_only']:g}", f"{test['second_only']:g}", test["p"], test["p_holm"]])
    several = any(pair["mcnemar"]["tests"] > 1 for pair in result["pairs"])
    note = "\nOf several runs: the mean count, and twice the median p value of all pairs of runs." if several else ""
    header = [TITLES[result["metric"]], "difference", _percent(result), "p", "p (Holm)"]
    counts = ["McNemar's test", "first alone right", "second alone right", "p", "p (Holm)"]
    return f"{text_table(header, rows)}\n\n{text_table(counts, votes)}{note}"


def _percent(result: dict) -> str:
    return f"{100 * result['level']:g} % interval"


def _interval(figure: dict, sign: str = "") -> str:
    return f"{figure['low']:{sign}.4f} to {figure['high']:{sign}.4f}"


def search_table(metrics: dict) -> str:
    """What a search found, and what its figures are worth."""
    found = metrics["search"]
    rows = [[f"--{name}", f"{value:.4g}"] for name, value in found["best"]["options"].items()]
    table = text_table([f"best of {found['trials']} trials", "chosen"], rows)
    return (
        f"{table}\nThese options were chosen by {found['metric']} on the validation part: its figures are tuned on "
        "it, and too good for new posts."
    )


__all__ = ["comparison_table", "search_table", "summary_table"]
