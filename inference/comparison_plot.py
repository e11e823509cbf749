"""A picture of a comparison: each group's mean with its interval over posts, and the runs behind it."""

import importlib.util
from pathlib import Path

from duosent.training.checkpoints import CallError

ENDINGS = (".png", ".svg")
TITLES = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1"}
# Inches: a figure's width, its height without groups, and what each group adds.
WIDTH, MARGIN, ROW = 7.0, 1.2, 0.45


def check_plot_file(file: str | Path) -> None:
    """Say what is missing before anything is computed.

    Raises:
        CallError: for a file of another kind, or without matplotlib.
    """
    if Path(file).suffix.lower() not in ENDINGS:
        raise CallError(f"The plot must be a file that ends in {' or '.join(ENDINGS)}, got {file}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise CallError('The plot needs matplotlib, which is not installed: pip install "duosent[plot]".')


def plot_comparison(result: dict, file: str | Path) -> None:
    """Draw the figure that the groups were tested by.

    Args:
        result: what `compare` returned.
        file: PNG or SVG.
    """
    check_plot_file(file)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups, metric = result["groups"], result["metric"]
    figure = Figure(figsize=(WIDTH, MARGIN + ROW * len(groups)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = range(len(groups))
    for place, group in zip(places, groups, strict=True):
        runs = [run[metric] for run in group["runs"]]
        axes.plot(runs, [place] * len(runs), "o", color="0.6", markersize=4, label="one run" if not place else None)
    spans = [[group[metric][end] for group in groups] for end in ("low", "high")]
    axes.hlines(places, *spans, color="black", label=f"{100 * result['level']:g} % interval over posts")
    axes.plot([group[metric]["mean"] for group in groups], places, "s", color="black", label="mean")
    axes.set_yticks(list(places), [group["name"] for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)  # the first group on top
    axes.set_xlabel(f"{TITLES[metric]} on {result['n']} posts ({result['split']})")
    axes.legend(loc="best", fontsize="small")
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


__all__ = ["check_plot_file", "plot_comparison"]
