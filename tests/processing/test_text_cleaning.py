"""Cleaning of tweets: what goes, what stays, and that twice is once."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duosent.processing.text_cleaning import clean_text, fold_text

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
        ("cut at the end http…", "cut at the end"),
        ("cut at the end http://t.c…", "cut at the end"),
        ("cut at the end h…", "cut at the end"),
        ("such a death…", "such a death…"),
        ("好https://t.co/abc好き", "好 好き"),
        ("see t.co/abc now", "see now"),
        ("https://t.co/x$T$ is great", "$T$ is great"),
        ("cut at the end https:", "cut at the end"),
        ("see www.example.org now", "see now"),
        ("look pic.twitter.com/a1B2 here", "look here"),
        ("@anna you are great", "you are great"),
        ("RT @anna: you are great", "you are great"),
        ("mail me: a@b.com", "mail me: a@b.com"),
        ("@anna今日は良い", "今日は良い"),
        ("今日は@anna今日", "今日は 今日"),
        (".@BBCWorld dogs are stressed", "dogs are stressed"),
        ("love.@anna", "love."),
        ("＠anna hello", "hello"),
        ("RT if you agree", "RT if you agree"),
        ("art @anna", "art"),
        ("@ home", "@ home"),
        ("fun &amp; joy &lt;3", "fun & joy <3"),
        ("&amp;amp;", "&"),
        ("you &amp", "you &"),
        ("rock&regret &#39;n&#x27; a&copy=b", "rock&regret 'n' a&copy=b"),
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
def test_a_target_mark_survives(text):
    assert clean_text(f"{text} $T$ end").count("$T$") >= 1
    assert "$T$" in clean_text(f"{text}$T${text}")


def test_a_target_keeps_its_at_sign_and_its_link():
    assert fold_text(" @anna &amp;  co ") == "@anna & co"
    assert fold_text("https://t.co/x") == "https://t.co/x"
