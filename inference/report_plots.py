"""The plots of an error report: SVG to stand inside a page, whose colours they take in either theme.

Marks differ in shape as well as in colour, so that no eye needs the colours.
"""

import io
import textwrap

from markupsafe import Markup, escape

from duosent.inference.reliability_plot import draw_reliability

# Inches: as wide as a phone's page; the height without rows, and what each row adds.
WIDTH, MARGIN, ROW = 4.4, 0.9, 0.28
HEIGHT = 3.4
# Of Okabe and Ito's colours for all eyes.
BLUE, VERMILION = "#0072b2", "#d55e00"
# What matplotlib draws with -> what the page's theme gives for it.
THEMED = {
    "#000000": "currentColor",
    "#ffffff": "var(--page)",
    "#cccccc": "var(--line)",
    "#8c8c8c": "var(--quiet)",
    BLUE: "var(--blue)",
    VERMILION: "var(--vermilion)",
}
# Letters of a row's name.
NAME = 34


def interval_plot(rows: list[dict], axis: str, title: str, floor: float | None = None) -> Markup:
    """Shares with their intervals, one below the other.

    Args:
        rows: `name`, `value`, `low` and `high`; the last two are None where no interval is known.
        axis: what the values are.
        title: what the plot shows, for those who do not see it.
        floor: a value to draw a line at.
    """
    figure, axes = _figure(MARGIN + ROW * len(rows))
    for place, row in enumerate(rows):
        if row["low"] is not None:
            axes.hlines(place, row["low"], row["high"], color=BLUE, linewidth=2)
        axes.plot(row["value"], place, "o", color=BLUE, markersize=6, clip_on=False, zorder=3)
    if floor is not None:
        axes.axvline(floor, color="0.55", linestyle="--", linewidth=1)
    _name_rows(axes, [row["name"] for row in rows])
    axes.set(xlim=(0, 1), xlabel=axis)
    return _svg(figure, title)


def difference_plot(rows: list[dict], axis: str, title: str) -> Markup:
    """Differences with their intervals; what `moved` is a square, the rest dots.

    Args: as `interval_plot`, and of each row `moved`.
    """
    figure, axes = _figure(MARGIN + ROW * len(rows))
    axes.axvline(0, color="0.55", linewidth=1)
    for place, row in enumerate(rows):
        colour, mark = (VERMILION, "s") if row["moved"] else (BLUE, "o")
        axes.hlines(place, row["low"], row["high"], color=colour, linewidth=2)
        axes.plot(row["value"], place, mark, color=colour, markersize=6)
    _name_rows(axes, [row["name"] for row in rows])
    axes.set_xlabel(axis)
    return _svg(figure, title)


def reliability_panel(row: dict, title: str) -> Markup:
    """
    Args:
        row: of one task under `calibration`, with `reliability`.
    """
    figure, axes = _figure(WIDTH)
    draw_reliability(axes, row)
    return _svg(figure, title)


def curves_plot(curves: dict, title: str) -> Markup:
    """
    Args:
        curves: see `training_curves`.
    """
    measured = [name for name in ("accuracy", "macro_f1") if any(name in point for point in curves["evaluation"])]
    figure, axes = _figure(HEIGHT * (2 if measured else 1) * 0.7, 2 if measured else 1)
    panels = list(axes) if measured else [axes]
    for points, name, mark in (("training", "training part", "-"), ("evaluation", "validation part", "s--")):
        known = [point for point in curves[points] if "loss" in point]
        colour = BLUE if points == "training" else VERMILION
        if known:
            _draw(panels[0], known, "loss", mark, colour, name)
    panels[0].set_ylabel("loss")
    for name, mark, colour in (("accuracy", "o-", BLUE), ("macro_f1", "s--", VERMILION)):
        if name in measured:
            _draw(panels[1], curves["evaluation"], name, mark, colour, name.replace("macro_f1", "macro F1"))
            panels[1].set_ylabel("validation part")
    for panel in panels:
        panel.legend(fontsize="small")
    panels[-1].set_xlabel("epoch")
    return _svg(figure, title)


def _draw(axes, points: list[dict], name: str, mark: str, colour: str, label: str) -> None:
    known = [point for point in points if name in point]
    axes.plot(
        [point["epoch"] for point in known],
        [point[name] for point in known],
        mark,
        color=colour,
        markersize=4,
        label=label,
    )


def _name_rows(axes, names: list[str]) -> None:
    axes.set_yticks(
        range(len(names)), [textwrap.shorten(name, NAME, placeholder=" …") or name[:NAME] for name in names]
    )
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first on top
    axes.grid(axis="x", color="0.8", linewidth=0.5)


def _figure(height: float, panels: int = 1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(panels, 1, sharex=panels > 1)


def _svg(figure, title: str) -> Markup:
    """A figure as an element of a page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    # Labels of the data are words, not formulas; and the same page each time.
    plain = {"svg.fonttype": "none", "svg.hashsalt": title, "text.parse_math": False}
    with matplotlib.rc_context(plain):
        FigureCanvasSVG(figure)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for colour, themed in THEMED.items():
        drawn = drawn.replace(colour, themed)
    return Markup(drawn.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1))


__all__ = ["curves_plot", "difference_plot", "interval_plot", "reliability_panel"]
