"""From published files to Parquet, killed on the way and not."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import trees
from datasets import Image
from PIL import Image as Picture

import duosent.data.prepare as prepare_module
import duosent.data.shards as shards_module
from duosent.cli import PUBLISHED, main
from duosent.data.pairs import load_pairs
from duosent.data.prepare import READERS, prepare
from duosent.data.reading import DataError


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rows_of(folder, part) -> list[dict]:
    return [row for path in sorted(folder.glob(f"{part}-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_msed_as_a_table(tmp_path):
    raw = trees.write_msed(tmp_path / "raw")
    card = prepare("msed", raw, tmp_path / "out")
    assert sorted(files(tmp_path / "out")) == [
        "dataset.json",
        "rejected.parquet",
        "test-00000-of-00001.parquet",
        "train-00000-of-00001.parquet",
        "validation-00000-of-00001.parquet",
    ]
    assert rows_of(tmp_path / "out", "train")[2] == {
        "id": "train-3",
        "text": "Desk Desk with a lamp",
        "image": {"bytes": trees.jpeg(3), "path": "3.jpg"},
        "title": "Desk",
        "caption": "Desk with a lamp",
        "sentiment": "neutral",
        "emotion": "neutral",
        "desire": "curiosity",
    }
    assert card == json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert card["name"] == "msed" and "title" in card["rule"] and "MSEDdataset/MSED" in card["source"]
    assert card["parts"]["train"]["rows"] == 3 and card["parts"]["train"]["rejected"] == 0
    assert card["parts"]["train"]["labels"]["sentiment"] == {"negative": 1, "neutral": 1, "positive": 1}
    assert len({part["fingerprint"] for part in card["parts"].values()}) == 3
    splits = load_pairs(str(tmp_path / "out"), label_column="sentiment")
    assert {part: len(posts) for part, posts in splits.items()} == {"train": 3, "validation": 1, "test": 2}
    assert splits["train"].features["image"] == Image(decode=False)


@pytest.mark.parametrize(
    ("name", "write", "options", "ids"),
    [
        ("twitter-2015", trees.write_twitter, {}, {"train": ["train-1", "train-2", "train-3"], "test": ["test-1"]}),
        (
            "twitter-2017",
            lambda folder: trees.write_twitter(folder, year=2017),
            {},
            {"train": ["train-1", "train-2", "train-3"], "validation": ["dev-1"]},
        ),
        (
            "mvsa-multiple",
            lambda folder: trees.write_mvsa(
                folder, [f"{row}\t" + "\t".join(["neutral,neutral"] * 3) for row in range(10)]
            ),
            {"fold": 2},
            {"train": None, "test": None},
        ),
        (
            "vqa-v2",
            lambda folder: trees.write_vqa(folder, {"train2014": {(1, 5): ["a dog"] * 10, (2, 4): ["no"] * 10}}),
            {"min_answer_count": 1},
            {"train": ["2", "1"]},
        ),
    ],
)
def test_every_other_set_is_read_by_load_pairs(tmp_path, name, write, options, ids):
    write(tmp_path / "raw")
    prepare(name, tmp_path / "raw", tmp_path / "out", **options)
    splits = load_pairs(str(tmp_path / "out"), label_column="answer_type" if name == "vqa-v2" else "label")
    for part, expected in ids.items():
        assert expected is None or splits[part]["id"] == expected
    if name == "vqa-v2":
        assert json.loads((tmp_path / "out" / "answers.json").read_text()) == ["dog", "no"]
        assert rows_of(tmp_path / "out", "train")[0]["answer_ids"] == [1]
    if name.startswith("twitter"):
        assert splits["train"]["target"] == ["Bob Lee", "win", "St Ives"]
    if name == "mvsa-multiple":
        assert {part: len(posts) for part, posts in splits.items()} == {"train": 8, "validation": 1, "test": 1}


def test_what_the_rule_drops_and_what_cannot_be_read_is_kept_apart(tmp_path, capsys):
    raw = trees.write_mvsa(tmp_path / "raw", trees.MVSA_SINGLE, texts={"6": b"caf\xe9"})
    (raw / "data" / "3.jpg").unlink()
    (raw / "data" / "5.jpg").write_bytes(b"")
    lists = trees.write_lists(tmp_path, train=[("1", 0), ("2", 0), ("3", 2), ("5", 1), ("6", 2)])
    out = tmp_path / "out"
    assert main(["prepare", "mvsa-single", str(raw), str(out), "--split-files", str(lists)]) == 0
    assert "3 rows cannot be read: rejected.parquet says why" in capsys.readouterr().out
    assert [row["id"] for row in rows_of(out, "train")] == ["1", "2"]
    rejected = pq.read_table(out / "rejected.parquet").to_pylist()
    assert [(row["split"], row["id"], row["image"]) for row in rejected] == [
        ("train", "3", "data/3.jpg"),
        ("train", "5", "data/5.jpg"),
        ("train", "6", None),
    ]
    assert rejected[0]["reason"] == "there is no file 3.jpg"
    assert rejected[1]["reason"].startswith("5.jpg cannot be read as a picture")
    assert rejected[2]["reason"].startswith("6.txt is not GB18030")
    assert pq.read_table(out / "dropped.parquet").to_pylist() == [
        {"id": "4", "reason": "in none of the published lists"}
    ]
    card = json.loads((out / "dataset.json").read_text())
    assert card["parts"]["train"]["rejected"] == 3 and card["dropped"] == {"in none of the published lists": 1}

    assert (
        main(["prepare", "mvsa-single", str(raw), str(tmp_path / "b"), "--split-files", str(lists), "--strict"]) == 1
    )
    assert "train, row 3: there is no file 3.jpg." in capsys.readouterr().err


def test_a_bomb_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(Picture, "MAX_IMAGE_PIXELS", 20)
    raw = trees.write_msed(tmp_path / "raw", {"train": trees.MSED["train"][:2]})
    (raw / "train" / "images" / "1.jpg").write_bytes(trees.jpeg(size=(4, 4)))
    card = prepare("msed", raw, tmp_path / "out")
    assert card["parts"]["train"]["rows"] == card["parts"]["train"]["rejected"] == 1
    [row] = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert row["id"] == "train-2" and "decompression bomb" in row["reason"]


def test_nothing_but_unreadable_rows_is_an_error(tmp_path):
    trees.write(tmp_path / "raw" / "train.tsv", "\n".join([trees.TWITTER_HEADER, *trees.TWITTER["train"]]))
    with pytest.raises(DataError, match="None of the 3 rows of train can be read; the first: there is no file 7.jpg"):
        prepare("twitter-2015", tmp_path / "raw", tmp_path / "out")
    trees.write_twitter(tmp_path / "raw", {"train": trees.TWITTER["train"]})
    assert prepare("twitter-2015", tmp_path / "raw", tmp_path / "out")["parts"]["train"]["rows"] == 3


def test_pictures_that_come_later_are_taken(tmp_path):
    raw, out = trees.write_msed(tmp_path / "raw"), tmp_path / "out"
    picture = raw / "train" / "images" / "2.jpg"
    content = picture.read_bytes()
    picture.unlink()
    assert prepare("msed", raw, out)["parts"]["train"]["rejected"] == 1
    before = (out / "dataset.json").stat().st_mtime_ns
    prepare("msed", raw, out)
    assert (out / "dataset.json").stat().st_mtime_ns == before
    picture.write_bytes(content)
    assert prepare("msed", raw, out)["parts"]["train"]["rejected"] == 0
    assert len(rows_of(out, "train")) == 3 and not pq.read_table(out / "rejected.parquet").num_rows


def test_the_output_folder(tmp_path):
    raw, out = trees.write_msed(tmp_path / "raw"), tmp_path / "out"
    trees.write(out / "mine.txt", "x")
    with pytest.raises(DataError, match=r"out is not empty \(mine.txt\): give another folder\."):
        prepare("msed", raw, out)
    (out / "mine.txt").unlink()
    prepare("msed", raw, out)
    trees.write_mvsa(tmp_path / "mvsa", [f"{row}\tneutral,neutral" for row in range(10)])
    with pytest.raises(DataError, match="give another folder or overwrite"):
        prepare("mvsa-single", tmp_path / "mvsa", out)
    assert prepare("mvsa-single", tmp_path / "mvsa", out, overwrite=True)["name"] == "mvsa-single"
    assert len(rows_of(out, "train")) == 8
    trees.write(out / "mine.txt", "x")
    with pytest.raises(DataError, match="mine.txt"):
        prepare("msed", raw, out, overwrite=True)
    assert (out / "mine.txt").is_file() and len(rows_of(out, "train")) == 8


def many(folder, count=60):
    """Rows whose pictures compress badly, so that shards fill."""
    lines = [f"title {row},caption {row},neutral,neutral,none,x" for row in range(count)]
    trees.write_msed(folder, {"train": lines, "dev": lines[:7]})
    for row in range(1, count + 1):
        trees.write(folder / "train" / "images" / f"{row}.jpg", trees.jpeg(row) + os.urandom(4000))
    (folder / "train" / "images" / "17.jpg").unlink()
    return folder


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards_module, "SHARD_BYTES", 60_000)
    monkeypatch.setattr(shards_module, "GROUP_BYTES", 12_000)


def test_shards_are_not_larger_than_they_may_be(tmp_path, small_shards):
    prepare("msed", many(tmp_path / "raw"), tmp_path / "out")
    shards = sorted((tmp_path / "out").glob("train-*"))
    assert [path.name for path in shards] == [
        f"train-{n:05d}-of-{len(shards):05d}.parquet" for n in range(len(shards))
    ]
    assert len(shards) > 3 and all(path.stat().st_size <= 60_000 for path in shards)
    expected = [f"train-{row}" for row in range(1, 61) if row != 17]
    assert [row["id"] for row in rows_of(tmp_path / "out", "train")] == expected
    assert load_pairs(str(tmp_path / "out"), label_column="emotion")["train"]["id"] == expected


@pytest.mark.parametrize("stop", [1, 16, 17, 30, 59, 60, 66])
def test_interrupted_and_run_again_gives_the_same_files(tmp_path, small_shards, monkeypatch, stop):
    raw = many(tmp_path / "raw")
    prepare("msed", raw, tmp_path / "whole")
    read_picture, left = shards_module.read_picture, [stop]

    def interrupted(path):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return read_picture(path)

    monkeypatch.setattr(shards_module, "read_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare("msed", raw, tmp_path / "out")
    left[0] = 10**6
    prepare("msed", raw, tmp_path / "out")
    if stop > 30:
        assert 10**6 - left[0] < 60, "whole shards are read again"
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_picture_that_comes_after_an_interruption_is_taken(tmp_path, small_shards, monkeypatch):
    raw = many(tmp_path / "raw")
    trees.write(raw / "train" / "images" / "17.jpg", trees.jpeg(17))
    prepare("msed", raw, tmp_path / "whole")
    picture = raw / "train" / "images" / "3.jpg"
    content = picture.read_bytes()
    picture.unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prepare_module, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        prepare("msed", raw, tmp_path / "out")
    picture.write_bytes(content)
    prepare("msed", raw, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_interrupted_while_moving(tmp_path, monkeypatch):
    raw = trees.write_msed(tmp_path / "raw")
    prepare("msed", raw, tmp_path / "whole")
    replace, left = prepare_module.Path.replace, [3]

    def interrupted(self, target):
        if self.suffix == ".parquet":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(prepare_module.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare("msed", raw, tmp_path / "out")
    prepare("msed", raw, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_another_call_does_not_go_on_with_what_was_left(tmp_path, small_shards, monkeypatch):
    raw, out = many(tmp_path / "raw"), tmp_path / "out"
    publish = prepare_module._publish
    monkeypatch.setattr(prepare_module, "_publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare("msed", raw, out)
    monkeypatch.setattr(prepare_module, "_publish", publish)
    path = raw / "train" / "train.csv"
    path.write_text(path.read_text().replace("title 3,", "another title,"))
    prepare("msed", raw, out)
    assert rows_of(out, "train")[3]["title"] == "another title"


def test_a_picture_of_several_rows_is_stored_once(tmp_path):
    asked = {(number, 7): ["yes"] * 10 for number in range(50)}
    raw = trees.write_vqa(tmp_path / "raw", {"train2014": asked})
    picture = trees.jpeg(7) + os.urandom(50_000)
    trees.write(raw / "train2014" / "COCO_train2014_000000000007.jpg", picture)
    prepare("vqa-v2", raw, tmp_path / "out", min_answer_count=1)
    assert (tmp_path / "out" / "train-00000-of-00001.parquet").stat().st_size < 2 * len(picture)
    assert {row["image"]["bytes"] for row in rows_of(tmp_path / "out", "train")} == {picture}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mseed", "RAW", "OUT"], "invalid choice: 'mseed'"),
        (["msed", "RAW/nowhere", "OUT"], "there is no folder"),
        (["msed", "RAW", "OUT", "--fold", "2"], "--fold has no meaning for msed."),
        (["mvsa-single", "RAW", "OUT", "--fold", "0"], "--fold must be from 1 to 10, got 0."),
        (["mvsa-single", "RAW", "OUT", "--fold", "1", "--split-files", "x"], "have no meaning beside --split-files"),
        (["vqa-v2", "RAW", "OUT", "--min-answer-count", "0"], "--min-answer-count must be >= 1, got 0."),
    ],
)
def test_wrong_calls(tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as raised:
        main(
            ["prepare", *(word.replace("RAW", str(tmp_path)).replace("OUT", str(tmp_path / "out")) for word in words)]
        )
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_command_prints_json_and_names_what_failed(tmp_path, capsys):
    raw = trees.write_msed(tmp_path / "raw")
    assert main(["prepare", "msed", str(raw), str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["test"]["rows"] == 2
    (raw / "train" / "train.csv").unlink()
    assert main(["prepare", "msed", str(raw), str(tmp_path / "b")]) == 1
    assert "duosent prepare failed: " in capsys.readouterr().err


def test_names_of_the_command_are_those_of_the_readers():
    assert tuple(READERS) == PUBLISHED


@pytest.mark.slow
def test_killed_processes_and_memory(tmp_path):
    """Real processes, killed while they write until one comes through; memory does not grow with the table."""
    small, large = many(tmp_path / "small", 50), many(tmp_path / "large", 50)
    peaks, out = {}, tmp_path / "out"
    for folder, size in ((small, 200_000), (large, 3_000_000)):
        for row in range(1, 51):
            trees.write(folder / "train" / "images" / f"{row}.jpg", trees.jpeg(row) + os.urandom(size))
    code = (
        "import sys, resource; from duosent.data.prepare import prepare; import duosent.data.shards as p;"
        "p.GROUP_BYTES = 6_000_000; p.SHARD_BYTES = 40_000_000; prepare('msed', sys.argv[1], sys.argv[2]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    for folder in (small, large):
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder), str(folder) + "-out"], capture_output=True, text=True, check=True
        )
        peaks[folder] = int(done.stdout) / 1024
    assert peaks[large] < peaks[small] + 60, peaks
    for shards in (1, 2, 3):
        process = subprocess.Popen([sys.executable, "-c", code, str(large), str(out)])
        while not (out / ".unfinished" / f"train-{shards:05d}.parquet").is_file():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, "-c", code, str(large), str(out)], check=True)
    assert files(out) == files(large.with_name("large-out"))
