"""Losses against plain loops and cases worked by hand."""

import math
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from duosent.modeling import losses
from duosent.modeling.losses import (
    answer_loss,
    classification_loss,
    count_labelled,
    modality_agnostic_contrastive_loss,
)


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def loop(views, labels, temperature, form):
    """(10) and (11), pair by pair."""
    views, labels = views.tolist(), labels.tolist()
    rows = [i for i, label in enumerate(labels) if label != -100]
    all_sum = positive_sum = 0.0
    anchors = []
    for i in rows:
        own_all = own_positive = 0.0
        for j in rows:
            if i == j:
                continue
            c = math.exp(cosine(views[i], views[j]) / temperature)
            own_all += c
            if labels[i] == labels[j]:
                own_positive += c
        all_sum, positive_sum = all_sum + own_all, positive_sum + own_positive
        if own_positive:
            anchors.append(-math.log(own_positive / own_all))
    if form == "ratio":
        return -math.log(positive_sum / all_sum) if positive_sum else 0.0
    return sum(anchors) / len(anchors) if anchors else 0.0


VIEWS = torch.randn(9, 5, generator=torch.Generator().manual_seed(3), dtype=torch.double)
LABELS = st.lists(st.sampled_from([-100, 0, 1, 2]), min_size=9, max_size=9).map(torch.tensor)
FORMS = st.sampled_from(["anchor", "ratio"])


@given(labels=LABELS, form=FORMS, temperature=st.sampled_from([0.05, 0.07, 0.5, 2.0]), rows=st.integers(1, 9))
def test_contrastive_loss_equals_the_loop(labels, form, temperature, rows):
    expected = torch.tensor(loop(VIEWS, labels, temperature, form), dtype=torch.double)
    with patch.object(losses, "ROWS_AT_ONCE", rows):
        assert_close(modality_agnostic_contrastive_loss(VIEWS, labels, temperature, form), expected)


def test_contrastive_loss_of_three_views_by_hand():
    # Unit vectors at 0, 90 and 180 degrees, the first two of one class, temperature 1: cosines 0, -1, 0.
    views = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]], dtype=torch.double)
    labels = torch.tensor([0, 0, 1])
    e = math.e
    anchor = (math.log((1 + 1 / e) / 1) + math.log(2)) / 2
    ratio = math.log((2 * 1 + 2 / e + 2 * 1) / 2)
    for form, expected in (("anchor", anchor), ("ratio", ratio)):
        loss = modality_agnostic_contrastive_loss(views, labels, 1.0, form)
        assert_close(loss, torch.tensor(expected, dtype=torch.double))


@given(order=st.permutations(range(9)), labels=LABELS, form=FORMS)
def test_contrastive_loss_sees_neither_order_nor_length_of_views(order, labels, form):
    order = list(order)
    loss = modality_agnostic_contrastive_loss(VIEWS, labels, 0.07, form)
    lengths = torch.arange(1, 10, dtype=torch.double)[:, None]
    assert_close(modality_agnostic_contrastive_loss((VIEWS * lengths)[order], labels[order], 0.07, form), loss)


@pytest.mark.parametrize("rows", [4, 1])
@pytest.mark.parametrize("form", ["anchor", "ratio"])
@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [-100] * 4, [0, -100, 1, -100], [5, -100, -100, -100]])
def test_no_positive_pair_gives_zero_and_a_zero_gradient(labels, form, rows, monkeypatch):
    monkeypatch.setattr(losses, "ROWS_AT_ONCE", rows)
    views = VIEWS[:4].clone().requires_grad_()
    loss = modality_agnostic_contrastive_loss(views, torch.tensor(labels), form=form)
    loss.backward()
    assert loss == 0
    assert (views.grad == 0).all()


@pytest.mark.parametrize("rows", [9, 4])
@pytest.mark.parametrize("form", ["anchor", "ratio"])
def test_gradient_of_the_contrastive_loss(form, rows, monkeypatch):
    monkeypatch.setattr(losses, "ROWS_AT_ONCE", rows)
    views = VIEWS.clone().requires_grad_()
    labels = torch.tensor([0, 1, 0, 1, 2, 0, -100, 1, 0])
    assert torch.autograd.gradcheck(lambda v: modality_agnostic_contrastive_loss(v, labels, 0.3, form), views)


@pytest.mark.parametrize("form", ["anchor", "ratio"])
def test_contrastive_loss_in_half_precision_is_finite(form):
    views = torch.ones(6, 4, dtype=torch.float16).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    loss = modality_agnostic_contrastive_loss(views, labels, 0.01, form)
    loss.backward()
    assert_close(loss, torch.tensor(math.log(5.0)))  # all cosines 1: one of five partners is a positive
    assert views.grad.isfinite().all()


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match='form must be "anchor" or "ratio", got \'mean\''):
        modality_agnostic_contrastive_loss(VIEWS, torch.zeros(9), form="mean")


def test_classification_loss_leaves_unlabelled_posts_out():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0], [9.0, -9.0, 3.0]], dtype=torch.double)
    labels = torch.tensor([1, 2, -100])
    total = 0.0
    for row, label in ((0, 1), (1, 2)):
        exponentials = [math.exp(x) for x in logits[row].tolist()]
        total -= math.log(exponentials[label] / sum(exponentials))
    assert_close(classification_loss(logits, labels), torch.tensor(total / 2, dtype=torch.double))


def test_answer_loss_sums_over_answers_and_averages_over_posts():
    logits = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.5, -0.5]], dtype=torch.double)
    scores = torch.tensor([[1.0, 0.0, 0.3], [0.0, 0.9, 0.6]], dtype=torch.double)
    total = 0.0
    for x, y in zip(logits.flatten().tolist(), scores.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        total -= y * math.log(p) + (1 - y) * math.log(1 - p)
    assert_close(answer_loss(logits, scores), torch.tensor(total / 2, dtype=torch.double))


@given(data=st.data(), several=st.booleans(), cut=st.integers(0, 9))
def test_two_parts_of_a_batch_add_up_to_it(data, several, cut):
    """Each divided by the posts of both; a part may be empty, or without a label."""
    logits = VIEWS[:, :3]
    labels = data.draw(LABELS)
    if several:
        labels = torch.stack([labels.clamp_max(1), *torch.randint(0, 2, (2, 9))], dim=1)
    kind = "multi_label_classification" if several else None
    known = sum(1 for row in labels.reshape(9, -1).tolist() if -100 not in row)
    assert count_labelled(labels) == known
    parts = [classification_loss(logits[i], labels[i], kind, torch.tensor(known)) for i in (slice(cut), slice(cut, 9))]
    assert_close(sum(parts), classification_loss(logits, labels, kind))
    scores = VIEWS[:, 3:].sigmoid()
    parts = [answer_loss(logits[i, :2], scores[i], torch.tensor(9)) for i in (slice(cut), slice(cut, 9))]
    assert_close(sum(parts), answer_loss(logits[:, :2], scores))
