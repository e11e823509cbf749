"""One model of MSED's three labels beside a model for each: figures of each label, and how often answers contradict.

    python benchmarks/real_posts.py --data msed --label sentiment emotion desire --models mdse
    python benchmarks/real_posts.py --data msed --label emotion --models mdse      (and desire, and its own sentiment)
    python benchmarks/three_labels.py --one out/msed-sentiment-emotion-desire \
        --each out/msed out/msed-emotion out/msed-desire

Of each folder the runs `mdse-SEED` are read: the answers to the validation part that `duosent train` left. An answer
contradicts itself where its three labels never occur together in the training part. "consistent" takes of the
combinations that do the most probable one, as `duosent evaluate --consistent` does.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import f1_score

ANSWERS = "predictions_validation.parquet"


def answers_of_one(run: Path, tasks: dict, combinations: list) -> dict[str, np.ndarray]:
    """Answers `(N, tasks)` in words, as given and consistent."""
    table = pq.read_table(run / ANSWERS)
    scores = [np.stack([table[f"score_{task}:{label}"] for label in labels], axis=1) for task, labels in tasks.items()]
    given = np.stack([np.array(labels)[of.argmax(1)] for of, labels in zip(scores, tasks.values(), strict=True)], 1)
    chances = [sum(np.log(of[:, i]) for of, i in zip(scores, picked, strict=True)) for picked in combinations]
    best = np.array(combinations)[np.argmax(chances, axis=0)]  # (N, tasks)
    words = [np.array(labels)[best[:, place]] for place, labels in enumerate(tasks.values())]
    return {"one model": given, "one model, consistent": np.stack(words, 1)}


def figures(given: np.ndarray, truth: np.ndarray, tasks: dict, known: set) -> list[float]:
    """Macro F1 of each task, posts with every answer right, and contradictions, in percent."""
    of_tasks = [f1_score(truth[:, place], given[:, place], average="macro") for place in range(len(tasks))]
    right = (given == truth).all(1).mean()
    contradicting = np.mean([tuple(answer) not in known for answer in given])
    return [100 * float(value) for value in (*of_tasks, right, contradicting)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=Path, required=True, help="folder of the runs with all labels")
    parser.add_argument(
        "--each", type=Path, nargs="+", required=True, help="folders of the runs with one, in any order"
    )
    options = parser.parse_args()
    rows: dict[str, list[list[float]]] = {}
    for run in sorted(options.one.glob("mdse-*")):
        config = json.loads((run / "config.json").read_text())
        names = dict.fromkeys(name.partition(":")[0] for _, name in sorted(config["id2label"].items(), key=by_number))
        tasks = {name: config["tasks"][name] for name in names}
        combinations = config["label_combinations"]
        known = {tuple(labels[i] for labels, i in zip(tasks.values(), c, strict=True)) for c in combinations}
        table = pq.read_table(run / ANSWERS)
        truth = np.stack([table[f"true_label_{task}"] for task in tasks], axis=1)
        answers = answers_of_one(run, tasks, combinations)
        singles = {}
        for folder in options.each:
            task = json.loads((folder / run.name / "run.json").read_text())["columns"]["label_column"]
            singles[task] = pq.read_table(folder / run.name / ANSWERS)
            if not singles[task]["id"].equals(table["id"]):
                sys.exit(f"{folder} must hold answers to the posts of {options.one}, and holds others.")
        answers["three models"] = np.stack([singles[task]["label"] for task in tasks], axis=1)
        for name, given in answers.items():
            rows.setdefault(name, []).append(figures(given, truth, tasks, known))
    print("| MDSE | seeds | " + " | ".join(f"{task}, macro F1" for task in tasks) + " | all right | contradictions |")
    print("|---|---|" + "---|" * (len(tasks) + 2))
    for name, seeds in rows.items():
        spreads = [statistics.stdev(values) if len(seeds) > 1 else 0.0 for values in zip(*seeds, strict=True)]
        means = [statistics.mean(values) for values in zip(*seeds, strict=True)]
        cells = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(means, spreads, strict=True)]
        print(f"| {name} | {len(seeds)} | " + " | ".join(cells) + " |")


def by_number(item: tuple[str, str]) -> int:
    return int(item[0])


if __name__ == "__main__":
    main()
