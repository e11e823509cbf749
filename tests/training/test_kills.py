"""A run that dies while it writes a checkpoint goes on from the one before, to the same weights."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerState

from duosent.data.demo_posts import make_demo_posts
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import last_checkpoint
from duosent.training.trainer import ImageTextTrainer


class Killed(BaseException):
    pass


def half_written(file) -> None:
    Path(file).write_bytes(b"{")
    raise Killed


@pytest.fixture
def trainer_of(rows, processor, tmp_path):
    def make(model, folder) -> ImageTextTrainer:
        options = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "no", "load_best_model_at_end": False}
        args = ImageTextTrainingArguments(
            str(tmp_path / folder),
            num_train_epochs=2,
            per_device_train_batch_size=2,
            save_total_limit=1,
            disable_tqdm=True,
            use_cpu=True,
            **options,
        )
        return ImageTextTrainer(model, args, ImageTextCollator(processor), rows)

    return make


# What is being written, and what stands in its place.
WRITERS = {
    "weights": lambda patch: patch.setattr(
        ImageTextTrainer, "_save", lambda self, folder=None, state_dict=None: half_written(_made(folder))
    ),
    "optimizer": lambda patch: patch.setattr(torch, "save", lambda content, file, *args, **kwargs: half_written(file)),
    "state": lambda patch: patch.setattr(TrainerState, "save_to_json", lambda self, file: half_written(file)),
}


def _made(folder) -> Path:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) / "model.safetensors"


@pytest.mark.parametrize("writer", WRITERS)
def test_death_in_the_middle_of_a_checkpoint(tiny_mdse, trainer_of, tmp_path, monkeypatch, writer):
    trainer_of(tiny_mdse(seed=0), "whole").train()
    saved = ImageTextTrainer._save_checkpoint

    def die_at_the_second(self, model, trial):
        if self.state.global_step == 4:
            WRITERS[writer](patch)
        saved(self, model, trial)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ImageTextTrainer, "_save_checkpoint", die_at_the_second)
        trainer_of(tiny_mdse(seed=0), "killed").train()
    first = str(tmp_path / "killed" / "checkpoint-2")
    assert (tmp_path / "killed" / "checkpoint-4").is_dir() and last_checkpoint(tmp_path / "killed") == first

    trainer_of(tiny_mdse(seed=1), "killed").train(resume_from_checkpoint=first)
    whole, again = (load_file(tmp_path / run / "checkpoint-8" / "model.safetensors") for run in ("whole", "killed"))
    assert whole.keys() == again.keys()
    assert not [name for name in whole if not torch.equal(whole[name], again[name])]


def test_an_old_state_does_not_vouch_for_new_weights(tiny_mdse, trainer_of, tmp_path, monkeypatch):
    """A run that is resumed from an earlier checkpoint writes the later ones again."""
    first = trainer_of(tiny_mdse(seed=0), "run")
    first.args.save_total_limit = None
    first.train()
    again = trainer_of(tiny_mdse(seed=0), "run")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        WRITERS["weights"](patch)
        again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    steps = [path.parent.name for path in (tmp_path / "run").glob("checkpoint-*/trainer_state.json")]
    assert sorted(steps) == ["checkpoint-2", "checkpoint-6", "checkpoint-8"]


@pytest.mark.slow
def test_real_kills(text_encoder_dir, image_encoder_dir, tmp_path):
    """Two processes that are killed at any moment of their training, and a third that ends it."""
    posts = make_demo_posts(tmp_path / "posts", train=120, validation=20, test=1)
    command = [sys.executable, "-m", "duosent", "train", "--model", "mdse", "--data", str(posts), "--seeds", "1"]
    command += ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir, "--hidden-size", "16"]
    command += ["--num-attention-heads", "2", "--num-train-epochs", "5", "--per-device-train-batch-size", "4"]
    command += ["--save-strategy", "steps", "--save-steps", "3", "--eval-strategy", "steps", "--eval-steps", "3"]
    command += ["--early-stopping-patience", "none"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    subprocess.run([*command, "--output-dir", str(tmp_path / "whole")], check=True, **quiet)
    rng, killed, kills = random.Random(0), tmp_path / "killed", 0
    for _ in range(2):
        before = last_checkpoint(killed / "seed-0")
        process = subprocess.Popen([*command, "--output-dir", str(killed)], **quiet)
        while process.poll() is None and last_checkpoint(killed / "seed-0") == before:
            time.sleep(0.05)
        time.sleep(0.3 * rng.random())
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills == 2 and not (killed / "seed-0" / "metrics.json").exists()
    subprocess.run([*command, "--output-dir", str(killed)], check=True, **quiet)
    whole, again = (load_file(tmp_path / run / "seed-0" / "model.safetensors") for run in ("whole", "killed"))
    assert not [name for name in whole if not torch.equal(whole[name], again[name])]
    ends = [json.loads((tmp_path / run / "seed-0" / "metrics.json").read_text()) for run in ("whole", "killed")]
    assert ends[0]["accuracy"] == ends[1]["accuracy"]
