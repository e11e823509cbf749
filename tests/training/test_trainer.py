"""Loss terms, learning rates, checkpoints: against plain loops and bit for bit."""

import math

import pytest
import torch
from safetensors.torch import load_file
from transformers import ResNetConfig, TrainingArguments

from duosent import BaselineConfig, BaselineForImageTextClassification
from duosent.processing.collator import ImageTextCollator
from duosent.processing.processing_image_text import ImageTextProcessor
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.trainer import ImageTextTrainer

TERMS = ("loss", "classification_loss", "contrastive_loss")


@pytest.fixture
def trainer_of(rows, processor, tmp_path):
    """A maker of trainers on the seven posts."""

    def make(model, folder="run", **options) -> ImageTextTrainer:
        usual = {
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 2,
            "num_train_epochs": 2,
            "learning_rate": 1e-2,
            "text_learning_rate": 1e-2,
            "image_learning_rate": 1e-2,
            "logging_steps": 1,
            "disable_tqdm": True,
            "use_cpu": True,
        }
        compute_metrics = options.pop("compute_metrics", None)
        args = ImageTextTrainingArguments(str(tmp_path / folder), **{**usual, **options})
        return ImageTextTrainer(model, args, ImageTextCollator(processor), rows, rows, compute_metrics=compute_metrics)

    return make


def declining():
    """A metric that is best at the first evaluation."""
    values = iter(range(100, 0, -1))
    return lambda prediction: {"macro_f1": float(next(values))}


def test_logged_terms_are_the_means_since_the_last_log(tiny_mdse, trainer_of):
    model = tiny_mdse()
    seen = []
    model.register_forward_hook(
        lambda module, inputs, output: seen.append({name: output[name].item() for name in TERMS})
    )
    trainer = trainer_of(model, logging_steps=2, eval_strategy="no", save_strategy="no", load_best_model_at_end=False)
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert len(seen) == 8 and len(logs) == 4
    for i, log in enumerate(logs):
        for name in TERMS:
            assert log[name] == pytest.approx((seen[2 * i][name] + seen[2 * i + 1][name]) / 2, rel=1e-4), name


def test_evaluated_terms_are_means_over_posts(tiny_mdse, trainer_of, rows, processor):
    model = tiny_mdse().eval()
    collate = ImageTextCollator(processor)
    expected = dict.fromkeys(TERMS, 0.0)
    for start in range(0, 7, 2):
        posts = [rows[i] for i in range(start, min(start + 2, 7))]
        with torch.no_grad():
            output = model(**collate(posts))
        for name in TERMS:
            expected[name] += output[name].item() * len(posts) / 7
    trainer = trainer_of(model)
    trainer.evaluate(rows.select([0]))  # an earlier evaluation leaves nothing behind
    metrics = trainer.evaluate()
    for name in TERMS:
        assert metrics[f"eval_{name}"] == pytest.approx(expected[name], rel=1e-4), name


def test_a_model_without_a_contrastive_term_logs_none(tiny_mdse, trainer_of):
    metrics = trainer_of(tiny_mdse(contrastive_weight=0)).evaluate()
    assert "eval_contrastive_loss" not in metrics
    assert metrics["eval_classification_loss"] == pytest.approx(metrics["eval_loss"], rel=1e-5)


def test_each_tower_has_its_rate_and_no_bias_or_norm_decays(tiny_mdse, trainer_of):
    model = tiny_mdse()
    trainer = trainer_of(
        model, learning_rate=1e-3, text_learning_rate=2e-5, image_learning_rate=3e-5, weight_decay=0.1
    )
    groups = trainer.create_optimizer().param_groups
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert trainer.optimizer_cls_and_kwargs is None  # a later optimizer gets groups too
    assert groups[0]["lr"] == 1e-3  # the rate that Trainer logs
    norms = {id(p) for m in model.modules() if isinstance(m, torch.nn.LayerNorm) for p in m.parameters()}
    assert len(settings) == sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        rate = 2e-5 if ".text_model." in name else 3e-5 if ".vision_model." in name else 1e-3
        decay = 0.0 if name.endswith("bias") or id(parameter) in norms else 0.1
        assert settings[id(parameter)] == (rate, decay), name


def test_rate_none_is_the_rate_of_the_rest_and_frozen_towers_are_left_out(tiny_mdse, trainer_of):
    model = tiny_mdse(freeze_image=True)
    trainer = trainer_of(model, learning_rate=1e-3, text_learning_rate=None, image_learning_rate=None)
    groups = trainer.create_optimizer().param_groups
    assert {group["lr"] for group in groups} == {1e-3}
    trained = {id(p) for group in groups for p in group["params"]}
    assert trained == {id(p) for name, p in model.named_parameters() if ".vision_model." not in name}


def test_a_batch_norm_does_not_decay(trainer_of):
    vision = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    model = BaselineForImageTextClassification(BaselineConfig(text_config=None, vision_config=vision, num_labels=3))
    norms = {
        f"{name}.{part}"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for part in ("weight", "bias")
    }
    assert norms
    assert not norms & set(trainer_of(model).get_decay_parameter_names(model))


def test_an_optimizer_that_makes_its_own_groups_is_refused(tiny_mdse, trainer_of):
    trainer = trainer_of(tiny_mdse(), text_learning_rate=1e-5)
    trainer.get_optimizer_cls_and_kwargs = lambda args, model: (torch.optim.AdamW, {"params": [], "lr": 1e-3})
    with pytest.raises(ValueError, match="text_learning_rate and image_learning_rate must be None with optim"):
        trainer.create_optimizer()


@pytest.mark.parametrize("augment", [False, True], ids=["as they are", "augmented"])
@pytest.mark.parametrize("step", [4, 2], ids=["at the end of an epoch", "within an epoch"])
def test_resume_is_exact(tiny_mdse, trainer_of, wordnet_dir, tmp_path, step, augment):
    options = {
        "augment": augment,
        "wordnet_dir": wordnet_dir,
        "save_strategy": "steps",
        "save_steps": step,
        "eval_strategy": "steps",
        "eval_steps": step,
        "save_total_limit": None,
    }
    trainer_of(tiny_mdse(seed=0), "whole", **options).train()
    resumed = trainer_of(tiny_mdse(seed=1), "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    whole = load_file(tmp_path / "whole" / "checkpoint-8" / "model.safetensors")
    again = load_file(tmp_path / "resumed" / "checkpoint-8" / "model.safetensors")
    assert whole.keys() == again.keys()
    different = [name for name in whole if not torch.equal(whole[name], again[name])]
    assert not different


def test_the_best_model_is_back_at_the_end(tiny_mdse, trainer_of):
    trainer = trainer_of(tiny_mdse(), compute_metrics=declining(), save_total_limit=None)
    trainer.train()
    first = load_file(f"{trainer.args.output_dir}/checkpoint-4/model.safetensors")
    last = load_file(f"{trainer.args.output_dir}/checkpoint-8/model.safetensors")
    kept = trainer.model.state_dict()
    assert first.keys() == kept.keys()
    assert all(torch.equal(first[name], kept[name]) for name in kept)
    # The towers must have moved in the second epoch, or the lines above would prove nothing.
    assert any(not torch.equal(first[name], last[name]) for name in kept if "vision_model" in name)


def test_early_stopping(tiny_mdse, trainer_of):
    trainer = trainer_of(
        tiny_mdse(), compute_metrics=declining(), num_train_epochs=6, early_stopping_patience=2, save_total_limit=1
    )
    trainer.train()
    assert trainer.state.epoch == 3
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-4")
    assert trainer.optimizer.param_groups[0]["lr"] < 1e-2


def test_patience_outlives_a_resume(tiny_mdse, trainer_of, tmp_path):
    options = {"num_train_epochs": 6, "early_stopping_patience": 2, "save_total_limit": None}
    trainer_of(tiny_mdse(), "first", compute_metrics=declining(), **options).train()
    resumed = trainer_of(tiny_mdse(), "second", compute_metrics=lambda p: {"macro_f1": 0.0}, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-8"))
    assert resumed.state.epoch == 3  # one evaluation without gain before the resume, one after


def test_the_rate_rises_over_a_tenth_and_falls_to_nothing(tiny_mdse, trainer_of):
    trainer = trainer_of(tiny_mdse())
    trainer.create_optimizer_and_scheduler(100)
    rates = [trainer.lr_scheduler.get_last_lr()[0]]
    for _ in range(100):
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        rates.append(trainer.lr_scheduler.get_last_lr()[0])
    assert rates[0] == 0 and rates[100] == pytest.approx(0)
    assert rates[5] == pytest.approx(0.5e-2) and rates[10] == pytest.approx(1e-2)
    assert rates[55] == pytest.approx(0.5e-2)


def test_a_checkpoint_holds_the_processor(tiny_mdse, trainer_of, rows, processor):
    trainer = trainer_of(tiny_mdse(), num_train_epochs=1)
    trainer.train()
    again = ImageTextProcessor.from_pretrained(f"{trainer.args.output_dir}/checkpoint-4")
    before, after = ImageTextCollator(processor)([rows[0]]), ImageTextCollator(again)([rows[0]])
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("learning_rate", 0.0, "learning_rate must be > 0, got 0.0."),
        ("image_learning_rate", -1.0, "image_learning_rate must be > 0, got -1.0."),
        ("early_stopping_patience", 0, "early_stopping_patience must be >= 1 or None, got 0."),
        ("contrastive_chunk_size", 0, "contrastive_chunk_size must be >= 1 or None, got 0."),
    ],
)
def test_a_bad_argument_is_named(tmp_path, option, value, message):
    with pytest.raises(ValueError) as error:
        ImageTextTrainingArguments(str(tmp_path), **{option: value})
    assert message in str(error.value)


@pytest.mark.parametrize("evaluates", [True, False])
def test_no_arguments_are_the_defaults(tiny_mdse, rows, processor, tmp_path, monkeypatch, evaluates):
    monkeypatch.chdir(tmp_path)
    evaluated = rows if evaluates else None
    trainer = ImageTextTrainer(tiny_mdse(), None, ImageTextCollator(processor), rows, evaluated)
    assert trainer.args.stops_early is evaluates
    assert trainer.args.learning_rate == 1e-4 and trainer.args.label_names == ["labels"]


def test_a_nan_loss_is_shown(tiny_mdse, trainer_of):
    model = tiny_mdse()
    trainer = trainer_of(
        model, num_train_epochs=1, eval_strategy="no", save_strategy="no", load_best_model_at_end=False
    )
    with torch.no_grad():
        model.classifier.output.bias.fill_(math.nan)
    trainer.train()
    assert math.isnan(trainer.state.log_history[0]["loss"])
    assert math.isnan(trainer.state.log_history[0]["classification_loss"])


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is more than a CPU")
def test_half_precision_needs_no_further_word_on_a_cpu(tiny_mdse, trainer_of):
    trainer = trainer_of(tiny_mdse(), bf16=True, use_cpu=False, num_train_epochs=1)
    trainer.train()
    assert trainer.args.use_cpu
    assert trainer.state.global_step == 4


def test_a_batch_is_copied_without_a_wait_where_memory_is_pinned(tmp_path, monkeypatch):
    assert ImageTextTrainingArguments(str(tmp_path), use_cpu=True).accelerator_config.non_blocking is False
    # As on a GPU, as far as that goes here.
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(TrainingArguments, "__post_init__", lambda self: None)
    assert ImageTextTrainingArguments(str(tmp_path)).accelerator_config == {"non_blocking": True}
    assert ImageTextTrainingArguments(str(tmp_path), dataloader_pin_memory=False).accelerator_config is None
    own = {"split_batches": True}
    assert ImageTextTrainingArguments(str(tmp_path), accelerator_config=own).accelerator_config == own


@pytest.mark.parametrize("compiled", [False, True], ids=["as it is", "compiled"])
def test_masks_that_hide_nothing_reach_no_model_but_a_compiled_one(tiny_mdse, trainer_of, rows, compiled):
    trainer = trainer_of(tiny_mdse())
    trainer.args.torch_compile = compiled
    masks = {"attention_mask", "text_present", "image_present"}
    loaders = (trainer.get_train_dataloader(), trainer.get_eval_dataloader(), trainer.get_test_dataloader(rows))
    for loader in loaders:
        # Four tokens, padded to eight.
        assert all(masks & batch.keys() == (masks if compiled else {"attention_mask"}) for batch in loader)
    assert type(trainer.data_collator) is ImageTextCollator
