"""A picture of how far scores can be trusted: the share that is right over the score, before and after calibration."""

from pathlib import Path

from duosent.inference.comparison_plot import check_plot_file

# Inches: a panel's width and height.
WIDTH, HEIGHT = 4.2, 4.0
CURVES = {"before": "before", "after": "after, on posts held out", "scores": "scores"}
MARKS = {"before": "o--", "after": "s-", "scores": "s-"}
COLOURS = {"before": "0.55", "after": "black", "scores": "black"}


def plot_reliability(figures: dict, file: str | Path) -> None:
    """Draw a panel for each task; a point is a bin, where it lies below the diagonal the scores are too high.

    Args:
        figures: of an evaluation whose `calibration` has the bins of a plot.
        file: PNG or SVG.

    Raises:
        CallError: for a file of another kind, or without matplotlib.
    """
    check_plot_file(file)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tasks = figures["calibration"]["tasks"]
    figure = Figure(figsize=(WIDTH * len(tasks), HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axes, (task, row) in zip(panels, tasks.items(), strict=True):
        draw_reliability(axes, row)
        axes.set_title(
            f"{'' if task == 'label' else f'{task}, '}{row['n']} posts ({figures['split']})", fontsize="medium"
        )
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


def draw_reliability(axes, row: dict) -> None:
    """One panel.

    Args:
        axes: of matplotlib.
        row: of one task, with the bins of a plot, `reliability`.
    """
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    for name, bins in row["reliability"].items():
        error = row[name]["ece"]
        points = [[of_bin[axis] for of_bin in bins] for axis in ("confidence", "accuracy")]
        label = f"{CURVES[name]}, ECE {100 * error:.1f} %"
        axes.plot(*points, MARKS[name], color=COLOURS[name], markersize=4, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="score", ylabel="share that is right")
    axes.legend(loc="upper left", fontsize="small")


__all__ = ["draw_reliability", "plot_reliability"]
