"""Towers that are held still for some epochs: they do not move, and afterwards they do."""

import pytest
import torch
from safetensors.torch import load_file

from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.trainer import ImageTextTrainer


@pytest.fixture
def trainer_of(rows, processor, tmp_path):
    def make(model, folder="run", **options) -> ImageTextTrainer:
        usual = {
            "per_device_train_batch_size": 2,
            "num_train_epochs": 3,
            "learning_rate": 1e-2,
            "text_learning_rate": 1e-2,
            "image_learning_rate": 1e-2,
            "weight_decay": 0.5,
            "eval_strategy": "no",
            "save_total_limit": None,
            "load_best_model_at_end": False,
            "logging_steps": 1,
            "disable_tqdm": True,
            "use_cpu": True,
        }
        args = ImageTextTrainingArguments(str(tmp_path / folder), **{**usual, **options})
        return ImageTextTrainer(model, args, ImageTextCollator(processor), rows)

    return make


def moved(before: dict, after: dict) -> set[str]:
    """Which of the three parts of the model changed."""
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {"text_model": "text", "vision_model": "image"}
    return {next((part for tower, part in parts.items() if tower in name), "rest") for name in changed}


def test_each_tower_joins_when_its_stage_is_over(tiny_mdse, trainer_of, tmp_path):
    model = tiny_mdse()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    trainer_of(model, freeze_text_epochs=1, freeze_image_epochs=2).train()
    ends = [load_file(tmp_path / "run" / f"checkpoint-{step}" / "model.safetensors") for step in (4, 8, 12)]
    assert moved(start, ends[0]) == {"rest"}
    assert moved(ends[0], ends[1]) == {"rest", "text"}
    assert moved(ends[1], ends[2]) == {"rest", "text", "image"}
    model.train()
    assert model.mdse.text_model.training and model.mdse.vision_model.training


def test_a_tower_that_is_held_still_has_neither_dropout_nor_gradient(tiny_mdse, processor, rows):
    model = tiny_mdse().train()
    model.mdse.hold_still(text=True, image=False)
    model(**ImageTextCollator(processor)([rows[0], rows[2]])).loss.backward()
    assert all(parameter.grad is None for parameter in model.mdse.text_model.parameters())
    assert all(parameter.grad is not None for parameter in model.mdse.vision_model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.mdse.text_model.training and model.mdse.vision_model.training
    model.mdse.hold_still(text=False, image=False)
    assert model.mdse.text_model.training


@pytest.mark.parametrize("step", [4, 6, 8])
def test_resume_is_exact_in_every_stage(tiny_mdse, trainer_of, tmp_path, step):
    options = {"freeze_text_epochs": 1, "freeze_image_epochs": 2, "save_strategy": "steps", "save_steps": 2}
    trainer_of(tiny_mdse(seed=0), "whole", **options).train()
    resumed = trainer_of(tiny_mdse(seed=1), "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    whole, again = (load_file(tmp_path / run / "checkpoint-12" / "model.safetensors") for run in ("whole", "resumed"))
    assert not [name for name in whole if not torch.equal(whole[name], again[name])]


def test_rates_fall_from_layer_to_layer(tiny_mdse, trainer_of):
    model = tiny_mdse()
    options = {"learning_rate": 1.0, "text_learning_rate": 0.5, "image_learning_rate": None, "layer_decay": 0.1}
    groups = trainer_of(model, **options).create_optimizer().param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert len(rates) == len(list(model.parameters())) and groups[0]["lr"] == 1.0
    for name, parameter in model.named_parameters():
        below_top = 2 if "embeddings" in name else 1 if ".0." in name else 0  # two layers a tower
        if "text_model" in name:
            assert rates[id(parameter)] == pytest.approx(0.5 * 0.1**below_top), name
        elif "vision_model" in name:
            assert rates[id(parameter)] == pytest.approx(0.1**below_top), name
        else:
            assert rates[id(parameter)] == 1.0, name


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("layer_decay", 0.0, "layer_decay must be > 0 and <= 1, got 0.0."),
        ("layer_decay", 1.5, "layer_decay must be > 0 and <= 1, got 1.5."),
        ("freeze_text_epochs", -1, "freeze_text_epochs must be >= 0, got -1."),
        ("freeze_image_epochs", -2, "freeze_image_epochs must be >= 0, got -2."),
    ],
)
def test_a_bad_argument_is_named(tmp_path, option, value, message):
    with pytest.raises(ValueError) as error:
        ImageTextTrainingArguments(str(tmp_path), **{option: value})
    assert message in str(error.value)
