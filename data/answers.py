"""Answers of visual question answering: their normal form, their scores, and the vocabulary of those that count.

The rules are those of the official evaluation of VQA (https://visualqa.org/evaluation.html): people write one answer
in many ways, and ten of them seldom agree.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

# Matches that make an answer right altogether.
FULL_AGREEMENT = 3

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
NUMBER_WORDS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"}
NUMBER_WORDS |= {"seven": "7", "eight": "8", "nine": "9", "ten": "10"}
ARTICLES = ("a", "an", "the")
# Those that the official table restores: where "wed", "were", "shell" or "its" are words of their own, it leaves them.
CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'd've y'all'll you'd you'd've you'll you're you've
""".split()  # noqa: SIM905  (a list of them would be a page)
# A contraction is restored where exactly one of its apostrophes is left out.
RESTORED = {
    word[:place] + word[place + 1 :]: word for word in CONTRACTIONS for place, sign in enumerate(word) if sign == "'"
}
# The official table has this one the wrong way round.
RESTORED["somebody'd"] = "somebodyd"

COMMA_IN_A_NUMBER = re.compile(r"\d,\d")
PERIOD_BEFORE_NO_DIGIT = re.compile(r"\.(?!\d)")


def normalise_answer(answer: str) -> str:
    """The form in which answers are compared: "Two dogs." and "2 dogs" are one answer.

    In this order: tabs and line ends become blanks; punctuation goes, but for apostrophes (girl's) and colons (2:50);
    periods go, but for those before a digit (2.5); lower case; number words from zero to ten, and none, become digits;
    articles go; contractions get the apostrophe that was left out (dont -> don't); single blanks.

    The official rule is odd in places, and what it does is done here too, so that scores compare:
    - A sign of punctuation becomes a blank (black-white -> black white); but if it stands beside a blank anywhere in
      the answer, it goes everywhere without a trace (black- white-red -> black whitered), and where a comma stands
      between two digits, all punctuation goes so (100,978 -> 100978; 1,000-2,000 -> 10002000).
    - A period stays before a digit, whatever is in front of it (no.5 stays).
    - "none" is 0, as a word too (none of them -> 0 of them). The answer "a" becomes the empty string.
    - "im" and "ive" stay, and so does what is a word without its apostrophe (its, well, were); "somebody'd" loses its
      apostrophe.

    Here it is left: the official code takes out the first 32 periods only, and is not idempotent for an answer with
    more of them; this is, for every text. And it normalises only where the annotators of a question are not all of one
    word (to keep answers that were read off a picture), so that ten times "the cat" can be matched by "the cat" alone;
    here every answer is normalised, whatever the others are.

    Args:
        answer: an annotator's, or a model's.
    """
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    without_blank = COMMA_IN_A_NUMBER.search(text) is not None
    spaced = text
    for sign in PUNCTUATION:
        beside_blank = f"{sign} " in text or f" {sign}" in text
        spaced = spaced.replace(sign, "" if beside_blank or without_blank else " ")
    words = PERIOD_BEFORE_NO_DIGIT.sub("", spaced).lower().split()
    words = [NUMBER_WORDS.get(word, word) for word in words]
    return " ".join(RESTORED.get(word, word) for word in words if word not in ARTICLES)


def answer_scores(answers: Sequence[str]) -> dict[str, float]:
    """How right each answer to one question is, by what its annotators said.

    An answer is as right as `min(1, matches / 3)`, averaged over all ways to leave one annotator out, so that a person
    can be scored against the others by the same rule. Of ten annotators, 1, 2, 3 and 4 or more who agree make 0.3,
    0.6, 0.9 and 1.

    Args:
        answers: one an annotator, normalised; at least one. The rule is made for ten: of n annotators no answer can
            score more than `(n - 1) / 3`. Two who agree make 1/3, two who do not 1/6 each, and a single one 0, for
            nobody is left to agree.

    Returns: the score, in [0, 1], of each distinct answer, in the order in which they first stand; any other answer
        has 0.

    Raises:
        ValueError: if there is no answer.
    """
    if not answers:
        raise ValueError("answers must hold at least one answer, got none.")
    total = len(answers)
    return {answer: _leave_one_out(matches, total) for answer, matches in Counter(answers).items()}


def _leave_one_out(matches: int, total: int) -> float:
    """The mean over the `total` annotators left out: `matches` of them take a match along."""
    with_all = min(FULL_AGREEMENT, matches) * (total - matches)
    with_one_less = min(FULL_AGREEMENT, matches - 1) * matches
    return (with_all + with_one_less) / (FULL_AGREEMENT * total)


def answer_vocabulary(counts: Mapping[str, int], min_count: int = 9) -> list[str]:
    """The answers that a model chooses from; the place in the list is the answer's id.

    Args:
        counts: how often each answer (normalised) was given. The usual vocabulary of VQA v2, 3,129 answers, counts
            each question's commonest one over train and validation.
        min_count: rarer answers are left out; >= 1.

    Returns: commonest first, those of one count by the alphabet.

    Raises:
        ValueError: for a `min_count` below 1.
    """
    if min_count < 1:
        raise ValueError(f"min_count must be >= 1, got {min_count}.")
    kept = [answer for answer, count in counts.items() if count >= min_count]
    return sorted(kept, key=lambda answer: (-counts[answer], answer))


__all__ = ["answer_scores", "answer_vocabulary", "normalise_answer"]
