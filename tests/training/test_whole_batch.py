"""A step in parts, by processes, micro-batches or chunks, against one forward and backward of all its posts."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny import TEXT, make_batch
from tiny import build as build_tiny
from torch.testing import assert_close
from transformers import ResNetConfig
from whole_batch_steps import MODELS, PARTS, RATE, build, steps_of

from duosent import (
    BaselineConfig,
    BaselineForImageTextClassification,
    MdseForImageTextClassification,
    RadmForVisualQuestionAnswering,
    modality_agnostic_contrastive_loss,
)
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.trainer import ImageTextTrainer
from duosent.training.whole_batch import CachedBatch, SummedBatch, chunks_of

TERMS = ("loss", "classification_loss", "contrastive_loss")
# Seven posts in one process.
ALONE = {
    "chunks": {"per_device_train_batch_size": 7, "contrastive_chunk_size": 2},
    "micro-batches": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
    "chunks of micro-batches": {
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 3,
        "contrastive_chunk_size": 2,
    },
    "a chunk as large as the batch": {"per_device_train_batch_size": 7, "contrastive_chunk_size": 7},
}


@pytest.fixture(scope="module")
def posts(rows) -> Dataset:
    """The seven posts, one without a label, one without a picture, some with a label of their words."""
    columns = rows.to_dict()
    columns["label"][3] = None
    columns["image"][5] = None
    columns["text_label"] = [0, None, 1, 2, None, 1, 2]
    features = rows.features | {"text_label": rows.features["label"]}
    return Dataset.from_dict(columns, features=type(rows.features)(features))


def plain_steps(model, batch) -> tuple[list[dict], list[dict]]:
    """Two steps of gradient descent on the whole batch, by hand."""
    model.train()
    gradients, logs = [], []
    for _ in range(2):
        model.zero_grad()
        output = model(**batch)
        output.loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        logs.append({name: output[name].item() for name in TERMS if name in output})
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= RATE * parameter.grad
    return gradients, logs


@pytest.fixture(scope="module")
def expected(posts, processor, text_encoder_dir, image_encoder_dir):
    """What each model should give."""
    batch = ImageTextCollator(processor)(posts)
    return {name: plain_steps(build(name, text_encoder_dir, image_encoder_dir), batch) for name in MODELS}


def assert_same(gradients, logs, expected) -> None:
    expected_gradients, expected_logs = expected
    assert len(gradients) == len(logs) == 2
    for step in range(2):
        for name in expected_logs[step]:
            assert logs[step][name] == pytest.approx(expected_logs[step][name], rel=1e-5), name
        assert gradients[step].keys() == expected_gradients[step].keys()
        largest = max(gradient.abs().max() for gradient in expected_gradients[step].values())
        for name, gradient in expected_gradients[step].items():
            assert_close(gradients[step][name], gradient, rtol=1e-4, atol=1e-6 * float(largest) + 1e-7, msg=name)


@pytest.mark.parametrize("parts", ALONE)
@pytest.mark.parametrize("name", MODELS)
def test_parts_give_the_step_of_the_whole(
    name, parts, posts, processor, text_encoder_dir, image_encoder_dir, expected, tmp_path
):
    model = build(name, text_encoder_dir, image_encoder_dir)
    assert_same(*steps_of(model, posts, processor, str(tmp_path), **ALONE[parts]), expected[name])


def test_logs_and_norms_of_steps_in_parts(posts, processor, text_encoder_dir, image_encoder_dir, expected, tmp_path):
    """Two steps to a log: means of both, and the norm of the last one's gradient."""
    model = build("anchor", text_encoder_dir, image_encoder_dir)
    options = ALONE["chunks of micro-batches"] | {"logging_steps": 2, "max_grad_norm": 1e9}
    _, (log,) = steps_of(model, posts, processor, str(tmp_path), **options)
    gradients, logs = expected["anchor"]
    for name in TERMS:
        assert log[name] == pytest.approx((logs[0][name] + logs[1][name]) / 2, rel=1e-5), name
    squares = sum(float((gradient.double() ** 2).sum()) for gradient in gradients[1].values())
    assert log["grad_norm"] == pytest.approx(squares**0.5, rel=1e-4)


def test_parts_in_half_precision(posts, processor, text_encoder_dir, image_encoder_dir, expected, tmp_path):
    model = build("anchor", text_encoder_dir, image_encoder_dir)
    gradients, logs = steps_of(model, posts, processor, str(tmp_path), bf16=True, **ALONE["chunks"])
    expected_gradients, expected_logs = expected["anchor"]
    assert logs[0]["contrastive_loss"] == pytest.approx(expected_logs[0]["contrastive_loss"], rel=0.02)
    assert gradients[0].keys() == expected_gradients[0].keys()
    flat, whole = (
        torch.cat([grads[0][name].flatten() for name in grads[0]]) for grads in (gradients, expected["anchor"][0])
    )
    assert (flat - whole).norm() < 0.1 * whole.norm()


def test_resume_is_exact(tiny_mdse, rows, processor, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1, **ALONE["chunks of micro-batches"]}
    options |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "contrastive_chunk_size": 1}
    folder = str(tmp_path / "whole")
    whole = steps_of(tiny_mdse(0), rows, processor, folder, save_total_limit=None, **options)[0]
    resumed = tiny_mdse(1)
    later = steps_of(resumed, rows, processor, str(tmp_path), resume=f"{folder}/checkpoint-1", **options)[0]
    assert len(whole) == 4 and len(later) == 3  # steps of four and three posts
    for step in range(3):
        assert all(torch.equal(later[step][name], whole[step + 1][name]) for name in whole[step + 1])


@pytest.mark.slow
def test_two_processes_give_the_steps_of_one(posts, text_encoder_dir, image_encoder_dir, expected, tmp_path):
    posts.save_to_disk(tmp_path / "posts")
    script = Path(__file__).with_name("whole_batch_steps.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    subprocess.run(
        [*torchrun, str(tmp_path / "posts"), text_encoder_dir, image_encoder_dir, str(tmp_path)],
        check=True,
        timeout=500,
    )
    for name in MODELS:
        for parts in PARTS:
            flat = load_file(tmp_path / f"{name}-{parts}.safetensors")
            gradients = [
                {key.split("/")[1]: value for key, value in flat.items() if key.startswith(f"{step}/")}
                for step in range(2)
            ]
            logs = json.loads((tmp_path / f"{name}-{parts}.json").read_text())
            assert_same(gradients, logs, expected[name])


# The cached gradient itself, without a trainer

VIEW_LABELS = st.lists(st.sampled_from([-100, 0, 1, 2]), min_size=6, max_size=6).map(torch.tensor)


def cached(model, chunks) -> tuple[dict, dict]:
    """Gradients and terms by two passes over the chunks, in one process."""
    model.zero_grad()
    batch = CachedBatch(chunks, model, Accelerator(cpu=True), False, lambda chunk: chunk)
    sums = {}
    for chunk in chunks:
        terms = batch.terms(model, chunk)
        terms["loss"].backward()
        sums = {name: sums.get(name, 0.0) + term.item() for name, term in terms.items()}
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, sums


def assert_same_gradients(gradients, model) -> None:
    for name, parameter in model.named_parameters():
        assert_close(gradients[name], parameter.grad, rtol=1e-8, atol=1e-12, msg=name)


@given(labels=VIEW_LABELS, text_labels=VIEW_LABELS, size=st.integers(1, 5), form=st.sampled_from(["anchor", "ratio"]))
def test_chunks_of_any_size_give_the_gradient_of_the_whole(labels, text_labels, size, form):
    model = build_tiny(MdseForImageTextClassification, dtype=torch.double, contrastive_form=form)
    batch = make_batch(6, dtype=torch.double) | {"labels": labels, "text_labels": text_labels}
    batch["image_present"][2] = False
    gradients, terms = cached(model, chunks_of(batch, size))
    model.zero_grad()
    output = model(**batch)
    output.loss.backward()
    assert_same_gradients(gradients, model)
    for name, term in terms.items():
        assert term == pytest.approx(output[name].item(), rel=1e-6, abs=1e-9), name


def test_sets_of_labels_are_compared_across_chunks():
    model = build_tiny(MdseForImageTextClassification, dtype=torch.double, problem_type="multi_label_classification")
    sets = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1], [-100] * 3, [0, 1, 0], [1, 1, 1]]).double()
    batch = make_batch(6, dtype=torch.double) | {"labels": sets}
    gradients, terms = cached(model, chunks_of(batch, 1))
    model.zero_grad()
    output = model(**batch)
    output.loss.backward()
    assert terms["contrastive_loss"] > 0
    assert_same_gradients(gradients, model)


def test_the_second_pass_draws_the_dropout_of_the_first():
    """Against one graph over all chunks, run once; and what the passes give, bit by bit."""
    text = TEXT | {"hidden_dropout_prob": 0.3}
    model = build_tiny(MdseForImageTextClassification, dtype=torch.double, text_config=text)
    model.train()
    chunks = chunks_of(make_batch(6, dtype=torch.double), 2)
    torch.manual_seed(3)
    outputs = [model(**{name: value for name, value in chunk.items() if name != "labels"}) for chunk in chunks]
    assert not torch.equal(outputs[0].logits, model(**chunks[0]).logits)  # there is something to draw
    views = torch.cat([torch.stack([o.image_embeds, o.text_embeds, o.fused_embeds], dim=1) for o in outputs])
    labels = torch.cat([chunk["labels"] for chunk in chunks])
    logits = torch.cat([output.logits for output in outputs])
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss = loss + modality_agnostic_contrastive_loss(views.flatten(0, 1), labels.repeat_interleave(3))
    model.zero_grad()
    loss.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    seen = []
    hook = model.register_forward_hook(lambda module, inputs, output: seen.append(output.logits.detach()))
    torch.manual_seed(3)
    gradients, terms = cached(model, chunks)
    hook.remove()
    assert len(seen) == 6
    assert all(torch.equal(seen[i], seen[i + 3]) and torch.equal(seen[i], outputs[i].logits) for i in range(3))
    assert terms["loss"] == pytest.approx(loss.item())
    for name, gradient in expected.items():
        assert_close(gradients[name], gradient, rtol=1e-8, atol=1e-12, msg=name)


def test_questions_are_counted_whether_they_have_an_answer_or_not():
    model = build_tiny(RadmForVisualQuestionAnswering, dtype=torch.double)
    scores = torch.tensor([[1, 0, 0.3], [0, 0, 0], [0, 0.6, 0], [0, 0, 1], [0.9, 0, 0], [0, 0, 0]]).double()
    batch = make_batch(6, dtype=torch.double) | {"labels": scores}
    chunks = chunks_of(batch, 4)
    parts = SummedBatch(chunks, model, Accelerator(cpu=True))
    model.zero_grad()
    for chunk in chunks:
        parts.terms(model, chunk)["loss"].backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model(**batch).loss.backward()
    assert_same_gradients(gradients, model)


# What cannot be held is said


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_norms_that_train_are_warned_of(rows, processor, tmp_path, caplog, frozen):
    vision = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    config = BaselineConfig(text_config=None, vision_config=vision, num_labels=3, freeze_batch_norm=frozen)
    model = BaselineForImageTextClassification(config).eval()
    args = ImageTextTrainingArguments(str(tmp_path), gradient_accumulation_steps=2, use_cpu=True)
    with caplog.at_level(logging.WARNING, logger="duosent.training.trainer"):
        ImageTextTrainer(model, args, ImageTextCollator(processor), rows, rows)
    assert ("freeze_batch_norm is False" in caplog.text) is not frozen
    assert not model.training


def test_a_model_that_does_not_part_with_its_loss_is_refused(rows, processor, tmp_path):
    args = ImageTextTrainingArguments(str(tmp_path), contrastive_chunk_size=2, use_cpu=True)
    with pytest.raises(ValueError, match="contrastive_chunk_size must be None with Linear, .* got 2"):
        ImageTextTrainer(
            torch.nn.Linear(2, 2), args, ImageTextCollator(processor), rows, rows, compute_metrics=lambda p: {}
        )


def test_chunks_and_deepspeed_are_refused(tmp_path):
    with pytest.raises(ValueError, match="contrastive_chunk_size must be None with deepspeed, .* got 2"):
        ImageTextTrainingArguments(str(tmp_path), contrastive_chunk_size=2, deepspeed="zero.json")
