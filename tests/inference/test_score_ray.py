"""The same shards by the workers of Ray, one of which is killed in the middle."""

import importlib.util
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from scored import contents, made_up_posts, make_checkpoint, manifest, write_parquet

from duosent.inference.score_table import predict_table
from duosent.training.checkpoints import CallError


def descendants(pid: int) -> list[int]:
    try:
        words = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in os.listdir(f"/proc/{pid}/task")]
    except FileNotFoundError:  # gone since
        return []
    children = [int(child) for line in words for child in line.split()]
    return children + [pid for child in children for pid in descendants(child)]


def workers() -> dict[int, bool]:
    """Processes of Ray below this one that score, and whether each is at work or still loads the model."""
    found = {}
    for pid in descendants(os.getpid()):
        try:
            name = Path(f"/proc/{pid}/cmdline").read_bytes()
        except FileNotFoundError:
            continue
        if name.startswith(b"ray::MapWorker(Map(ShardActor))"):
            found[pid] = b"__init__" not in name
    return found


@pytest.fixture
def two_workers(monkeypatch):
    """A cluster of this machine with two processors."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(text_encoder_dir, image_encoder_dir, processor, two_workers, tmp_path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint", (text_encoder_dir, image_encoder_dir), processor)
    posts = write_parquet(tmp_path / "posts.parquet", made_up_posts(1000), row_group_size=100)
    options = {"device": "cpu", "progress": "none", "shard_rows": 10}
    predict_table(checkpoint, posts, str(tmp_path / "whole"), **options)

    folder, failures = tmp_path / "answers", []

    def run() -> None:
        try:
            predict_table(checkpoint, posts, str(folder), engine="ray", **options)
        except BaseException as error:
            failures.append(error)

    work = threading.Thread(target=run)
    work.start()
    deadline = time.monotonic() + 300
    while len(list(folder.glob("shards/*.json"))) < 5 and work.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    found = workers()
    assert len(found) == 2
    os.kill(next(pid for pid, at_work in found.items() if at_work), signal.SIGKILL)
    finished = len(list(folder.glob("shards/*.json")))
    assert finished < 100
    work.join(300)
    assert not work.is_alive() and not failures
    assert contents(folder) == contents(tmp_path / "whole")
    assert manifest(folder) == manifest(tmp_path / "whole")
    # What one engine has finished is finished for the other, and each goes on where the other stopped.
    (folder / "shards" / "00004.json").unlink()
    predict_table(checkpoint, posts, str(folder), engine="ray", **options)
    assert contents(folder) == contents(tmp_path / "whole")


def test_what_ray_needs(monkeypatch, tmp_path):
    calls = {
        "ray_address must go with engine ray, got auto with engine local.": {"ray_address": "auto"},
        "engine must be one of local, ray, got 'spark'.": {"engine": "spark"},
        'Engine ray needs ray, which is not installed: pip install "duosent[ray]".': {"engine": "ray"},
    }
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    for sentence, options in calls.items():
        with pytest.raises(CallError) as error:
            predict_table("c", "d", str(tmp_path / "out"), **options)
        assert str(error.value) == sentence
