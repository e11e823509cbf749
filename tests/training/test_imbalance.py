"""Classes of unequal size: weights worked by hand, each class drawn equally often, resumed without a difference."""

from collections import Counter

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import ClassLabel, Dataset, Features, List
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.testing import assert_close
from torch.utils.data import BatchSampler
from transformers import TrainerState

from duosent import RadmConfig, RadmForVisualQuestionAnswering
from duosent.modeling.classification_losses import balanced_classification_loss
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError
from duosent.training.classification_task import ClassificationTask
from duosent.training.imbalance import BalancedSampler, balanced_sampler, class_weights, training_loss
from duosent.training.trainer import ImageTextTrainer
from duosent.training.vqa_task import VisualQuestionTask

NAMES = ["negative", "neutral", "positive"]


def labelled(labels, several=False) -> Dataset:
    kind = ClassLabel(names=NAMES)
    return Dataset.from_dict({"label": labels}, features=Features({"label": List(kind) if several else kind}))


@pytest.fixture
def trainer_of(tiny_mdse, rows, processor, tmp_path):
    def make(seed=0, folder="run", **options) -> ImageTextTrainer:
        usual = {
            "per_device_train_batch_size": 2,
            "num_train_epochs": 2,
            "save_strategy": "no",
            "eval_strategy": "no",
            "load_best_model_at_end": False,
            "disable_tqdm": True,
            "use_cpu": True,
        }
        args = ImageTextTrainingArguments(str(tmp_path / folder), **{**usual, **options})
        return ImageTextTrainer(tiny_mdse(seed), args, ImageTextCollator(processor), rows, rows)

    return make


def test_balanced_weights_by_hand():
    # Six labelled posts of two classes that occur: 6 / (2 * 4) and 6 / (2 * 2).
    rows = labelled([0, 0, 0, 0, 2, 2, None, None])
    assert_close(class_weights(["balanced"], NAMES, None, rows), torch.tensor([0.75, 1.0, 1.5]))
    # Of four posts with labels three are neutral, one is positive, none is negative.
    several = labelled([[1], [1, 2], [1], [], None], several=True)
    weights = class_weights(["balanced"], NAMES, "multi_label_classification", several)
    assert_close(weights, torch.tensor([1.0, 1 / 3, 3.0]))


def test_weights_by_name():
    assert class_weights(None, NAMES, None, None) is None
    given = class_weights(["positive=3", "negative=0.5"], NAMES, None, None)
    assert_close(given, torch.tensor([0.5, 1.0, 3.0]))
    assert_close(class_weights(["a=b=2"], ["a=b", "c"], None, None), torch.tensor([2.0, 1.0]))
    with pytest.raises(
        ValueError, match=r"^class_weights must name labels of negative, neutral, positive, got 'glad'\.$"
    ):
        class_weights(["glad=2"], NAMES, None, None)


LABELS = st.lists(st.sampled_from([None, -100, 0, 1, 1, 1, 2, 5]), min_size=1, max_size=40).filter(
    lambda labels: any(label not in (None, -100) for label in labels)
)


@given(labels=LABELS, epoch=st.integers(0, 3))
def test_each_class_comes_equally_often_and_so_do_the_posts_of_a_class(labels, epoch):
    sampler = BalancedSampler(labels, seed=7)
    sampler.set_epoch(epoch)
    drawn = Counter(sampler)
    posts = {c: [i for i, label in enumerate(labels) if label == c] for c in (0, 1, 2, 5) if c in labels}
    known = sum(len(places) for places in posts.values())
    assert set(drawn) <= {place for places in posts.values() for place in places}
    assert sum(drawn.values()) == len(sampler)
    assert known <= len(sampler) < known + len(posts)
    for places in posts.values():
        assert sum(drawn[place] for place in places) == len(sampler) // len(posts)
        counts = [drawn[place] for place in places]
        assert max(counts) - min(counts) <= 1


def test_draws_follow_seed_and_epoch_alone():
    labels = [0] * 30 + [1] * 3

    def draws(seed, epoch):
        sampler = BalancedSampler(labels, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draws(1, 2) == draws(1, 2)
    assert draws(1, 2) != draws(1, 3) and draws(1, 2) != draws(2, 2)
    # Epochs together reach what one of them leaves out.
    reached = {place for epoch in range(12) for place in draws(1, epoch)}
    assert reached == set(range(33))


def test_processes_share_one_sequence():
    labels = [0] * 20 + [1] * 4
    whole = list(BalancedSampler(labels, 3))
    shares = [
        [
            place
            for batch in BatchSamplerShard(BatchSampler(BalancedSampler(labels, 3), 4, False), 2, p)
            for place in batch
        ]
        for p in range(2)
    ]
    assert Counter(shares[0] + shares[1]) == Counter(whole)


def test_the_trainer_draws_balanced(trainer_of):
    trainer = trainer_of(balanced_sampling=True, num_train_epochs=3)
    seen = []
    trainer.model.register_forward_pre_hook(
        lambda module, args, inputs: seen.extend(inputs["labels"].tolist()), with_kwargs=True
    )
    trainer.train()
    # Seven posts of three classes: three of each in every epoch.
    assert [Counter(seen[start : start + 9]) for start in (0, 9, 18)] == [Counter({0: 3, 1: 3, 2: 3})] * 3
    assert seen[:9] != seen[9:18]


def test_the_sampler_is_told_the_epoch_of_a_resumed_run(trainer_of):
    trainer = trainer_of(balanced_sampling=True)
    sampler = BalancedSampler([2, 0, 1, 2, 0, 1, 2], seed=42)
    sampler.set_epoch(2)
    trainer.callback_handler.on_epoch_begin(trainer.args, TrainerState(epoch=2.5), trainer.control)
    assert list(trainer._get_train_sampler()) == list(sampler)


@pytest.mark.parametrize("step", [5, 3], ids=["at the end of an epoch", "within an epoch"])
def test_resume_is_exact(trainer_of, tmp_path, step):
    options = {
        "balanced_sampling": True,
        "focal_gamma": 2.0,
        "label_smoothing_factor": 0.1,
        "class_weights": ["LABEL_0=3"],
        "learning_rate": 1e-2,
        "save_strategy": "steps",
        "save_steps": step,
        "save_total_limit": None,
    }
    trainer_of(0, "whole", **options).train()
    resumed = trainer_of(1, "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    whole = load_file(tmp_path / "whole" / "checkpoint-10" / "model.safetensors")
    again = load_file(tmp_path / "resumed" / "checkpoint-10" / "model.safetensors")
    assert not [name for name in whole if not torch.equal(whole[name], again[name])]


def test_the_trainers_loss_is_the_weighted_one_and_evaluations_is_plain(trainer_of, rows, processor):
    options = {"class_weights": "balanced", "focal_gamma": 1.5, "label_smoothing_factor": 0.2}
    trainer, plain = trainer_of(**options), trainer_of()
    batch = ImageTextCollator(processor)(list(rows))
    logits = plain.model.eval()(**batch).logits
    # Counts 2, 2 and 3 of 7.
    weights = torch.tensor([7 / 6, 7 / 6, 7 / 9])
    trainer.model.eval().classification_loss.train()
    expected = balanced_classification_loss(logits, batch["labels"], weights, 1.5, 0.2)
    output = trainer.model(**batch)
    assert_close(output.classification_loss, expected)
    assert_close(output.loss, expected + output.contrastive_loss)  # smoothing leaves the contrastive term in
    assert trainer.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing_factor": 1.0}, "label_smoothing_factor must be >= 0 and < 1, got 1.0."),
        ({"focal_gamma": -1.0}, "focal_gamma must be >= 0, got -1.0."),
        ({"focal_gamma": float("nan")}, "focal_gamma must be >= 0, got nan."),
        (
            {"class_weights": "heavy"},
            "class_weights must be balanced, or label=number with numbers >= 0, got 'heavy'.",
        ),
        (
            {"class_weights": ["a=-1"]},
            "class_weights must be balanced, or label=number with numbers >= 0, got 'a=-1'.",
        ),
        (
            {"class_weights": ["balanced", "a=1"]},
            "class_weights must be balanced alone or name labels, got ['balanced', 'a=1'].",
        ),
        (
            {"class_weights": "balanced", "balanced_sampling": True},
            "class_weights must not be balanced beside balanced_sampling: rare classes count twice.",
        ),
    ],
)
def test_a_bad_argument_is_named(tmp_path, options, message):
    with pytest.raises(ValueError) as error:
        ImageTextTrainingArguments(str(tmp_path), **options)
    assert str(error.value) == message


def test_what_the_data_cannot_follow_is_refused_before_any_work(tmp_path):
    task = ClassificationTask()
    balanced = ImageTextTrainingArguments(str(tmp_path / "a"), balanced_sampling=True)
    weighted = ImageTextTrainingArguments(str(tmp_path / "b"), class_weights=["glad=1"])
    for args, rows, message in [
        (weighted, labelled([0, 1]), "class_weights must name labels of negative, neutral, positive, got 'glad'."),
        (balanced, labelled([None, None]), "balanced_sampling needs a post with a label, got none in 2."),
        (balanced, labelled([[0], [1, 2]], several=True), "balanced_sampling must be off where a post may have"),
    ]:
        with pytest.raises(CallError) as error:
            task.check_training(args, rows, task.label_fields(rows, {}))
        assert str(error.value).startswith(message)
    with pytest.raises(CallError, match=r"^class_weights must not be given for task vqa"):
        VisualQuestionTask().check_training(weighted, None, {})


def test_rows_of_another_kind_and_models_without_labels(tmp_path):
    args = ImageTextTrainingArguments(str(tmp_path), class_weights="balanced")
    with pytest.raises(ValueError, match=r"^class_weights balanced needs rows as load_pairs gives them, got list"):
        class_weights(args.class_weights, NAMES, None, [])
    with pytest.raises(
        ValueError, match=r"^balanced_sampling needs a training part that is held as a whole, got list"
    ):
        balanced_sampler(args, None, [])
    with pytest.raises(
        ValueError, match=r"^class_weights balanced needs a column mood in the training part, got label"
    ):
        class_weights(args.class_weights, NAMES, None, labelled([0]), {"mood": NAMES})
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 1}
    config = RadmConfig(
        text_config={"model_type": "bert", "vocab_size": 9, **sizes},
        vision_config={"model_type": "vit", "image_size": 8, "patch_size": 8, **sizes},
        **{name: value for name, value in sizes.items() if name != "num_hidden_layers"},
    )
    with pytest.raises(ValueError, match="belong to models that classify, got RadmForVisualQuestionAnswering"):
        training_loss(args, RadmForVisualQuestionAnswering(config), None)
