"""How far a table is scored: a bar for people, or a line of JSON every few seconds, on standard error."""

import json
import sys
import time

from tqdm import tqdm

from duosent.inference.score_folder import ScoreFolder, Shard

# Seconds between two lines of JSON, and between two looks at what other processes have finished.
LINE_EVERY, LOOK_EVERY = 5.0, 1.0
MODES = ("bar", "json", "none")


class ScoreProgress:
    """Rows dealt with, of all processes: of finished shards by their records, of others what this process did.

    Args:
        folder, shards: of the answers.
        mode: "bar", "json" or "none".
    """

    def __init__(self, folder: ScoreFolder, shards: list[Shard], mode: str = "bar"):
        self._folder, self._mode = folder, mode
        self._left = {shard.number: shard for shard in shards}
        # Rows and rejected rows: of finished shards, and of those that this process is at.
        self._finished, self._own = [0, 0], {}
        self._start = time.monotonic()
        self._next_line, self._next_look = self._start + LINE_EVERY, self._start + LOOK_EVERY
        self._look()
        self._before = self._finished[0]
        self._total = sum(shard.rows for shard in shards)
        self._bar = tqdm(desc="predict", total=self._total, initial=self._before, unit="post", disable=mode != "bar")

    def __call__(self, shard: int, rows: int, rejected: int) -> None:
        """Count rows of a batch."""
        before = self._own.get(shard, (0, 0))
        self._own[shard] = (before[0] + rows, before[1] + rejected)
        self.show()

    def show(self) -> None:
        """Look, where it is time to."""
        now = time.monotonic()
        if now >= self._next_look:
            self._look()
            self._next_look = now + LOOK_EVERY
        rows, rejected = self._counts()
        self._bar.set_postfix(rejected=rejected, refresh=False)
        self._bar.update(rows - self._bar.n)
        if self._mode == "json" and now >= self._next_line:
            self._line(rows, rejected)
            self._next_line = now + LINE_EVERY

    def close(self) -> None:
        """All is finished."""
        self._look()
        rows, rejected = self._counts()
        # A file that could not be read at all has no rows, and yet one that was rejected.
        self._total = self._bar.total = rows
        if self._mode == "json":
            self._line(rows, rejected)
        self._bar.set_postfix(rejected=rejected, refresh=False)
        self._bar.update(rows - self._bar.n)
        self._bar.close()

    def _counts(self) -> tuple[int, int]:
        own = list(self._own.values())
        return tuple(part + sum(of[place] for of in own) for place, part in enumerate(self._finished))

    def _look(self) -> None:
        names = self._folder.recorded()
        for shard in [shard for shard in self._left.values() if shard.name in names]:
            record = self._folder.record(shard)
            if record is not None:
                del self._left[shard.number]
                self._own.pop(shard.number, None)
                self._finished[0] += record["rows"] + record["rejected"]
                self._finished[1] += record["rejected"]

    def _line(self, rows: int, rejected: int) -> None:
        seconds = time.monotonic() - self._start
        rate = (rows - self._before) / seconds if seconds else 0.0
        left = (self._total - rows) / rate if rate else None
        line = {"rows": rows, "total": self._total, "rejected": rejected, "rows_per_second": round(rate, 1)}
        line["seconds_left"] = None if left is None else round(max(left, 0.0), 1)
        print(json.dumps(line), file=sys.stderr, flush=True)


__all__ = ["MODES", "ScoreProgress"]
