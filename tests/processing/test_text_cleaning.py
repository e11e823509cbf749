"""Cleaning of tweets: what goes, what stays, and that twice is once."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duosent.processing.text_cleaning import clean_text

PIECES = st.sampled_from(
    [
        "@anna",
        "@",
        "http",
        "https://t.co/x",
        "://",
        "www.",
        "&amp;",
        "&amp;amp;",
        "RT ",
        " ",
        "\n",
        "#joy",
        "😀",
        "$T$",
        "a",
        ":",
        ";",
    ]
)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("so happy http://t.co/abc today", "so happy today"),
        ("so happy https://t.co/abc", "so happy"),
        ("cut at the end http…", "cut at the end http…"),
        ("cut at the end https:", "cut at the end"),
        ("see www.example.org now", "see now"),
        ("look pic.twitter.com/a1B2 here", "look here"),
        ("@anna you are great", "you are great"),
        ("RT @anna: you are great", "you are great"),
        ("mail me: a@b.com", "mail me: a@b.com"),
        ("@ home", "@ home"),
        ("fun &amp; joy &lt;3", "fun & joy <3"),
        ("&amp;amp;", "&"),
        ("  two \n\t lines  ", "two lines"),
        ("#MondayMood 😀 yes!", "#MondayMood 😀 yes!"),
        ("RT @ltsChuckBass : $T$ is everything", ": $T$ is everything"),
        ("ART is long", "ART is long"),
        ("http://t.co/1 @bob", ""),
    ],
)
def test_what_goes_and_what_stays(raw, cleaned):
    assert clean_text(raw) == cleaned


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
@example("&amp;lt;")
@example("ht@btp://x")
def test_cleaning_twice_is_cleaning_once(text):
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned


@given(st.lists(PIECES).map("".join))
def test_a_target_mark_outside_a_link_survives(text):
    assert clean_text(f"{text} $T$ end").count("$T$") >= 1
