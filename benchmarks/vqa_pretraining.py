"""RADM's road from questions to posts on made-up data: prepare, pre-train, fine-tune from there and from nothing.

    python benchmarks/vqa_pretraining.py --output-dir out/vqa

Pictures of a sun, of rain or of neither (those of `duosent demo`) are asked about, ten people answer, eight in ten of
them rightly, and everything is written as VQA v2 was published. `duosent prepare vqa-v2` makes a table of it, RADM is
pre-trained on that table, and the demo's posts, in which the picture counts, are then learnt twice with the same seed:
from the pre-trained checkpoint, and from the same encoders without it. Each step is one command, which is printed.
"""

import argparse
import json
import random
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from duosent.data.demo_posts import draw_picture, make_demo_encoders, make_demo_posts

ANSWERS = {
    "is it raining": {"rain": "yes", "sun": "no", "plain": "no"},
    "is the sun smiling": {"rain": "no", "sun": "yes", "plain": "no"},
    "what weather is it": {"rain": "rain", "sun": "sunny", "plain": "grey"},
    "how many suns are there": {"rain": "0", "sun": "1", "plain": "0"},
}
TYPES = {"is": "yes/no", "what": "other", "how": "number"}
WRONG = ["maybe", "cloudy", "yes", "no", "2"]
SIZES = {"train2014": 400, "val2014": 100}
# A small RADM over the demo's encoders, everything at one rate.
MODEL = "--hidden_size 64 --num_attention_heads 4 --intermediate_size 128"
TRAINING = "--learning_rate 1e-3 --text_learning_rate none --image_learning_rate none --use-cpu --overwrite"


def write_questions(folder: Path, rng: random.Random) -> None:
    """Pictures, questions and annotations as published, each picture asked three of the four questions."""
    for part, pictures in SIZES.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        questions, annotations = [], []
        for picture in range(pictures):
            meaning, picture_format = rng.choice(["sun", "rain", "plain"]), ""
            while picture_format != "jpeg":
                content, picture_format = draw_picture(meaning, rng)
            (folder / part / f"COCO_{part}_{picture:012d}.jpg").write_bytes(content)
            for question in rng.sample(list(ANSWERS), 3):
                number, right = len(questions), ANSWERS[question][meaning]
                said = [right if rng.random() < 0.8 else rng.choice(WRONG) for _ in range(10)]
                questions.append({"question_id": number, "image_id": picture, "question": question})
                annotations.append(
                    {
                        "question_id": number,
                        "question_type": " ".join(question.split()[:2]),
                        "answer_type": TYPES[question.split()[0]],
                        "multiple_choice_answer": max(said, key=said.count),
                        "answers": [{"answer": answer} for answer in said],
                    }
                )
        names = {"OpenEnded_mscoco_{}_questions": {"questions": questions}}
        names["mscoco_{}_annotations"] = {"annotations": annotations}
        for name, content in names.items():
            (folder / f"v2_{name.format(part)}.json").write_text(json.dumps(content))


def duosent(*words) -> dict:
    """One command; what it gives as JSON."""
    command = ["duosent", *map(str, words)]
    print(shlex.join(command), file=sys.stderr)
    done = subprocess.run([sys.executable, "-m", *command, "--json"], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", default="out/vqa", type=Path, help="where everything goes (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws data and weights (%(default)s)")
    parser.add_argument("--vqa-epochs", type=int, default=6, help="passes over the questions (%(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="passes over the posts (%(default)s)")
    options = parser.parse_args()
    out, seed = options.output_dir, ["--seed", options.seed, *TRAINING.split()]
    write_questions(out / "published", random.Random(options.seed))
    posts = make_demo_posts(out / "posts", seed=options.seed)
    questions = duosent("prepare", "vqa-v2", out / "published", out / "questions", "--overwrite")
    text, image = make_demo_encoders(out / "encoders", [*ANSWERS, *words_of(posts)], options.seed)
    encoders = ["--text-encoder", text, "--image-encoder", image, *MODEL.split()]

    radm = ["train", "--model", "radm"]
    asked = ["--task", "vqa", "--data", out / "questions", "--num_train_epochs", options.vqa_epochs]
    answered = duosent(*radm, *asked, *encoders, "--output-dir", out / "pretrained", *seed)
    posts = ["--data", posts, "--num_train_epochs", options.epochs]
    started = duosent(*radm, *posts, "--init-from", out / "pretrained", "--output-dir", out / "from-questions", *seed)
    fresh = duosent(*radm, *posts, *encoders, "--output-dir", out / "from-nothing", *seed)

    rows = {part: figures["rows"] for part, figures in questions["parts"].items()}
    print(f"questions: {rows}; answers in the vocabulary: {answered['num_answers']}\n")
    print("| VQA accuracy on validation | floor | ceiling |\n|---|---|---|")
    print(
        "| "
        + " | ".join(f"{100 * answered[name]:.2f}" for name in ("accuracy", "majority_accuracy", "ceiling"))
        + " |"
    )
    print(f"\n| RADM on {fresh['n']} posts of validation | accuracy | macro F1 |\n|---|---|---|")
    for name, figures in {"from the questions": started, "from nothing": fresh}.items():
        print(f"| {name} | {100 * figures['accuracy']:.2f} | {100 * figures['macro_f1']:.2f} |")


def words_of(posts: Path) -> list[str]:
    """The texts of the training part, which the tokenizer learns its words from."""
    return pq.read_table(posts / "train.parquet", columns=["text"])["text"].to_pylist()


if __name__ == "__main__":
    main()
