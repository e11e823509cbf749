"""From a tokenizer's pieces to the words that a person reads: which tokens are of which word, and maps joined so."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from duosent.processing.processing_image_text import ImageTextProcessor

# Chinese and Japanese have no blanks between words: there each character stands for itself.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")


class Word(NamedTuple):
    """A word that the model reads.

    Args:
        text: the word, as it stands in the cleaned text or in the target.
        start, end: where it stands there, in characters.
        segment: 0 in the text, 1 in the target.
        tokens: where its tokens stand in the row, special tokens counted and padding not.
    """

    text: str
    start: int
    end: int
    segment: int
    tokens: tuple[int, ...]


class ReadText(NamedTuple):
    """What a model reads of a post's words.

    Args:
        text, target: as they are after cleaning; None where there is none.
        words: those that have a token, in the order of the tokens; words cut off by `max_length` are not there.
        length: tokens of the row, special ones included.
    """

    text: str | None
    target: str | None
    words: list[Word]
    length: int


def read_words(processor: ImageTextProcessor, text: str | None, target: str | None = None) -> ReadText:
    """The words of a post, each with its tokens.

    A word is what stands between blanks, in Chinese and Japanese a character; words that share a token are one. A
    token is of the word in which its first character that is no blank stands; the tokenizer says where that is.

    Raises:
        ValueError: for a tokenizer that does not say where its tokens stand.
    """
    text, target, encoding = processor.encode_post(text, target)
    if text is None:
        return ReadText(None, target, [], 0)
    offsets, segments = encoding["offset_mapping"], encoding.sequence_ids()
    words = []
    for segment, string in enumerate((text, target)):
        # Of each token of the segment its number, its first letter and its end.
        tokens = [
            (number, first_letter(string, start, end), end)
            for number, ((start, end), of) in enumerate(zip(offsets, segments, strict=True))
            if of == segment
        ]
        for first, last in word_places(string or "", [(start, end) for _, start, end in tokens]):
            own = tuple(number for number, start, _ in tokens if first <= start < last)
            if own:
                words.append(Word(string[first:last], first, last, segment, own))
    return ReadText(text, target, words, len(offsets))


def word_places(string: str, tokens: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where words begin and end.

    Args:
        tokens: where each begins and ends; a word that begins inside of one goes on with the word before.
    """
    inside = {position for start, end in tokens for position in range(start + 1, end) if start >= 0}
    places = []
    for start, end in (match.span() for match in WORD.finditer(string)):
        if start in inside and places:
            start = places.pop()[0]
        places.append((start, end))
    return places


def first_letter(string: str, start: int, end: int) -> int:
    """Where the first character of a token stands that is no blank; -1 for a token of no characters, or of blanks."""
    piece = string[start:end]
    return start + len(piece) - len(piece.lstrip()) if piece.strip() else -1


def token_words(read: ReadText) -> np.ndarray:
    """`(T,)` number of each token's word, -1 for a token of no word, such as a special one."""
    numbers = np.full(read.length, -1)
    for number, word in enumerate(read.words):
        numbers[list(word.tokens)] = number
    return numbers


def sum_over_words(scores: np.ndarray, words: Sequence[Word]) -> np.ndarray:
    """What adds up, such as a share or an attribution: `(..., T)` -> `(..., W)`"""
    parts = [scores[..., list(word.tokens)].sum(axis=-1) for word in words]
    return np.stack(parts, axis=-1) if parts else np.zeros((*scores.shape[:-1], 0))


def mean_over_words(rows: np.ndarray, words: Sequence[Word]) -> np.ndarray:
    """What each token has by itself, such as a distribution: `(T, ...)` -> `(W, ...)`"""
    parts = [rows[list(word.tokens)].mean(axis=0) for word in words]
    return np.stack(parts) if parts else np.zeros((0, *rows.shape[1:]))


__all__ = ["ReadText", "Word", "mean_over_words", "read_words", "sum_over_words", "token_words"]
