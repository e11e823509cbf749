"""Which process works at which shard: a lock that is free again when its process has died."""

from pathlib import Path

from filelock import FileLock, Timeout

CLAIMS = "claims"


def claim(output_dir: Path, shard: str) -> FileLock | None:
    """Take a shard, without waiting; None where another process has it.

    On a file system without locks two processes may take the same shard. They then do the same work, and no answer is
    lost or doubled.

    Args:
        shard: its name.
    """
    folder = output_dir / CLAIMS
    folder.mkdir(exist_ok=True)
    # A shard is taken in the thread that reads it and given back in the one that has written it.
    lock = FileLock(folder / f"{shard}.lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


__all__ = ["CLAIMS", "claim"]
