"""Files that are there whole or not at all, whatever stops the process or the machine."""

import os
import secrets
from pathlib import Path

# How the name of a file ends that is still being written; it begins with a full stop.
PART = ".part"


def write_whole(file: Path, content: bytes) -> None:
    """Write a file beside its place, bring it to the disk, and then give it its name.

    Several processes may write the same file: the last one to end has its way, and nobody ever sees a mixture.
    """
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}{PART}")
    try:
        with part.open("xb") as open_part:
            open_part.write(content)
            open_part.flush()
            os.fsync(open_part.fileno())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def remove_parts(file: Path) -> None:
    """Remove what processes that were stopped left of a file that nobody is writing now."""
    for part in file.parent.glob(f".{file.name}.*{PART}"):
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, which a file's own `fsync` does not; Windows knows no such thing."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


__all__ = ["PART", "remove_parts", "sync_folder", "write_whole"]
