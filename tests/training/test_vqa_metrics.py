"""VQA accuracy against cases worked by hand and a plain loop over the annotators."""

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.training.vqa_metrics import VqaMetrics

# Scores by hand: yes 1.0, no 0.6; 2 0.9, 3 1.0, 4 0.3; red 1.0.
REFERENCES = [["yes"] * 8 + ["no"] * 2, ["2"] * 3 + ["3"] * 6 + ["4"], ["red"] * 10]
TYPES = ["yes/no", "number", "other"]


def test_by_hand():
    figures = VqaMetrics(["yes", "2", "4"], "answer_types").compute(
        predictions=["no", "2", "blue"], references=REFERENCES, answer_types=TYPES
    )
    assert figures == {
        "accuracy": pytest.approx((0.6 + 0.9 + 0) / 3),
        "n": 3,
        "majority_accuracy": pytest.approx((0 + 0 + 1) / 3),  # always red, given ten times
        "ceiling": pytest.approx((1 + 0.9 + 0) / 3),
        "per_answer_type": {
            "number": {"accuracy": pytest.approx(0.9), "n": 1},
            "other": {"accuracy": 0.0, "n": 1},
            "yes/no": {"accuracy": pytest.approx(0.6), "n": 1},
        },
    }


def test_both_sides_are_normalised():
    references = [["Two dogs.", "two dogs", "2 dogs", "the dog"] + ["cat"] * 6]
    for answer in ("2 dogs", "Two dogs", "the 2 dogs!"):
        assert VqaMetrics().compute(predictions=[answer], references=references)["accuracy"] == pytest.approx(0.9)
    figures = VqaMetrics(["TWO dogs"]).compute(predictions=["cat"], references=references)
    assert figures["accuracy"] == 1.0 and figures["ceiling"] == pytest.approx(0.9)


def test_the_commonest_answer_is_counted_over_annotators_and_ties_go_by_the_alphabet():
    # red is the first answer of two questions of three, but blue is given 12 times and red 9 times.
    references = [["red"] * 4 + ["blue"] * 3, ["red"] * 5 + ["blue"] * 1, ["blue"] * 8]
    figures = VqaMetrics().compute(predictions=["", "", ""], references=references)
    # 3 of 7 blue: (4 * 1 + 3 * 2/3) / 7; 1 of 6: 5 * 1/3 / 6; 8 of 8: 1.
    assert figures["majority_accuracy"] == pytest.approx((6 / 7 + 5 / 18 + 1) / 3)
    assert figures["accuracy"] == 0.0 and "ceiling" not in figures and "per_answer_type" not in figures
    # c and b are given four times each; b scores (4 * 1/3) / 5 and (2 * 1 + 3 * 2/3) / 5, c would score 1 and 0.
    tie = VqaMetrics().compute(predictions=["", ""], references=[["c"] * 4 + ["b"], ["b"] * 3 + ["d"] * 2])
    assert tie["majority_accuracy"] == pytest.approx((4 / 15 + 4 / 5) / 2)


def test_questions_without_answers_or_type_are_left_out():
    figures = VqaMetrics(config_name="answer_types").compute(
        predictions=["yes", "yes", "red"],
        references=[REFERENCES[0], [], REFERENCES[2]],
        answer_types=["yes/no", "", ""],
    )
    assert (figures["n"], figures["accuracy"]) == (2, 1.0)
    assert figures["per_answer_type"] == {"yes/no": {"accuracy": 1.0, "n": 1}}


ANSWERS = st.sampled_from(["yes", "no", "2", "red"])
QUESTIONS = st.lists(
    st.tuples(ANSWERS, st.lists(ANSWERS, min_size=1, max_size=12), st.sampled_from(TYPES)), min_size=1, max_size=6
)


@given(QUESTIONS)
def test_equal_to_a_plain_loop(questions):
    predictions, references, types = (list(column) for column in zip(*questions, strict=True))
    figures = VqaMetrics(["yes", "2"], "answer_types").compute(
        predictions=predictions, references=references, answer_types=types
    )

    def right(answer, annotators):
        total = 0.0
        for left_out in range(len(annotators)):
            matches = 0
            for other, given_answer in enumerate(annotators):
                if other != left_out and given_answer == answer:
                    matches += 1
            total += min(1.0, matches / 3)
        return total / len(annotators)

    each = [right(answer, annotators) for answer, annotators, _ in questions]
    assert figures["accuracy"] == pytest.approx(sum(each) / len(each), abs=1e-9)
    best = [max(right(answer, annotators) for answer in ("yes", "2")) for annotators in references]
    assert figures["ceiling"] == pytest.approx(sum(best) / len(best), abs=1e-9)
    for kind, row in figures["per_answer_type"].items():
        own = [score for score, other in zip(each, types, strict=True) if other == kind]
        assert row == {"accuracy": pytest.approx(sum(own) / len(own), abs=1e-9), "n": len(own)}
    assert 0 <= figures["accuracy"] <= 1


@given(QUESTIONS, st.randoms(use_true_random=False))
def test_neither_the_order_of_annotators_nor_of_questions_matters(questions, rng):
    other = [(answer, rng.sample(annotators, len(annotators)), kind) for answer, annotators, kind in questions]
    rng.shuffle(other)
    results = []
    for rows in (questions, other):
        predictions, references, _ = (list(column) for column in zip(*rows, strict=True))
        results.append(VqaMetrics(["no"]).compute(predictions=predictions, references=references))
    assert results[0] == pytest.approx(results[1])


def test_batches_and_combination_give_the_same():
    whole = {"predictions": ["no", "2", "red"], "references": REFERENCES, "answer_types": TYPES}
    expected = VqaMetrics(["no"], "answer_types").compute(**whole)
    batched = VqaMetrics(["no"], "answer_types")
    for start, end in ((0, 2), (2, 3)):
        batched.add_batch(**{name: column[start:end] for name, column in whole.items()})
    assert batched.compute() == expected
    combined = evaluate.combine([VqaMetrics(["no"], "answer_types")])
    combined.add_batch(**whole)
    assert combined.compute() == expected
    assert evaluate.combine([VqaMetrics(["no"], "answer_types")]).compute(**whole) == expected


def test_wrong_use_is_one_sentence():
    with pytest.raises(ValueError, match=r'^config_name must be "default" or "answer_types", got \'types\'\.$'):
        VqaMetrics(config_name="types")
    with pytest.raises(ValueError, match=r"^At least one question must have an annotator's answer, got none in 2\.$"):
        VqaMetrics().compute(predictions=["a", "b"], references=[[], []])
