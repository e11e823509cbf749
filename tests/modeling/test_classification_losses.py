"""Weights, focal loss and smoothing against plain loops over posts and labels."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import build, make_batch
from torch.testing import assert_close

from duosent import (
    BaselineForImageTextClassification,
    MdseForImageTextClassification,
    RadmForImageTextClassification,
)
from duosent.modeling.classification_losses import (
    ClassificationLoss,
    balanced_classification_loss,
    binary_balanced_loss,
)
from duosent.modeling.losses import classification_loss

LOGITS = 3 * torch.randn(6, 3, generator=torch.Generator().manual_seed(4), dtype=torch.double)
LABELS = st.lists(st.sampled_from([-100, 0, 1, 2]), min_size=6, max_size=6)
SETS = st.lists(st.sampled_from([(0, 0, 0), (1, 0, 1), (0, 1, 0), (-100,) * 3]), min_size=6, max_size=6)
WEIGHTS = st.none() | st.lists(st.floats(0, 5), min_size=3, max_size=3)
GAMMAS, SMOOTHINGS = st.sampled_from([0, 0.5, 1, 2, 5]), st.sampled_from([0, 0.1, 0.7])


def softmax_loop(labels, weights, gamma, smoothing):
    posts = []
    for row, label in zip(LOGITS.tolist(), labels, strict=True):
        if label == -100:
            continue
        exponentials = [math.exp(x) for x in row]
        total = 0.0
        for c, e in enumerate(exponentials):
            p = e / sum(exponentials)
            q = smoothing / 3 + (1 - smoothing if c == label else 0)
            total -= (1 if weights is None else weights[c]) * q * (1 - p) ** gamma * math.log(p)
        posts.append(total)
    return sum(posts) / len(posts) if posts else 0.0


def sigmoid_loop(labels, weights, gamma, smoothing):
    posts = []
    for row, labels_of_post in zip(LOGITS.tolist(), labels, strict=True):
        if -100 in labels_of_post:
            continue
        total = 0.0
        for c, (x, y) in enumerate(zip(row, labels_of_post, strict=True)):
            p = 1 / (1 + math.exp(-x))
            q = (1 - smoothing) * y + smoothing / 2
            total -= (1 if weights is None else weights[c]) * q * (1 - p) ** gamma * math.log(p)
            total -= (1 - q) * p**gamma * math.log(1 - p)
        posts.append(total / 3)
    return sum(posts) / len(posts) if posts else 0.0


@given(labels=LABELS, weights=WEIGHTS, gamma=GAMMAS, smoothing=SMOOTHINGS)
def test_one_label_a_post_equals_the_loop(labels, weights, gamma, smoothing):
    expected = torch.tensor(softmax_loop(labels, weights, gamma, smoothing), dtype=torch.double)
    weights = None if weights is None else torch.tensor(weights, dtype=torch.double)
    assert_close(balanced_classification_loss(LOGITS, torch.tensor(labels), weights, gamma, smoothing), expected)


@given(labels=SETS, weights=WEIGHTS, gamma=GAMMAS, smoothing=SMOOTHINGS)
def test_several_labels_a_post_equal_the_loop(labels, weights, gamma, smoothing):
    expected = torch.tensor(sigmoid_loop(labels, weights, gamma, smoothing), dtype=torch.double)
    weights = None if weights is None else torch.tensor(weights, dtype=torch.double)
    labels = torch.tensor(labels, dtype=torch.float)
    assert_close(binary_balanced_loss(LOGITS, labels, weights, gamma, smoothing), expected)


@given(labels=LABELS, smoothing=SMOOTHINGS)
def test_smoothing_alone_is_that_of_torch(labels, smoothing):
    labels = torch.tensor(labels)
    expected = F.cross_entropy(LOGITS, labels, label_smoothing=smoothing, ignore_index=-100, reduction="sum")
    known = max((labels != -100).sum().item(), 1)
    assert_close(balanced_classification_loss(LOGITS, labels, None, 0, smoothing), expected / known)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_sure_answer_has_a_finite_gradient(gamma):
    """With p = 1 in rounding, the gradient of a root of 1 - p is infinite."""
    logits = torch.tensor([[200.0, 0.0, -200.0], [0.0, 0.0, 300.0]], requires_grad=True)
    loss = balanced_classification_loss(logits, torch.tensor([0, 0]), None, gamma, 0.1)
    loss = loss + binary_balanced_loss(logits, torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), None, gamma, 0.1)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradient_of_the_focal_loss(gamma):
    logits, labels = LOGITS.clone().requires_grad_(), torch.tensor([0, 2, 1, -100, 1, 0])
    weights = torch.tensor([0.5, 2.0, 1.0], dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: balanced_classification_loss(x, labels, weights, gamma, 0.2), logits)


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_it_acts_in_training_alone(several):
    problem_type = "multi_label_classification" if several else None
    labels = torch.tensor([[1.0, 0.0, 1.0]] * 6) if several else torch.tensor([0, 2, 1, -100, 1, 0])
    weights = torch.tensor([0.5, 2.0, 1.0], dtype=torch.double)
    loss = ClassificationLoss(problem_type, None, weights, 2.0, 0.1)
    function = binary_balanced_loss if several else balanced_classification_loss
    assert_close(loss.train()(LOGITS, labels), function(LOGITS, labels, weights, 2.0, 0.1))
    assert_close(loss.eval()(LOGITS, labels), classification_loss(LOGITS, labels, problem_type))
    plain = ClassificationLoss(problem_type).train()
    assert_close(plain(LOGITS, labels), classification_loss(LOGITS, labels, problem_type))


@pytest.mark.parametrize(
    "model_class",
    [MdseForImageTextClassification, RadmForImageTextClassification, BaselineForImageTextClassification],
)
def test_every_model_takes_it_and_no_checkpoint_knows_of_it(model_class, tmp_path):
    model, batch = build(model_class, hidden_dropout_prob=0, attention_probs_dropout_prob=0), make_batch()
    plain = model(**batch)
    names = set(model.state_dict())
    model.classification_loss = ClassificationLoss(None, None, torch.tensor([0.5, 2.0, 3.0]), 2.0, 0.1)
    model.classification_loss.train()  # and nothing else: dropout stays off
    heavy = model(**batch)
    expected = balanced_classification_loss(
        plain.logits, batch["labels"], model.classification_loss.class_weights, 2.0, 0.1
    )
    assert_close(heavy.classification_loss, expected)
    assert_close(heavy.loss - heavy.classification_loss, plain.loss - plain.classification_loss, atol=1e-5, rtol=1e-5)
    assert set(model.state_dict()) == names
    model.save_pretrained(tmp_path)
    again = model_class.from_pretrained(tmp_path)
    assert again.classification_loss.plain
