"""Take out of a tweet what says nothing of its author's feeling: links, user names, markup."""

import html
import re

# A tweet cut at its length ends in a piece of a link: "https://t.c…", "http…", "h…". Links and names end where ASCII
# ends, since Chinese and Japanese go on without a blank; "$T$", the place of a target, ends a link too.
LINKS = re.compile(
    r"(?:https?:|(?<![a-z0-9_])(?:www\.|(?:pic\.twitter\.com|t\.co)/))(?:(?!\$T\$)[!-~])*…?|(?<![a-z0-9_])h(?:t(?:tp?s?)?)?…",
    re.IGNORECASE,
)
# A retweet's "RT" goes with the name that it quotes, the dot of ".@name" too. "a@b.com" and "@ home" name no user.
USER_NAMES = re.compile(r"(?:(?<![a-z0-9_])RT\s+)?(?<![a-z0-9_])\.?[@＠][a-z0-9_]+:?", re.IGNORECASE)
# Without its semicolon only what tweets are full of: "R&not" and "rock&regret" are words.
ENTITIES = re.compile(r"&(?:#\d+|#x[0-9a-f]+|[a-z][a-z0-9]*);|&(?:amp|lt|gt|quot)\b", re.IGNORECASE)


def clean_text(text: str) -> str:
    """Remove links and @names, undo HTML entities, fold white space. Hashtags, emoji and `$T$` stay as they are.

    Cleaning a cleaned text changes nothing: what one pass uncovers, the next one takes out.

    >>> clean_text("RT @anna: so happy &amp; proud!  https://t.co/x1 #win")
    'so happy & proud! #win'
    """
    while (cleaned := fold_text(USER_NAMES.sub(" ", LINKS.sub(" ", fold_text(text))))) != text:
        text = cleaned
    return text


def fold_text(text: str) -> str:
    """Undo HTML entities and fold white space; nothing is removed. For a target, which may itself be an @name."""
    return " ".join(ENTITIES.sub(lambda entity: html.unescape(entity.group()), text).split())


__all__ = ["clean_text", "fold_text"]
