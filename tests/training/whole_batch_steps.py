"""Two steps of a trainer, each on all posts, in parts or not: their gradients and what they log.

    torchrun --nproc_per_node 2 whole_batch_steps.py POSTS TEXT_ENCODER IMAGE_ENCODER OUT

runs every model of `MODELS` in every way of `PARTS` and writes `OUT/MODEL-PARTS.safetensors` and `.json`.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback

from duosent import (
    BaselineForImageTextClassification,
    ClmlfForImageTextClassification,
    ImageTextProcessor,
    MdseForImageTextClassification,
    RadmForImageTextClassification,
    TfnForImageTextClassification,
    TombertForImageTextClassification,
)
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.trainer import ImageTextTrainer

RATE = 0.1
FUSION = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
STILL = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0, "classifier_dropout": 0}
MODELS = {
    "anchor": (MdseForImageTextClassification, FUSION | STILL | {"contrastive_form": "anchor"}),
    "ratio": (MdseForImageTextClassification, FUSION | STILL | {"contrastive_form": "ratio"}),
    "radm": (RadmForImageTextClassification, FUSION | STILL),
    "concat": (BaselineForImageTextClassification, {"classifier_dropout": 0}),
    "clmlf": (ClmlfForImageTextClassification, FUSION | STILL),
    "tfn": (TfnForImageTextClassification, {"hidden_size": 8, "hidden_dropout_prob": 0, "classifier_dropout": 0}),
    "tombert": (TombertForImageTextClassification, FUSION | STILL),
}
# Seven posts and two processes: five and two; chunks of 2, 2, 1 and 2; micro-batches of 2 and 2, and of 2 and 1.
PARTS = {
    "shares": {"per_device_train_batch_size": 5},
    "chunks": {"per_device_train_batch_size": 5, "contrastive_chunk_size": 2},
    "micro-batches": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    "chunks of micro-batches": {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "contrastive_chunk_size": 1,
    },
}


def build(name: str, text_encoder: str, image_encoder: str, **config) -> nn.Module:
    """The model, the same each time, without dropout anywhere."""
    model_class, fields = MODELS[name]
    torch.manual_seed(0)
    model = model_class.from_encoders(text_encoder, image_encoder, num_labels=3, **fields | config)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


class Gradients(TrainerCallback):
    """Keeps the gradients of each step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        self.steps.append(grads)


def steps_of(
    model: nn.Module, posts: Dataset, processor, folder: str, resume: str | None = None, **options
) -> tuple[list[dict], list[dict]]:
    """Train, with plain gradient descent; give the gradients and the logged losses of each step."""
    usual = {
        "num_train_epochs": 2,
        "learning_rate": RATE,
        "text_learning_rate": RATE,
        "image_learning_rate": RATE,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": 0,
        "max_grad_norm": 0,
        "logging_steps": 1,
        "eval_strategy": "no",
        "save_strategy": "no",
        "load_best_model_at_end": False,
        "disable_tqdm": True,
        "use_cpu": True,
        "accelerator_config": {"even_batches": False},
    }
    args = ImageTextTrainingArguments(folder, **usual | options)
    trainer = ImageTextTrainer(model, args, ImageTextCollator(processor), posts)
    gradients = Gradients()
    trainer.add_callback(gradients)
    trainer.train(resume_from_checkpoint=resume)
    return gradients.steps, [log for log in trainer.state.log_history if "loss" in log]


def main(posts: str, text_encoder: str, image_encoder: str, out: str) -> None:
    rows = Dataset.load_from_disk(posts)
    processor = ImageTextProcessor.from_encoders(text_encoder, image_encoder)
    for name in MODELS:
        for parts, options in PARTS.items():
            model = build(name, text_encoder, image_encoder)
            gradients, logs = steps_of(model, rows, processor, out, ddp_backend="gloo", **options)
            if torch.distributed.get_rank() == 0:
                file = Path(out, f"{name}-{parts}")
                flat = {f"{step}/{key}": value for step, grads in enumerate(gradients) for key, value in grads.items()}
                save_file(flat, f"{file}.safetensors")
                Path(f"{file}.json").write_text(json.dumps(logs))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
