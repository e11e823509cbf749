"""The page: complete, closed to the network, and nothing of a post in it but text; then in a real browser.

The pictures of docs/: `pytest tests/inference/test_explain_page.py --screenshots docs --explain-runs out/demo/runs`.
"""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from browser import open_browser
from explained import model_of, picture
from PIL import Image
from playwright.sync_api import Page, expect

from duosent.data.demo_posts import make_demo_posts
from duosent.inference.explaining import Explainer
from duosent.inference.explanation import Answer, Completeness, Explanation, PostMap
from duosent.inference.explanation_page import explanation_page, percent, signed_number
from duosent.inference.picture_maps import Box
from duosent.inference.word_maps import Word

WORDS = "so very happy <b>the</b> sun"
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
PHONE, WIDE = {"width": 390, "height": 844}, {"width": 1100, "height": 900}
VOID = {"meta", "rect", "use", "image", "br", "img"}


@pytest.fixture(scope="module")
def found(tokenizer, processor) -> dict[str, Explanation]:
    runs = {name: Explainer(model_of(name, tokenizer), processor) for name in ("mdse", "radm")}
    return {name: explain(WORDS, picture(width=60)) for name, explain in runs.items()}


class Reader(HTMLParser):
    """Text of a page, and whether every element is closed in its order."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def sides(**changes) -> Explanation:
    """An explanation put together by hand."""
    values = {"both": 1.0, "words": 0.5, "picture": 0.2, "neither": -0.1}
    answer = Answer(
        "label", "positive", True, {"negative": 0.2, "positive": 0.8}, values, {"words": 0.7, "picture": 0.4}
    )
    return Explanation(**({"model": "out/mdse", "model_type": "mdse", "answers": [answer]} | changes))


def test_a_page_is_whole_and_asks_nobody(found):
    page = explanation_page(list(found.values()), {"p9": "no picture"})
    reader = Reader(page)
    addresses = [value for _, name, value in reader.attributes if name in ("src", "href", "action", "data")]
    assert addresses and all(value.startswith(("data:image/jpeg;base64,", "#picture-")) for value in addresses)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    assert ("meta", "http-equiv", "Content-Security-Policy") in reader.attributes
    assert "p9 no picture" in reader.words


def test_every_number_is_there(found):
    reader = Reader(explanation_page([found["mdse"]]))
    of = found["mdse"]
    for word, value in zip(of.words, of.maps["importance"].words, strict=True):
        assert f"{word.text} {percent(value)}" in reader.words
    for value in of.maps["attributions"].words:
        assert signed_number(value) in reader.words
    for label, score in of.answers[0].scores.items():
        assert f"{label} {percent(score)}" in reader.words
    assert "(spread evenly, a region would have 6.2 %)" in reader.words  # 1 / 16
    titles = re.findall(r"<title>(row [^<]*)</title>", explanation_page([found["mdse"]]))
    assert len(titles) == 3 * 16
    assert titles[0] == f"row 1, column 1: {percent(of.maps['importance'].patches[0, 0])}"
    assert "An intervention on this one model" in reader.words
    for side in ("words", "picture"):
        assert signed_number(of.answers[0].shares[side]) in reader.words
    assert "not what is true of the post" in reader.words and "Scores are not calibrated" in reader.words


def test_percents_and_signs():
    shown = {
        0: "0.0 %",
        2e-7: "< 0.001 %",
        0.00012: "0.012 %",
        0.0123: "1.2 %",
        0.5: "50.0 %",
        0.99986: "> 99.9 %",
        1: "100.0 %",
    }
    assert {value: percent(value) for value in shown} == shown
    assert [signed_number(value) for value in (-0.12345, 2, 0)] == ["−0.123", "+2", "+0"]


def test_missing_sides_are_shown_as_missing():
    picture_only = sides(picture=np.zeros((4, 6, 3), np.uint8), box=Box(0, 0, 6, 4))
    words_only = sides(text="good", words=[Word("good", 0, 4, 0, (1,))])
    for of, there, missing in (
        (picture_only, "The picture of the post", "This post has no words."),
        (words_only, "good", "This post has no picture."),
    ):
        page = explanation_page([of])
        assert missing in Reader(page).words and there in page
        assert "Shapley" not in page  # nothing to share
    assert "This model reads no pictures." in Reader(explanation_page([sides(text="good", reads_image=False)])).words
    assert "This model reads no words." in Reader(explanation_page([sides(text=None, reads_text=False)])).words


def test_what_a_post_says_is_text():
    word = Word(HOSTILE.split()[0], 0, len(HOSTILE.split()[0]), 0, (1,))
    of_map = PostMap("x", words=np.ones(1), patches=np.ones((1, 1)))
    of_map.word_regions, of_map.region_words = np.ones((1, 1, 1)), np.ones((1, 1, 1))
    answer = Answer(
        "label",
        HOSTILE,
        False,
        {HOSTILE: 0.5, "x": 0.5},
        {"both": 0.0, "words": 0.0, "picture": 0.0, "neither": 0.0},
        {"words": 0.0, "picture": 0.0},
    )
    of = sides(text=HOSTILE, target=HOSTILE, id=HOSTILE, model=HOSTILE, words=[word], answers=[answer])
    of.picture, of.box, of.maps = np.zeros((4, 6, 3), np.uint8), Box(0, 0, 6, 4), {"alignment": of_map}
    of.ablations = {HOSTILE: {HOSTILE: 0.1, "x": 0.9}}
    page = explanation_page([of], {HOSTILE: HOSTILE})
    reader = Reader(page)
    assert not any(tag == "img" or name == "onerror" for tag, name, _ in reader.attributes)
    assert page.count("<script") == 2 and page.count("</script") == 2
    assert reader.words.count("<img src=x onerror=alert(1)>") >= 8


def test_scores_of_other_runs_stand_under_their_labels():
    """A run may have the labels in another order."""
    of = sides(text="good", ablations={"other": {"positive": 0.7, "negative": 0.3}})
    assert "negative positive other 30.0 % 70.0 %" in Reader(explanation_page([of])).words


def test_attributions_of_the_only_task():
    of = sides(text="good", words=[Word("good", 0, 4, 0, (1,))])
    of.answers[0].task, of.answers[0].completeness = "mood", Completeness(1.0, 1.001, 16)
    of.maps = {"attributions_mood": PostMap("x", words=np.ones(1), signed=True)}
    assert "They sum to +1 of a difference of +1: a gap of 0.10 %" in Reader(explanation_page([of])).words


def test_cut_off_words_and_other_labels_are_told():
    words = [Word("good", 0, 4, 0, (1,))]
    of = sides(text="good old days", words=words, calibrated=True)
    of.answers[0].answered, of.answers[0].label = False, "negative"
    text = Reader(explanation_page([of])).words
    assert "Too long for the model, and not read: “old days”" in text
    assert "the model's answer is positive" in text and "Scores are calibrated" in text


def test_a_page_of_nothing_but_rows_that_cannot_be_read():
    assert "p1 broken" in Reader(explanation_page([], {"p1": "broken"})).words


@pytest.fixture(scope="module")
def pages(found, tmp_path_factory, pytestconfig) -> dict[str, Path]:
    """Of both models; for docs of demo posts and their trained runs."""
    folder = tmp_path_factory.mktemp("pages")
    runs = pytestconfig.getoption("explain_runs")
    if runs:
        posts = make_demo_posts(folder / "posts", train=20, validation=20, test=20, seed=1)
        rows = pq.read_table(posts / "test.parquet").to_pylist()
        row = next(row for row in rows if row["kind"] == "both" and row["label"] == "negative")  # irony
        found = {name: Explainer(f"{runs}/{name}")(row["text"], row["image"]) for name in found}
    for name, of in found.items():
        (folder / f"{name}.html").write_text(explanation_page([of]), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in found}


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


def visit(browser, file: Path, viewport: dict, theme: str, **options) -> tuple[Page, list[str]]:
    page = browser.new_context(viewport=viewport, color_scheme=theme, **options).new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(file.as_uri())
    assert [address for address in asked if not address.startswith("data:")] == [file.as_uri()] and wrong == []
    return page, wrong


def luminance(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 765


@pytest.mark.parametrize(("name", "theme"), [("mdse", "light"), ("radm", "dark")])
def test_pages_are_readable_on_a_phone_and_wide(browser, pages, name, theme, tmp_path, pytestconfig):
    page, _ = visit(browser, pages[name], PHONE, theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page, _ = visit(browser, pages[name], WIDE, theme)
    assert (luminance(page) > 0.5) == (theme == "light")
    picture_of_post = page.locator("svg.map").first.bounding_box()
    assert picture_of_post["width"] > 200 and picture_of_post["height"] > 100
    folder = Path(pytestconfig.getoption("screenshots") or tmp_path)
    file = folder / f"explain-{name}-{theme}.png"
    page.screenshot(path=file, full_page=True)
    with Image.open(file) as shown:
        assert shown.width == WIDE["width"]
        # 256 colours, chosen so that none is far from its own: a third of the size.
        shown = shown.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    shown.save(file, optimize=True)


def fills(page: Page) -> list[str]:
    return page.locator(".alignment rect").evaluate_all("all => all.map(each => each.getAttribute('fill'))")


def test_choosing_words_and_regions(browser, pages, pytestconfig):
    page, wrong = visit(browser, pages["radm"], WIDE, "light")
    expect(page.get_by_text("Choose words to see where they look")).to_be_visible()
    before, words = fills(page), page.locator(".alignment button")
    words.nth(0).click()
    one = fills(page)
    assert one != before
    expect(words.nth(0)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".status")).to_contain_text(": most at row")
    words.nth(1).click()
    assert fills(page) not in (before, one)
    for number in (0, 1):
        words.nth(number).click()
    colours = [[round(int(hex_[at : at + 2], 16)) for at in (1, 3, 5)] for hex_ in before]
    back = [[int(channel) for channel in re.findall(r"\d+", fill)] for fill in fills(page)]
    assert np.abs(np.array(back) - colours).max() <= 1
    page.locator(".alignment rect").nth(5).click()
    expect(page.locator(".status")).to_contain_text("looks at")
    assert wrong == []


def test_without_a_script_the_page_says_it_all(browser, pages):
    page, _ = visit(browser, pages["radm"], WIDE, "light", java_script_enabled=False)
    expect(page.get_by_text("Choose words to see where they look")).to_be_hidden()
    page.get_by_text("Best regions and best words").click()
    expect(page.get_by_role("columnheader", name="its best region")).to_be_visible()
