"""An error report as one HTML page that needs nothing but itself: pictures, plots and style lie inside."""

from duosent.inference.error_slices import FEW
from duosent.inference.map_views import signed_number
from duosent.inference.page_template import page_template
from duosent.inference.report_plots import curves_plot, difference_plot, interval_plot, reliability_panel

TEMPLATE = "report.html.jinja"
SLICES = {"length": "length of the text", "agreement": "words and picture", "doubles": "doubles in training"}
FIGURES = {"accuracy": "accuracy", "macro_f1": "macro F1", "recall": "recall", "precision": "precision"}
BEFORE_AND_AFTER = {"before": "before", "after": "after", "scores": "as given"}


def report_page(report: dict, pictures: dict[int, str | None], maps: dict[int, dict]) -> str:
    """
    Args:
        report: what `error_report` gave; nothing is computed here but the plots.
        pictures: by place in the part, `data:` addresses of the pictures of the posts that are shown.
        maps: by place in the part, what the model used, see `mistake_maps`; empty for none.

    Returns: the page. Whatever comes from posts, labels and paths is text in it, never markup.
    """
    plots = {task: _plots(task, of_task, report["metrics"]) for task, of_task in report["tasks"].items()}
    against, curves = report["metrics"].get("against"), report["curves"]
    return page_template(TEMPLATE, percent=_percent, interval=_interval, signed=signed_number).render(
        report=report,
        metrics=report["metrics"],
        pictures=pictures,
        maps=maps,
        plots=plots,
        curves_plot=None if curves is None else curves_plot(curves, "Training curves"),
        drift_plot=None if against is None else _drift_plot(against),
        few=FEW,
        slice_titles=SLICES,
        figure_titles=FIGURES,
        curve_titles=BEFORE_AND_AFTER,
    )


def places_shown(report: dict) -> set[int]:
    """The posts whose pictures the page shows."""
    shown = [] if report["doubles"] is None else list(report["doubles"]["posts"])
    for of_task in report["tasks"].values():
        shown += of_task["surest_mistakes"] + (of_task["label_issues"] or {"posts": []})["posts"]
    return {post["place"] for post in shown}


def _plots(task: str, of_task: dict, metrics: dict) -> dict:
    """The plots of one task, by the name of what they show."""
    labels = [{"name": label, **row["f1"]} for label, row in of_task["labels"].items() if row["n"] or row["answered"]]
    plots = {"labels": interval_plot(labels, "F1", "F1 by label")}
    accuracy = of_task["figures"]["accuracy"]["value"]
    for name, slicing in of_task["slices"].items():
        rows = [{"name": of_slice, "value": row["accuracy"], **row} for of_slice, row in slicing["slices"].items()]
        plots[name] = interval_plot(rows, "accuracy (dashed: of all)", f"Accuracy by {SLICES[name]}", accuracy)
    if of_task["sides"] is not None:
        rows = [{"name": row["title"], **row["accuracy"]} for row in of_task["sides"].values()]
        majority = of_task["figures"]["majority_accuracy"]["value"]
        title = "Accuracy with one side only"
        plots["sides"] = interval_plot(rows, "accuracy (dashed: commonest answer)", title, majority)
    calibration = metrics["calibration"]["tasks"].get(task)
    if calibration is not None:
        plots["calibration"] = reliability_panel(calibration, "Reliability")
    return plots


def _drift_plot(against: dict):
    rows = [
        {
            "name": f"{line['name']}, {FIGURES[line['figure']]}",
            "value": line["difference"],
            **{name: line[name] for name in ("low", "high", "moved")},
        }
        for line in against["lines"]
    ]
    return difference_plot(rows, "new less old", "What moved since before")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(figure: dict) -> str:
    """The interval of a figure, in percent."""
    return "" if figure["low"] is None else f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f}"


__all__ = ["places_shown", "report_page"]
