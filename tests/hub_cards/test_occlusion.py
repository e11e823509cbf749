"""What is hidden, and what is said of it, against hand-worked posts."""

import numpy as np
import pytest
from heat import BLUE, ORANGE, STRONGEST, colour_picture, colour_words, strongest
from hypothesis import given
from hypothesis import strategies as st
from occlusion import GRID, MOST_SPANS, cells_of, occlude, scores_of, split_words
from PIL import Image


class Counting:
    """The score of "glad": 1/4 for the word sun, 1/2 for a white pixel at (30, 10), -1/8 for rain."""

    def __init__(self):
        self.calls = []

    def __call__(self, posts, top_k, batch_size):
        self.calls.append(len(posts))
        assert top_k is None and len(posts) <= batch_size
        return [self.answer(post) for post in posts]

    def answer(self, post) -> list[dict]:
        words = (post["text"] or "").split()
        white = post["image"] is not None and post["image"].getpixel((30, 10)) == (255, 255, 255)
        glad = 0.125 + 0.25 * ("sun" in words) + 0.5 * white - 0.125 * ("rain" in words)
        return [{"label": "glad", "score": glad}, {"label": "sad", "score": 1 - glad}]


@pytest.fixture
def picture() -> Image.Image:
    picture = Image.new("RGB", (70, 35), "black")
    picture.putpixel((30, 10), (255, 255, 255))
    return picture


def found_of(classify, text, image, **options):
    post = {"text": text, "image": image, "target": None}
    return occlude(classify, post, scores_of(classify.answer(post)), **options)


def test_each_part_gets_what_the_score_loses_without_it(picture):
    shares = []
    found = found_of(Counting(), "sun and rain", picture, progress=shares.append)
    cells = np.zeros((7, 7))
    cells[2, 3] = 0.5  # (30, 10) of 70 x 35 with cells of 10 x 5
    assert found.cells["glad"] == pytest.approx(cells)
    assert found.cells["sad"] == pytest.approx(-cells)
    assert found.spans == ["sun ", "and ", "rain"]
    assert found.words["glad"] == pytest.approx([0.25, 0, -0.125])
    assert found.alone == {"words": {"glad": 0.25, "sad": 0.75}, "picture": {"glad": 0.625, "sad": 0.375}}
    assert shares == sorted(shares) and shares[-1] == 1


def test_one_side_alone(picture):
    found = found_of(Counting(), "sun  rain ", None)
    assert (found.cells, found.alone) == ({}, {})
    assert found.words["glad"] == pytest.approx([0.25, -0.125])
    found = found_of(Counting(), None, picture)
    assert (found.words, found.alone, found.spans) == ({}, {}, [])
    assert found.cells["glad"][2, 3] == 0.5


def test_the_only_word_of_a_post_has_nothing_to_be_compared_with():
    classify = Counting()
    found = found_of(classify, "sun", None)
    assert (found.words, found.spans, classify.calls) == ({}, ["sun"], [])


def test_of_several_tasks_each_label_is_told_apart():
    answer = {"mood": [{"label": "glad", "score": 0.7}], "wish": [{"label": "none", "score": 1.0}]}
    assert scores_of(answer) == {"mood: glad": 0.7, "wish: none": 1.0}


@given(st.text(max_size=400))
def test_the_pieces_join_to_the_text(text):
    spans = split_words(text)
    assert len(spans) == min(len(text.split()), MOST_SPANS)
    assert "".join(spans) == (text if text.split() else "")
    assert all(span.split() for span in spans)


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_cells_cover_every_pixel_once(width, height):
    covered = np.zeros((height, width), int)
    for left, top, right, bottom in cells_of(Image.new("RGB", (width, height))):
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 48))
def test_the_colour_lies_where_the_picture_was_hidden(width, height, cell):
    heat = np.zeros(GRID * GRID)
    heat[cell] = 0.2
    coloured = np.asarray(colour_picture(Image.new("RGB", (width, height)), heat.reshape(GRID, GRID), 0.2))
    left, top, right, bottom = list(cells_of(Image.new("RGB", (width, height))))[cell]
    blue = [round(STRONGEST * value) for value in BLUE]
    for y in range(height):
        for x in range(width):
            inside = left <= x < right and top <= y < bottom
            assert coloured[y, x].tolist() == (blue if inside else [0, 0, 0])


def test_colours_of_words_and_picture():
    heat = np.array([0.2, -0.1, 0.0])
    scale = strongest(heat, None)
    assert scale == 0.2
    assert colour_words(["a ", "<b> ", "c"], heat, scale) == (
        '<p class="words">'
        f'<span style="background: rgba(33, 102, 172, {STRONGEST:.3f})" title="+20.0 points">a </span>'
        f'<span style="background: rgba(179, 88, 6, {STRONGEST / 2:.3f})" title="-10.0 points">&lt;b&gt; </span>'
        '<span style="background: rgba(179, 88, 6, 0.000)" title="+0.0 points">c</span></p>'
    )
    assert colour_words(["<b>"], None, 0) == '<p class="words">&lt;b&gt;</p>'
    white = Image.new("RGB", (2, 1), "white")
    [[left, right]] = np.asarray(colour_picture(white, np.array([[-0.1, 0.1]]), 0.2)).tolist()
    share = STRONGEST / 2
    assert left == [round(255 * (1 - share) + share * value) for value in ORANGE]
    assert right == [round(255 * (1 - share) + share * value) for value in BLUE]


def test_what_is_too_faint_has_no_colour():
    assert strongest(np.array([0.0004]), np.array([[-0.0003]])) == 0
    [[pixel]] = np.asarray(colour_picture(Image.new("RGB", (1, 1), "white"), np.array([[0.0004]]), 0)).tolist()
    assert pixel == [255, 255, 255]


def test_a_large_picture_is_shown_smaller():
    assert colour_picture(Image.new("RGB", (3000, 1500)), np.zeros((GRID, GRID)), 0).size == (640, 320)
