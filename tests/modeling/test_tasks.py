"""Several labels in one model: spans of the logits, mean of the tasks' losses, and a config that keeps its order."""

import json
import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from tiny import build, make_batch
from torch.testing import assert_close
from transformers import AutoConfig, AutoModelForSequenceClassification

from duosent import (
    BaselineForImageTextClassification,
    ClmlfForImageTextClassification,
    LmfForImageTextClassification,
    MdseConfig,
    MdseForImageTextClassification,
    RadmForImageTextClassification,
    TfnForImageTextClassification,
    TombertForImageTextClassification,
)
from duosent.modeling.classification_losses import ClassificationLoss, balanced_classification_loss
from duosent.modeling.contrastive_tasks import data_based_contrastive_loss, label_based_contrastive_loss
from duosent.modeling.losses import modality_agnostic_contrastive_loss

# Not by the alphabet, which is the order in which JSON gives them back.
TASKS = {"mood": ["sad", "glad"], "desire": ["none", "family", "love"], "irony": ["no", "yes"]}
NAMES = ["mood:sad", "mood:glad", "desire:none", "desire:family", "desire:love", "irony:no", "irony:yes"]
LABELS = torch.tensor([[0, 2, 1], [1, -100, 0], [1, 1, -100], [0, 2, -100]])
MODELS = [
    MdseForImageTextClassification,
    RadmForImageTextClassification,
    BaselineForImageTextClassification,
    TfnForImageTextClassification,
    LmfForImageTextClassification,
    ClmlfForImageTextClassification,
    TombertForImageTextClassification,
]


def with_tasks(model_class, **config):
    return build(model_class, num_labels=7, tasks=TASKS, **config)


def cross_entropy(logits, labels):
    """Mean over the labelled rows, by hand; 0 for none."""
    terms = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if label != -100:
            terms.append(math.log(sum(math.exp(x) for x in row)) - row[label])
    return sum(terms) / len(terms) if terms else 0.0


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("labels", [LABELS, torch.full((4, 3), -100)], ids=["some", "none"])
def test_the_loss_is_the_mean_over_the_tasks(model_class, labels):
    model, batch = with_tasks(model_class), make_batch() | {"labels": labels}
    output = model(**batch)
    assert output.logits.shape == (4, 7)
    spans = [slice(0, 2), slice(2, 5), slice(5, 7)]
    expected = sum(cross_entropy(output.logits[:, span], labels[:, i]) for i, span in enumerate(spans)) / 3
    assert_close(output.classification_loss, torch.tensor(expected))
    output.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_macl_is_the_mean_over_the_tasks():
    model, batch = with_tasks(MdseForImageTextClassification), make_batch() | {"labels": LABELS}
    batch["text_present"][0] = False
    output = model(**batch)
    views = torch.cat([output.image_embeds, output.text_embeds, output.fused_embeds])
    terms = []
    for of_task in LABELS.T:
        words = of_task.clone()
        words[0] = -100  # a side that is not there has nothing to pull
        terms.append(modality_agnostic_contrastive_loss(views, torch.cat([of_task, words, of_task])))
    assert_close(output.contrastive_loss, sum(terms) / 3)
    assert_close(output.loss, output.classification_loss + output.contrastive_loss)


@pytest.mark.parametrize("model_class", MODELS)
def test_parts_of_a_batch_add_up_task_by_task(model_class):
    """Each task is divided by the posts of the whole batch that have its label, here 4, 3 and 2."""
    model = with_tasks(model_class)
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    posts = sum(model.count_posts(part) for part in LABELS.split([1, 3]))
    assert posts.tolist() == [4, 3, 2]
    parts = zip(logits.split([1, 3]), LABELS.split([1, 3]), strict=True)
    loss = sum(model.classification_loss(*part, posts) for part in parts)
    spans = [slice(0, 2), slice(2, 5), slice(5, 7)]
    expected = sum(cross_entropy(logits[:, span], LABELS[:, i]) for i, span in enumerate(spans)) / 3
    assert_close(loss, torch.tensor(expected))


def test_the_contrastive_losses_of_clmlf_are_means_over_the_tasks():
    model, batch = with_tasks(ClmlfForImageTextClassification), make_batch() | {"labels": LABELS}
    output = model(**batch)
    features = output.fused_embeds
    by_label = [label_based_contrastive_loss(features, of_task) for of_task in LABELS.T]
    by_post = [data_based_contrastive_loss(features, features, of_task) for of_task in LABELS.T]
    assert_close(output.label_contrastive_loss, sum(by_label) / 3)
    assert_close(output.data_contrastive_loss, sum(by_post) / 3)


def test_weights_lie_over_the_joined_span():
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    weights = torch.arange(1.0, 8.0, dtype=torch.double)
    loss = ClassificationLoss(None, [2, 3, 2], weights, 2.0, 0.1).train()
    expected = [
        balanced_classification_loss(logits[:, span], LABELS[:, i], weights[span], 2.0, 0.1)
        for i, span in enumerate([slice(0, 2), slice(2, 5), slice(5, 7)])
    ]
    assert_close(loss(logits, LABELS), sum(expected) / 3)


def test_labels_of_another_shape_are_refused():
    model, batch = with_tasks(MdseForImageTextClassification), make_batch()
    with pytest.raises(ValueError, match=r"^labels must be of shape \(posts, tasks\), here \(4, 3\), got \(4,\)\.$"):
        model(**batch)


@pytest.mark.parametrize("model_class", MODELS)
def test_order_survives_saving(model_class, tmp_path):
    combinations = [[0, 0, 0], [1, 2, 1]]
    model, batch = with_tasks(model_class, label_combinations=combinations), make_batch() | {"labels": LABELS}
    assert list(model.config.id2label.values()) == NAMES
    assert model.config.label2id == {name: index for index, name in enumerate(NAMES)}
    model.save_pretrained(tmp_path)
    assert list(json.loads((tmp_path / "config.json").read_text())["tasks"]) == sorted(TASKS)  # what this is about
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(again) is model_class
    for config in (again.config, AutoConfig.from_pretrained(tmp_path)):
        assert list(config.tasks.items()) == list(TASKS.items())
        assert list(config.id2label.values()) == NAMES
        assert config.label_combinations == combinations
    with torch.no_grad():
        assert torch.equal(again(**batch).loss, model.eval()(**batch).loss)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": {}}, "tasks must be one or more, their names without a colon, got []"),
        ({"tasks": {"a:b": ["x"]}}, "tasks must be one or more, their names without a colon, got ['a:b']"),
        ({"tasks": {"a": []}}, "tasks must have different labels, at least one, got [] for a."),
        ({"tasks": {"a": ["x", "x"]}}, "tasks must have different labels, at least one, got ['x', 'x'] for a."),
        ({"tasks": {"a": ["x", 3]}}, "tasks"),
        (
            {"tasks": TASKS, "problem_type": "multi_label_classification"},
            "problem_type must not be multi_label_classification with tasks",
        ),
        (
            {"tasks": TASKS, "label_combinations": [[0, 3, 0]]},
            "label_combinations must hold a class index for each task, got [0, 3, 0].",
        ),
        (
            {"tasks": TASKS, "label_combinations": [[0, 0]]},
            "label_combinations must hold a class index for each task, got [0, 0].",
        ),
        ({"label_combinations": [[0, 0]]}, "label_combinations must be None without tasks."),
    ],
)
def test_a_wrong_config_is_refused(fields, message):
    with pytest.raises(StrictDataclassError) as error:
        MdseConfig(**fields)
    assert message in str(error.value)


def test_labels_that_do_not_go_with_the_tasks_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^num_labels must be 7, the labels of all tasks, got 3: other labels need"):
        MdseConfig(tasks=TASKS, num_labels=3)
    with pytest.raises(ValueError, match=r"^id2label must be None or task:label for each label of tasks, in order"):
        MdseConfig(tasks=TASKS, id2label={0: "sad", 1: "glad"})
    with_tasks(BaselineForImageTextClassification).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"^num_labels must be 7, the labels of all tasks, got 3: other labels need"):
        BaselineForImageTextClassification.from_pretrained(tmp_path, num_labels=3, ignore_mismatched_sizes=True)
    other = {"tasks": None, "id2label": {0: "sad", 1: "glad"}, "ignore_mismatched_sizes": True}
    model = BaselineForImageTextClassification.from_pretrained(tmp_path, **other)
    assert model(**make_batch() | {"labels": torch.tensor([0, 1, 1, 0])}).logits.shape == (4, 2)
    config = with_tasks(BaselineForImageTextClassification).config
    config.num_labels = 3
    with pytest.raises(ValueError, match=r"^num_labels must be 7, the labels of all tasks, got 3: other labels need"):
        BaselineForImageTextClassification(config)
