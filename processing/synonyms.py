"""Say a post in other words: a few of them give way to synonyms from WordNet."""

import random
import re
from dataclasses import dataclass

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from duosent.processing.text_cleaning import LINKS
from duosent.processing.wordnet_files import open_wordnet, synonyms

# A word of plain letters between blanks, with punctuation or emoji around it. What holds anything else is left alone:
# numbers, links, #tags, @names, $T$, HTML entities, words with an apostrophe. The published tweets of Twitter-2015 and
# Twitter-2017 are cut into tokens, "# tag", "@ name", "don ' t": hence the looks behind and ahead.
WORD = re.compile(
    r"(?<!\S)(?<![#@]\s)(?P<before>[^\w\s#＃@＠$&]*)(?P<word>[A-Za-z]+(?:-[A-Za-z]+)*)"
    r"(?P<after>[^\w\s#＃@＠$&]*)(?!\S)(?!\s(?i:['’]\s|n?['’](?:t|s|m|d|re|ve|ll)\b))"
)
# What scikit-learn's list lacks: further negations, contractions as people type them, prepositions that WordNet takes
# for verbs, what is left of HTML entities.
KEPT_WORDS = ENGLISH_STOP_WORDS | frozenset(
    """
    aint arent barely cant couldnt didnt doesnt dont hadnt hardly hasnt havent isnt lack lacking lacks mustnt neednt
    nope rarely scarcely seldom shant shouldnt wasnt werent wont wouldnt like till unlike amp gt lt quot
    """.split()  # noqa: SIM905
)
SHORTEST = 3  # letters; "im", "ur", "rt" are no words of WordNet's


@dataclass
class SynonymReplacement:
    """Replace words of a text by synonyms (Zhang, Zhao, LeCun, 2015; Wei, Zou, 2019).

    Left alone are stop words, negations, links, @names, #tags, emoji, `$T$`, every word of the target, words of fewer
    than three letters, and words without synonyms; which those are, `wordnet_files.synonyms` says. A word keeps its
    capitals: for "film", "Film" and "FILM" stand "movie", "Movie" and "MOVIE".

    Args:
        rate: probability with which each word that could be replaced is, in [0, 1]. Of the words in MSED's validation
            part 29 % could be, so that 0.3 comes near the tenth of all words that Wei and Zou recommend.
        wordnet_dir: folder of WordNet's files, see `find_wordnet`.

    Raises:
        ValueError: for a rate out of its range, or without WordNet's files.
        ImportError: without nltk.
    """

    rate: float = 0.3
    wordnet_dir: str | None = None

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must lie in [0, 1], got {self.rate}.")
        open_wordnet(self.wordnet_dir)  # now, not at the first post, and before any process is forked

    def __call__(self, text: str, seed: int, target: str | None = None) -> str:
        """
        Args:
            seed: decides what is replaced, and by what.
            target: what the post's label is about; its words stay.
        """
        draws = random.Random(seed)
        kept = set(re.findall(r"\w+", (target or "").lower()))

        def replace(match: re.Match) -> str:
            word = match["word"]
            if not kept.isdisjoint(word.lower().split("-")) or not may_be_replaced(match):
                return match.group()
            if draws.random() >= self.rate:
                return match.group()
            others = synonyms(word.lower(), self.wordnet_dir)
            if not others:
                return match.group()
            return match["before"] + with_capitals_of(word, draws.choice(others)) + match["after"]

        return WORD.sub(replace, text)


def may_be_replaced(match: re.Match) -> bool:
    """Whether a match of `WORD` is a word that a synonym may stand for, as far as its form tells."""
    word = match["word"]
    if len(word) < SHORTEST or word.lower() in KEPT_WORDS or LINKS.search(match.group()):
        return False
    return word.islower() or word.isupper() or word[1:].islower()  # "iPhone" is a name


def with_capitals_of(word: str, synonym: str) -> str:
    """The synonym in capitals, with a first capital or in small letters, as the word is."""
    if word.isupper():
        return synonym.upper()
    return synonym[0].upper() + synonym[1:] if word[0].isupper() else synonym


__all__ = ["SynonymReplacement"]
