"""Text from data in a card: whatever it holds, it stands on the page as it is and changes nothing around it."""

import re
import unicodedata

from markupsafe import Markup

LONGEST = 200
NOTHING = "(nothing that can be printed)"
# Left out: what turns the direction of the text after it, and other invisible signs but the joiners of scripts.
JOINERS = "\u200c\u200d"
# What Markdown, HTML, tables, mathematics and links are made of. As a character reference none of it has a meaning.
SIGNS = re.compile(r"[&<>\"'\\`*\[\]{}#|~$!@]|:(?=\S)|(?<![^\W_])_|_(?![^\W_])|(?<=www)\.", re.IGNORECASE)


def cleaned(text: str, longest: int = LONGEST) -> str:
    """A single line of printable text: other white space becomes a space, what cannot be shown U+FFFD or nothing.

    Args:
        longest: characters that are kept; an ellipsis stands for the rest.
    """
    kept = "".join(_printable(sign) for sign in text[: 4 * longest])
    line = " ".join(kept.split())
    return line if len(line) <= longest and len(text) <= 4 * longest else line[: longest - 1].rstrip() + "…"


def _printable(sign: str) -> str:
    if sign.isspace():
        return " "
    kind = unicodedata.category(sign)
    if kind in ("Cs", "Cn", "Co"):
        return "\ufffd"
    return "" if kind == "Cc" or (kind == "Cf" and sign not in JOINERS) else sign


def inline(text: str) -> Markup:
    """Text inside a line or a cell of Markdown."""
    return Markup(SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", cleaned(text) or NOTHING))


def fenced(text: str, language: str = "") -> Markup:
    """A block of code, in a fence that nothing in it closes; its lines stay as they are."""
    lines = ["".join(_printable(sign) for sign in line) for line in re.split(r"\r\n|[\r\n]", text.strip("\r\n"))]
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup("\n".join([f"{fence}{language}", *lines, fence]))


__all__ = ["cleaned", "fenced", "inline"]
