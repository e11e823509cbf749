"""Words of a text give way to synonyms, and what must stay stays; on the made-up WordNet of `tiny_wordnet.py`."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.processing.synonyms import SynonymReplacement


@pytest.fixture(scope="module")
def replace_all(wordnet_dir) -> SynonymReplacement:
    return SynonymReplacement(1.0, wordnet_dir)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my dog runs in the city", ["my domestic dog runs in the metropolis", "... urban center"]),
        ("Dog, (dog) DOG! 'dog'…", ["Domestic dog, (domestic dog) DOMESTIC DOG! 'domestic dog'…"]),
        ("so  fast😀\n well-being ;-)", ["so  quickly😀\n welfare ;-)"]),
        ("Happy", ["Cheerful", "Well-chosen"]),
        ("a dog 'tis dog ‘fast’ dog", ["a domestic dog 'tis domestic dog ‘quickly’ domestic dog"]),
    ],
)
def test_words_are_replaced_and_all_around_them_stays(replace_all, text, expected):
    expected = {e.replace("...", "my domestic dog runs in the") for e in expected}
    assert {replace_all(text, seed) for seed in range(50)} == expected


@pytest.mark.parametrize(
    "text",
    [
        "#dog # dog @dog @ dog ＃dog",
        "https://t.co/dog www.dog.com http: http… dog.com dog/dog",
        "$T$ $dog &dog; dog&amp;dog amp",
        "not never hardly the cant",
        "don't dog's dog’s don ' t need n't dog 's dog ’LL",
        "im dog2 2dog dog_dog iPhone dOG döG",
        "love Paris paris dogs mice 😀 :D",
    ],
)
def test_what_must_stay_stays(replace_all, text):
    assert [replace_all(text, seed) for seed in range(20)] == [text] * 20


def test_words_of_the_target_stay(replace_all):
    text = "$T$ : the City dog, happy dog"
    assert replace_all(text, 0, target="# Dog City") in {
        "$T$ : the City dog, cheerful dog",
        "$T$ : the City dog, well-chosen dog",
    }
    assert replace_all("well-being", 0, target="the well") == "well-being"


TOKENS = {
    "dog": "domestic dog",
    "Dog!": "Domestic dog!",
    "(FAST)": r"\(QUICKLY\)",
    "city": "metropolis|urban center",
    "film.": r"movie\.|moving picture\.",
    "the": "the",
    "not": "not",
    "#dog": "#dog",
    "@dog": "@dog",
    "$T$": r"\$T\$",
    "😀": "😀",
    "love": "love",
    "don't": "don't",
    "?": r"\?",
}


@given(tokens=st.lists(st.sampled_from(sorted(TOKENS))), seed=st.integers(0, 2**64 - 1))
def test_each_word_is_itself_or_one_of_its_synonyms(replace_all, wordnet_dir, tokens, seed):
    text = " ".join(tokens)
    replaced = " ".join(f"(?:{TOKENS[token]})" for token in tokens)
    assert re.fullmatch(replaced, replace_all(text, seed))
    mixed = " ".join(f"(?:{re.escape(token)}|{TOKENS[token]})" for token in tokens)
    assert re.fullmatch(mixed, SynonymReplacement(0.5, wordnet_dir)(text, seed))
    assert SynonymReplacement(0.0, wordnet_dir)(text, seed) == text


def test_the_rate_is_the_share_of_words_replaced(wordnet_dir):
    replace = SynonymReplacement(0.3, wordnet_dir)
    words = [word for seed in range(50) for word in replace("mouse " * 99 + "mouse", seed).split(" ")]
    n, replaced = 5000, words.count("pointing")
    assert replaced + words.count("mouse") == n
    # Five standard deviations of a binomial count: beyond them less than once in a million.
    assert abs(replaced - 0.3 * n) < 5 * math.sqrt(n * 0.3 * 0.7)


def test_the_seed_decides(wordnet_dir):
    replace = SynonymReplacement(0.5, wordnet_dir)
    text = "city dog film fast " * 5
    assert replace(text, 7) == replace(text, 7)
    assert len({replace(text, seed) for seed in range(20)}) == 20


def test_a_bad_rate_and_missing_files_are_told_when_it_is_made(wordnet_dir):
    for rate in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=rf"^rate must lie in \[0, 1\], got {rate}\.$"):
            SynonymReplacement(rate, wordnet_dir)
    with pytest.raises(ValueError, match="wordnet_dir must be a folder with WordNet's files, got /none,"):
        SynonymReplacement(0.1, "/none")
