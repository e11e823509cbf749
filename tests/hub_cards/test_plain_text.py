"""Whatever a text holds, it stands in a line, a cell or a block of code, and nothing around it changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from duosent.hub_cards.plain_text import LONGEST, NOTHING, cleaned, fenced, inline

HOSTILE = [
    *("---", "\n---\n", "***", "# head", "- item", "1. item", "> quote", "    code", "===", "~~gone~~", "<!--", "-->"),
    *("{{ 7*7 }}", "{% raw %}", "<script>alert(1)</script>", "<img src=x onerror=y>", "&amp;", "&lt;", "|", "\\|"),
    *("\\", "`", "``", "```", "~~~", "[a](javascript:x)", "![a](b)", "*b*", "_i_", "__b__", "a_b", ":smile:", "$x$"),
    *("@me", "https://example.org", "www.example.org", "\u202e", "\u2028", "\x00", "\x1b[31m", "\ud800", "\ufeff"),
    *("مرحبا", "日本語", "👩\u200d👩", "null", "'", '"', ": ", " #", "%", "!!python", "\r\n", "\t", "x" * 10_000),
]
hostile_text = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20)), max_size=6).map("".join)
markdown = MarkdownIt("commonmark").enable("table")


@given(hostile_text)
def test_a_cell_holds_the_text_and_nothing_else(text):
    check_cell(text)


def check_cell(text):
    tokens = markdown.parse(f"| a | b |\n|---|---|\n| first | {inline(text)} |\n\nafter *it*\n")
    cells = [token for token in tokens if token.type == "inline"]
    assert [token.content for token in cells[:3]] == ["a", "b", "first"] and len(cells) == 5
    assert {child.type for child in cells[3].children} == {"text"}
    assert "".join(child.content for child in cells[3].children) == (cleaned(text) or NOTHING)


@given(hostile_text)
def test_a_line_holds_the_text_and_nothing_else(text):
    check_line(text)


def check_line(text):
    tokens = markdown.parse(f"# The {inline(text)}\n\n- of: {inline(text)}\n")
    assert [token.type for token in tokens if token.type.endswith("_open")] == [
        *("heading_open", "bullet_list_open", "list_item_open", "paragraph_open")
    ]
    heading, line = (token for token in tokens if token.type == "inline")
    assert [child.content for child in heading.children] == [f"The {cleaned(text) or NOTHING}"]
    assert [child.content for child in line.children] == [f"of: {cleaned(text) or NOTHING}"]


@given(hostile_text)
def test_a_block_of_code_ends_where_it_should(text):
    check_block(text)


def check_block(text):
    block = fenced(f"first\n{text}\nlast", "bash")
    tokens = markdown.parse(f"{block}\n\nafter\n")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert tokens[0].info == "bash"
    assert tokens[0].content.startswith("first\n") and tokens[0].content.endswith("\nlast\n")


@pytest.mark.parametrize("check", [check_cell, check_line, check_block])
def test_each_hostile_text_by_itself(check):
    for text in HOSTILE:
        check(text)
        check(f"a {text} b {text} c")


@given(hostile_text)
def test_cleaned_text_is_one_short_line_that_any_file_takes(text):
    line = cleaned(text)
    assert len(line) <= LONGEST and line == line.strip() and "\n" not in line
    line.encode("utf-8")
    assert cleaned(line) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a plain label", "a plain label"),
        ("  a\n\tb ", "a b"),
        ("a\u202eb", "ab"),
        ("\ud83dx", "\ufffdx"),
        ("نمی\u200cخواهم", "نمی\u200cخواهم"),  # a joiner that Persian needs
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_what_stays_of_a_text(text, shown):
    assert cleaned(text) == shown


def test_ordinary_names_stay_readable():
    assert inline("learning_rate 2e-05, bert-base-uncased (v2): fine") == (
        "learning_rate 2e-05, bert-base-uncased (v2): fine"
    )
    assert inline("_a_ b:c") == "&#95;a&#95; b&#58;c"
