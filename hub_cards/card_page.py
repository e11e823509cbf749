"""What the pages of all cards share: templates in which no text breaks anything, and the digest at the end.

A card ends with a line that holds its own digest: one that a person changed, or wrote, is told from it and kept.
"""

import functools
import hashlib
import json
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from duosent.hub_cards.intervals import Interval
from duosent.hub_cards.plain_text import cleaned, fenced, inline
from duosent.hub_cards.run_files import shown_command, shown_path

CARD_FILE = "README.md"
MARK = re.compile(r"<!-- Written by duosent card, digest ([0-9a-f]{16})\. [^>\n]*-->\n?\Z")


def signed(body: str, note: str) -> str:
    """A card with its last line.

    Args:
        body: all that stands above it.
        note: what a person who reads the source should know.
    """
    body = body.strip() + "\n\n"
    return f"{body}<!-- Written by duosent card, digest {_digest(body)}. {note} -->\n"


def is_ours(card: str) -> bool:
    """Whether a card stands as this package wrote it."""
    card = card.replace("\r\n", "\n")
    mark = MARK.search(card)
    return mark is not None and mark[1] == _digest(card[: mark.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


class Known(dict):
    """A JSON object in which everything that is not there is None."""

    def __missing__(self, name: str) -> None:
        return None

    def __getitem__(self, name: str):
        value = super().__getitem__(name)
        return Known(value) if isinstance(value, dict) else value


@functools.cache
def environment() -> Environment:
    """Reads the templates of this folder; what an expression of theirs gives becomes text that can break nothing."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "fenced": fenced,
        "as_is": Markup,
        "number": lambda number: None if number is None else f"{int(number):,}",
        "percent": lambda share: f"{100 * share:.2f}",
        "interval": _interval,
        "command": shown_command,
        "path": lambda value: shown_path(value) if isinstance(value, str) else value,
        "python": lambda text: Markup(json.dumps(cleaned(text), ensure_ascii=False)),
    }
    return environment


def _shown(value: object) -> Markup:
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("not recorded")
    return inline(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _interval(interval: Interval | None) -> str:
    return "not known" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


__all__ = ["CARD_FILE", "Known", "environment", "is_ours", "signed"]
