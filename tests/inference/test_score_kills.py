"""Real processes that are killed while they score: what they leave goes on to the undisturbed answers, row for row."""

import json
import multiprocessing
import random
import time
from pathlib import Path

import pytest
from scored import contents, made_up_posts, make_checkpoint, manifest, score, union, write_parquet

ROWS = made_up_posts(160)
# Processes of a server that has imported all that they need: each is there at once, and none has a fork's threads.
SERVER = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module")
def work(text_encoder_dir, image_encoder_dir, processor, tmp_path_factory):
    """Checkpoint and posts, and the answers of a process that nobody disturbed, in 32 shards."""
    SERVER.set_forkserver_preload(["duosent.inference.score_table"])
    folder = tmp_path_factory.mktemp("work")
    checkpoint = make_checkpoint(folder / "checkpoint", (text_encoder_dir, image_encoder_dir), processor)
    posts = write_parquet(folder / "posts.parquet", ROWS, row_group_size=40)
    process = started(checkpoint, posts, folder / "whole")
    process.join(60)
    assert process.exitcode == 0
    return checkpoint, posts, folder / "whole"


def started(checkpoint: str, posts: str, folder: Path, *more, **options) -> multiprocessing.Process:
    """Args: `more` are further arguments of `score`."""
    words = (checkpoint, posts, str(folder))
    process = SERVER.Process(target=score, args=(words, {"shard_rows": 5, **options}, *more))
    process.start()
    return process


def pair(checkpoint: str, posts: str, folder: Path, told: list[Path]) -> list[multiprocessing.Process]:
    """Two processes as a launcher starts them."""
    return [
        started(checkpoint, posts, folder, {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}, file)
        for rank, file in enumerate(told)
    ]


def records(folder: Path) -> int:
    return len(list((folder / "shards").glob("*.json")))


def kill_at_random(process, folder: Path, rng: random.Random) -> None:
    """Some time after it has finished a shard, or has written its plan; it must be alive."""
    before, deadline = records(folder), time.monotonic() + 60
    while records(folder) == before and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.03 * rng.random())
    assert process.is_alive(), "it came to its end before it could be killed"
    process.kill()
    process.join()


# Processes of a process that has no fork begin from nothing, and take long.
@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_five_kills(work, tmp_path, num_workers):
    checkpoint, posts, whole = work
    folder, rng = tmp_path / "answers", random.Random(num_workers)
    for _ in range(5):
        kill_at_random(started(checkpoint, posts, folder, num_workers=num_workers), folder, rng)
        for name, content in contents(folder).items():
            assert content == (whole / name).read_bytes()
        for record in (folder / "shards").glob("[!.]*.json"):
            json.loads(record.read_text())
    assert 5 <= records(folder) < 32 and manifest(folder)["finished"] is False
    process = started(checkpoint, posts, folder, num_workers=num_workers)
    process.join(60)
    assert process.exitcode == 0
    assert union(folder) == union(whole) and contents(folder) == contents(whole)
    assert manifest(folder) == manifest(whole)
    assert not list(folder.rglob("*.part")) and not (folder / "claims").exists()
    answered, rejected = ({row["id"] for row in rows} for rows in union(folder))
    assert answered | rejected == {row["id"] for row in ROWS} and not answered & rejected


def test_another_process_takes_what_a_dead_one_had_claimed(work, tmp_path):
    """Two at the same time, one of them killed: the other one ends with everything."""
    checkpoint, posts, whole = work
    folder, rng = tmp_path / "answers", random.Random(7)
    one = started(checkpoint, posts, folder)
    while not records(folder):
        time.sleep(0.001)
    other = started(checkpoint, posts, folder)
    kill_at_random(one, folder, rng)
    other.join(60)
    assert other.exitcode == 0
    assert contents(folder) == contents(whole) and manifest(folder) == manifest(whole)


def test_two_processes_share_the_shards(work, tmp_path):
    """Each begins at its own, none is done twice, and both come back when all is there."""
    checkpoint, posts, whole = work
    told = [tmp_path / "first", tmp_path / "second"]
    for process in pair(checkpoint, posts, tmp_path / "answers", told):
        process.join(60)
        assert process.exitcode == 0
    assert contents(tmp_path / "answers") == contents(whole)
    assert manifest(tmp_path / "answers") == manifest(whole)
    first, second = (json.loads(file.read_text()) for file in told)
    assert sorted(first + second) == list(range(32))
    assert (first[0], second[0]) == (0, 16)


def test_two_processes_and_kills(work, tmp_path):
    """One or both of two are killed, and both are started again, as a launcher does it."""
    checkpoint, posts, whole = work
    folder, rng = tmp_path / "answers", random.Random(1)
    told = [tmp_path / "first", tmp_path / "second"]
    for _ in range(3):
        processes = pair(checkpoint, posts, folder, told)
        kill_at_random(rng.choice(processes), folder, rng)
        for process in processes:
            process.kill()
            process.join()
        for name, content in contents(folder).items():
            assert content == (whole / name).read_bytes()
    for process in pair(checkpoint, posts, folder, told):
        process.join(60)
        assert process.exitcode == 0
    assert contents(folder) == contents(whole) and manifest(folder) == manifest(whole)
