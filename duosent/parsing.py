"""Command-line parsing that answers a wrong call with one sentence."""

import argparse
import difflib
import sys
from typing import NoReturn


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that takes no abbreviations and prints no usage in front of its one sentence."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        sentence = " ".join(message.split())
        print(f"{self.prog}: {sentence}{'' if sentence.endswith(('.', '?')) else '.'}", file=sys.stderr)
        sys.exit(2)

    def flags(self) -> list[str]:
        """Every option that was declared, such as `--data`."""
        return [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]

    def unknown(self, kind: str, name: str, known: list[str]) -> NoReturn:
        """End the call: there is no such flag, and this is the nearest that there is."""
        nearest = difflib.get_close_matches(name, known, n=1)
        self.error(f"there is no {kind} {name}{f'; did you mean {nearest[0]}?' if nearest else '.'}")


def hyphened(argv: list[str]) -> list[str]:
    """Write flags with hyphens (`--output_dir=a_b` becomes `--output-dir=a_b`), so that both spellings are one."""
    words = []
    for word in argv:
        name, equals, value = word.partition("=")
        words.append(name.replace("_", "-") + equals + value if name.startswith("--") else word)
    return words


__all__ = ["CommandParser", "hyphened"]
