"""A table that is scored by processes which are killed again and again, and whether an answer was lost, doubled or
changed.

    python -m benchmarks.kills_while_scoring --kills 30 --processes 1
    python -m benchmarks.kills_while_scoring --kills 30 --processes 2

One call of `duosent predict --data` on made-up posts (those of `scoring_tables.py`, every fiftieth picture none) is
left alone. The same call is then killed (SIGKILL) at a random moment, a fifth of them while it starts, the others
after it has finished a shard, and called again, until it has died so often; the last call may end. With two processes
they run by torchrun, and one of them, or both and torchrun with them, are killed. The table gives what was half
written when a process died, and compares both ends: files bit by bit, answers row for row.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.scoring_tables import make_checkpoint, write

# Seconds in which a process starts.
STARTING = 8.0


def break_pictures(file: Path) -> None:
    """Every fiftieth picture becomes what no picture is."""
    table = pq.read_table(file)
    rows = table.to_pylist()
    for row in rows[::50]:
        row["image"]["bytes"] = b"no picture"
    pq.write_table(pa.Table.from_pylist(rows, table.schema), file, row_group_size=len(rows) // 3)


def records(folder: Path) -> int:
    return len(list((folder / "shards").glob("[0-9]*.json")))


def children(pid: int) -> list[int]:
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in file.read_text().split()] if file.exists() else []


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def killed_once(command: list[str], folder: Path, processes: int, rng: random.Random, longest: float) -> bool:
    """Start the call and kill it, or one of its processes; whether it was still at work then."""
    before, early = records(folder), rng.random() < 0.2
    call = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if early:
        time.sleep(rng.random() * STARTING)
    else:
        while call.poll() is None and records(folder) == before:
            time.sleep(0.002)
        time.sleep(rng.random() * longest)
    alive = call.poll() is None
    workers = children(call.pid)
    if processes > 1 and workers and rng.random() < 0.5:
        kill([rng.choice(workers)])  # torchrun ends the others and itself
        call.wait()
    else:
        kill([call.pid, *workers])
        call.wait()
    return alive


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.parquet")}


def rows_of(folder: Path, kind: str) -> list[dict]:
    return [row for file in sorted(folder.glob(f"{kind}-*.parquet")) for row in pq.read_table(file).to_pylist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="(%(default)s)")
    parser.add_argument("--processes", type=int, choices=[1, 2], default=1, help="(%(default)s)")
    parser.add_argument("--rows", type=int, default=60_000, help="(%(default)s)")
    parser.add_argument("--shard-rows", type=int, default=400, help="(%(default)s)")
    parser.add_argument("--num-workers", type=int, default=0, help="(%(default)s)")
    parser.add_argument(
        "--longest", type=float, default=0.8, help="seconds from a shard to a kill, at most (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    os.environ["OMP_NUM_THREADS"], os.environ["TOKENIZERS_PARALLELISM"] = "1", "false"
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        make_checkpoint(work)
        write(work / "posts", options.rows, 20_000)
        for file in (work / "posts").iterdir():
            break_pictures(file)
        words = ["-m", "duosent", "predict", str(work / "mdse"), "--data", str(work / "posts"), "--device", "cpu"]
        words += ["--shard-rows", str(options.shard_rows), "--num-workers", str(options.num_workers), "--output"]
        launcher = [sys.executable]
        if options.processes > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(options.processes)]
        start = time.perf_counter()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([sys.executable, *words, str(work / "whole")], check=True, **quiet)
        print(f"undisturbed: {time.perf_counter() - start:.0f} s", file=sys.stderr)

        folder, kills, halves = work / "killed", 0, 0
        while kills < options.kills:
            if not killed_once([*launcher, *words, str(folder)], folder, options.processes, rng, options.longest):
                sys.exit(
                    f"The call was at its end after {kills} kills: take fewer, more rows, or a smaller --longest."
                )
            kills += 1
            halves += len(list(folder.rglob("*.part")))
            print(f"kill {kills}: {records(folder)} shards finished", file=sys.stderr)
        subprocess.run([*launcher, *words, str(folder)], check=True, **quiet)

        ends = [work / "whole", folder]
        same = contents(ends[0]) == contents(ends[1])
        answered, rejected = ([rows_of(end, kind) for end in ends] for kind in ("predictions", "rejected"))
        equal = answered[0] == answered[1] and rejected[0] == rejected[1]
        once = len({row["id"] for row in answered[1] + rejected[1]}) == len(answered[1] + rejected[1]) == options.rows
        print("| processes | kills | half written files met | rows answered | rejected | every row once |", end=" ")
        print("same rows | same files |\n|---|---|---|---|---|---|---|---|")
        counts = f"{len(answered[1]):,} | {len(rejected[1]):,}"
        print(f"| {options.processes} | {kills} | {halves} | {counts} | {once} | {equal} | {same} |")
        if not (once and equal):
            sys.exit(1)


if __name__ == "__main__":
    main()
