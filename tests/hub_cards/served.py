"""The demo page in a process of its own."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ADDRESS = re.compile(r"The page is at (http://[^ ]+/)")


@contextmanager
def served(command: list, **options) -> Iterator[str]:
    """The address of the page that a command shows; the process ends with the block."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, **options)
        try:
            match = ADDRESS.match(process.stdout.readline())
            if match:
                yield match[1]
        finally:
            process.terminate()
            process.communicate()
            said.seek(0)
            complaints = said.read()
            print(complaints)
        assert match, complaints


def serve_command(checkpoint: Path | str, *options: str) -> list[str]:
    return [sys.executable, "-m", "duosent", "serve", str(checkpoint), *options]
