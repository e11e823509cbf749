"""Peak memory of reading does not grow with the rows, not even with those of one row group."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# Resident memory at its highest, counted from when all libraries are there, in MiB.
READ = """
import sys
from duosent.data.source_files import source_files
from duosent.data.source_pieces import source_pieces
from duosent.data.source_reader import SourceReader

open("/proc/self/clear_refs", "w").write("5")
reader = SourceReader()
rows = sum(1 for piece in source_pieces(source_files(sys.argv[1])) for post in reader.read(piece))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(rows, int(peak.split()[1]) / 1024)
"""


def peak(path: Path) -> tuple[int, float]:
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    rows, mebibytes = done.stdout.split()
    return int(rows), float(mebibytes)


def write_parquet(path: Path, rows: int) -> Path:
    draw = np.random.default_rng(0)
    pictures = [{"bytes": draw.bytes(1500), "path": None} for _ in range(rows)]
    table = pa.table({"text": [f"text number {number} " + "word " * 10 for number in range(rows)], "image": pictures})
    pq.write_table(table, path, row_group_size=rows)
    return path


def write_csv(path: Path, rows: int) -> Path:
    path.write_text("id,text\n" + "".join(f'p{number},"text, number {number}"\n' for number in range(rows)))
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is reset as Linux does it")
@pytest.mark.parametrize(("write", "name"), [(write_parquet, "a.parquet"), (write_csv, "a.csv")])
def test_peak_memory_is_flat(tmp_path, write, name):
    rows, few = peak(write(tmp_path / name, 20_000))
    assert rows == 20_000
    rows, many = peak(write(tmp_path / name, 400_000))
    print(f"{name}: {few:.0f} MiB for 20,000 rows, {many:.0f} MiB for 400,000")
    assert rows == 400_000 and many < 1.05 * few
