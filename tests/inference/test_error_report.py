"""The error report of a tiny model on planted posts: page and file against plain loops, as text and in a browser.

The picture of docs/, after `duosent demo` and a training of its MDSE that was cut short, so that it makes mistakes:
`pytest tests/inference/test_error_report.py --report-checkpoint out/demo/runs/early --screenshots docs`.
"""

import io
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from commands import call, wrong_call
from datasets import Dataset
from PIL import Image
from tiny import draw_weights

from duosent import BaselineForImageTextClassification, MdseForImageTextClassification, explain
from duosent.inference.answered_posts import ONLY_TASK, AnsweredPosts
from duosent.inference.error_report import error_report
from duosent.inference.evaluated_part import EvaluatedPart
from duosent.inference.evaluation import evaluate
from duosent.inference.report_page import report_page
from duosent.training import classification_task
from duosent.training.checkpoints import CallError, read_run
from duosent.training.metrics import ImageTextMetrics

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
LABELS = ["<b>glad</b>", "sad & low", "calm"]
WORDS = ["good", "bad", "happy", "sad", "great", "awful", "sun", "rain", "love", "fear", "joy", "anger"]
ATTACK = '<script>document.title = "owned"</script><img src=x onerror="document.title=1">'
POSTS = 48
# Pixels of the page that docs/ show.
SHOT = 3600
# Validation posts that stand in the training part too: the first two by their words, the third by its picture.
BY_WORDS, NEARLY, BY_PICTURE = 3, 5, 11


def draw(seed: int) -> Image.Image:
    """Blocks, which a perceptual hash tells apart."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((64, 64), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    rng = np.random.default_rng(0)
    rows = {"train": [], "validation": []}
    for part, posts in rows.items():
        for number in range(POSTS):
            draw(number + (1000 if part == "train" else 0)).save(folder / f"{part}-{number}.png")
            words = " ".join(rng.choice(WORDS, 2 + number % 7))
            labels = dict(zip(("label", "text_label", "image_label"), rng.choice(LABELS, 3).tolist(), strict=True))
            text = f"{words} {part} {number}"
            posts.append({"id": f"{part}-{number}", "text": text, "image": f"{part}-{number}.png", **labels})
    rows["validation"][7]["text"] = f"good {ATTACK}"
    rows["validation"][8]["image"] = None
    rows["validation"][9]["text"] = ""
    rows["validation"][10]["text_label"] = None
    rows["train"][20]["text"] = rows["validation"][BY_WORDS]["text"]
    rows["train"][21]["text"] = rows["validation"][NEARLY]["text"].upper() + "!"
    draw(BY_PICTURE).save(folder / "train-22.png")
    for part, posts in rows.items():
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in posts))
    return str(folder)


@pytest.fixture(scope="module")
def checkpoint(text_encoder_dir, image_encoder_dir, processor, tmp_path_factory) -> str:
    """A model whose answers differ from post to post."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    model = MdseForImageTextClassification.from_encoders(
        text_encoder_dir, image_encoder_dir, id2label=dict(enumerate(LABELS)), **SMALL
    )
    draw_weights(model, size=4)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "run.json").write_text(json.dumps({"seed": 5, "train_fingerprint": "of others"}))
    log = [{"epoch": 0.5, "step": 1, "loss": 1.25}, {"epoch": 1.0, "step": 2, "loss": 0.75}]
    log += [{"epoch": 1.0, "step": 2, "eval_loss": 0.8, "eval_accuracy": 0.5, "eval_macro_f1": 0.45}]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    return str(folder)


@pytest.fixture(scope="module")
def made(checkpoint, data, tmp_path_factory) -> dict:
    """A report by the command, with what it printed and wrote."""
    folder = tmp_path_factory.mktemp("report")
    files = {
        "report": folder / "page",
        "output": folder / "metrics.json",
        "predictions": folder / "predictions_validation.parquet",
    }
    words = ["evaluate", checkpoint, "--data", data, "--split", "validation", "--use-cpu"]
    words += [str(word) for name, file in files.items() for word in (f"--{name}", file)]
    from duosent.cli import main

    printed, before = io.StringIO(), sys.stdout
    sys.stdout = printed
    try:
        assert main(words) == 0
    finally:
        sys.stdout = before
    page = (files["report"] / "index.html").read_text()
    return {
        "folder": folder,
        "printed": printed.getvalue(),
        "page": page,
        "seen": Page(page),
        "report": json.loads((files["report"] / "report.json").read_text()),
        "metrics": json.loads(files["output"].read_text()),
        "answers": pq.read_table(files["predictions"]).to_pylist(),
        "rows": [json.loads(line) for line in (Path(data) / "validation.jsonl").read_text().splitlines()],
    }


class Page(HTMLParser):
    """Elements, attributes, words and tables of a page, as a browser reads them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.tables: dict[str, list[list[str]]] = {}
        self._table = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if dict(attrs).get("role") == "region":
            self._table = self.tables[dict(attrs)["aria-label"]] = []
        if tag == "tr":
            self._table.append([])
        if tag in ("td", "th"):
            self._table[-1].append("")

    def handle_data(self, data):
        self.words.append(data)
        if self._table and self._table[-1]:
            self._table[-1][-1] = " ".join(f"{self._table[-1][-1]} {data}".split())

    def handle_endtag(self, tag):
        if tag == "table":
            self._table = None

    @property
    def text(self) -> str:
        return "".join(self.words)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def test_the_report_holds_the_figures_of_the_same_call(made):
    assert made["report"]["metrics"] == made["metrics"]
    of_task = made["report"]["tasks"][ONLY_TASK]
    for name, figure in of_task["figures"].items():
        assert figure["value"] == made["metrics"][name]
    for label, row in made["metrics"]["per_class"].items():
        shown = of_task["labels"][label]
        assert [shown[name]["value"] for name in ("precision", "recall", "f1")] == [
            row[name] for name in ("precision", "recall", "f1")
        ]
        assert shown["n"] == row["support"]
    for name, row in of_task["sides"].items():
        assert row["accuracy"]["value"] == made["metrics"]["sides"][name]["accuracy"]
    assert of_task["slices"] == made["metrics"]["slices"][ONLY_TASK]


def test_the_page_shows_them(made):
    tables, metrics = made["seen"].tables, made["metrics"]
    headline = {row[0]: row[1] for row in tables["Headline figures"]}
    assert headline["accuracy"] == percent(metrics["accuracy"])
    assert headline["macro F1"] == percent(metrics["macro_f1"])
    by_label = {row[0]: row for row in tables["Figures by label"]}
    for label, row in metrics["per_class"].items():
        assert by_label[label][4].startswith(percent(row["f1"])), label
    shown = {row[0]: row[1] for row in tables["Accuracy with one side only"]}
    assert shown["words only"].startswith(percent(metrics["sides"]["text"]["accuracy"]))
    slices = {row[0]: row[1:] for row in tables["Accuracy by doubles in training"][1:]}
    new = metrics["slices"][ONLY_TASK]["doubles"]["slices"]["new to the model"]
    interval = f"{100 * new['low']:.1f} to {100 * new['high']:.1f}"
    assert slices["new to the model"] == ["45", f"{percent(new['accuracy'])} {interval}"]
    epochs = tables["Training curves"]
    assert epochs[1:] == [
        ["0.50", "1", "training", "1.2500", "", ""],
        ["1.00", "2", "training", "0.7500", "", ""],
        ["1.00", "2", "validation", "0.8000", "50.0 %", "45.0 %"],
    ]
    assert made["printed"].strip().endswith("index.html.")


def test_the_confusion_is_that_of_the_answers(made):
    expected = [[0] * 3 for _ in LABELS]
    for row in made["answers"]:
        expected[LABELS.index(row["true_label"])][LABELS.index(row["label"])] += 1
    assert made["metrics"]["confusion"] == expected
    shown = [[int(cell) for cell in row[1:]] for row in made["seen"].tables["Confusion matrix"][1:]]
    assert shown == expected
    assert len({tuple(row) for row in expected}) == 3  # else rows could be columns


def test_slices_equal_a_plain_loop(made):
    slices = made["metrics"]["slices"][ONLY_TASK]
    right = [row["label"] == row["true_label"] for row in made["answers"]]
    agree = [row["text_label"] == row["image_label"] if row["text_label"] else None for row in made["rows"]]
    found = slices["agreement"]["slices"]
    assert found["they agree"]["n"] == agree.count(True)
    assert found["they agree"]["right"] == sum(r for r, a in zip(right, agree, strict=True) if a)
    assert found["not known of both"]["n"] == 1
    assert sum(row["n"] for row in found.values()) == POSTS
    wordless = slices["length"]["slices"]["no words"]
    assert (wordless["n"], wordless["right"]) == (1, right[9])
    assert sum(row["n"] for row in slices["length"]["slices"].values()) == POSTS


def test_planted_doubles_are_found(made):
    found = {post["id"]: [other["as"] for other in post["like"]] for post in made["report"]["doubles"]["posts"]}
    assert found == {
        f"validation-{BY_WORDS}": ["the same text as"],
        f"validation-{NEARLY}": ["nearly the same text as"],
        f"validation-{BY_PICTURE}": ["the same picture as"],
    }
    by_picture = made["report"]["doubles"]["posts"][2]
    assert by_picture["labels"] == {ONLY_TASK: made["rows"][BY_PICTURE]["label"]}
    [other] = by_picture["like"]
    assert (other["row"], other["id"]) == (23, "train-22") and len(other["labels"]["label"]) == 1
    right = [row["label"] == row["true_label"] for row in made["answers"]]
    doubled = [right[place] for place in (BY_WORDS, NEARLY, BY_PICTURE)]
    slices = made["metrics"]["slices"][ONLY_TASK]["doubles"]["slices"]
    assert (slices["doubled in training"]["n"], slices["doubled in training"]["right"]) == (3, sum(doubled))
    assert slices["new to the model"]["right"] == sum(right) - sum(doubled)
    assert "3 of 48 posts share their words or their picture" in made["seen"].text


def test_the_surest_mistakes_are_the_surest_and_mistakes(made):
    wrong = [row for row in made["answers"] if row["label"] != row["true_label"]]
    wrong.sort(key=lambda row: -row[f"score_{row['label']}"])
    of_task = made["report"]["tasks"][ONLY_TASK]
    assert of_task["mistakes"] == len(wrong) > 24
    shown = of_task["surest_mistakes"]
    assert [post["confidence"] for post in shown] == pytest.approx(
        [row[f"score_{row['label']}"] for row in wrong[:24]]
    )
    texts = {row["id"]: row["text"] for row in made["rows"]}
    for post in shown:
        assert post["text"] == texts[post["id"]] and post["answer"] != post["label"]


def test_each_shown_post_has_its_own_picture(made):
    """Small, inside the page, and the right one: mistakes under a map, others by themselves."""
    of_task = made["report"]["tasks"][ONLY_TASK]
    under_maps = dict(re.findall(r'<image id="picture-(\d+)" href="(data:image/jpeg;base64,[^"]+)"', made["page"]))
    with_pictures = {post["place"] for post in of_task["surest_mistakes"]} - {8}
    assert set(map(int, under_maps)) == with_pictures and len(with_pictures) >= 23
    by_themselves = re.findall(r'<img src="(data:image/jpeg;base64,[^"]+)"', made["page"])
    others = [post["place"] for post in of_task["label_issues"]["posts"] + made["report"]["doubles"]["posts"]]
    others = [place for place in others if place != 8]
    assert len(by_themselves) == len(others) > 0
    for place, address in [*under_maps.items(), *zip(others, by_themselves, strict=True)]:
        with Image.open(io.BytesIO(_decoded(address))) as shown:
            assert shown.format == "JPEG"
            difference = np.asarray(shown, int) - np.asarray(draw(int(place)), int)
        assert np.abs(difference).mean() < 20, place  # of two drawings about 85


def test_mistakes_have_the_map_and_the_shares_of_an_explanation(made, checkpoint, data):
    posts = made["report"]["tasks"][ONLY_TASK]["surest_mistakes"]
    explained = {
        found.id: found
        for found in explain(checkpoint, data=data, split="validation", limit=POSTS, attributions=False)
    }
    cards = made["page"].split('<figure class="post">')[1 : 1 + len(posts)]
    for post, card in zip(posts, cards, strict=True):
        found = explained[post["id"]]
        importance, [answer] = found.maps["importance"], found.answers
        if importance.patches is not None:
            cells = re.findall(r"<title>([^<]*)</title>", card)
            rows, columns = importance.patches.shape
            assert len(cells) == rows * columns
            strongest = max(np.ndindex(rows, columns), key=lambda at: importance.patches[at])
            share = f"{100 * importance.patches[strongest]:.1f}"
            assert f"row {strongest[0] + 1}, column {strongest[1] + 1}: {share} %" in cells
        if importance.words is not None:
            shown = re.findall(r'<span class="word more" style="--w: (\d+)%"', card)
            weights = [round(100 * value / importance.words.max()) for value in importance.words]
            assert [int(weight) for weight in shown] == pytest.approx(weights, abs=1)
        if importance.patches is not None and importance.words is not None:
            assert post["shares"] == {"label": post["answer"], **answer.shares}
            assert f"moved by the words {answer.shares['words']:+.3g}".replace("-", "\u2212") in card
        else:
            assert "shares" not in post
    assert "Maps of importance" in made["seen"].text


def test_a_model_without_maps_shows_pictures_alone(text_encoder_dir, image_encoder_dir, processor, data, tmp_path):
    torch.manual_seed(0)
    model = BaselineForImageTextClassification.from_encoders(
        text_encoder_dir, image_encoder_dir, id2label=dict(enumerate(LABELS))
    )
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    evaluate(str(tmp_path / "model"), data, "validation", report=str(tmp_path / "page"), use_cpu=True)
    page = (tmp_path / "page" / "index.html").read_text()
    report = json.loads((tmp_path / "page" / "report.json").read_text())
    both = [post for post in report["tasks"][ONLY_TASK]["surest_mistakes"] if post["place"] not in (8, 9)]
    assert both and all(set(post["shares"]) == {"label", "words", "picture"} for post in both)
    assert 'class="cells"' not in page and "Maps of" not in page and "moved by the words" in page


def _decoded(address: str) -> bytes:
    import base64

    return base64.b64decode(address.partition(",")[2])


def test_posts_and_labels_are_words_and_never_markup(made):
    seen = made["seen"]
    assert not {"script", "iframe", "link"} & set(seen.tags)
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    assert "<b>glad</b>" in seen.text and "sad & low" in seen.text
    assert "&lt;b&gt;glad&lt;/b&gt;" in made["page"] and "<b>glad</b>" not in made["page"]
    shown = (
        made["report"]["tasks"][ONLY_TASK]["surest_mistakes"]
        + made["report"]["tasks"][ONLY_TASK]["label_issues"]["posts"]
    )
    assert (ATTACK in seen.text) == any(post["id"] == "validation-7" for post in shown)


def test_words_of_an_attack_are_shown_as_they_are():
    seen = Page(report_page(*ten_posts("<i>x</i>", text=ATTACK)))
    assert ATTACK in seen.text and "<i>x</i>" in seen.text
    assert "script" not in seen.tags and "i" not in seen.tags and "img" not in seen.tags


def test_plots_have_the_colours_of_the_theme(made):
    drawn = re.findall(r'<div class="plot">(<svg.*?</svg>)', made["page"], re.DOTALL)
    assert len(drawn) == 7
    assert not [colour for plot in drawn for colour in re.findall(r": (#[0-9a-f]{6})\b", plot)]


def test_the_page_fetches_nothing(made):
    addresses = [
        value for _, name, value in made["seen"].attributes if name in ("src", "href", "xlink:href", "srcset")
    ]
    assert addresses and all(value.startswith(("data:", "#")) for value in addresses)
    used = re.findall(r"url\(([^)]*)\)", made["page"])
    assert all(value.strip("'\"").startswith("#") for value in used)
    assert "@import" not in made["page"]
    # What is left are names of XML vocabularies, which nobody fetches.
    assert set(re.findall(r"https?://[^\s\"'<]+", made["page"])) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    assert len(made["page"]) < 3_000_000


def ten_posts(label: str, **how) -> tuple:
    """A made-up report."""
    names, truth, answers = [label, "sad"], np.arange(10) % 2, np.array([0, 1, 1, 1, 0, 1, 0, 0, 0, 1])
    figures = ImageTextMetrics(names).compute(predictions=answers, references=truth)
    flags = np.eye(2, dtype=bool)
    return made_up(figures, {ONLY_TASK: made_up_part(names, flags[truth], flags[answers], False)}, **how)


def test_what_is_not_known_is_said():
    seen = Page(report_page(*ten_posts("glad", learnt_from=True)))
    for sentence in (
        "The model reads one side only",
        "These posts were learnt from",
        "Not looked at: the data have no training part beside this one.",
        "No log of the training lies beside the checkpoint.",
        "no picture",
    ):
        assert sentence in seen.text, sentence
    assert {row[0]: row[1] for row in seen.tables["Figures by label"]} == {
        "label": "posts",
        "glad": "5 †",
        "sad": "5 †",
    }


def test_against_the_same_answers_nothing_moved(made, checkpoint, data, tmp_path, capsys):
    words = [
        "evaluate",
        checkpoint,
        "--data",
        data,
        "--split",
        "validation",
        "--use-cpu",
        "--report",
        tmp_path / "page",
    ]
    code, out, _ = call(capsys, *words, "--against", made["folder"] / "metrics.json", "--json")
    assert code == 0
    figures = json.loads(out)
    assert figures["against"]["paired"] and figures["against"]["moved"] == 0
    assert {line["old"] - line["new"] for line in figures["against"]["lines"]} == {0}
    assert {line["slicing"] for line in figures["against"]["lines"] if "slicing" in line} == {
        "length", "agreement", "doubles",
    }  # fmt: skip
    for name in ("accuracy", "macro_f1", "confusion", "per_class", "slices"):
        assert figures[name] == made["metrics"][name]
    seen = Page((tmp_path / "page" / "index.html").read_text())
    shown = seen.tables["What moved since before"]
    for line, row in zip(figures["against"]["lines"], shown[1:], strict=True):
        assert row[0].endswith(line["name"]) and row[2:4] == [percent(line["old"])] * 2
    assert "The posts are the same: the two are compared post by post." in seen.text


def test_against_others_with_posts_that_were_learnt_from(made, checkpoint, data, tmp_path, capsys):
    """Against figures of other posts, of which every answer was right."""
    shutil.copytree(checkpoint, tmp_path / "learnt")
    (tmp_path / "learnt" / "run.json").write_text(json.dumps({"train_fingerprint": made["metrics"]["fingerprint"]}))
    n = made["metrics"]["n"]
    better = dict(made["metrics"], accuracy=1.0, confusion=[[n, 0, 0], [0, n, 0], [0, 0, n]], n=3 * n)
    row = {"n": 90, "right": 90, "accuracy": 1.0}
    slices = {ONLY_TASK: {"length": {"by": "words", "edges": [8], "slices": {"9 or more words": row}}}}
    better |= {"fingerprint": "of others", "split": "test", "slices": slices}
    (tmp_path / "old.json").write_text(json.dumps(better))
    words = ["evaluate", tmp_path / "learnt", "--data", data, "--split", "validation", "--use-cpu"]
    words += ["--against", tmp_path / "old.json", "--report", tmp_path / "page", "--output", tmp_path / "new.json"]
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert "* all posts, accuracy" in out and "The posts are not the same" in out
    assert "Another part: test before, validation now." in out
    assert re.search(r"\d of \d+ lines moved beyond noise \(\*\): p <= 0.05 after Holm's correction", out)
    assert re.search(r"no words +1 ", out)
    [line] = [
        line for line in json.loads((tmp_path / "new.json").read_text())["against"]["lines"] if "slicing" in line
    ]
    assert line["name"] == "9 or more words" and line["n_old"] == 90
    assert line["n_new"] == sum(len(row["text"].split()) > 8 for row in made["rows"])
    assert json.loads((tmp_path / "page" / "report.json").read_text())["tasks"][ONLY_TASK]["label_issues"] is None


@pytest.mark.parametrize("labelled", [False, True])
def test_without_labels_of_the_sides_the_models_own_answers_serve(labelled):
    """Five posts, of which the last has one side only; with columns of labels of which no post has both."""
    flags = np.eye(2, dtype=bool)
    names = ["glad", "sad"]
    whole = made_up_part(names, flags[[0, 1, 0, 1, 0]], flags[[0, 0, 0, 1, 1]], False)
    one = made_up_part(names, flags[[0, 1, 0, 1]], flags[[0, 1, 0, 1]], False)
    other = made_up_part(names, flags[[0, 1, 0, 1]], flags[[0, 0, 1, 1]], False)
    columns = {"text": ["a b"] * 5}
    if labelled:
        columns |= {"label": [0] * 5, "text_label": [0, None, 1, None, 0], "image_label": [None, 1, None, None, None]}
    sides = {"text": {ONLY_TASK: one}, "image": {ONLY_TASK: other}}
    part = EvaluatedPart(Dataset.from_dict(columns), list("abcde"), {ONLY_TASK: whole}, sides)
    found = part.slicings(ONLY_TASK)["agreement"]
    assert found.by == "the model's own answers to one side alone"
    assert [found.names[place] for place in found.place] == [
        "the same answer", "different answers", "different answers", "the same answer", "one side only",
    ]  # fmt: skip


def made_up_part(names: list[str], truth: np.ndarray, answers: np.ndarray, several: bool) -> AnsweredPosts:
    return AnsweredPosts(names, several, np.arange(len(truth)), truth, answers, np.where(answers, 0.9, 0.1))


def test_several_labels_a_post_are_counted_label_by_label():
    rng = np.random.default_rng(0)
    truth, names = rng.random((40, 2)) < 0.5, ["glad", "sad"]
    answers = truth ^ (rng.random((40, 2)) < 0.2)
    posts = made_up_part(names, truth, answers, several=True)
    figures = ImageTextMetrics(names, "multilabel").compute(
        predictions=answers.astype(int), references=truth.astype(int)
    )
    seen = Page(report_page(*made_up(figures, {ONLY_TASK: posts})))
    rows = {row[0]: row[1:] for row in seen.tables["Confusion by label"][1:]}
    for place, label in enumerate(names):
        true, given = truth[:, place].tolist(), answers[:, place].tolist()
        pairs = list(zip(true, given, strict=True))
        counts = [pairs.count(kind) for kind in ((True, True), (False, True), (True, False), (False, False))]
        assert rows[label] == [str(count) for count in counts]
    assert "Confusion matrix" not in seen.tables


def test_each_task_has_its_section():
    truth, answers = np.eye(2, dtype=bool)[np.arange(10) % 2], np.eye(2, dtype=bool)[np.arange(10) % 3 % 2]
    parts = {task: made_up_part([f"{task} a", f"{task} b"], truth, answers, False) for task in ("mood", "<i>want</i>")}
    tasks = {}
    for task, posts in parts.items():
        predictions, references = (flags.argmax(axis=1) for flags in (answers, truth))
        found = ImageTextMetrics(posts.labels).compute(predictions=predictions, references=references)
        tasks[task] = found | {"labels": posts.labels}
    means = {name: tasks["mood"][name] for name in ("accuracy", "macro_f1", "weighted_f1", "majority_accuracy", "n")}
    seen = Page(report_page(*made_up(means | {"tasks": tasks}, parts)))
    assert seen.tags.count("h2") == 2 + 2 and seen.text.count("The surest mistakes") == 2
    assert "<i>want</i> a" in seen.text and "i" not in seen.tags
    assert seen.tables["Means over tasks"][1] == [
        "10 posts",
        *(percent(means[n]) for n in ("accuracy", "macro_f1", "weighted_f1")),
    ]


def made_up(figures: dict, parts: dict[str, AnsweredPosts], text: str = "a day", learnt_from: bool = False) -> tuple:
    """A report of posts without pictures, sides, doubles and log, its pictures and its maps."""
    n = len(next(iter(parts.values())).places)
    rows = Dataset.from_dict({"id": [f"p{place}" for place in range(n)], "text": [text] * n})
    part = EvaluatedPart(rows, rows["id"][:], parts, None)
    slices = {
        task: {name: slicing.figures(posts.right) for name, slicing in part.slicings(task).items()}
        for task, posts in parts.items()
    }
    known = {"split": "test", "fingerprint": "f", "model": "text", "checkpoint": "c", "data": "d", "command": None}
    figures = figures | known | {"slices": slices, "calibration": {"tasks": {}}}
    return error_report(part, figures, None, learnt_from), {}, {}


def test_a_wrong_call_is_one_sentence(made, checkpoint, data, tmp_path, capsys, monkeypatch):
    words = ["evaluate", checkpoint, "--data", data, "--split", "validation", "--use-cpu"]
    assert "training_split must be given with report." in wrong_call(capsys, *words, "--training-split", "train")
    report = ["--report", tmp_path / "page"]
    assert "must not be given with calibrate" in wrong_call(capsys, *words, *report, "--calibrate")
    sentence = f"training_split must be another part of {data} than validation, got dev."
    assert sentence in wrong_call(capsys, *words, *report, "--training-split", "dev")
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty and holds no earlier report" in wrong_call(capsys, *words, "--report", tmp_path)
    assert "must be a folder" in wrong_call(capsys, *words, "--report", tmp_path / "notes.txt")
    assert "must be a metrics.json" in wrong_call(capsys, *words, "--against", tmp_path / "notes.txt")
    other = dict(made["metrics"], per_class={"one": {}, "two": {}})
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert "must be of the same labels" in wrong_call(capsys, *words, "--against", tmp_path / "other.json")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        CallError, match=r'needs matplotlib and cleanlab, not installed here: pip install "duosent\[report\]"'
    ):
        evaluate(checkpoint, data, "validation", report=str(tmp_path / "page"))
    assert not (tmp_path / "page").exists()


def test_posts_that_are_looked_into_are_read_once(checkpoint, data, made, monkeypatch):
    load, sources = classification_task.load_pairs, []

    def noted(source, **columns):
        sources.append(source)
        return load(source, **columns)

    monkeypatch.setattr(classification_task, "load_pairs", noted)
    figures = evaluate(checkpoint, data, "validation", slices=True, use_cpu=True)
    assert sources == [data]
    assert figures["fingerprint"] == made["metrics"]["fingerprint"]
    with pytest.raises(CallError, match="has no dev part, only train, validation"):
        evaluate(checkpoint, data, "dev", slices=True, use_cpu=True)


@pytest.fixture(scope="module")
def page_file(made, pytestconfig) -> Path:
    """The page that the browser opens: this one, or that of another checkpoint for docs/."""
    checkpoint = pytestconfig.getoption("report_checkpoint")
    if checkpoint is None:
        return made["folder"] / "page" / "index.html"
    folder = made["folder"] / "other"
    evaluate(checkpoint, read_run(checkpoint)["data"], "validation", report=str(folder), use_cpu=True)
    return folder / "index.html"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_it_in_both_themes(page_file, theme, pytestconfig, tmp_path):
    from browser import open_browser

    with open_browser() as browser:
        page = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme).new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(page_file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        widths = page.evaluate(
            "[...document.querySelectorAll('.plot svg')].map(plot => plot.getBoundingClientRect().width)"
        )
        assert len(widths) >= 7 and all(200 < width <= 390 for width in widths)
        ink, ground = (
            page.evaluate(f"getComputedStyle({element}).{property}")
            for element, property in (
                ("document.querySelector('.plot svg text')", "fill"),
                ("document.body", "backgroundColor"),
            )
        )
        bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) > 384 for colour in (ink, ground)]
        assert bright == ([False, True] if theme == "light" else [True, False])
        shown = "[...document.querySelectorAll('.post img')].every(image => image.naturalWidth > 0)"
        page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        page.wait_for_function(shown)
        assert not errors and all(url.startswith(("file:", "data:")) for url in asked)
        folder = Path(pytestconfig.getoption("screenshots") or tmp_path)
        if theme == "light":
            page.set_viewport_size({"width": 1000, "height": SHOT})
            file = folder / "error-report-light.png"
            page.screenshot(path=file)
            with Image.open(file) as picture:
                picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
            assert file.stat().st_size < 300_000
