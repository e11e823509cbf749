"""The demo page as people use it: a real browser before the real server.

The pictures of docs/: `pytest tests/hub_cards/test_page.py --page-checkpoint out/demo/runs/mdse --screenshots docs`.
"""

import base64
import random
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from browser import open_browser
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect
from served import serve_command, served

from duosent import MdseForImageTextClassification
from duosent.data.demo_posts import draw_rain, draw_sun
from duosent.inference.scoring import predict

LABELS = ["glad", "<b>calm</b>", "sad"]
WORDS = "what lovely weather for a picnic at last"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# Where a cell's or a word's turn is still to come, another visitor's may be before.
PATIENCE = 30_000


@pytest.fixture(scope="module")
def checkpoint(text_encoder_dir, image_encoder_dir, processor, tmp_path_factory, pytestconfig) -> str:
    """Untrained, but sure of what it says."""
    if pytestconfig.getoption("page_checkpoint"):
        return pytestconfig.getoption("page_checkpoint")
    folder = tmp_path_factory.mktemp("page") / "moods"
    torch.manual_seed(0)
    model = MdseForImageTextClassification.from_encoders(
        text_encoder_dir, image_encoder_dir, hidden_size=16, num_attention_heads=2, id2label=dict(enumerate(LABELS))
    )
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight *= 6
        model.classifier.output.weight *= 1000
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def address(checkpoint):
    with served(serve_command(checkpoint)) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pictures")
    for name, draw, sky in (("sun", draw_sun, (150, 200, 240)), ("rain", draw_rain, (130, 140, 150))):
        picture = Image.new("RGB", (64, 64), sky)
        draw(ImageDraw.Draw(picture), random.Random(0))
        picture.resize((320, 320), Image.Resampling.NEAREST).save(folder / f"{name}.png")
    (folder / "notes.png").write_text("milk, eggs, bread")
    return {file.stem: str(file) for file in folder.iterdir()}


@pytest.fixture
def visit(browser, address):
    """Opens the page as one more visitor."""
    contexts = []

    def visit(**options) -> Page:
        contexts.append(browser.new_context(**({"viewport": WIDE} | options)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        expect(page.get_by_role("button", name="Ask")).to_be_visible(timeout=PATIENCE)
        return page

    yield visit
    for context in contexts:
        context.close()


def give(page: Page, words: str | None = None, picture: str | None = None) -> None:
    if picture is not None:
        page.set_input_files("input[type=file]", picture)
        expect(page.get_by_label("Remove Image")).to_be_visible(timeout=PATIENCE)
    if words is not None:
        page.get_by_label("Words").fill(words)


def ask(page: Page) -> None:
    page.get_by_role("button", name="Ask").click()


def explained(page: Page) -> None:
    """Waits until the page says what the answer rests on."""
    expect(page.locator("#sides")).to_contain_text("%", timeout=PATIENCE)


def bars(page: Page) -> dict[str, int]:
    """Label -> percent, as a person reads them, from above."""
    names = page.locator(".confidence-set .label .text").all_inner_texts()
    shares = page.locator(".confidence-set .confidence").all_inner_texts()
    return {name: int(share.rstrip("%")) for name, share in zip(names, shares, strict=True)}


def predicted(checkpoint: str, words: str | None, picture: str | None) -> dict[str, int]:
    scores = predict(checkpoint, words, picture)["scores"]
    return {label: round(100 * score) for label, score in sorted(scores.items(), key=lambda pair: -pair[1])}


def same(shown: dict[str, int], known: dict[str, int]) -> bool:
    """In order, and by a rounded percent more or less."""
    return list(shown) == list(known) and all(abs(shown[label] - known[label]) <= 1 for label in known)


@pytest.mark.parametrize(("name", "viewport", "theme"), [("wide", WIDE, "light"), ("phone", PHONE, "dark")])
def test_a_person_uploads_types_clicks_and_reads(
    visit, checkpoint, address, pictures, name, viewport, theme, tmp_path, pytestconfig
):
    page = visit(viewport=viewport, color_scheme=theme)
    hosts = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    give(page, WORDS, pictures["rain"])
    ask(page)
    explained(page)
    assert same(bars(page), predicted(checkpoint, WORDS, pictures["rain"]))
    assert page.locator("#marked .words").inner_text() == WORDS
    assert page.locator("#marked .words span").count() == len(WORDS.split())
    heat = page.locator("#heat img")
    expect(heat).to_be_visible()
    assert heat.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [320, 320]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 384) == (theme == "light")
    assert hosts == {urlsplit(address).netloc} | ({""} & hosts)  # blob: has none
    folder = Path(pytestconfig.getoption("screenshots") or tmp_path)
    page.screenshot(path=folder / f"page-{name}-{theme}.png", full_page=True)
    with Image.open(folder / f"page-{name}-{theme}.png") as picture:
        assert picture.width == viewport["width"]


def test_what_is_no_picture_is_one_sentence_and_nothing_is_lost(visit, checkpoint, pictures):
    page = visit()
    give(page, WORDS, pictures["notes"])
    ask(page)
    expect(page.get_by_text("notes.png must be a picture")).to_be_visible(timeout=PATIENCE)
    assert page.get_by_label("Words").input_value() == WORDS
    page.get_by_label("Remove Image").click()
    ask(page)
    explained(page)
    assert same(bars(page), predicted(checkpoint, WORDS, None))


def test_words_alone_and_a_picture_alone(visit, checkpoint, pictures):
    page = visit()
    give(page, WORDS)
    ask(page)
    explained(page)
    assert same(bars(page), predicted(checkpoint, WORDS, None))
    assert "alone" not in page.locator("#sides").inner_text()
    expect(page.locator("#heat img")).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    give(page, picture=pictures["sun"])
    ask(page)
    explained(page)
    assert same(bars(page), predicted(checkpoint, None, pictures["sun"]))
    expect(page.locator("#heat img")).to_be_visible()


def test_nothing_is_told_so(visit):
    page = visit()
    give(page, "   ")
    ask(page)
    expect(page.get_by_text("Give a picture, words, or both.")).to_be_visible(timeout=PATIENCE)


def test_two_people_at_once_get_their_own_answers(visit, checkpoint, pictures):
    posts = [("what a good day", pictures["sun"]), ("the night was very bad", pictures["rain"])]
    pages = [visit() for _ in posts]
    for page, post in zip(pages, posts, strict=True):
        give(page, *post)
    for page in pages:
        ask(page)
    known = [predicted(checkpoint, *post) for post in posts]
    assert not same(*known)
    for page, (words, _), answer in zip(pages, posts, known, strict=True):
        explained(page)
        assert same(bars(page), answer)
        assert page.locator("#marked .words").inner_text() == words


def test_another_label_is_explained_from_the_same_answer(visit, pictures):
    page = visit()
    give(page, WORDS, pictures["sun"])
    ask(page)
    explained(page)
    before = page.locator("#marked .words").inner_html()
    for label in list(bars(page))[1:]:
        page.get_by_label("What this rests on").click()
        page.get_by_role("option", name=label).click()
        expect(page.locator("#sides")).to_contain_text(f"{label}: ", timeout=PATIENCE)
        assert page.locator("#marked .words").inner_html() != before


def test_words_are_shown_as_they_are(visit, pictures):
    """What a visitor, or the author of a checkpoint, writes cannot become a part of the page."""
    words = "<img src=x onerror=\"document.title='owned'\"> <b>a good day</b>"
    page = visit()
    give(page, words)
    ask(page)
    explained(page)
    assert page.locator("#marked .words").inner_text() == words
    assert page.locator("#marked img, #marked b, #sides b").count() == 0
    assert page.title().startswith("duosent: ")


def test_an_example_is_taken_up(visit, checkpoint):
    page = visit()
    page.get_by_role("gridcell", name="I miss you so much").click()
    expect(page.get_by_label("Words")).to_have_value("I miss you so much")
    ask(page)
    explained(page)
    assert same(bars(page), predicted(checkpoint, "I miss you so much", None))


def test_a_program_asks_the_page_too(address, checkpoint, pictures):
    content = base64.b64encode(Path(pictures["sun"]).read_bytes()).decode()
    client = Client(address, verbose=False)
    answer = client.predict(text=WORDS, image=content, top_k=2, api_name="/classify")
    known = predict(checkpoint, WORDS, pictures["sun"])["scores"]
    best = sorted(known, key=known.get, reverse=True)[:2]
    assert [entry["label"] for entry in answer] == best
    assert [entry["score"] for entry in answer] == pytest.approx([known[label] for label in best], abs=1e-5)


@pytest.mark.parametrize(
    ("post", "sentence"),
    [
        ({}, "Give a picture, words, or both."),
        ({"text": "a" * 20_001}, "text must have 20000 characters at most, got 20001."),
        ({"image": base64.b64encode(b"milk, eggs, bread" * 3).decode()}, "image must be a picture"),
        ({"image": "/etc/passwd"}, "A picture must be base64 or an address on the web, got '/etc/passwd'."),
        ({"text": "a", "top_k": 0}, "top_k must be a whole number >= 1"),
    ],
)
def test_a_program_is_told_what_is_wrong(address, post, sentence):
    with pytest.raises(AppError, match=re.escape(sentence)):
        Client(address, verbose=False).predict(**post, api_name="/classify")
