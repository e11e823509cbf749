"""Where and how figures were taken, beside the figures, in `benchmarks/results/<machine>.json`."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("duosent", "torch", "transformers", "timm", "onnxruntime", "datasets", "pillow")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_name(device: str) -> str:
    """What a stranger can buy: `2-core-cpu`, or the name of the card."""
    if device == "cuda":
        return torch.cuda.get_device_name().lower().replace(" ", "-")
    return f"{cores()}-core-cpu"


def cpu_model() -> str:
    names = Path("/proc/cpuinfo")
    if names.is_file():
        for line in names.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def circumstances(words: Sequence[str], seed: int) -> dict:
    """What has to be the same, or to be known, when the figures are taken again.

    Args:
        words: those of the command, without the program's own name.
    """
    return {
        "command": " ".join(["python", "-m", "benchmarks", *map(_without_folder, words)]),
        "seed": seed,
        "date": date.today().isoformat(),
        "commit": _commit(),
        "cpu": cpu_model(),
        "cores": cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        # Processes that wanted to run just before, in the mean of a minute: what else the machine was doing.
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
    }


def _without_folder(word: str) -> str:
    """A folder of this machine tells a stranger nothing: its own name is enough."""
    return Path(word).name if Path(word).is_absolute() else word


def _commit() -> str | None:
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def keep(file: Path, part: str, record: dict) -> None:
    """Put the record of a part into the file, in the place of an earlier one; other parts stay as they are."""
    parts = json.loads(file.read_text()) if file.is_file() else {}
    parts[part] = record
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(sorted(parts.items())), indent=2) + "\n")
