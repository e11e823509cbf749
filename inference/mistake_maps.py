"""What the model used for its surest mistakes, as an error report shows it."""

from datasets import Dataset

from duosent.inference.explaining import Explainer
from duosent.inference.explanation import Explanation
from duosent.inference.map_views import map_view, shown_picture
from duosent.inference.thumbnails import QUALITY, SIZE

# A model has at most one of them.
MAPS = ("importance", "alignment")


def mistake_maps(checkpoint: str, report: dict, rows: Dataset, device: str | None = None) -> dict[int, dict]:
    """Explain each post that the report shows as a mistake, without attributions, which take most of the time.

    The report gets `shares` beside each mistake with both sides, of a model that reads both: how far `words` and
    `picture` moved the log-odds of the `label` that the model gives most, see `shapley_shares`.

    Args:
        checkpoint: folder or Hub name.
        report: what `error_report` gave.
        rows: the posts.
        device: as in `Explainer`.

    Returns: by place in the part, of models that have such a map: `number`, `picture` (or None), `view` of the map,
        `title` and `meaning`.
    """
    mistakes = [(task, post) for task, of_task in report["tasks"].items() for post in of_task["surest_mistakes"]]
    if not mistakes:
        return {}
    explainer, found, answers = Explainer(checkpoint, attributions=False, device=device), {}, {}
    for place in sorted({post["place"] for _, post in mistakes}):
        row = rows[place]
        explanation = explainer(row.get("text"), row.get("image"), row.get("target"))
        answers[place] = {answer.task: answer for answer in explanation.answers}
        found[place] = _shown(place, explanation)
    for task, post in mistakes:
        answer = answers[post["place"]][task]
        if all(answer.shares.values()):
            post["shares"] = {"label": answer.label, **answer.shares}
    return {place: view for place, view in found.items() if view is not None}


def _shown(place: int, explanation: Explanation) -> dict | None:
    name = next((name for name in MAPS if name in explanation.maps), None)
    if name is None:
        return None
    picture, box = None, None
    if explanation.picture is not None:
        picture, box = shown_picture(explanation.picture, explanation.box, SIZE, QUALITY)
    view = map_view(explanation.maps[name], explanation.words, explanation, box)
    return {"number": place, "title": name, "meaning": view["meaning"], "picture": picture, "view": view}


__all__ = ["mistake_maps"]
