"""Questions to a batch: the scores of their answers at the right places, everything else as for posts."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duosent.processing.collator import ImageTextCollator
from duosent.processing.vqa_collator import VisualQuestionCollator, why_no_soft_label

ROWS = [
    {"id": "7", "text": "what is it", "image": None, "answer_ids": [3, 0], "answer_scores": [1.0, 0.3]},
    {"id": "8", "text": "why", "image": None, "answer_ids": [], "answer_scores": []},
    {"id": "9", "text": "is it a dog", "image": None, "answer_ids": None, "answer_scores": None},
]


@pytest.fixture(scope="module")
def collator(processor) -> VisualQuestionCollator:
    return VisualQuestionCollator(processor, num_labels=5)


def test_scores_stand_where_their_answers_do(collator):
    batch = collator(ROWS)
    expected = torch.tensor([[0.3, 0, 0, 1.0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert torch.equal(batch.pop("labels"), expected)
    posts = ImageTextCollator(collator.processor)([{"text": row["text"], "image": None} for row in ROWS])
    assert posts.keys() == batch.keys()
    for name, tensor in posts.items():
        assert torch.equal(batch[name], tensor), name


def test_questions_without_answers_have_no_labels(collator):
    assert "labels" not in collator([{"text": "why", "image": None}])


@given(st.dictionaries(st.integers(0, 4), st.floats(0, 1, width=32), max_size=5))
def test_every_score_is_found_again(answers):
    assert why_no_soft_label(list(answers), list(answers.values()), 5) is None


@pytest.mark.parametrize(
    ("ids", "scores", "sentence"),
    [
        ([5], [1.0], "answer_ids must be >= 0 and < 5, the number of answers, got 5."),
        ([-1], [1.0], "answer_ids must be >= 0 and < 5, the number of answers, got -1."),
        ([1.0], [1.0], "answer_ids must be >= 0 and < 5, the number of answers, got 1.0."),
        ([1, 2], [1.0], "answer_ids and answer_scores must be of one length, got 2 and 1."),
        ([1], [1.5], "answer_scores must be >= 0 and <= 1, got 1.5."),
        ([1], [float("nan")], "answer_scores must be >= 0 and <= 1, got nan."),
    ],
)
def test_a_wrong_answer_is_one_sentence(collator, ids, scores, sentence):
    row = {"id": "7", "text": "why", "image": None, "answer_ids": ids, "answer_scores": scores}
    with pytest.raises(ValueError) as error:
        collator([row])
    assert str(error.value) == f"Row 7, {sentence}"
    del row["id"]
    with pytest.raises(ValueError) as error:
        collator([row])
    assert str(error.value) == sentence


def test_it_has_every_option_of_the_posts_collator():
    names = {field.name for field in dataclasses.fields(ImageTextCollator)}
    assert {field.name for field in dataclasses.fields(VisualQuestionCollator)} == names
