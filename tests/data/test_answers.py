"""Answers of visual question answering, against published examples, cases worked by hand and a plain loop."""

import itertools
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.data.answers import CONTRACTIONS, answer_scores, answer_vocabulary, normalise_answer

ANSWERS = st.sampled_from(["yes", "no", "2", "red", ""])
# Pieces that the rules speak of, in every order, and any text besides.
PIECES = st.sampled_from([*";/[]-,?!.:' \t\n159", "a", "the", "one", "None", "dont", "yall'll", "Cat", "٣", "\xa0"])
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=60)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        # The examples of https://visualqa.org/evaluation.html.
        ("dont", "don't"),
        ("girl's", "girl's"),
        ("2:50 pm", "2:50 pm"),
        ("100,978", "100978"),
        # Each rule by hand.
        ("Yes", "yes"),
        ("on\ttop\nof it", "on top of it"),
        ("black\t-white-red", "black whitered"),
        ("black-\nwhite-red", "black whitered"),
        ("  much   space ", "much space"),
        ("black.", "black"),
        ("2.5", "2.5"),
        (".5 m", ".5 m"),
        ("u.s.a.", "usa"),
        ("no.5", "no.5"),
        ("zero", "0"),
        ("Ten", "10"),
        ("eleven", "eleven"),
        ("twenty-two", "twenty 2"),
        ("none", "0"),
        ("the cat and a dog", "cat and dog"),
        ("An apple", "apple"),
        ("a", ""),
        ("it doesnt", "it doesn't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("o.clock", "o'clock"),
        ("twas", "'twas"),
        ("im", "im"),
        ("its well", "its well"),
        ("somebody'd", "somebodyd"),
        # Punctuation: a blank in its place; nothing, if that sign stands beside a blank or a number has a comma.
        ("black-white", "black white"),
        ("black/white", "black white"),
        ("black- white-red", "black whitered"),
        ("black, white/red", "black white red"),
        ("yes!", "yes"),
        ("1,000-2,000", "10002000"),
        ("(red)", "red"),
        ("what?yes", "what yes"),
        ("a_b@c", "b c"),
    ],
)
def test_normal_form_by_hand(answer, normal):
    assert normalise_answer(answer) == normal


def test_no_contraction_loses_an_apostrophe():
    for word in CONTRACTIONS:
        assert normalise_answer(word) == word
    assert len(CONTRACTIONS) == len(set(CONTRACTIONS))


@given(TEXTS)
def test_the_normal_form_is_its_own(text):
    normal = normalise_answer(text)
    assert normalise_answer(normal) == normal
    assert normal == " ".join(normal.split()) and not set(normal) & set(';/[]"{}()=+\\_-><@`,?!')


def test_more_periods_than_the_official_code_takes_out():
    assert normalise_answer("." * 40) == ""


def leave_one_out_by_a_loop(answers: list[str], answer: str) -> float:
    total = 0.0
    for left_out in range(len(answers)):
        others = answers[:left_out] + answers[left_out + 1 :]
        total += min(1.0, others.count(answer) / 3)
    return total / len(answers)


@pytest.mark.parametrize(
    ("answers", "scores"),
    [
        # The evaluation's author worked this one: https://github.com/GT-Vision-Lab/VQA/issues/1.
        (["yes"] * 8 + ["no"] * 2, {"yes": 1.0, "no": 0.6}),
        (["1", "2", "3"] * 3 + ["1"], {"1": 1.0, "2": 0.9, "3": 0.9}),
        (list("abcdefghij"), dict.fromkeys("abcdefghij", 0.3)),
        (["yes"] * 10, {"yes": 1.0}),
        (["yes"] * 2, {"yes": 1 / 3}),
        (["yes", "no"], {"yes": 1 / 6, "no": 1 / 6}),
        (["yes"], {"yes": 0.0}),
    ],
)
def test_scores_by_hand(answers, scores):
    assert answer_scores(answers) == pytest.approx(scores)
    assert list(answer_scores(answers)) == list(scores)


@given(st.lists(ANSWERS, min_size=1, max_size=14))
def test_scores_equal_a_plain_loop(answers):
    scores = answer_scores(answers)
    assert scores.keys() == set(answers)
    for answer, score in scores.items():
        assert score == pytest.approx(leave_one_out_by_a_loop(answers, answer), abs=1e-12)
        assert 0 <= score <= 1


@given(st.lists(ANSWERS, min_size=1, max_size=14), st.data())
def test_the_order_of_annotators_does_not_matter(answers, data):
    assert answer_scores(data.draw(st.permutations(answers))) == answer_scores(answers)


@given(st.lists(ANSWERS, min_size=1, max_size=14))
def test_one_more_who_agrees_never_lowers_a_score(answers):
    for answer, score in answer_scores(answers).items():
        assert answer_scores([*answers, answer])[answer] >= score


@given(st.dictionaries(st.text("abc", max_size=2), st.integers(0, 4)), st.integers(1, 5))
def test_the_vocabulary_is_the_frequent_answers_in_order(counts, min_count):
    vocabulary = answer_vocabulary(counts, min_count)
    assert set(vocabulary) == {answer for answer in counts if counts[answer] >= min_count}
    for before, after in itertools.pairwise(vocabulary):
        assert counts[before] > counts[after] or (counts[before] == counts[after] and before < after)


def test_the_vocabulary_starts_at_nine():
    counts = Counter({"yes": 20, "2": 9, "blue": 9, "maybe": 8})
    assert answer_vocabulary(counts) == ["yes", "2", "blue"]


def test_wrong_use_is_one_sentence():
    with pytest.raises(ValueError, match=r"^answers must hold at least one answer, got none\.$"):
        answer_scores([])
    with pytest.raises(ValueError, match=r"^min_count must be >= 1, got 0\.$"):
        answer_vocabulary({"yes": 3}, 0)


def test_a_reader_of_files_needs_no_torch():
    script = "import sys; sys.argv[0] = 'duosent'; import duosent.data.answers; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
