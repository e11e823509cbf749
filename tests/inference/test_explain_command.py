"""`duosent explain` as a person and a program call it."""

import json

import pytest
from commands import call, wrong_call
from explained import model_of, picture

from duosent.inference.explanation import Explanation


@pytest.fixture(scope="module")
def checkpoint(tokenizer, processor, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("runs") / "radm")
    model_of("radm", tokenizer).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    picture().save(folder / "photo.png")
    rows = [{"id": "a/1", "text": "good sun", "image": "photo.png"}, {"id": "a:1", "text": "bad rain", "image": None}]
    rows.append({"id": "c", "text": None, "image": "gone.png"})
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def test_one_post(capsys, checkpoint, table, tmp_path):
    page, maps = tmp_path / "new" / "page.html", tmp_path / "maps"
    words = ["explain", checkpoint, "--text", "so very good", "--image", f"{table}/photo.png", "--output", page]
    code, out, _ = call(capsys, *words, "--maps", maps, "--json")
    result = json.loads(out)
    [post] = result["posts"]
    [answer] = post["answers"]
    loaded = Explanation.load(maps)
    assert code == 0 and answer["scores"] == loaded.answers[0].scores
    assert answer["attributions"]["gap"] == pytest.approx(
        0, abs=0.01 * abs(answer["attributions"]["difference"]) + 1e-4
    )
    assert list(loaded.maps) == ["alignment", "attributions"] and (maps / "alignment.png").is_file()
    assert "so very good" in page.read_text(encoding="utf-8")
    code, out, _ = call(capsys, *words, "--attribution-tolerance", "1", "--json")
    [coarse] = json.loads(out)["posts"][0]["answers"]
    assert code == 0 and coarse["attributions"]["steps"] == 16 < answer["attributions"]["steps"]
    code, out, _ = call(capsys, *words, "--no-attributions", "--label", "neutral")
    assert code == 0 and "neutral" in out and f"The page is {page}." in out
    assert "Attributions" not in page.read_text(encoding="utf-8")


def test_a_table(capsys, checkpoint, table, tmp_path):
    words = ["explain", checkpoint, "--data", table, "--output", tmp_path / "page.html", "--no-attributions"]
    code, out, err = call(capsys, *words, "--maps", tmp_path / "maps")
    assert code == 0 and "1 posts could not be read" in out and "100%" in err
    assert out.splitlines()[1].startswith("a/1") and out.splitlines()[2].startswith("a:1")
    assert sorted(folder.name for folder in (tmp_path / "maps").iterdir()) == ["1-a_1", "2-a_1"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<article") == 3 and "gone.png" in page and "This post has no picture." in page
    code, out, _ = call(capsys, *words, "--ids", "a:1", "--json")
    assert [post["id"] for post in json.loads(out)["posts"]] == ["a:1"]
    assert "which x is not" in wrong_call(capsys, *words, "--ids", "x")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--output is needed: the page to write."),
        (["--output", "p.html"], "give either --text and --image (or one of the two) or --data."),
        (["--output", "p.html", "--text", "a", "--data", "d"], "give either --text and --image"),
        (["--output", "p.html", "--text", "a", "--split", "test"], "--split belongs to a table: it needs --data."),
        (["--output", "p.html", "--text", "a", "--limit", "2"], "--limit belongs to a table: it needs --data."),
        (["--output", "p.html", "--data", "d", "--target", "a"], "--target belongs to one post"),
        (["--output", "p.html", "--data", "d", "--limit", "0"], "--limit must be >= 1, got 0."),
        (["--output", "p.html", "--image", "none.png"], "--image none.png is not a file."),
        (["--output", "p.png", "--text", "a"], "--output must be a file that ends in .html, got p.png."),
        (["--output", "p.html", "--text", "a", "--maps", __file__], f"--maps {__file__} is a file."),
        (
            ["--output", "p.html", "--text", "a", "--labels", "b"],
            "there is no argument --labels; did you mean --label?",
        ),
    ],
)
def test_a_wrong_call_is_one_sentence(capsys, words, sentence):
    assert sentence in wrong_call(capsys, "explain", "no-checkpoint", *words)


def test_what_is_no_checkpoint_and_no_label_of_it(capsys, checkpoint, tmp_path):
    words = ["--text", "good", "--output", tmp_path / "page.html"]
    assert "neither a folder with a checkpoint" in wrong_call(capsys, "explain", "no/such/folder", *words)
    sentence = wrong_call(capsys, "explain", checkpoint, *words, "--label", "glad")
    assert "label must be one of negative, neutral, positive, got 'glad'." in sentence
    sentence = wrong_call(capsys, "explain", checkpoint, *words, "--attribution-tolerance", "nan")
    assert "attribution_tolerance must be > 0 and <= 1, got nan." in sentence
    assert not (tmp_path / "page.html").exists()
