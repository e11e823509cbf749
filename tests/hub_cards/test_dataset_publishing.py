"""Prepared posts to a Hub on this machine, and back from there in other processes."""

import hashlib
import itertools
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import call, wrong_call
from datasets import ClassLabel, Dataset, Features, Image, Value
from huggingface_hub import DatasetCard
from made_runs import code_blocks
from PIL import Image as Pictures

from duosent.data.audit import audit
from duosent.data.description import describe
from duosent.hub_cards.card_page import is_ours
from duosent.hub_cards.dataset_publishing import publish_dataset
from duosent.hub_cards.sending import PublishError

FEATURES = Features(
    {
        "id": Value("string"),
        "text": Value("string"),
        "image": Image(),
        "mood": ClassLabel(names=["sad: [1]", "glad", "never"]),
        "likes": Value("int32"),
    }
)
SECRET = "words of somebody"
FILES = {"train-00000-of-00002": 3, "train-00001-of-00002": 2, "dev": 2, "test": 1}
ON_THE_HUB = {
    *("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"),
    *("data/validation-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
    *("README.md", "dataset.json"),
}
READ = """
import hashlib, json, sys
from datasets import Image, load_dataset
from duosent import load_pairs

def plain(row, picture):
    content = row[picture] and row[picture]["bytes"]
    return row | {picture: content and hashlib.sha256(content).hexdigest()}

source, name, folder = sys.argv[1], "anna/posts", sys.argv[2]
loaded = load_dataset(name)
undecoded = loaded.cast_column("image", Image(decode=False))
said = {
    "features": str(dict(sorted(next(iter(loaded.values())).features.items()))),
    "rows": {split: [plain(row, "image") for row in rows] for split, rows in undecoded.items()},
}
for title, where, streaming in (("here", source, False), ("hub", name, False), ("streamed", name, True)):
    pairs = load_pairs(where, label_column="mood", streaming=streaming)
    said[title] = {split: [plain(row, "image") for row in rows] for split, rows in pairs.items()}
    said[title]["labels"] = pairs["train"].features["label"].names
for number, snippet in enumerate(json.loads(sys.argv[3])):
    exec(snippet, {})
print(json.dumps(said))
"""


def picture(number: int, folder: Path) -> bytes:
    file = folder / "drawn.png"
    Pictures.new("RGB", (8 + number, 8), (30 * number, 90, 10)).save(file)
    content = file.read_bytes()
    file.unlink()
    return content


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Eight posts, and things in their folder that are nobody else's business."""
    folder, numbers = tmp_path_factory.mktemp("prepared") / "posts", itertools.count()
    folder.mkdir()
    for name, count in FILES.items():
        rows = []
        for number in itertools.islice(numbers, count):
            image = None if number == 1 else {"bytes": picture(number, folder.parent), "path": f"{number}.png"}
            text = None if number == 2 else f"{SECRET} {number}"
            rows.append({"id": f"n{number}", "text": text, "image": image, "mood": number % 2, "likes": number})
        Dataset.from_list(rows, features=FEATURES).to_parquet(folder / f"{name}.parquet")
    parts = {"train": {"rows": 5}, "validation": {"rows": 2}, "test": {"rows": 1}}
    record = {"source": "by hand", "options": {"split_files": [f"{folder}/x.json"]}, "parts": parts, "files": ["x"]}
    (folder / "dataset.json").write_text(json.dumps(record | {"published_files": {str(folder / "raw"): [1, 2]}}))
    shutil.copyfile(folder / "test.parquet", folder / "rejected.parquet")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "photo.jpg").write_bytes(b"a picture")
    (folder / "model.pt").write_bytes(pickle.dumps("anything"))
    (folder.parent / "anything").write_text("")
    (folder / "secret.txt").symlink_to(folder.parent / "anything")
    return folder


@pytest.fixture
def copied(prepared, tmp_path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "posts", symlinks=True))


def commits(hub: Path) -> list[dict]:
    file = hub / "commits.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_the_way_to_the_hub_and_back(prepared, start_hub, tmp_path):
    hub = start_hub(tmp_path / "hub")
    words = [sys.executable, "-m", "duosent", "publish", "--dataset", str(prepared), "posts", "--json"]
    words += ["--license", "cc-by-4.0", "--language", "en", "--message", "Posts of ours"]
    done = subprocess.run(words, env=hub, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result, there = json.loads(done.stdout), tmp_path / "hub" / "datasets" / "anna" / "posts"
    assert names(there) == set(result["files"]) == ON_THE_HUB
    assert commits(tmp_path / "hub") == [{"summary": "Posts of ours", "files": sorted(ON_THE_HUB)}]
    assert result["repo_id"] == "anna/posts" and result["url"].endswith("/datasets/anna/posts")
    assert all((there / name).stat().st_size == size for name, size in result["files"].items())
    sent = [there / f"data/train-0000{n}-of-00002.parquet" for n in (0, 1)]
    assert [file.read_bytes() for file in sent] == [
        (prepared / f"train-0000{n}-of-00002.parquet").read_bytes() for n in (0, 1)
    ]
    assert json.loads((there / "dataset.json").read_text()) == {
        "source": "by hand",
        "options": {"split_files": ["x.json"]},
        "parts": {
            "train": {"rows": 5, "files": [f"data/{file.name}" for file in sent]},
            "validation": {"rows": 2, "files": ["data/validation-00000-of-00001.parquet"]},
            "test": {"rows": 1, "files": ["data/test-00000-of-00001.parquet"]},
        },
        "files": [
            *(f"data/{file.name}" for file in sent),
            *("data/validation-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ],
    }
    text = (there / "README.md").read_text()
    card = DatasetCard.load(there / "README.md")
    assert (card.data.license, card.data.language) == ("cc-by-4.0", ["en"]) and is_ours(text)
    assert SECRET not in text and str(prepared.parent) not in text and "by hand" in text

    snippets = code_blocks(text, "python")
    assert len(snippets) == 2 and all(snippet.count("\n") == 4 for snippet in snippets)
    words = [sys.executable, "-c", READ, str(prepared), str(tmp_path), json.dumps(snippets)]
    done = subprocess.run(words, env=hub, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert done.stdout.count("DatasetDict") == 2  # what the snippets print
    assert said["features"] == str(dict(sorted(FEATURES.items())))
    assert said["hub"] == said["here"] == said["streamed"] and said["here"]["labels"] == FEATURES["mood"].names
    expected = {}
    for name in FILES:
        split = {"dev": "validation"}.get(name, name.split("-")[0])
        for row in pq.read_table(prepared / f"{name}.parquet").to_pylist():
            content = row["image"] and hashlib.sha256(row["image"]["bytes"]).hexdigest()
            expected.setdefault(split, []).append(row | {"image": content})
    assert said["rows"] == expected and list(said["rows"]) == ["train", "validation", "test"]


def test_a_dry_run_sends_nothing_and_says_what_would_go(prepared, hub, capsys):
    words = ("publish", "--dataset", prepared, "anna/posts", "--dry-run", "--private")
    code, out, _ = call(capsys, *words, "--json")
    result = json.loads(out)
    assert code == 0 and set(result["files"]) == ON_THE_HUB and "url" not in result
    assert result["files"]["data/test-00000-of-00001.parquet"] == (prepared / "test.parquet").stat().st_size
    assert result["kept"] == {
        "model.pt": "a pickle, which can run code when it is read",
        "pictures/photo.jpg": "not on the list of what is published",
        "rejected.parquet": "of prepare or audit, rows that are not of the data",
        "secret.txt": "a link, which may lead to anything",
    }
    code, out, _ = call(capsys, *words)
    assert code == 0 and "Nothing was sent to anna/posts: a dry run." in out
    assert "secret.txt" in out and "stays here: a link" in out
    assert list(hub.parent.glob("hub/*")) == []


def test_what_write_clean_left(hub, tmp_path):
    """It has no dataset.json."""
    (tmp_path / "posts.csv").write_text("text,image,label\none,,a\ntwo,,b\n")
    audit(tmp_path / "posts.csv", tmp_path / "clean")
    result = publish_dataset(describe(tmp_path / "clean"), "anna/clean", license="mit")
    assert set(result["files"]) == {"README.md", "data/train-00000-of-00001.parquet"}
    assert set(result["kept"]) == {"removed.parquet"} and names(hub / "datasets/anna/clean") == set(result["files"])
    assert "Source: not stated" in (hub / "datasets/anna/clean/README.md").read_text()


def test_posts_of_people_need_a_license_or_stay_private(copied, hub, capsys):
    message = wrong_call(capsys, "publish", "--dataset", copied, "anna/posts", "--dry-run")
    assert message == (
        f"duosent publish: The license of {copied} must be said, for posts are people's: give --license, or --private "
        "to publish them for yourself alone.\n"
    )
    publish_dataset(describe(copied), "anna/hidden", private=True)
    assert "license_name: not-stated" in (hub / "datasets/anna/hidden/README.md").read_text()
    (copied / "dataset.json").write_text(json.dumps({"license": "mit"}))
    publish_dataset(describe(copied), "anna/open")
    assert "license: mit" in (hub / "datasets/anna/open/README.md").read_text()
    assert names(hub / "datasets/anna/open") == ON_THE_HUB and len(commits(hub)) == 2

    # What is to be private does not go where everybody sees it.
    with pytest.raises(PublishError, match="^anna/open is public on the Hub already: make it private in its settings"):
        publish_dataset(describe(copied), "anna/open", private=True)
    publish_dataset(describe(copied), "anna/hidden", private=True)
    assert len(commits(hub)) == 3


def test_nothing_of_an_earlier_time_is_read_with_the_new_parts(copied, hub, capsys):
    publish_dataset(describe(copied), "anna/posts", license="mit")
    there = hub / "datasets/anna/posts"
    (there / "notes.md").write_text("of a person")
    for name in ("train-00001-of-00002.parquet", "dev.parquet", "dataset.json"):
        (copied / name).unlink()
    result = publish_dataset(describe(copied), "anna/posts", license="mit")
    assert result["removed"] == [
        *("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"),
        *("data/validation-00000-of-00001.parquet", "dataset.json"),
    ]
    left = {"README.md", "notes.md", "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"}
    assert names(there) == left
    # Its own card, read back from there, is no person's.
    again = call(capsys, "publish", "--dataset", there, "anna/again", "--license", "mit", "--json")
    assert again[0] == 0 and json.loads(again[1])["kept"] == {"notes.md": "not on the list of what is published"}
    assert (there / "data/test-00000-of-00001.parquet").read_bytes() == (copied / "test.parquet").read_bytes()


def test_a_card_that_a_person_wrote_goes_as_it_is(copied, hub, capsys):
    own = "---\nlicense: cc-by-4.0\n---\n# My own words\n"
    (copied / "README.md").write_text(own)
    publish_dataset(describe(copied), "anna/posts")
    assert (hub / "datasets/anna/posts/README.md").read_text() == own
    capsys.readouterr()  # the bars
    words = ("publish", "--dataset", copied, "anna/posts", "--dry-run")
    for more in (["--license", "mit"], ["--language", "en"]):
        message = wrong_call(capsys, *words, *more)
        assert "README.md was written by a person and is kept: say license and language there." in message
    (copied / "README.md").write_text("# My own words\n")
    assert "The license of" in wrong_call(capsys, *words)
    (copied / "README.md").write_text("---\nlicense: [\n---\n")
    assert "README.md: its metadata must be YAML between two lines of ---: " in wrong_call(capsys, *words)


def test_the_answers_of_questions_go_with_them(vqa_data, tmp_path):
    folder = shutil.copytree(vqa_data, tmp_path / "vqa")
    result = publish_dataset(describe(folder), "anna/vqa", dry_run=True, license="cc-by-4.0")
    assert "answers.json" in result["files"] and result["kept"] == {}
    (folder / "test.parquet").unlink()
    for part in ("train", "validation"):  # posts now, and the file is anything
        table = pq.read_table(folder / f"{part}.parquet").drop_columns(["answer_ids"])
        pq.write_table(table, folder / f"{part}.parquet")
    result = publish_dataset(describe(folder), "anna/vqa", dry_run=True, license="cc-by-4.0")
    assert result["kept"] == {"answers.json": "not on the list of what is published"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--dataset", "DIR", "anna/b/c", "--private"], "repo_id must be owner/name on the Hub, got 'anna/b/c'."),
        (["--dataset", "nowhere", "anna/b", "--private"], "There is no folder nowhere."),
        (["--dataset", "CHECKPOINT", "anna/b"], "is a checkpoint (it holds config.json): leave --dataset away."),
        (["DIR", "anna/b"], "holds posts, and no checkpoint: give --dataset to publish them."),
        (
            ["CHECKPOINT", "anna/b", "--license", "mit"],
            "--license has no meaning without --dataset; duosent card --write says it of a model.",
        ),
        (["CHECKPOINT", "anna/b", "--label", "mood"], "--label has no meaning without --dataset."),
        (["--dataset", "DIR", "anna/b", "--license", "mit", "--label", "mod"], "has no column mod (label), only id, "),
        (["--dataset", "DIR", "anna/b", "--license", "mit", "--image-column", "photo"], "has no column photo (image)"),
        (["--dataset", "DIR", "anna/b", "--license", " "], "license must be text with a character that can be seen"),
        (["--dataset", "DIR", "anna/b", "--private", "--language", "English"], "languages must be ISO 639 codes such"),
    ],
)
def test_wrong_calls(prepared, tmp_path, capsys, words, sentence):
    (tmp_path / "config.json").write_text("{}")
    places = {"DIR": prepared, "CHECKPOINT": tmp_path}
    message = wrong_call(capsys, "publish", *(places.get(word, word) for word in words))
    assert sentence in message and message.startswith("duosent publish: ")


def test_help_explains_both(capsys):
    code, out, _ = call(capsys, "publish", "--help")
    text = " ".join(out.split())
    assert code == 0 and "FOLDER REPO_ID" in text
    assert "Of a checkpoint weights" in text and "Of a data set the parts" in text


@pytest.mark.slow
def test_a_broken_connection_goes_on(prepared, start_hub, tmp_path):
    """The third large file never arrives; the next call sends those alone that are missing."""
    words = [sys.executable, "-m", "duosent", "publish", "--dataset", str(prepared), "anna/posts", "--private"]
    done = subprocess.run(words, env=start_hub(tmp_path / "hub", takes=2), capture_output=True, text=True)
    assert done.returncode == 1 and "the same command goes on with it" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and commits(tmp_path / "hub") == []
    arrived = {file: file.stat().st_mtime_ns for file in (tmp_path / "hub" / "lfs").iterdir()}
    assert len(arrived) == 2
    done = subprocess.run(words, env=start_hub(tmp_path / "hub"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(file.stat().st_mtime_ns == moment for file, moment in arrived.items())
    assert len(commits(tmp_path / "hub")) == 1
    assert names(tmp_path / "hub" / "datasets" / "anna" / "posts") == ON_THE_HUB
