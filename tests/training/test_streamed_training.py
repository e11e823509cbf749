"""Training on a stream: each post once an epoch, in one process and in several, with and without a resume."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from duosent.cli import main
from duosent.data.pairs import load_pairs
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.trainer import ImageTextTrainer


@pytest.fixture
def data(rows, tmp_path) -> str:
    """Seven posts in three row groups."""
    folder = tmp_path / "posts"
    folder.mkdir()
    rows.to_parquet(folder / "train.parquet", batch_size=3)
    rows.select(range(4)).to_parquet(folder / "validation.parquet")
    return str(folder)


class Recording(ImageTextCollator):
    """A collator that remembers which posts it was given."""

    def __call__(self, posts):
        self.__dict__.setdefault("seen", []).append([post["id"] for post in posts])
        return super().__call__(posts)


@pytest.fixture
def trainer_of(data, processor, tmp_path):
    def make(model, name="run", **options):
        usual = {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-2,
            "shuffle_buffer_size": 3,
            "eval_strategy": "no",
            "save_strategy": "no",
            "load_best_model_at_end": False,
            "use_cpu": True,
            "disable_tqdm": True,
        }
        args = ImageTextTrainingArguments(str(tmp_path / name), **{**usual, **options})
        stream = load_pairs(data, streaming=True)["train"]
        return ImageTextTrainer(model, args, Recording(processor), stream)

    return make


def test_every_epoch_has_each_post_once_in_an_order_of_its_own(tiny_mdse, trainer_of):
    trainer = trainer_of(tiny_mdse())
    trainer.train()
    assert trainer.state.global_step == 8 and trainer.state.epoch == 2
    batches = trainer.data_collator.seen
    assert [len(posts) for posts in batches] == [2, 2, 2, 1] * 2
    epochs = [[post for posts in batches[start : start + 4] for post in posts] for start in (0, 4)]
    assert [sorted(posts) for posts in epochs] == [[str(number) for number in range(7)]] * 2
    assert epochs[0] != epochs[1]
    again = trainer_of(tiny_mdse())
    again.train()
    assert again.data_collator.seen == batches
    other = trainer_of(tiny_mdse(), data_seed=1)
    other.train()
    assert other.data_collator.seen != batches


@pytest.mark.parametrize("step", [2, 4, 6])
def test_resume_is_exact(tiny_mdse, trainer_of, tmp_path, step):
    options = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": None}
    trainer_of(tiny_mdse(seed=0), "whole", **options).train()
    resumed = trainer_of(tiny_mdse(seed=1), "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    whole = load_file(tmp_path / "whole" / "checkpoint-8" / "model.safetensors")
    again = load_file(tmp_path / "resumed" / "checkpoint-8" / "model.safetensors")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_command(data, text_encoder_dir, image_encoder_dir, tmp_path, capsys):
    words = [
        "train",
        "--model",
        "mdse",
        "--data",
        data,
        "--output-dir",
        str(tmp_path / "out"),
        "--streaming",
        "--json",
    ]
    words += ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir, "--hidden-size", "16"]
    words += ["--num-attention-heads", "2", "--num-train-epochs", "1", "--per-device-train-batch-size", "3"]
    assert main([*words, "--shuffle-buffer-size", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 4
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["steps"] == 3 and record["training"]["shuffle_buffer_size"] == 2

    whole = [*words, "--overwrite"]
    whole.remove("--streaming")
    assert main(whole) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["train_fingerprint"] == record["train_fingerprint"]


def test_a_buffer_must_hold_a_post(tmp_path):
    with pytest.raises(ValueError, match="shuffle_buffer_size must be >= 1, got 0"):
        ImageTextTrainingArguments(str(tmp_path), shuffle_buffer_size=0)


PROCESS = """
import json, sys
from duosent import ImageTextProcessor, MdseForImageTextClassification
from duosent.data.pairs import load_pairs
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.trainer import ImageTextTrainer

data, text, image, out = sys.argv[1:]

class Recording(ImageTextCollator):
    seen = []

    def __call__(self, posts):
        self.seen.append([post["id"] for post in posts])
        return super().__call__(posts)

args = ImageTextTrainingArguments(
    out, num_train_epochs=2, per_device_train_batch_size=BATCH, shuffle_buffer_size=2, use_cpu=True,
    eval_strategy="no", ddp_backend="gloo", save_strategy="no", load_best_model_at_end=False, disable_tqdm=True,
)
stream = load_pairs(data, streaming=True)["train"]
model = MdseForImageTextClassification.from_encoders(
    text, image, hidden_size=16, num_attention_heads=2, intermediate_size=32, num_labels=3
)
trainer = ImageTextTrainer(model, args, Recording(ImageTextProcessor.from_encoders(text, image)), stream)
trainer.train()
json.dump([Recording.seen, trainer.state.global_step], open(f"{out}-{args.process_index}.json", "w"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "steps"), [(2, 2), (3, 1), (1, 3)])
def test_two_processes_read_each_post_once(data, text_encoder_dir, image_encoder_dir, tmp_path, batch, steps):
    """Seven posts and two processes: batches of 2 leave three posts, of 3 and of 1 a single one."""
    script = tmp_path / "process.py"
    script.write_text(PROCESS.replace("BATCH", str(batch)))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    subprocess.run(
        [*torchrun, data, text_encoder_dir, image_encoder_dir, str(tmp_path / "out")],
        check=True,
        capture_output=True,
        timeout=300,
    )
    records = [json.loads((tmp_path / f"out-{number}.json").read_text()) for number in (0, 1)]
    for epoch in range(2):
        posts = [post for seen, _ in records for batch in seen[epoch * steps : (epoch + 1) * steps] for post in batch]
        assert sorted(posts) == [str(number) for number in range(7)]
    assert [(len(seen), done) for seen, done in records] == [(2 * steps, 2 * steps)] * 2
