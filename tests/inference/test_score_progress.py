"""What is told while a table is scored: rows, rejected rows, time left, of all processes together."""

import json
from types import SimpleNamespace

import pytest

from duosent.inference import score_progress
from duosent.inference.score_folder import ScoreFolder, Shard
from duosent.inference.score_progress import ScoreProgress


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(score_progress.time, "monotonic", lambda: now.seconds)
    return now


def shards_of(*rows) -> list[Shard]:
    return [Shard(number, [SimpleNamespace(outcomes=size)]) for number, size in enumerate(rows)]


def told(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_every_few_seconds(tmp_path, clock, capsys):
    folder, shards = ScoreFolder(tmp_path), shards_of(40, 30, 30)
    (tmp_path / "shards").mkdir()
    folder.write_shard(shards[0], b"answers", None, 40, 0)  # by an earlier call
    shown = ScoreProgress(folder, shards, "json")
    for _ in range(4):
        clock.seconds += 1
        shown(1, 4, 1)
    assert told(capsys) == []
    clock.seconds += 1
    shown(1, 4, 1)
    line = {"rows": 60, "total": 100, "rejected": 5, "rows_per_second": 4.0, "seconds_left": 10.0}
    assert told(capsys) == [line]
    shown(1, 10, 0)
    folder.write_shard(shards[1], b"answers", b"rejected", 25, 5)
    clock.seconds += 5
    shown.show()
    line = {"rows": 70, "total": 100, "rejected": 5, "rows_per_second": 3.0, "seconds_left": 10.0}
    assert told(capsys) == [line]
    folder.write_shard(shards[2], b"answers", b"rejected", 29, 1)  # by another process
    shown.close()
    line = {"rows": 100, "total": 100, "rejected": 6, "rows_per_second": 6.0, "seconds_left": 0.0}
    assert told(capsys) == [line]


def test_a_bar_that_ends_full(tmp_path, clock, capsys):
    folder, shards = ScoreFolder(tmp_path), shards_of(3, 1)
    (tmp_path / "shards").mkdir()
    shown = ScoreProgress(folder, shards)
    shown(0, 3, 2)
    folder.write_shard(shards[0], b"answers", b"rejected", 1, 2)
    folder.write_shard(shards[1], b"answers", b"rejected", 0, 1)
    shown.close()
    err = capsys.readouterr().err
    assert "predict: 100%" in err and "4/4" in err and "rejected=3" in err


def test_silence(tmp_path, clock, capsys):
    (tmp_path / "shards").mkdir()
    shown = ScoreProgress(ScoreFolder(tmp_path), shards_of(3), "none")
    clock.seconds += 60
    shown(0, 1, 0)
    assert capsys.readouterr().err == ""
