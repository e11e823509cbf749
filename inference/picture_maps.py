"""From a model's grid of patches to the pixels of the picture as it was given: resize and crop undone."""

from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """The part of a picture that the model saw, in the picture's own pixels; it may reach beyond its edges."""

    left: float
    top: float
    right: float
    bottom: float


def patch_grid(patches: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the patches that a picture of `height` x `width` pixels is cut into.

    Patches (of a CNN the cells of its last grid) are as high as wide, so that their number and the picture's sides
    tell.

    Raises:
        ValueError: if no such grid has this number of patches.
    """
    rows = max(1, round((patches * height / width) ** 0.5))
    if patches % rows:
        raise ValueError(f"{patches} image tokens make no grid over {height} x {width} pixels.")
    return rows, patches // rows


def seen_box(image_processor, width: int, height: int) -> Box:
    """What an image processor keeps of a picture of `width` x `height` pixels.

    `ImageTextProcessor.from_encoders` resizes both sides and crops nothing; a processor of other making may resize
    the shorter side and crop the centre.

    Raises:
        ValueError: for a way to resize that is neither of the two.
    """
    new_width, new_height = float(width), float(height)
    if getattr(image_processor, "do_resize", False):
        size = image_processor.size
        if size.get("height") and size.get("width"):
            new_width, new_height = float(size["width"]), float(size["height"])
        elif size.get("shortest_edge") and not size.get("longest_edge"):
            scale = size["shortest_edge"] / min(width, height)
            new_width, new_height = width * scale, height * scale
        else:
            raise ValueError(f"Maps can be laid over pictures resized to a height and width, got {dict(size)}.")
    if not getattr(image_processor, "do_center_crop", None):
        return Box(0.0, 0.0, float(width), float(height))
    crop = image_processor.crop_size
    left, top = (new_width - crop["width"]) / 2, (new_height - crop["height"]) / 2
    across, down = width / new_width, height / new_height
    return Box(left * across, top * down, (left + crop["width"]) * across, (top + crop["height"]) * down)


def cells(size: int, start: float, end: float, number: int) -> np.ndarray:
    """`(size,)`: in which of `number` equal cells between `start` and `end` the centre of each pixel lies; -1 for a
    pixel outside."""
    place = np.floor((np.arange(size) + 0.5 - start) * number / (end - start)).astype(int)
    return np.where((place >= 0) & (place < number), place, -1)


def cell_of_pixels(grid: tuple[int, int], height: int, width: int) -> np.ndarray:
    """The cell of a grid that each pixel of a picture lies in, counted row by row: `(height, width)`"""
    return cells(height, 0, height, grid[0])[:, None] * grid[1] + cells(width, 0, width, grid[1])


def sum_over_patches(pixels: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """What adds up over the pixels of each patch: `(height, width)`, as the model reads them -> `(rows, columns)`"""
    cell = cell_of_pixels(grid, *pixels.shape).ravel()
    return np.bincount(cell, pixels.ravel(), minlength=grid[0] * grid[1]).reshape(grid)


def mean_over_patches(pixels: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The mean over the pixels of each patch, of which each has one or more: `(height, width)` -> `(rows, columns)`"""
    return sum_over_patches(pixels, grid) / sum_over_patches(np.ones(pixels.shape), grid)


def over_picture(patches: np.ndarray, box: Box, width: int, height: int) -> np.ndarray:
    """A map at the picture's own size: each pixel has the value of the patch that its centre lies in.

    Args:
        patches: `(rows, columns)`.
        box: what the model saw.

    Returns: `(height, width)`; NaN where the model saw nothing.
    """
    rows = cells(height, box.top, box.bottom, patches.shape[0])
    columns = cells(width, box.left, box.right, patches.shape[1])
    pixels = patches[rows[:, None], columns[None, :]].astype(np.float64)
    pixels[(rows < 0)[:, None] | (columns < 0)[None, :]] = np.nan
    return pixels


__all__ = [
    "Box",
    "cell_of_pixels",
    "cells",
    "mean_over_patches",
    "over_picture",
    "patch_grid",
    "seen_box",
    "sum_over_patches",
]
