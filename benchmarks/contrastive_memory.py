"""One training step of MDSE on many posts, whole and in parts: the loss, the gradients and the peak memory.

    python benchmarks/contrastive_memory.py

Made-up posts (32 random tokens, 32 x 32 random pixels, three labels, every tenth post without one) and small towers (4
layers, width 64) without dropout; a process of its own for each way. `difference` is from the same posts in one
forward: of the loss, and the largest of any entry of any gradient, beside the largest entry of all. Two processes have
uneven shares, 40 and 24 posts.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TOWER = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 256}
TEXT = {"model_type": "bert", "vocab_size": 1000, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
IMAGE = {"model_type": "vit", "image_size": 32, "patch_size": 4}
STILL = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0, "classifier_dropout": 0}
# Posts, processes, and how a process takes them.
WAYS = {
    "64, whole": (64, 1, {"per_device_train_batch_size": 64}),
    "64, chunks of 16": (64, 1, {"per_device_train_batch_size": 64, "contrastive_chunk_size": 16}),
    "64, 4 micro-batches": (64, 1, {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 4}),
    "64, 2 processes": (64, 2, {"per_device_train_batch_size": 40}),
    "64, 2 processes, chunks of 16": (64, 2, {"per_device_train_batch_size": 40, "contrastive_chunk_size": 16}),
    "1,024, whole": (1024, 1, {"per_device_train_batch_size": 1024}),
    "1,024, chunks of 16": (1024, 1, {"per_device_train_batch_size": 1024, "contrastive_chunk_size": 16}),
}


def made_up(count: int, seed: int) -> list[dict]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "input_ids": torch.randint(5, 1000, (32,), generator=generator),
            "attention_mask": torch.ones(32, dtype=torch.long),
            "pixel_values": torch.randn(3, 32, 32, generator=generator),
            "labels": torch.tensor(-100 if number % 10 == 9 else number % 3),
        }
        for number in range(count)
    ]


def step(way: str, seed: int, file: str) -> None:
    """One step in this process; its gradients go to `file`, figures beside it."""
    from torch.utils.data import default_collate
    from transformers import TrainerCallback

    from duosent import ImageTextTrainer, ImageTextTrainingArguments, MdseConfig, MdseForImageTextClassification

    count, processes, options = WAYS[way]
    posts = made_up(count, seed)
    torch.manual_seed(seed)
    config = MdseConfig(
        text_config=TEXT | TOWER,
        vision_config=IMAGE | TOWER,
        hidden_size=64,
        num_labels=3,
        intermediate_size=256,
        **STILL,
    )
    model = MdseForImageTextClassification(config)
    gradients = {}

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            gradients.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})

    with tempfile.TemporaryDirectory() as folder:
        args = ImageTextTrainingArguments(
            folder,
            max_steps=1,
            max_grad_norm=0,
            logging_steps=1,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
            ddp_backend="gloo" if processes > 1 else None,
            accelerator_config={"even_batches": False},
            **options,
        )
        trainer = ImageTextTrainer(model, args, default_collate, posts, callbacks=[Gradients()])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if trainer.is_world_process_zero():
        save_file(gradients, file)
        figures = {"loss": trainer.state.log_history[0]["loss"], "peak": peak, "before": before}
        Path(file).with_suffix(".json").write_text(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--way", choices=WAYS, help="this way in this process, for --file")
    parser.add_argument("--file", help="where its gradients go")
    options = parser.parse_args()
    if options.way:
        step(options.way, options.seed, options.file)
        return
    print(
        "| posts of the step | loss | difference | largest gradient | difference | peak MB | of it before the step |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, (way, (_, processes, _)) in enumerate(WAYS.items()):
            file = Path(folder, f"{number}.safetensors")
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
            command = [sys.executable, *(launcher if processes > 1 else []), __file__, "--seed", str(options.seed)]
            subprocess.run([*command, "--way", way, "--file", str(file)], check=True, capture_output=True)
            run, gradients = json.loads(file.with_suffix(".json").read_text()), load_file(file)
            if way.endswith("whole"):
                whole, expected = run, gradients
            largest = max(float(gradient.abs().max()) for gradient in expected.values())
            apart = max(float((gradients[name] - expected[name]).abs().max()) for name in expected)
            losses = f"{run['loss']:.6f} | {abs(run['loss'] - whole['loss']):.1e}"
            memory = f"{run['peak'] / 1024:,.0f} | {run['before'] / 1024:,.0f}"
            print(f"| {way} | {losses} | {largest:.3f} | {apart:.1e} | {memory} |", flush=True)


if __name__ == "__main__":
    main()
