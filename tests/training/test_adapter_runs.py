"""Runs with LoRA: what changes, what is saved and loaded again in both forms, and resuming to the last bit."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny import build
from transformers import AutoModel, AutoModelForSequenceClassification

from duosent import MdseForImageTextClassification
from duosent.cli import main
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError, load_checkpoint
from duosent.training.run import evaluate, train
from duosent.training.trainer import ImageTextTrainer

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "initializer_range": 0.3}
RATES = {"learning_rate": 1e-2, "text_learning_rate": 2e-2, "image_learning_rate": 3e-2}


def arguments(folder, **options) -> ImageTextTrainingArguments:
    usual = {
        "lora_rank": 2,
        "lora_dropout": 0.1,
        "per_device_train_batch_size": 2,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    usual |= {"num_train_epochs": 2, "seed": 3, "save_total_limit": None} | RATES
    return ImageTextTrainingArguments(str(folder), **{**usual, **options})


@pytest.fixture
def trainer_of(rows, processor, tmp_path):
    def make(model, folder="run", **options) -> ImageTextTrainer:
        usual = {"eval_strategy": "no", "load_best_model_at_end": False}
        return ImageTextTrainer(
            model, arguments(tmp_path / folder, **{**usual, **options}), ImageTextCollator(processor), rows
        )

    return make


@pytest.fixture(scope="module")
def data(rows, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    rows.to_parquet(folder / "train.parquet")
    rows.select(range(4)).to_parquet(folder / "validation.parquet")
    return str(folder)


@pytest.fixture(scope="module")
def encoders(text_encoder_dir, image_encoder_dir, tmp_path_factory) -> dict[str, str]:
    """The tiny encoders with weights so large that a tower which is not the trained one shows."""
    folders = {}
    for name, source in (("text_encoder", text_encoder_dir), ("image_encoder", image_encoder_dir)):
        folders[name] = str(tmp_path_factory.mktemp("large") / name)
        shutil.copytree(source, folders[name])
        file = Path(folders[name]) / "model.safetensors"
        weights = load_file(file)
        large = {key: value * (10 if value.ndim > 1 else 1) for key, value in weights.items()}
        save_file(large, file, metadata={"format": "pt"})
    return folders


@pytest.fixture(scope="module")
def runs(data, encoders, tmp_path_factory):
    """The same run twice: its merged checkpoint, and its adapters."""
    folder = tmp_path_factory.mktemp("runs")
    for form in ("merged", "adapter"):
        train("mdse", data, arguments(folder / form, lora_save=form), config=SMALL, **encoders)
    return folder


@pytest.fixture
def batch(rows, processor):
    return ImageTextCollator(processor)([rows[i] for i in range(4)])


def logits(model, batch) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**batch).logits


def test_only_adapters_and_what_is_outside_the_towers_change(tiny_mdse, trainer_of):
    model = tiny_mdse()
    trainer = trainer_of(model, weight_decay=0.5, save_strategy="no")
    start = {name: value.clone() for name, value in model.named_parameters()}
    trainer.train()
    for name, value in model.named_parameters():
        in_tower = "text_model" in name or "vision_model" in name
        assert torch.equal(value, start[name]) == (in_tower and "lora_" not in name), name


def test_adapters_have_the_rates_of_their_layer(tiny_mdse, trainer_of):
    model = tiny_mdse()
    trainer = trainer_of(model, layer_decay=0.5, save_strategy="no")
    rates = {id(p): group["lr"] for group in trainer.parameter_groups(model) for p in group["params"]}
    texts = "mdse.text_model.encoder.layer.{}.attention.self.key.lora_A.default.weight"
    images = "mdse.vision_model.layers.{}.attention.k_proj.lora_B.default.weight"
    for name, rate in {
        texts.format(1): 2e-2,
        texts.format(0): 1e-2,
        images.format(1): 3e-2,
        images.format(0): 1.5e-2,
        "classifier.hidden.weight": 1e-2,
    }.items():
        assert rates[id(model.get_parameter(name))] == rate, name


@pytest.mark.parametrize("step", [3, 6])
def test_resume_is_exact(tiny_mdse, trainer_of, tmp_path, step):
    options = {"save_strategy": "steps", "save_steps": 3, "max_steps": 8}
    whole = trainer_of(tiny_mdse(seed=0), "whole", **options)
    whole.train()
    resumed = trainer_of(tiny_mdse(seed=1), "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    for file in ("adapters/adapter_model.safetensors", "fusion.safetensors"):
        there, here = (load_file(tmp_path / name / "checkpoint-8" / file) for name in ("whole", "resumed"))
        assert there and there.keys() == here.keys()
        assert all(torch.equal(there[name], here[name]) for name in there)


def test_the_best_checkpoint_is_taken_up_again(tiny_mdse, trainer_of, tmp_path):
    model = tiny_mdse()
    trainer = trainer_of(model)
    trainer.train()
    last = {name: value.clone() for name, value in model.state_dict().items()}
    trainer.state.best_model_checkpoint = str(tmp_path / "run" / "checkpoint-4")
    trainer._load_best_model()
    best = load_file(tmp_path / "run" / "checkpoint-4" / "adapters" / "adapter_model.safetensors")
    name = "mdse.text_model.encoder.layer.1.attention.self.query.lora_B"
    assert torch.equal(model.get_parameter(f"{name}.default.weight"), best[f"base_model.model.{name}.weight"])
    assert not torch.equal(model.get_parameter(f"{name}.default.weight"), last[f"{name}.default.weight"])
    fusion = load_file(tmp_path / "run" / "checkpoint-4" / "fusion.safetensors")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in fusion.items())
    assert not all(torch.equal(last[name], value) for name, value in fusion.items())


def test_a_checkpoint_of_another_rank_is_refused(tiny_mdse, trainer_of, tmp_path):
    trainer_of(tiny_mdse()).train()
    other = trainer_of(tiny_mdse(), "other", lora_rank=3)
    with pytest.raises(CallError, match=r"cannot be taken up: .* shape of .*lora_A.weight is \(2, 16\) there"):
        other.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-8"))


def test_chunks_give_the_gradients_of_the_whole_batch(tiny_mdse, trainer_of):
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
    after = []
    for chunk in (None, 1):
        model = tiny_mdse(**still)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for tower in (model.mdse.text_model, model.mdse.vision_model):
            tower.config.attention_probs_dropout_prob = tower.config.hidden_dropout_prob = 0.0
        options = {"max_steps": 3, "optim": "sgd", "save_strategy": "no", "lora_dropout": 0.0, "max_grad_norm": 0.0}
        trainer = trainer_of(model, per_device_train_batch_size=4, contrastive_chunk_size=chunk, **options)
        trainer.train()
        after.append({name: value for name, value in model.named_parameters() if value.requires_grad})
    assert any(value.any() for name, value in after[0].items() if "lora_B" in name)
    for name, value in after[0].items():
        torch.testing.assert_close(after[1][name], value, rtol=1e-4, atol=1e-6)


def test_what_a_run_leaves(runs):
    whole = {"config.json", "metrics.json", "run.json", "arguments.json", "processor_config.json"}
    adapters = {"adapters/adapter_config.json", "adapters/adapter_model.safetensors"}
    adapters |= {"fusion.safetensors", "towers.json"}
    for form, there, missing in (
        ("merged", whole | {"model.safetensors"}, adapters),
        ("adapter", whole | adapters, {"model.safetensors"}),
    ):
        files = {str(file.relative_to(runs / form)) for file in (runs / form).rglob("*")}
        assert there <= files and not missing & files
        assert not [file for file in files if file.endswith((".bin", ".pkl"))]
        record = json.loads((runs / form / "run.json").read_text())
        assert record["training"]["lora_rank"] == 2
        sizes = [value.numel() for value in load_file(runs / "adapter" / "fusion.safetensors").values()]
        # Two towers, two layers, three projections, A and B of 2 x 16.
        assert record["trainable_parameters"] == sum(sizes) + 2 * 2 * 3 * 2 * 32


def test_the_merged_checkpoint_is_an_ordinary_one(runs, tiny_mdse, batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    model, report = AutoModelForSequenceClassification.from_pretrained(runs / "merged", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert model.state_dict().keys() == tiny_mdse().state_dict().keys()
    torch.testing.assert_close(logits(load_checkpoint(str(runs / "merged"))[0], batch), logits(model, batch))


def test_both_forms_answer_alike(runs, batch, data):
    merged, adapted = (load_checkpoint(str(runs / form))[0] for form in ("merged", "adapter"))
    assert not adapted.training
    torch.testing.assert_close(logits(adapted, batch), logits(merged, batch), rtol=1e-5, atol=1e-5)
    trained = json.loads((runs / "adapter" / "metrics.json").read_text())
    figures = evaluate(str(runs / "adapter"), data, "validation", use_cpu=True)
    assert figures["loss"] == pytest.approx(trained["loss"], rel=1e-5) and figures["confusion"] == trained["confusion"]


def test_peft_reads_the_adapters(runs, batch, encoders):
    model = MdseForImageTextClassification.from_encoders(*encoders.values(), num_labels=3, **SMALL)
    model.load_state_dict(load_file(runs / "adapter" / "fusion.safetensors"), strict=False)
    model = PeftModel.from_pretrained(model, str(runs / "adapter" / "adapters"))
    expected = logits(load_checkpoint(str(runs / "adapter"))[0], batch)
    torch.testing.assert_close(logits(model, batch), expected, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_of_the_run_can_be_loaded(runs, data):
    folder = next((runs / "merged").glob("checkpoint-*"))
    assert evaluate(str(folder), data, "validation", use_cpu=True)["n"] == 4


def test_adapters_on_a_trained_model_and_on_adapters(runs, data, batch, tmp_path):
    """A run that starts from adapters, in turn saved as adapters: three folders make one model."""
    options = arguments(tmp_path / "second", lora_save="adapter", num_train_epochs=1)
    train("mdse", data, options, init_from=str(runs / "adapter"))
    assert json.loads((tmp_path / "second" / "towers.json").read_text()) == {"init_from": str(runs / "adapter")}
    second, _ = load_checkpoint(str(tmp_path / "second"))
    first, _ = load_checkpoint(str(runs / "adapter"))
    changed = {
        name
        for name, value in first.mdse.text_model.named_parameters()
        if not torch.equal(value, second.mdse.text_model.get_parameter(name))
    }
    assert changed == {
        f"encoder.layer.{i}.attention.self.{name}.weight" for i in (0, 1) for name in ("query", "key", "value")
    }


def test_towers_that_are_gone_are_named(runs, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(runs / "adapter", folder)
    towers = json.loads((folder / "towers.json").read_text())
    (folder / "towers.json").write_text(json.dumps(towers | {"text_encoder": str(tmp_path / "gone")}))
    with pytest.raises(CallError, match=rf"moved holds adapters of {tmp_path}/gone and .*, with which they cannot be"):
        load_checkpoint(str(folder))
    (folder / "towers.json").write_text("{}")
    with pytest.raises(CallError, match="moved holds adapters of towers that came from no folder or Hub"):
        load_checkpoint(str(folder))


def test_adapters_load_by_the_auto_classes_and_without_peft(runs, batch, monkeypatch):
    expected = logits(load_checkpoint(str(runs / "adapter"))[0], batch)
    monkeypatch.setitem(sys.modules, "peft", None)
    adapted = AutoModelForSequenceClassification.from_pretrained(runs / "adapter")
    assert torch.equal(logits(adapted, batch), expected)
    base = AutoModel.from_pretrained(runs / "adapter")
    for name in ("text_model.encoder.layer.1.attention.self.query.weight", "text_projection.missing"):
        assert torch.equal(base.get_parameter(name), adapted.mdse.get_parameter(name))


def test_towers_from_nowhere_can_only_be_merged(trainer_of):
    model = build(MdseForImageTextClassification)
    with pytest.raises(CallError, match="lora_save must be merged with towers that come from no folder or Hub"):
        trainer_of(model, lora_save="adapter")


def test_the_command(data, text_encoder_dir, image_encoder_dir, runs, tmp_path, capsys):
    """Over the adapters of an earlier run, without LoRA: nothing of it may be left."""
    shutil.copytree(runs / "adapter", tmp_path / "out")
    words = ["train", "--model", "concat", "--data", data, "--output-dir", str(tmp_path / "out"), "--json"]
    words += ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir, "--overwrite"]
    words += ["--hidden-size", "16", "--num-attention-heads", "2", "--num-train-epochs", "1"]
    assert main(words) == 0
    assert not (tmp_path / "out" / "towers.json").exists()
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--lora-rank", "2", "--lora-targets", "query", "q_prj"])
    assert "got q_prj" in capsys.readouterr().err
    assert main([*words, "--lora-rank", "2", "--lora-targets", "query", "q_proj", "--lora-save", "adapter"]) == 0
    assert not (tmp_path / "out" / "model.safetensors").exists()
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "out"), "--text", "good sun", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["scores"]) == 3
