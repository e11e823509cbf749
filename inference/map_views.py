"""A map as a page shows it: pieces of text and cells over a picture, each with its colour and its number."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from duosent.inference.explanation import Explanation, PostMap
from duosent.inference.jpeg_address import jpeg_address
from duosent.inference.map_colours import colours, opacity, shares
from duosent.inference.picture_maps import Box
from duosent.inference.word_maps import Word

# Regions named in a table.
MOST_REGIONS = 8
# How near to 1 the sum of a whole is.
EVEN = 1e-3


def shown_picture(pixels: np.ndarray, box: Box, side: int, quality: int) -> tuple[dict, Box]:
    """The picture as a page has it, its longer side at most `side` pixels, and what the model saw of it there."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side))
    across, down = picture.width / pixels.shape[1], picture.height / pixels.shape[0]
    shown = {"data": jpeg_address(picture, quality), "width": picture.width, "height": picture.height}
    return shown, Box(box.left * across, box.top * down, box.right * across, box.bottom * down)


def map_view(of: PostMap, words: Sequence[Word], found: Explanation, box: Box | None) -> dict:
    """Words and cells with their colours and numbers."""
    show = signed_number if of.signed else percent
    view = {"meaning": of.meaning, "signed": of.signed, "words": None, "cells": None, "rest": None, "even": None}
    if of.words is not None and len(of.words):
        view["words"] = word_spans(found, of.words, of.signed, show)
        view["word_rows"] = [(word.text, show(value)) for word, value in zip(words, of.words, strict=True)]
        view["most_words"] = show(of.words[np.abs(of.words).argmax()])
        view["rest"] = None if of.rest is None else show(of.rest)
    if of.patches is not None:
        view |= {"grid": of.patches.shape, "box": placed(box, of.patches.shape)}
        view["cells"] = picture_cells(of.patches, of.signed, show)
        view["regions"] = strongest_regions(of.patches, show)
        view["most_cells"] = view["regions"][0][1]
        # Of parts of a whole: what each would have if they were all alike.
        view["even"] = percent(1 / of.patches.size) if abs(of.patches.sum() - 1) < EVEN else None
    return view


def word_spans(found: Explanation, values: np.ndarray, signed: bool, show) -> list[list[dict]]:
    """The text, and the target where there is one, in pieces that join to it again; a word has a weight and a number,
    what lies between words has none."""
    share = shares(values)
    segments = []
    for segment, string in enumerate((found.text, found.target)):
        spans, end = [], 0
        for number, word in enumerate(found.words):
            if word.segment != segment:
                continue
            if word.start > end:
                spans.append({"text": string[end : word.start], "number": None})
            tone = "more" if not signed else "for" if share[number] > 0 else "against"
            weight = round(100 * abs(float(share[number])))
            spans.append(
                {"text": word.text, "number": show(values[number]), "weight": weight, "tone": tone, "word": number}
            )
            end = word.end
        if spans:
            segments.append(spans)
    return segments


def placed(box: Box, grid: tuple[int, int]) -> dict:
    """Where the cells lie: the first one's corner, and a cell's width and height."""
    across, down = (box.right - box.left) / grid[1], (box.bottom - box.top) / grid[0]
    return {"left": round(box.left, 3), "top": round(box.top, 3), "across": round(across, 5), "down": round(down, 5)}


def picture_cells(patches: np.ndarray, signed: bool, show) -> list[dict]:
    share = shares(patches)
    fills, covers = colours(share, signed), opacity(share, signed)
    return [
        {
            "x": column,
            "y": row,
            "fill": hex_colour(fills[row, column]),
            "cover": round(float(covers[row, column]), 3),
            "title": f"{place(row, column)}: {show(patches[row, column])}",
        }
        for row, column in np.ndindex(patches.shape)
    ]


def strongest_regions(patches: np.ndarray, show) -> list[tuple[str, str]]:
    order = np.argsort(-np.abs(patches), axis=None)[:MOST_REGIONS]
    places = [divmod(int(number), patches.shape[1]) for number in order]
    return [(place(*where), show(patches[where])) for where in places]


def place(row: int, column: int) -> str:
    return f"row {row + 1}, column {column + 1}"


def percent(value: float) -> str:
    """`4.2 %`; what is nearly 0 with digits that tell it from 0, and what is nearly all never as all."""
    value = 100 * float(value)
    if 99.95 <= value < 100:
        return "> 99.9 %"
    if 0 < value < 0.001:
        return "< 0.001 %"
    return f"{value:.1f} %" if value >= 10 or value == 0 else f"{value:.2g} %" if value < 1 else f"{value:.1f} %"


def signed_number(value: float) -> str:
    """`+0.12`, with a real minus."""
    return f"{float(value):+.3g}".replace("-", "−")


def hex_colour(colour: np.ndarray) -> str:
    return "#" + "".join(f"{round(float(channel)):02x}" for channel in colour)


__all__ = ["MOST_REGIONS", "hex_colour", "map_view", "percent", "place", "shown_picture", "signed_number"]
