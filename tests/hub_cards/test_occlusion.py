"""What is hidden, and what is said of it, against hand-worked posts."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from heat import BLUE, ORANGE, STRONGEST, colour_picture, colour_words, shares
from hypothesis import given
from hypothesis import strategies as st
from occlusion import GRID, MOST_SPANS, cells_of, log_odds, occlude, score_of, shrunk, split_words
from PIL import Image


class Counting:
    """The logit of "glad": 1 for the word sun, 2 for a white pixel at (30, 10), -0.5 for rain; of "sad": 0."""

    def __init__(self, problem_type=None):
        self.model = SimpleNamespace(config=SimpleNamespace(problem_type=problem_type))
        self.calls = []

    def __call__(self, posts, top_k, function_to_apply, batch_size):
        self.calls.append(len(posts))
        assert (top_k, function_to_apply) == (None, "none") and len(posts) <= batch_size
        return [self.answer(post) for post in posts]

    def answer(self, post) -> list[dict]:
        words = (post["text"] or "").split()
        white = post["image"] is not None and post["image"].getpixel((30, 10)) == (255, 255, 255)
        glad = 1.0 * ("sun" in words) + 2 * white - 0.5 * ("rain" in words)
        return sorted([{"label": "glad", "score": glad}, {"label": "sad", "score": 0.0}], key=lambda e: -e["score"])


@pytest.fixture
def picture() -> Image.Image:
    picture = Image.new("RGB", (70, 35), "black")
    picture.putpixel((30, 10), (255, 255, 255))
    return picture


def post_of(text, image) -> dict:
    return {"text": text, "image": image, "target": None}


def test_each_part_gets_what_the_log_odds_lose_without_it(picture):
    shares = []
    found = occlude(Counting(), post_of("sun and rain", picture), progress=shares.append)
    assert found.odds == pytest.approx({"glad": 2.5, "sad": -2.5})
    cells = np.zeros((7, 7))
    cells[2, 3] = 2  # (30, 10) of 70 x 35 with cells of 10 x 5
    assert found.cells["glad"] == pytest.approx(cells)
    assert found.cells["sad"] == pytest.approx(-cells)
    assert found.spans == ["sun ", "and ", "rain"]
    assert found.words["glad"] == pytest.approx([1, 0, -0.5])
    assert found.alone["words"] == pytest.approx({"glad": 0.5, "sad": -0.5})
    assert found.alone["picture"] == pytest.approx({"glad": 2, "sad": -2})
    assert shares == sorted(shares) and shares[-1] == 1


def test_one_side_alone(picture):
    found = occlude(Counting(), post_of("sun  rain ", None))
    assert (found.cells, found.alone) == ({}, {})
    assert found.words["glad"] == pytest.approx([1, -0.5])
    found = occlude(Counting(), post_of(None, picture))
    assert (found.words, found.alone, found.spans) == ({}, {}, [])
    assert found.cells["glad"][2, 3] == pytest.approx(2)


def test_the_only_word_of_a_post_has_nothing_to_be_compared_with():
    classify = Counting()
    found = occlude(classify, post_of("sun", None))
    assert (found.words, found.spans, classify.calls) == ({}, ["sun"], [1])


def test_of_several_labels_a_post_each_has_its_own_odds(picture):
    found = occlude(Counting("multi_label_classification"), post_of("sun", picture))
    assert found.odds == {"glad": 3, "sad": 0}
    assert found.words["glad"] == pytest.approx([1]) and found.words["sad"] == pytest.approx([0])


def test_log_odds_of_several_tasks_are_those_of_each_tasks_softmax():
    logits = {"mood": {"glad": 0.3, "sad": -1.1, "calm": 2.0}, "wish": {"none": 4.0, "rest": 1.5}}
    answer = {
        task: [{"label": label, "score": score} for label, score in labels.items()] for task, labels in logits.items()
    }
    odds = log_odds(answer, SimpleNamespace(problem_type=None))
    assert list(odds) == ["mood: glad", "mood: sad", "mood: calm", "wish: none", "wish: rest"]
    for task, labels in logits.items():
        total = sum(math.exp(value) for value in labels.values())
        for label, value in labels.items():
            score = math.exp(value) / total
            assert odds[f"{task}: {label}"] == pytest.approx(math.log(score / (1 - score)))
            assert score_of(odds[f"{task}: {label}"]) == pytest.approx(score)


@pytest.mark.parametrize("problem_type", [None, "multi_label_classification"])
def test_log_odds_are_those_of_the_calibrated_scores(problem_type):
    logits = [{"label": "glad", "score": 3.0}, {"label": "sad", "score": -1.0}]
    config = SimpleNamespace(problem_type=problem_type, calibration=None)
    config.calibration = {"tasks": {"label": {"temperature": 2.0, "num_labels": 2}}}
    expected = {"glad": 2, "sad": -2} if problem_type is None else {"glad": 1.5, "sad": -0.5}
    assert log_odds(logits, config) == pytest.approx(expected)
    tasks = {"mood": logits, "wish": logits}
    config.calibration = {
        "tasks": {name: {"temperature": t, "num_labels": 2} for name, t in (("wish", 2.0), ("mood", 1.0))}
    }
    odds = log_odds(tasks, config)
    assert odds["wish: glad"] == pytest.approx(expected["glad"])
    assert odds["mood: glad"] == pytest.approx(2 * expected["glad"])
    config.calibration["tasks"]["wish"]["num_labels"] = 3  # of a head that is gone
    assert log_odds(tasks, config)["wish: glad"] == pytest.approx(2 * expected["glad"])


def test_a_score_that_rounds_to_one_still_has_its_parts():
    logits = [{"label": "glad", "score": 40.0}, {"label": "sad", "score": 0.0}]
    assert log_odds(logits, SimpleNamespace(problem_type=None)) == pytest.approx({"glad": 40, "sad": -40})
    assert score_of(40) == pytest.approx(1) and score_of(-1000) == 0


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
    coloured = np.asarray(colour_picture(Image.new("RGB", (width, height)), heat.reshape(GRID, GRID)))
    left, top, right, bottom = list(cells_of(Image.new("RGB", (width, height))))[cell]
    blue = [round(STRONGEST * value) for value in BLUE]
    for y in range(height):
        for x in range(width):
            inside = left <= x < right and top <= y < bottom
            assert coloured[y, x].tolist() == (blue if inside else [0, 0, 0])


def test_colours_of_words_and_picture():
    heat = np.array([0.2, -0.1, 0.0])
    assert colour_words(["a ", "<b> ", "c"], heat, [0.1, 0.9, 0.5]) == (
        '<p class="words">'
        f'<span style="background: rgba(33, 102, 172, {STRONGEST:.3f})" title="10.0 % without it">a </span>'
        f'<span style="background: rgba(179, 88, 6, {STRONGEST / 2:.3f})" title="90.0 % without it">&lt;b&gt; </span>'
        '<span style="background: rgba(179, 88, 6, 0.000)" title="50.0 % without it">c</span></p>'
    )
    assert colour_words(["<b>"], None, []) == '<p class="words">&lt;b&gt;</p>'
    white = Image.new("RGB", (2, 1), "white")
    [[left, right]] = np.asarray(colour_picture(white, np.array([[-0.1, 0.2]]))).tolist()
    half = STRONGEST / 2
    assert left == [round(255 * (1 - half) + half * value) for value in ORANGE]
    assert right == [round(255 * (1 - STRONGEST) + STRONGEST * value) for value in BLUE]


def test_what_is_too_faint_has_no_colour():
    assert shares(np.array([0.009, -0.005])).tolist() == [0, 0]
    assert shares(np.array([0.02, -0.01])).tolist() == [1, -0.5]
    [[pixel]] = np.asarray(colour_picture(Image.new("RGB", (1, 1), "white"), np.array([[0.009]]))).tolist()
    assert pixel == [255, 255, 255]


def test_a_large_picture_is_hidden_in_parts_of_a_smaller_one():
    sizes = []

    class Looking(Counting):
        def answer(self, post):
            sizes.append(post["image"] and post["image"].size)
            return super().answer(post | {"image": None})

    large = Image.new("RGB", (4000, 2000))
    occlude(Looking(), post_of("sun", large))
    assert set(sizes) == {(1024, 512), None} and large.size == (4000, 2000)
    assert shrunk(Image.new("RGB", (30, 20)), 640).size == (30, 20)
