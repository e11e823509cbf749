"""A training run that is killed again and again, and what is left of the difference at its end.

    python benchmarks/kill_and_resume.py --kills 20

One run of MDSE on made-up posts (those of `duosent demo`, augmented but for synonyms, with dropout) is left alone. The
same command is then killed (SIGKILL) at a random moment after it has begun to train or to write a checkpoint, and
called again, until it has died so often; the last call may end. The table gives the largest difference of any weight
of both ends, and how many kills left a checkpoint that was being written.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

from duosent.data.demo_posts import make_demo_encoders, make_demo_posts
from duosent.data.pairs import load_pairs
from duosent.training.checkpoints import last_checkpoint

SMALL = "--hidden_size 64 --num_attention_heads 4 --intermediate_size 128 --learning_rate 1e-3"
RUN = "--num_train_epochs 4 --per_device_train_batch_size 8 --save_strategy steps --save_steps 5 --save_total_limit 1"
EVALUATED = "--eval_strategy steps --eval_steps 5 --augment --augment_synonyms 0 --early_stopping_patience none"


def checkpoints(folder: Path) -> set[Path]:
    """All checkpoint folders, whole or not."""
    return set(folder.glob("checkpoint-*"))


def killed_once(command: list[str], folder: Path, rng: random.Random, longest: float) -> bool:
    """Start a process and kill it some time after it has written something; whether it was still alive then."""
    before = checkpoints(folder)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and checkpoints(folder) == before:
        time.sleep(0.005)
    time.sleep(rng.random() * longest)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="(%(default)s)")
    parser.add_argument("--output-dir", default="out/kills", type=Path, help="must be empty (%(default)s)")
    parser.add_argument("--longest", type=float, default=0.6, help="seconds to a kill, at most (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    options = parser.parse_args()
    out, rng = options.output_dir, random.Random(options.seed)
    posts = make_demo_posts(out / "posts", train=800, validation=40, test=20)
    text, image = make_demo_encoders(out / "encoders", load_pairs(str(posts))["train"]["text"])
    os.environ["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "duosent", "train", "--model", "mdse", "--data", str(posts), "--seeds", "1"]
    command += ["--text-encoder", str(text), "--image-encoder", str(image), "--use-cpu"]
    command += [*SMALL.split(), *RUN.split(), *EVALUATED.split(), "--output-dir"]
    subprocess.run([*command, str(out / "whole")], check=True, stdout=subprocess.DEVNULL)

    folder, kills, torn = out / "killed" / "seed-0", 0, 0
    while kills < options.kills:
        if not killed_once([*command, str(out / "killed")], folder, rng, options.longest):
            sys.exit(f"The run was at its end after {kills} kills: take fewer, or a smaller --longest.")
        kills += 1
        last = last_checkpoint(folder)
        step = int(Path(last).name.partition("-")[2]) if last else 0
        torn += any(int(path.name.partition("-")[2]) > step for path in checkpoints(folder))
        print(f"kill {kills}: last whole checkpoint at step {step}", file=sys.stderr)
    subprocess.run([*command, str(out / "killed")], check=True, stdout=subprocess.DEVNULL)
    ends = [load_file(out / run / "seed-0" / "model.safetensors") for run in ("whole", "killed")]
    assert ends[0].keys() == ends[1].keys()
    largest = max(float((ends[0][name].double() - ends[1][name].double()).abs().max()) for name in ends[0])
    print("| kills | checkpoints that were being written | largest difference of a weight |\n|---|---|---|")
    print(f"| {kills} | {torn} | {largest:.1e} |")


if __name__ == "__main__":
    main()
