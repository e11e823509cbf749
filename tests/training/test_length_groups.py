"""Batches of posts with texts of similar length: each post once, whatever seed, epoch and processes; exact resume."""

import io
from collections import Counter

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import ClassLabel, Dataset, Features, Image, Value
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture
from safetensors.torch import load_file
from torch.utils.data import BatchSampler

from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError
from duosent.training.classification_task import ClassificationTask
from duosent.training.imbalance import BalancedSampler
from duosent.training.length_groups import LengthGroupedSampler, text_lengths
from duosent.training.trainer import ImageTextTrainer

LABELS = ["negative", "neutral", "positive"]
# Words of each of the thirteen posts; the tokenizer puts [CLS] and [SEP] around them.
WORDS = [1, 30, 2, 29, 3, 28, 1, 31, 2, 27, 3, 30, 2]


@pytest.fixture(scope="module")
def posts() -> Dataset:
    file = io.BytesIO()
    Picture.new("RGB", (32, 32), "red").save(file, "PNG")
    features = Features(
        {
            "id": Value("string"),
            "text": Value("string"),
            "image": Image(decode=False),
            "label": ClassLabel(names=LABELS),
        }
    )
    columns = {
        "id": [str(number) for number in range(len(WORDS))],
        "text": [" ".join(["sun"] * words) for words in WORDS],
        "image": [{"bytes": file.getvalue(), "path": None}] * len(WORDS),
        "label": [number % 3 for number in range(len(WORDS))],
    }
    return Dataset.from_dict(columns, features=features)


class Recording(ImageTextCollator):
    """A collator that remembers what it was given."""

    def __call__(self, rows):
        self.__dict__.setdefault("seen", []).append([row["id"] for row in rows])
        return super().__call__(rows)


@pytest.fixture
def trainer_of(tiny_mdse, posts, processor, tmp_path):
    def make(seed=0, folder="run", rows=posts, collator=None, **options) -> ImageTextTrainer:
        usual = {
            "train_sampling_strategy": "group_by_length",
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 3,
            "num_train_epochs": 2,
            "learning_rate": 1e-2,
            "save_strategy": "no",
            "eval_strategy": "no",
            "load_best_model_at_end": False,
            "disable_tqdm": True,
            "use_cpu": True,
        }
        args = ImageTextTrainingArguments(str(tmp_path / folder), **{**usual, **options})
        return ImageTextTrainer(tiny_mdse(seed), args, collator or Recording(processor), rows, posts)

    return make


LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=90)


@given(lengths=LENGTHS, unit=st.integers(1, 9), epoch=st.integers(0, 3))
def test_an_epoch_has_each_post_once(lengths, unit, epoch):
    sampler = LengthGroupedSampler(lengths, unit, seed=5)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths))) and len(sampler) == len(lengths)


@given(labels=st.lists(st.sampled_from([None, 0, 0, 1]), min_size=1, max_size=40).filter(any), epoch=st.integers(0, 3))
def test_balanced_draws_stay_what_they_are(labels, epoch):
    draws = BalancedSampler(labels, seed=3)
    draws.set_epoch(epoch)
    sampler = LengthGroupedSampler(list(range(len(labels))), 4, 3, BalancedSampler(labels, seed=3))
    sampler.set_epoch(epoch)
    assert Counter(sampler) == Counter(draws) and len(sampler) == len(draws)


def test_the_posts_of_a_unit_are_neighbours_by_length():
    # Two hundred short posts and two hundred long ones: of four stretches of ten units of ten, one unit each may mix.
    lengths = [5, 100] * 200
    order = list(LengthGroupedSampler(lengths, 10, seed=0))
    units = [{lengths[place] for place in order[start : start + 10]} for start in range(0, 400, 10)]
    assert len(units) == 40 and sum(len(unit) == 2 for unit in units) <= 4
    # Short and long units come in no order of their own.
    kinds = [max(unit) for unit in units]
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)
    # What fills no unit comes last, and boundaries are not moved by it.
    order = list(LengthGroupedSampler([*lengths, 1, 1, 1], 10, seed=0))
    assert len(order) == 403
    units = [{[*lengths, 1, 1, 1][place] for place in order[start : start + 10]} for start in range(0, 400, 10)]
    assert sum(len(unit) > 1 for unit in units) <= 8


def test_the_order_follows_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = LengthGroupedSampler([3, 9] * 30, 4, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3) and order(1, 2) != order(2, 2)
    # Other posts meet in other epochs.
    neighbours = [{frozenset(order(1, epoch)[start : start + 4]) for start in range(0, 60, 4)} for epoch in range(2)]
    assert len(neighbours[0] & neighbours[1]) < 8


def test_processes_run_posts_of_one_unit_at_the_same_time():
    lengths = [5, 100] * 200
    shares = [
        list(BatchSamplerShard(BatchSampler(LengthGroupedSampler(lengths, 20, 0), 10, False), 2, process))
        for process in range(2)
    ]
    assert Counter(place for share in shares for batch in share for place in batch) == Counter(range(400))
    pairs = zip(*shares, strict=True)
    together = [{lengths[place] for place in first + second} for first, second in pairs]
    assert len(together) == 20 and sum(len(kinds) == 2 for kinds in together) <= 4


def test_lengths_are_those_of_the_batch(processor, tokenizer):
    texts = ["so good", None, "happy " * 200, "about $T$ http://t.co/x", "", "sun"]
    targets = [None, None, None, "the city", "the sun", "rain " * 100]
    batch = processor(text=texts, target=targets)
    assert processor.text_lengths(texts, targets) == batch["attention_mask"].sum(dim=1).tolist()
    assert processor.text_lengths(["so good", None]) == [4, 2]  # with [CLS] and [SEP]
    rows = Dataset.from_dict({"text": texts, "target": targets, "other": [0] * 6})
    assert text_lengths(rows, processor) == processor.text_lengths(texts, targets)
    assert text_lengths(rows.select_columns("text"), processor)[1:3] == [2, tokenizer.model_max_length]


def test_the_trainer_groups_and_its_evaluation_does_not(trainer_of, posts):
    trainer = trainer_of(rows=posts.select([number % 13 for number in range(100)]))
    batches = [(batch["input_ids"] != 0).sum(dim=1) for batch in trainer.get_train_dataloader()]
    # Of four stretches of twelve batches one batch each may have short and long posts; by chance it would be half.
    mixed = [lengths for lengths in batches if lengths.max() - lengths.min() > 10]
    assert [len(lengths) for lengths in batches] == [2] * 50 and len(mixed) <= 5
    trainer.data_collator.seen.clear()
    trainer.predict(trainer.eval_dataset)
    assert [post for batch in trainer.data_collator.seen for post in batch] == [str(number) for number in range(13)]


def test_lengths_of_a_column_are_taken(trainer_of, posts):
    rows = posts.add_column("tokens", list(range(13)))
    # Its collator knows no text: nothing but the column can have told.
    sampler = trainer_of(rows=rows, length_column_name="tokens", collator=dict)._get_train_sampler()
    order = list(sampler)
    assert sorted(order) == list(range(13))
    assert order == list(LengthGroupedSampler(list(range(13)), 2, 42))


@pytest.mark.parametrize("balanced", [False, True], ids=["each once", "balanced"])
@pytest.mark.parametrize("step", [7, 3], ids=["near the end of an epoch", "within an epoch"])
def test_resume_is_exact(trainer_of, tmp_path, step, balanced):
    options = {
        "balanced_sampling": balanced,
        "save_strategy": "steps",
        "save_steps": step,
        "save_total_limit": None,
        "max_steps": 14,
    }
    trainer_of(0, "whole", **options).train()
    resumed = trainer_of(1, "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    last = 14 if step == 7 else 12
    whole = load_file(tmp_path / "whole" / f"checkpoint-{last}" / "model.safetensors")
    again = load_file(tmp_path / "resumed" / f"checkpoint-{last}" / "model.safetensors")
    assert not [name for name in whole if not torch.equal(whole[name], again[name])]


def test_what_cannot_be_grouped_is_refused_before_any_work(trainer_of, posts, tmp_path):
    args = ImageTextTrainingArguments(str(tmp_path), train_sampling_strategy="group_by_length")
    fields = {"label2id": dict.fromkeys(LABELS), "problem_type": None, "tasks": None}
    message = r"^train_sampling_strategy group_by_length needs a training part that is held as a whole, got list\.$"
    with pytest.raises(CallError, match=message):
        ClassificationTask().check_training(args, [], fields)
    with pytest.raises(ValueError, match=message):
        trainer_of(rows=[posts[0]])
    with pytest.raises(ValueError, match=r"needs a column text in the training part, got id, image, label\.$"):
        trainer_of(rows=posts.remove_columns("text"))
    with pytest.raises(ValueError, match=r"^train_sampling_strategy group_by_length needs an ImageTextProcessor, .*"):
        trainer_of(collator=dict)
    with pytest.raises(ValueError, match=r"^train_sampling_strategy must be random, sequential or group_by_length, "):
        ImageTextTrainingArguments(str(tmp_path), train_sampling_strategy="batch_rebalance")
