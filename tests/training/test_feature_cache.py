"""Frozen towers read from the cache: the same results, each post computed once, and nothing stale."""

import copy
import json
import logging
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from cached_run import computed_in
from safetensors.torch import load_file
from tiny import IMAGE, TEXT, build
from torch.testing import assert_close

import duosent
from duosent import MdseForImageTextClassification
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.feature_cache import FrozenTokens, cache_features, picture_keys, text_keys
from duosent.training.trainer import ImageTextTrainer

FROZEN = {"freeze_text": True, "freeze_image": True}
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3}
WIDTHS = {"text": 24, "image": 16}


@pytest.fixture
def trainer_of(rows, processor, tmp_path):
    """A maker of trainers of three epochs; evaluation on the same posts."""

    def make(model, folder="run", posts=rows, **options) -> ImageTextTrainer:
        usual = {
            "per_device_train_batch_size": 2,
            "num_train_epochs": 3,
            "learning_rate": 1e-2,
            "save_strategy": "no",
            "load_best_model_at_end": False,
            "disable_tqdm": True,
            "use_cpu": True,
        }
        args = ImageTextTrainingArguments(str(tmp_path / folder), **{**usual, **options})
        return ImageTextTrainer(model, args, ImageTextCollator(processor), posts, posts)

    return make


@pytest.fixture
def model_of(text_encoder_dir, image_encoder_dir):
    """A maker of models over the same two towers."""

    def make(name="mdse", **config):
        torch.manual_seed(0)
        classes = {
            "mdse": duosent.MdseForImageTextClassification,
            "radm": duosent.RadmForImageTextClassification,
            "concat": duosent.BaselineForImageTextClassification,
            "image": duosent.BaselineForImageTextClassification,
        }
        text = None if name == "image" else text_encoder_dir
        return classes[name].from_encoders(text, image_encoder_dir, **{**SMALL, **FROZEN, **config})

    return make


class Rows:
    """Counts the rows that the towers of a model are run on."""

    def __init__(self, model):
        self.seen = {}
        for side, name in (("text", "text_model"), ("image", "vision_model")):
            tower = getattr(model.base_model, name)
            if tower is not None:
                self.seen[side] = 0
                tower.register_forward_pre_hook(self._count(side), with_kwargs=True)

    def _count(self, side):
        def count(tower, args, inputs):
            self.seen[side] += len(next(iter(inputs.values())))

        return count


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mdse", {}),
        ("mdse", {"per_device_train_batch_size": 4, "contrastive_chunk_size": 3}),
        ("concat", {}),
    ],
)
def test_training_comes_to_the_same_weights_bit_by_bit(model_of, trainer_of, tmp_path, name, options):
    # In a fixed order each epoch has the same batches, so that the towers give the same numbers in each.
    options = {"train_sampling_strategy": "sequential", "per_device_eval_batch_size": 2, **options}
    plain, cached = model_of(name), model_of(name)
    plain_rows, cached_rows = Rows(plain), Rows(cached)
    trainer_of(plain, "plain", **options).train()
    trainer_of(cached, "cached", cache_features=str(tmp_path / "cache"), **options).train()
    weights = cached.state_dict()
    assert not [key for key, value in plain.state_dict().items() if not torch.equal(value, weights[key])]
    # Three epochs and three evaluations of seven posts; in chunks a training post meets the towers twice.
    assert set(plain_rows.seen.values()) == {3 * 7 * (3 if "contrastive_chunk_size" in options else 2)}
    assert cached_rows.seen == {"text": 7, "image": 7}


def test_shuffled_batches_change_nothing_but_rounding(model_of, trainer_of, tmp_path):
    plain, cached = model_of(), model_of()
    trainer_of(plain, "plain").train()
    trainer_of(cached, "cached", cache_features=str(tmp_path / "cache")).train()
    assert_close(cached.state_dict(), plain.state_dict(), rtol=1e-3, atol=1e-4)


def test_a_second_run_computes_nothing_whatever_its_model(model_of, trainer_of, tmp_path, caplog):
    caplog.set_level(logging.INFO, "duosent.training.feature_cache")
    cache = {"cache_features": str(tmp_path / "cache")}
    trainer_of(model_of("mdse"), "first", **cache).train()
    counts = {0: "features 0 read, 7 computed."}
    said = [
        f"Epoch {epoch}, {what}: {side} {counts.get(number, 'features 7 read, 0 computed.')}"
        for number, (epoch, what) in enumerate(product((1, 2, 3), ("training", "evaluation")))
        for side in ("text", "image")
    ]
    assert [record.getMessage() for record in caplog.records if record.name.endswith("feature_cache")] == said
    for name in ("radm", "concat", "image"):
        model = model_of(name)
        rows = Rows(model)
        trainer_of(model, name, seed=7, **cache).train()  # other batches
        assert set(rows.seen.values()) == {0}, name


def test_a_resumed_run_has_the_towers_of_its_checkpoint(model_of, trainer_of, tmp_path):
    options = {"cache_features": str(tmp_path / "cache"), "save_strategy": "epoch", "save_total_limit": None}
    trainer_of(model_of(), "whole", **options).train()
    other = model_of()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    resumed = trainer_of(other, "resumed", **options)
    resumed.evaluate()  # stores what the other towers give
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    ends = [load_file(tmp_path / run / "checkpoint-12" / "model.safetensors") for run in ("whole", "resumed")]
    assert not [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])]


@pytest.mark.slow
def test_two_processes_share_what_they_compute(tmp_path):
    script = Path(__file__).with_name("cached_run.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    paths = {"PYTHONPATH": str(Path(__file__).parents[1] / "modeling")}
    (tmp_path / "out").mkdir()
    call = [*torchrun, str(tmp_path / "cache"), str(tmp_path / "out")]
    subprocess.run(call, check=True, timeout=500, env={**os.environ, **paths})
    assert [json.loads((tmp_path / "out" / f"{rank}.json").read_text()) for rank in (0, 1)] == [4, 2]
    assert len(list((tmp_path / "cache").glob("*/*.records"))) == 4  # of two towers
    assert computed_in(str(tmp_path / "cache"), str(tmp_path / "out")) == 0


# One tower and its cache


def reader_of(folder, side="image", model=None, **config) -> tuple:
    """A frozen tower, the cache in front of it, and its count of rows."""
    model = model or build(MdseForImageTextClassification, **FROZEN, **config)
    tower = {"text": model.base_model.text_model, "image": model.base_model.vision_model}[side]
    row_keys = {"text": text_keys, "image": picture_keys}[side]
    return tower, FrozenTokens(tower, folder, row_keys), Rows(model)


def pictures(*seeds: int) -> torch.Tensor:
    return torch.stack([torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def test_known_and_new_pictures_keep_their_order(tmp_path):
    tower, read, rows = reader_of(tmp_path)
    for seeds, computed in [((1, 2), 2), ((3, 2, 4, 1), 2), ((1, 4, 2), 0), ((5, 5), 2), ((5,), 0)]:
        before = rows.seen["image"]
        tokens = read(tower, pixel_values=pictures(*seeds))
        assert rows.seen["image"] - before == computed, seeds
        assert_close(tokens, tower(pixel_values=pictures(*seeds)).last_hidden_state, rtol=1e-5, atol=1e-5)
        rows.seen["image"] -= len(seeds)  # of the line above
    assert (read.read, read.computed) == (6, 6)


def change_weight(model):
    with torch.no_grad():
        model.base_model.vision_model.get_parameter("layernorm.bias")[0] += 1e-3


def change_dtype(model):
    model.to(torch.bfloat16)


def change_attention(model):
    model.base_model.vision_model.set_attn_implementation("eager")


@pytest.mark.parametrize("change", [change_weight, change_dtype, change_attention])
def test_another_state_of_the_tower_is_another_cache(tmp_path, change):
    """Also in the middle of a run."""
    model = build(MdseForImageTextClassification, **FROZEN)
    tower, read, rows = reader_of(tmp_path, model=model)
    read(tower, pixel_values=pictures(1))
    change(model)
    after = read(tower, pixel_values=pictures(1).to(tower.dtype))
    assert rows.seen["image"] == 2
    assert torch.equal(after, tower(pixel_values=pictures(1).to(tower.dtype)).last_hidden_state)


def test_another_config_is_another_cache(tmp_path):
    """Of the same weights."""
    for fields, computed in [({}, 1), ({"layer_norm_eps": 0.1}, 1), ({"num_attention_heads": 4}, 1), ({}, 0)]:
        tower, read, rows = reader_of(tmp_path, vision_config={**IMAGE, **fields})
        tokens = read(tower, pixel_values=pictures(1))
        assert rows.seen["image"] == computed, fields
        assert torch.equal(tokens, tower(pixel_values=pictures(1)).last_hidden_state), fields


def test_autocast_has_a_cache_of_its_own_and_keeps_the_dtype(tmp_path):
    tower, read, rows = reader_of(tmp_path, "text")
    words = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    full = read(tower, **words)
    with torch.autocast("cpu", torch.bfloat16):
        half, again = read(tower, **words), read(tower, **words)
        expected = tower(**words).last_hidden_state
    assert rows.seen["text"] == 3  # the last one is the test's own
    assert half.dtype == again.dtype == expected.dtype
    assert torch.equal(half, expected) and torch.equal(again, expected) and not torch.equal(half, full)


def test_a_key_has_content_shape_and_dtype_of_the_row():
    row = torch.zeros(1, 3, 4, 2)
    others = [row + 1e-6, row.reshape(1, 3, 2, 4), row.bfloat16(), row.half(), -row]
    keys = {picture_keys(pixels)[0][0] for pixels in [row, row.clone(), *others]}
    assert len(keys) == 1 + len(others)


def test_other_preprocessing_is_computed(rows, processor, tmp_path):
    """Another mean and size; the same settings in another object are the same."""
    tower, read, counted = reader_of(tmp_path)
    processors = [processor, copy.deepcopy(processor), copy.deepcopy(processor)]
    processors[1].image_processor.image_mean = [0.4, 0.5, 0.5]
    for maker, computed in zip(processors, (7, 14, 14), strict=True):
        pixels = ImageTextCollator(maker)(list(rows))["pixel_values"]
        read(tower, pixel_values=pixels)
        assert counted.seen["image"] == computed


def test_words_are_known_whatever_the_padding(tmp_path):
    tower, read, rows = reader_of(tmp_path, "text")
    ids, mask = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    segments = torch.tensor([[0, 0, 0], [0, 1, 0]])
    wide = [torch.nn.functional.pad(values, (0, 4)) for values in (ids, mask, segments)]
    names = ("input_ids", "attention_mask", "token_type_ids")
    for values in (wide, (ids, mask, segments), wide):
        inputs = dict(zip(names, values, strict=True))
        tokens = read(tower, **inputs)
        real = inputs["attention_mask"].bool()
        assert tokens.shape == (2, ids.shape[1] if values is not wide else 7, TEXT["hidden_size"])
        assert_close(tokens[real], tower(**inputs).last_hidden_state[real], rtol=1e-5, atol=1e-5)
        assert not tokens[~real].any()
    assert rows.seen["text"] == 2 + 3 * 2  # the latter are the test's own


def test_words_are_others_at_other_places_or_in_other_segments():
    ids, mask, none = torch.tensor([[5, 6, 0]]), torch.tensor([[1, 1, 0]]), torch.zeros(1, 3, dtype=torch.long)
    left = torch.tensor([[0, 5, 6]]), torch.tensor([[0, 1, 1]])
    full = torch.tensor([[5, 6, 7]]), torch.tensor([[1, 1, 1]])
    gap = full[0], torch.tensor([[1, 0, 1]])
    inputs = [
        (ids, mask),
        left,
        full,
        gap,
        (ids, mask, none),
        (ids, mask, torch.tensor([[0, 1, 0]])),
        (ids[:, [1, 0]], mask[:, :2]),
    ]
    keys, lengths = zip(*(text_keys(*rows) for rows in inputs), strict=True)
    assert len({key for (key,) in keys}) == len(inputs)
    assert [length for (length,) in lengths] == [2, 3, 3, 3, 2, 2, 2]
    assert text_keys(ids[:, :2], mask[:, :2]) == text_keys(ids, mask)


def test_a_tower_that_trains_is_run_itself(tmp_path):
    tower, read, rows = reader_of(tmp_path)
    read(tower, pixel_values=pictures(1))
    tower.train()
    read(tower, pixel_values=pictures(1))
    tower.eval().get_parameter("layernorm.bias").requires_grad_()
    assert read(tower, pixel_values=pictures(1)).requires_grad
    assert rows.seen["image"] == 3


def test_a_copy_of_the_model_runs_its_own_towers(model_of, trainer_of, tmp_path, rows, processor):
    model = model_of()
    trainer = trainer_of(model, cache_features=str(tmp_path / "cache"))
    trainer.evaluate()
    other = copy.deepcopy(model)
    counted = Rows(other)
    batch = ImageTextCollator(processor)(list(rows))
    assert_close(other(**batch).logits, model(**batch).logits)
    assert counted.seen == {"text": 7, "image": 7}


# What cannot be cached


def test_an_augmented_side_is_not_cached(model_of, trainer_of, tmp_path):
    pictures_alone = {"augment": True, "augment_synonyms": 0.0, "cache_features": str(tmp_path / "cache")}
    model = model_of()
    rows = Rows(model)
    trainer_of(model, **pictures_alone).train()
    assert rows.seen == {"text": 7, "image": 3 * 2 * 7}
    words_alone = {**pictures_alone, "augment_flip": 0.0, "augment_crop": 0.0, "augment_erasing": 0.0}
    model = model_of()
    rows = Rows(model)
    trainer_of(model, **words_alone).train()
    assert rows.seen == {"text": 0, "image": 7}


@pytest.mark.parametrize(
    ("name", "config", "options"),
    [
        ("mdse", {"freeze_text": False, "freeze_image": False}, {}),
        ("mdse", {"freeze_text": False, "freeze_image": False}, {"freeze_image_epochs": 1}),
        ("image", {"freeze_image": False}, {}),
        ("mdse", {"freeze_text": False}, {"augment": True, "augment_synonyms": 0.0}),
    ],
)
def test_without_a_frozen_tower_there_is_nothing_to_cache(model_of, trainer_of, tmp_path, name, config, options):
    with pytest.raises(ValueError) as error:
        trainer_of(model_of(name, **config), cache_features=str(tmp_path / "cache"), **options)
    assert str(error.value) == (
        "cache_features must go with a frozen tower (freeze_text, freeze_image) whose input is not augmented, "
        f"got {tmp_path / 'cache'} without one."
    )
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("option", ["fsdp", "deepspeed"])
def test_weights_that_are_spread_are_refused(model_of, tmp_path, option):
    still = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
    args = ImageTextTrainingArguments(str(tmp_path), cache_features="cache", **still)
    setattr(args, option, "something")
    with pytest.raises(ValueError) as error:
        cache_features(model_of(), args)
    message = "cache_features must be None with fsdp and deepspeed, which spread weights, got cache."
    assert str(error.value) == message


@pytest.mark.parametrize(("place", "reason"), [("file", "File exists"), ("file/cache", "Not a directory")])
def test_a_folder_that_cannot_be_written_to_is_named(model_of, trainer_of, tmp_path, place, reason):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError) as error:
        trainer_of(model_of(), cache_features=str(tmp_path / place))
    message = f"cache_features must be a folder to write to, got {tmp_path / place}: {reason}."
    assert str(error.value) == message
