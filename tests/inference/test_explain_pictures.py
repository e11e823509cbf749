"""Patches laid over the picture that was given, against cases worked by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPImageProcessor, ViTImageProcessor

from duosent.inference.map_colours import BLUE, CIVIDIS, ORANGE, colour_picture, colours, shares
from duosent.inference.picture_maps import (
    Box,
    mean_over_patches,
    over_picture,
    patch_grid,
    seen_box,
    sum_over_patches,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("patches", "height", "width", "grid"),
    [
        (196, 224, 224, (14, 14)),
        (49, 224, 224, (7, 7)),
        (35, 224, 160, (7, 5)),
        (8, 32, 64, (2, 4)),
        (1, 9, 9, (1, 1)),
    ],
)
def test_patches_make_a_grid(patches, height, width, grid):
    assert patch_grid(patches, height, width) == grid


def test_what_makes_no_grid_is_told():
    with pytest.raises(ValueError, match="197 image tokens make no grid over 224 x 224 pixels."):
        patch_grid(197, 224, 224)


def test_both_sides_resized_is_the_whole_picture():
    processor = ViTImageProcessor(size={"height": 224, "width": 224})
    assert seen_box(processor, 640, 360) == Box(0, 0, 640, 360)


def test_a_centre_crop_is_undone():
    """40 x 20, shorter side to 10: 20 x 10, of which the middle 10 x 10 is read: 10 to 30 of the 40 pixels."""
    processor = CLIPImageProcessor(size={"shortest_edge": 10}, crop_size={"height": 10, "width": 10})
    assert seen_box(processor, 40, 20) == Box(10, 0, 30, 20)
    assert seen_box(processor, 20, 40) == Box(0, 10, 20, 30)


def test_another_way_to_resize_is_told():
    processor = SimpleNamespace(do_resize=True, size={"longest_edge": 7}, do_center_crop=False)
    with pytest.raises(ValueError, match="got {'longest_edge': 7}"):
        seen_box(processor, 40, 20)


def test_a_grid_over_a_picture_that_is_not_square():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    laid = over_picture(values, Box(0, 0, 6, 2), 6, 2)
    assert laid.tolist() == [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]]


def test_pixels_that_were_cropped_away_have_no_value():
    laid = over_picture(np.array([[1.0, 2.0]]), Box(1, 0, 5, 2), 6, 2)
    np.testing.assert_array_equal(laid, [[NAN, 1, 1, 2, 2, NAN]] * 2)


def test_a_pixel_has_the_cell_that_its_centre_lies_in():
    """Three cells over five pixels end at 1.67 and 3.33; centres are 0.5, 1.5, 2.5, 3.5, 4.5."""
    laid = over_picture(np.array([[1.0, 2.0, 3.0]]), Box(0, 0, 5, 1), 5, 1)
    assert laid.tolist() == [[1, 1, 2, 3, 3]]


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    height=st.integers(1, 23),
    width=st.integers(1, 23),
    seed=st.integers(0, 9),
)
def test_sums_over_patches_lose_nothing(rows, columns, height, width, seed):
    pixels = np.random.default_rng(seed).normal(size=(height, width))
    sums = sum_over_patches(pixels, (rows, columns))
    by_hand = [[0.0] * columns for _ in range(rows)]
    for y in range(height):
        for x in range(width):
            by_hand[(2 * y + 1) * rows // (2 * height)][(2 * x + 1) * columns // (2 * width)] += pixels[y, x]
    np.testing.assert_allclose(sums, by_hand, atol=1e-12)
    assert sums.sum() == pytest.approx(pixels.sum())


def test_means_over_patches_of_unequal_size():
    """Five columns in two cells: the middle one, whose centre is the border, is the second cell's."""
    pixels = np.array([[1.0, 3.0, 6.0, 7.0, 8.0], [1.0, 3.0, 0.0, 0.0, 0.0]])
    assert mean_over_patches(pixels, (1, 2)).tolist() == [[2.0, 3.5]]
    assert mean_over_patches(pixels > 2, (2, 2)).tolist() == [[0.5, 1.0], [0.5, 0.0]]


def test_shares_are_of_the_largest_and_of_nothing_nothing():
    assert shares(np.array([-4.0, 2.0, 0.0])).tolist() == [-1, 0.5, 0]
    assert shares(np.zeros(3)).tolist() == [0, 0, 0]
    assert shares(np.zeros((0,))).tolist() == []


def test_cividis_grows_lighter_and_signs_have_their_colours():
    ramp = colours(np.linspace(0, 1, 101), signed=False) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(ramp) > 0).all()
    assert colours(np.array([0.0, 1.0]), signed=False).tolist() == [CIVIDIS[0].tolist(), CIVIDIS[-1].tolist()]
    assert colours(np.array([0.4, -0.4]), signed=True).tolist() == [list(BLUE), list(ORANGE)]


def test_a_drawn_map_covers_what_was_seen():
    grey = Image.new("RGB", (3, 1), (100, 100, 100))
    drawn = np.asarray(colour_picture(grey, np.array([[1.0, -0.5, NAN]]), signed=True)).astype(int)
    by_hand = [
        [round(0.2 * 100 + 0.8 * channel) for channel in BLUE],
        [round(0.6 * 100 + 0.4 * channel) for channel in ORANGE],
        [100, 100, 100],
    ]
    assert np.abs(drawn[0] - by_hand).max() <= 1
