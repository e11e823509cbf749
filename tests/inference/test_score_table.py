"""A table in shards: every row in one of them, whatever stands beside it, and whatever was there before."""

import hashlib
import json
import threading
import time

import pyarrow.parquet as pq
import pytest
import torch
from scored import ROUNDING, contents, made_up_posts, make_checkpoint, manifest, rows_of, score, union, write_parquet

from duosent.inference import score_table
from duosent.inference.score_claims import claim
from duosent.inference.score_folder import ScoreFolder
from duosent.inference.score_shards import ShardScorer
from duosent.inference.score_table import predict_table
from duosent.inference.scoring import predict
from duosent.training.checkpoints import CallError

ROWS = made_up_posts(40)
# Where both sides are gone there is nothing to read, and some pictures are none.
NOT_READ = [place for place in range(40) if place % 16 == 3 or place % 8 == 5]


@pytest.fixture(scope="module")
def encoders(text_encoder_dir, image_encoder_dir) -> tuple[str, str]:
    return text_encoder_dir, image_encoder_dir


@pytest.fixture(scope="module")
def checkpoint(encoders, processor, tmp_path_factory) -> str:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), encoders, processor)


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> str:
    return write_parquet(tmp_path_factory.mktemp("posts") / "posts.parquet", ROWS, row_group_size=15)


def scored(checkpoint, posts, folder, **options) -> dict:
    result = predict_table(checkpoint, str(posts), str(folder), device="cpu", progress="none", **options)
    assert not list(folder.rglob("*.part")) and not (folder / "claims").exists()
    return result


@pytest.fixture(scope="module")
def whole(checkpoint, posts, tmp_path_factory):
    """Six shards of seven rows or one more, by row groups of fifteen."""
    folder = tmp_path_factory.mktemp("whole") / "answers"
    assert scored(checkpoint, posts, folder, shard_rows=7) == {
        "predictions": f"{folder}/predictions-*.parquet",
        "rejected_files": f"{folder}/rejected-*.parquet",
        "manifest": f"{folder}/manifest.json",
        "shards": 6,
        "n": 40 - len(NOT_READ),
        "rejected": len(NOT_READ),
    }
    return folder


def assert_same(found: list[dict], expected: list[dict], within: float = 0.0) -> None:
    """Row for row; scores may differ by rounding."""
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert list(row) == list(other)
        for name, value in row.items():
            assert value == (pytest.approx(other[name], abs=within) if "score" in name else other[name]), name


def test_every_row_is_in_one_shard_in_its_order(whole, checkpoint):
    answered, rejected = union(whole)
    assert [row["id"] for row in answered] == [f"post {n}" for n in range(40) if n not in NOT_READ]
    assert [row["id"] for row in rejected] == [f"post {n}" for n in NOT_READ]
    sizes = [len(shard) for shard in rows_of(whole, "predictions")]
    assert len(sizes) == 6 and max(sizes) <= 7
    for place in (0, 2, 4, 6, 14):
        post = ROWS[place]
        alone = predict(checkpoint, post["text"], post["image"]["bytes"], device="cpu")
        [row] = [row for row in answered if row["id"] == post["id"]]
        assert row["label"] == alone["label"]
        assert {name: row[f"score_{name}"] for name in alone["scores"]} == pytest.approx(alone["scores"], abs=ROUNDING)


def test_the_manifest_tells_what_was_asked_and_what_came(whole, checkpoint, posts):
    told = manifest(whole)
    assert told["finished"] and (told["rows"], told["rejected"]) == (40 - len(NOT_READ), len(NOT_READ))
    assert told["checkpoint"] == checkpoint and len(told["fingerprint"]) == 64
    assert [file["url"] for file in told["files"]] == [posts] and told["files"][0]["identity"]["size"] > 0
    assert told["options"]["shard_rows"] == 7 and told["options"]["with_sides"] is False
    files = contents(whole)
    assert sum(shard["rows"] + shard["rejected"] for shard in told["shards"]) == 40
    named = {name: of for shard in told["shards"] for name, of in shard["files"].items()}
    assert set(named) == set(files)
    for name, content in files.items():
        assert named[name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    for number, shard in enumerate(told["shards"]):
        assert shard["rows"] == pq.read_metadata(whole / f"predictions-{number:05d}.parquet").num_rows


def test_a_shard_knows_nothing_of_the_others(whole, checkpoint, tmp_path):
    """The rows of one shard as an input of their own have the very same answers, to the last bit."""
    part = write_parquet(tmp_path / "part.parquet", ROWS[14:22])
    scored(checkpoint, part, tmp_path / "alone")
    names = ("predictions-00002.parquet", "rejected-00002.parquet")
    shard = [f"post {place}" for place in (14, 15, 16, 17, 18, 20)]
    assert [row["id"] for row in rows_of(whole, "predictions")[2]] == shard
    for name in names:
        other = name.replace("00002", "00000")
        assert pq.read_table(whole / name).equals(pq.read_table(tmp_path / "alone" / other))


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1},
        {"batch_size": 3, "batch_tokens": 60},
        {"num_workers": 2},
        {"shard_rows": 1000},
        {"shard_rows": 1, "batch_size": 2},
    ],
    ids=str,
)
def test_sizes_and_workers_change_rounding_at_most(whole, checkpoint, posts, tmp_path, options):
    scored(checkpoint, posts, tmp_path / "other", **{"shard_rows": 7, **options})
    for found, expected in zip(union(tmp_path / "other"), union(whole), strict=True):
        assert_same(found, expected, ROUNDING)
    if options == {"num_workers": 2}:  # the same batches, made elsewhere
        assert contents(tmp_path / "other") == contents(whole)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("writing", range(9))
def test_death_while_writing_loses_nothing(whole, checkpoint, posts, tmp_path, monkeypatch, writing):
    """Dies at the n-th file that gets its name: plan, answers, rejections, records; then goes on."""
    from pathlib import Path

    folder, replaced, count = tmp_path / "answers", Path.replace, iter(range(100))

    def replace(file, target):
        if next(count) == writing:
            raise Killed
        return replaced(file, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "replace", replace)
        scored(checkpoint, posts, folder, shard_rows=7)
    finished = {record.stem for record in (folder / "shards").glob("*.json")}
    for name in contents(folder):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()  # whole, if it is there at all
    again, took = ShardScorer._answer, set()
    monkeypatch.setattr(
        ShardScorer, "_answer", lambda self, shard, inputs: (took.add(shard.shard.name), again(self, shard, inputs))[1]
    )
    scored(checkpoint, posts, folder, shard_rows=7)
    assert contents(folder) == contents(whole) and manifest(folder) == manifest(whole)
    assert took == {f"{number:05d}" for number in range(6)} - finished


@pytest.mark.parametrize("harm", ["record", "file", "short", "part", "stale"])
def test_what_is_not_whole_is_done_again(whole, checkpoint, posts, tmp_path, harm):
    folder = tmp_path / "answers"
    scored(checkpoint, posts, folder, shard_rows=7)
    answers, record = folder / "predictions-00003.parquet", folder / "shards" / "00003.json"
    if harm == "record":
        record.unlink()
    elif harm == "file":
        answers.unlink()
    elif harm == "short":
        answers.write_bytes(answers.read_bytes()[:-1])
    elif harm == "part":
        record.unlink()
        (folder / ".predictions-00003.parquet.0123456789abcdef.part").write_bytes(b"half")
    else:  # rejected by an attempt that was stopped, and read this time
        (folder / "shards" / "00000.json").unlink()
        (folder / "rejected-00000.parquet").write_bytes(b"of another attempt")
    before = {name: (folder / name).stat().st_mtime_ns for name in contents(folder)}
    scored(checkpoint, posts, folder, shard_rows=7)
    assert contents(folder) == contents(whole) and manifest(folder) == manifest(whole)
    untouched = [name for name in before if "-00003" not in name and "-00000" not in name]
    assert all((folder / name).stat().st_mtime_ns == before[name] for name in untouched)


def test_a_shard_that_rejects_nothing_leaves_no_old_rejections(checkpoint, tmp_path):
    posts = write_parquet(tmp_path / "good.parquet", ROWS[:3])
    scored(checkpoint, posts, tmp_path / "out")
    (tmp_path / "out" / "shards" / "00000.json").unlink()
    (tmp_path / "out" / "rejected-00000.parquet").write_bytes(b"of an attempt that was stopped")
    scored(checkpoint, posts, tmp_path / "out")
    assert list(contents(tmp_path / "out")) == ["predictions-00000.parquet"]


class TestAnotherCall:
    """What is there belongs to another call: refused in one sentence, or replaced."""

    @pytest.fixture
    def own(self, tmp_path):
        return write_parquet(tmp_path / "posts.parquet", ROWS[:10])

    def refused(self, *words, **options) -> str:
        before = {file: file.read_bytes() for file in words[2].rglob("*") if file.is_file()}
        with pytest.raises(CallError) as error:
            scored(*words, **{"shard_rows": 4, **options})
        sentence = str(error.value)
        assert sentence.startswith(f"output_dir {words[2]} ") and sentence.count(": take another one") == 1
        assert {file: file.read_bytes() for file in words[2].rglob("*") if file.is_file()} == before
        return sentence

    def test_another_checkpoint(self, checkpoint, encoders, processor, own, tmp_path):
        out = tmp_path / "out"
        scored(checkpoint, own, out, shard_rows=4)
        old = contents(out)
        other = make_checkpoint(tmp_path / "other", encoders, processor, seed=1)
        assert "holds answers of another checkpoint (its fingerprint begins with " in self.refused(other, own, out)
        (out / "notes.txt").write_text("mine")
        (out / "predictions-00099.parquet").write_bytes(b"of an older plan")
        scored(other, own, out, shard_rows=4, overwrite=True)
        assert (out / "notes.txt").read_text() == "mine" and set(contents(out)) == set(old)
        assert all(contents(out)[name] != content for name, content in old.items() if name.startswith("predictions"))
        scored(other, own, tmp_path / "afresh", shard_rows=4)
        assert contents(tmp_path / "afresh") == contents(out)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"shard_rows": 5}, "with shard_rows 4, not 5"),
            ({"with_sides": True}, "with with_sides False, not True"),
            ({"fetch_images": True}, "with allow_urls False, not True"),
            ({"dtype": "bfloat16"}, "with dtype None, not bfloat16"),
            ({"columns": {"text_column": "id"}}, "with columns {'text': None"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_another_option(self, checkpoint, own, tmp_path, options, said):
        scored(checkpoint, own, tmp_path / "out", shard_rows=4)
        assert said in self.refused(checkpoint, own, tmp_path / "out", **options)
        result = scored(checkpoint, own, tmp_path / "out", **{"shard_rows": 4, **options}, overwrite=True)
        assert result["n"] + result["rejected"] == 10

    def test_another_input(self, checkpoint, own, tmp_path):
        folder, out = tmp_path / "posts", tmp_path / "out"
        folder.mkdir()
        for name in ("a", "b"):
            write_parquet(folder / f"{name}.parquet", ROWS[:5])
        scored(checkpoint, folder, out, shard_rows=4)
        write_parquet(folder / "b.parquet", ROWS[5:11])
        assert f"holds answers of {folder}/b.parquet as it was before it changed" in self.refused(
            checkpoint, folder, out
        )
        scored(checkpoint, folder, out, shard_rows=4, overwrite=True)
        write_parquet(folder / "c.parquet", ROWS[5:6])
        assert f"of data without {folder}/c.parquet" in self.refused(checkpoint, folder, out)
        (folder / "c.parquet").unlink()
        (folder / "a.parquet").unlink()
        assert f"of data with {folder}/a.parquet, which is not there any more" in self.refused(checkpoint, folder, out)

    def test_the_same_call_goes_on_with_overwrite_too(self, checkpoint, own, tmp_path):
        scored(checkpoint, own, tmp_path / "out", shard_rows=4, overwrite=True)
        before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
        scored(checkpoint, own, tmp_path / "out", shard_rows=4, overwrite=True, batch_size=2)
        assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()} == before

    def test_a_folder_of_something_else(self, checkpoint, own, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "thesis.tex").write_text("mine")
        assert "is not empty" in self.refused(checkpoint, own, out)
        scored(checkpoint, own, out, overwrite=True)
        assert (out / "thesis.tex").read_text() == "mine"
        (out / "manifest.json").write_text('{"name": "a web page"}')
        for options in ({}, {"overwrite": True}):
            assert "holds a manifest.json that is not duosent's" in self.refused(checkpoint, own, out, **options)

    def test_among_the_posts_themselves(self, checkpoint, own, tmp_path):
        with pytest.raises(CallError, match="must not lie in .*, whose files are read as posts"):
            predict_table(checkpoint, str(tmp_path), str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shard_rows": 0}, "shard_rows must be >= 1, got 0."),
        ({"batch_size": 0}, "batch_size must be >= 1, got 0."),
        ({"batch_tokens": 0}, "batch_tokens must be >= 1, got 0."),
        ({"num_workers": -1}, "num_workers must be >= 0, got -1."),
        ({"retries": -1}, "retries must be a whole number >= 0, got -1."),
        ({"progress": "song"}, "progress must be one of bar, json, none, got 'song'."),
        ({"confidence": 0.9}, "confidence needs a calibrated checkpoint: duosent evaluate --calibrate makes one."),
        ({"abstain": True}, "abstain needs a checkpoint that knows when: "),
        ({"columns": {"text_column": "words"}}, "has no column words (text)"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_sentence(checkpoint, posts, tmp_path, options, said):
    with pytest.raises(CallError) as error:
        predict_table(checkpoint, posts, str(tmp_path / "out"), device="cpu", **options)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_claimed_shard_is_left_to_its_process_until_that_has_died(whole, checkpoint, posts, tmp_path):
    folder = tmp_path / "answers"
    scored(checkpoint, posts, folder, shard_rows=7)
    for name in ("00002", "00004"):
        (folder / "shards" / f"{name}.json").unlink()
    (folder / "predictions-00002.parquet").unlink()
    lock = claim(folder, "00002")
    assert claim(folder, "00002") is None
    with pytest.raises(CallError, match="is being written by another process: end it first"):
        scored(checkpoint, posts, folder, shard_rows=8, overwrite=True)
    work = threading.Thread(target=score, args=((checkpoint, posts, str(folder)), {"shard_rows": 7}))
    threads = torch.get_num_threads()
    work.start()
    deadline = time.monotonic() + 60
    while len(list((folder / "shards").glob("*.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2 * score_table.POLL)
    assert work.is_alive() and not (folder / "predictions-00002.parquet").exists()
    lock.release()
    work.join(60)
    torch.set_num_threads(threads)
    assert contents(folder) == contents(whole) and manifest(folder)["finished"]


def test_a_failure_gives_the_claims_back(checkpoint, posts, tmp_path, monkeypatch):
    def fail(self, taken, inputs):
        raise RuntimeError("out of memory")

    # While somebody holds the error, nothing that its frames hold is freed by itself.
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="out of memory") as error:
        patch.setattr(ShardScorer, "_answer", fail)
        scored(checkpoint, posts, tmp_path / "out", shard_rows=7)
    assert all(claim(tmp_path / "out", f"{number:05d}") is not None for number in range(6)), error
    assert scored(checkpoint, posts, tmp_path / "out", shard_rows=7)["shards"] == 6


def test_a_plan_is_written_once_and_waited_for(posts, tmp_path, monkeypatch):
    """A process that is not the first waits for the manifest, and cuts nothing itself."""
    from duosent.data.source_files import source_files
    from duosent.inference.score_folder import Asked

    asked = Asked("c", "f" * 64, posts, source_files(posts), {})
    plans = []

    def other() -> None:
        plans.append(ScoreFolder(tmp_path / "out").plan(asked, pytest.fail, first=False))

    waiting = threading.Thread(target=other)
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    own = ScoreFolder(tmp_path / "out").plan(asked, lambda: score_table._cut(asked.files, 7))
    waiting.join(10)
    assert [shard.pieces for shard in plans[0]] == [shard.pieces for shard in own] and len(own) == 6
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["finished"] is False
