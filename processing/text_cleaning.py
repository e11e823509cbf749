"""Take out of a tweet what says nothing of its author's feeling: links, user names, markup."""

import html
import re

LINKS = re.compile(r"\bhttps?:\S*|\bwww\.\S+|\bpic\.twitter\.com/\S+", re.IGNORECASE)
# A retweet's "RT" goes with the name that it quotes. "a@b.com" is no user name, and "@ home" is no user name either.
USER_NAMES = re.compile(r"(?:\bRT\s+)?(?<!\w)@\w+:?")
WHITE_SPACE = re.compile(r"\s+")


def clean_text(text: str) -> str:
    """Remove links and @names, undo HTML entities, fold white space. Hashtags, emoji and `$T$` stay as they are.

    Cleaning a cleaned text changes nothing: what one pass uncovers, the next one takes out.

    >>> clean_text("RT @anna: so happy &amp; proud!  https://t.co/x1 #win")
    'so happy & proud! #win'
    """
    while (cleaned := _clean_once(text)) != text:
        text = cleaned
    return text


def _clean_once(text: str) -> str:
    text = html.unescape(text)
    text = USER_NAMES.sub(" ", LINKS.sub(" ", text))
    return WHITE_SPACE.sub(" ", text).strip()


__all__ = ["clean_text"]
