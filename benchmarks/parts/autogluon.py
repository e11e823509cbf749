"""AutoGluon Multimodal's fusion of equal towers beside duosent's models, in an environment of its own.

AutoGluon pins other versions than duosent needs, so it runs in a process of another Python (`--autogluon-python`)
and takes its turns when it is asked to: while one side computes, the other waits. Its towers are BERT by the same
config and timm's ViT of the same shape, both with random weights, under its own fusion as its defaults have it. Its
AdamW is not fused, as AutoGluon makes it. There is no ratio of arithmetic: the counter of the torch that it pins
leaves the CPU's fused attention out.
"""

import argparse
import contextlib
import json
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.harness import NotMeasured, Row, added, compare, take_turns
from benchmarks.models import TOWERS, build_all
from benchmarks.parts.inference import answer
from benchmarks.parts.training import build_optimizers, learn, update
from benchmarks.posts import WORDS
from benchmarks.record import ROOT
from benchmarks.shapes import LABELS, Shape, chosen_shapes, made_up_batch
from duosent.data.demo_posts import train_demo_tokenizer

ROUNDS = 5
WORKER = ROOT / "benchmarks" / "autogluon_worker.py"
AUTOGLUON = "AutoGluon"
AGAINST = (TOWERS, "concat", "mdse", "radm")
# timm's name of a ViT, by width, layers, heads, inner width, size of a picture and of a patch.
IMAGE_MODELS = {
    (768, 12, 12, 3072, 224, 16): "vit_base_patch16_224",
    (192, 12, 3, 768, 224, 16): "vit_tiny_patch16_224",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("autogluon")
    group.add_argument(
        "--autogluon-python", metavar="FILE", help="Python of an environment with autogluon.multimodal 1.6"
    )


def measure(options: argparse.Namespace) -> list[Row]:
    if options.autogluon_python is None:
        raise NotMeasured("--autogluon-python must name a Python that has autogluon.multimodal.")
    rows = []
    for name, shape in chosen_shapes(options, ["tweet", "small"]).items():
        with tempfile.TemporaryDirectory() as folder, Remote(shape, Path(folder), options) as remote:
            rows += measure_shape(name, shape, remote, options)
    return rows


class Remote:
    """The model in the other environment; each step returns once it is done there."""

    def __init__(self, shape: Shape, folder: Path, options: argparse.Namespace):
        sizes = (shape.image_width, shape.image_layers, shape.image_heads, shape.image_inner)
        sizes += (shape.image_size, shape.patch_size)
        if sizes not in IMAGE_MODELS:
            raise NotMeasured(f"timm's image tower must be one of {', '.join(IMAGE_MODELS.values())}, got {sizes}.")
        shape.text_config(options.attention_dropout).save_pretrained(folder)
        train_demo_tokenizer(WORDS).save_pretrained(folder)
        self._start = {
            "text_folder": str(folder),
            "image_model": IMAGE_MODELS[sizes],
            "rows": shape.batch_size,
            "tokens": shape.text_tokens,
            "vocabulary": shape.vocabulary,
            "labels": LABELS,
            "threads": options.threads,
            "seed": options.seed,
        }
        # -P: files beside the worker are no modules of that environment.
        self._command = [options.autogluon_python, "-P", str(WORKER)]
        self._errors = folder / "errors"

    def __enter__(self) -> "Remote":
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with self._errors.open("w") as errors:
            try:
                self._process = subprocess.Popen(self._command, **pipes, stderr=errors, text=True)
            except OSError as error:
                raise NotMeasured(f"--autogluon-python cannot be run: {error.strerror}.") from error
        self._ask(json.dumps(self._start))
        return self

    def __exit__(self, *error) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def learn(self) -> None:
        self._ask("learn")

    def update(self) -> None:
        self._ask("update")

    def answer(self) -> None:
        self._ask("answer")

    def _ask(self, line: str) -> str:
        try:
            print(line, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            reply = ""
        else:
            reply = self._process.stdout.readline()
        if not reply:
            self.__exit__()
            last = (self._errors.read_text().strip().splitlines() or ["without a word"])[-1]
            raise NotMeasured(f"AutoGluon's process ended: {last}")
        return reply


def measure_shape(name: str, shape: Shape, remote: Remote, options: argparse.Namespace) -> list[Row]:
    built = build_all(shape, options.attention_dropout, options.seed)
    models = {model_name: built.pop(model_name) for model_name in AGAINST}
    built.clear()  # the others are not asked
    optimizers = build_optimizers(models)
    batch = made_up_batch(shape, options.seed)
    posts = {side: tensor for side, tensor in batch.items() if side != "labels"}
    rounds = options.rounds or ROUNDS

    learning = {("learn", AUTOGLUON): remote.learn, ("update", AUTOGLUON): remote.update}
    answering = {("answer", AUTOGLUON): remote.answer}
    for model_name, model in models.items():
        learning["learn", model_name] = partial(learn, model.train(), batch)
        learning["update", model_name] = partial(update, optimizers[model_name])
        answering["answer", model_name] = partial(answer, model, posts)
    times = take_turns(learning, rounds, options.warmup)
    for model in models.values():
        model.eval()
    times |= take_turns(answering, rounds, options.warmup)

    whole = {
        model_name: added(times["learn", model_name], times["update", model_name])
        for model_name in (AUTOGLUON, *models)
    }
    steps = {
        "forward and backward": {model_name: times["learn", model_name] for model_name in (AUTOGLUON, *models)},
        "forward, backward and AdamW": whole,
        "inference": {model_name: times["answer", model_name] for model_name in (AUTOGLUON, *models)},
    }
    return [
        compare(f"{what}, {name}", AUTOGLUON, of[AUTOGLUON], against, of[against], shape.batch_size)
        for what, of in steps.items()
        for against in AGAINST
    ]
