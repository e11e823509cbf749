"""Explanations as one HTML page that needs no network, and no script to be read."""

import math
from collections.abc import Iterable

import numpy as np

from duosent.inference.explanation import Answer, Explanation
from duosent.inference.map_colours import CIVIDIS, FAINT, STRONG
from duosent.inference.map_views import (
    MOST_REGIONS,
    hex_colour,
    map_view,
    percent,
    place,
    shown_picture,
    signed_number,
)
from duosent.inference.page_template import page_template

TEMPLATE = "explanation_page.html.jinja"
# Longer side of the pictures in the page, in pixels.
SHOWN_SIDE = 480
QUALITY = 85
# Words named for a region.
MOST_WORDS = 3
MODELS = {"mdse": "MDSE", "radm": "RADM", "tfn": "TFN", "lmf": "LMF", "clmlf": "CLMLF", "tombert": "TomBERT"}
PRIVATE_SCORES = {
    "full": "full model",
    "without_text_private": "without private features of the words",
    "without_image_private": "without private features of the picture",
}


def explanation_page(explanations: Iterable[Explanation], left_out: dict[str, str] | None = None) -> str:
    """HTML, one section a post.

    Args:
        explanations: of one model; none are kept, however many there are.
        left_out: id of each row that could not be read -> the reason; read when all explanations are.
    """
    posts = [post_view(number, found) for number, found in enumerate(explanations, start=1)]
    return page_template(TEMPLATE).render(
        posts=posts,
        left_out=left_out or {},
        model=posts[0]["model"] if posts else None,
        kind=posts[0]["kind"] if posts else None,
        palette=[hex_colour(colour) for colour in CIVIDIS],
        chooses=any(post["alignment"] for post in posts),
        faint=FAINT,
        strong=STRONG,
    )


def post_view(number: int, found: Explanation) -> dict:
    """What the template shows of one post."""
    picture, box = None, None
    if found.picture is not None:
        picture, box = shown_picture(found.picture, found.box, SHOWN_SIDE, QUALITY)
    views = {name: map_view(of, found.words, found, box) for name, of in found.maps.items()}
    labels = [label for answer in found.answers for label in answer.scores]
    return {
        "number": number,
        "model": found.model,
        "kind": MODELS.get(found.model_type),
        "id": found.id,
        "text": found.text,
        "target": found.target,
        "unread": unread(found),
        "reads_text": found.reads_text,
        "reads_image": found.reads_image,
        "picture": picture,
        "calibrated": found.calibrated,
        "importance": views.get("importance"),
        "kept": views.get("kept"),
        "alignment": alignment_view(found, views["alignment"]) if "alignment" in views else None,
        "answers": [answer_view(answer, views, len(found.answers) > 1) for answer in found.answers],
        "private_scores": score_rows(
            {PRIVATE_SCORES[name]: row for name, row in found.private_scores.items()}, labels
        ),
        "ablations": score_rows(found.ablations, labels),
        "labels": labels,
    }


def unread(found: Explanation) -> str:
    """The end of the text that was cut off."""
    last = max((word.end for word in found.words if word.segment == 0), default=0)
    return (found.text or "")[last:].strip()


def alignment_view(found: Explanation, view: dict) -> dict:
    """The map of all words, each word's best region, each strong region's best words, and all numbers to choose by."""
    of = found.maps["alignment"]
    for cell in view["cells"]:
        cell["title"] += f"; looks at {best_words(found, of.region_words[cell['y'], cell['x']])}"
    by_word = []
    for word, regions in zip(found.words, of.word_regions, strict=True):
        where = divmod(int(regions.argmax()), regions.shape[1])
        by_word.append((word.text, place(*where), percent(regions[where])))
    order = np.argsort(-of.patches, axis=None)[:MOST_REGIONS]
    places = [divmod(int(number), of.patches.shape[1]) for number in order]
    by_region = [(place(*where), best_words(found, of.region_words[where])) for where in places]
    numbers = {
        "columns": of.patches.shape[1],
        "words": [word.text for word in found.words],
        "regions": [[round(float(share), 5) for share in regions.ravel()] for regions in of.word_regions],
        "asked": [
            [round(float(share), 4) for share in words] for words in of.region_words.reshape(-1, len(found.words))
        ],
    }
    return view | {"by_word": by_word, "by_region": by_region, "numbers": numbers}


def best_words(found: Explanation, words: np.ndarray) -> str:
    """`sun (12.0 %), happy (8.1 %)`"""
    order = np.argsort(-words)[:MOST_WORDS]
    return ", ".join(f"{found.words[number].text} ({percent(words[number])})" for number in order)


def answer_view(answer: Answer, views: dict[str, dict], several: bool) -> dict:
    """An answer with its scores, shares and attributions."""
    largest = max(abs(share) for share in answer.shares.values()) or 1
    best = max(answer.scores, key=answer.scores.__getitem__)
    return {
        "task": answer.task if several else None,
        "label": short(answer, answer.label),
        "score": percent(answer.score),
        "answered": answer.answered,
        "best": short(answer, best),
        "scores": [
            {"label": short(answer, label), "score": percent(score), "width": round(100 * score, 1)}
            for label, score in sorted(answer.scores.items(), key=lambda pair: -pair[1])
        ],
        "shares": {
            side: {"share": signed_number(share), "width": round(100 * abs(share) / largest), "for": share > 0}
            for side, share in answer.shares.items()
        },
        "values": {
            name: {"score": percent(1 / (1 + math.exp(-value))), "odds": signed_number(value)}
            for name, value in answer.values.items()
        },
        "attributions": views.get(f"attributions_{answer.task}", views.get("attributions")),
        "completeness": completeness_view(answer),
    }


def completeness_view(answer: Answer) -> dict | None:
    of = answer.completeness
    if of is None:
        return None
    return {
        "attributed": signed_number(of.attributed),
        "difference": signed_number(of.difference),
        "gap": f"{100 * abs(of.gap) / abs(of.difference):.2f} %" if of.difference else f"{abs(of.gap):.1e}",
        "steps": of.steps,
    }


def score_rows(scores: dict[str, dict[str, float]], labels: list[str]) -> list[dict]:
    """Rows of a table with a column for each label, whatever the order in which a model has them."""
    return [{"name": name, "scores": [percent(row[label]) for label in labels]} for name, row in scores.items()]


def short(answer: Answer, label: str) -> str:
    """A label without the name of its task."""
    return label.removeprefix(f"{answer.task}:")


__all__ = ["explanation_page"]
