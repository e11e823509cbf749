"""`duosent predict`: the answer to one post, or to every post of a table of any size."""

import argparse
import json
import os

from duosent.parsing import CommandParser
from duosent.tables import scores_table, targets_table

CONSISTENT = "of a model with several labels: only answers that occurred together in training"
# What answers may be asked for, of one post as of a table.
ANSWERS = ("consistent", "confidence", "abstain", "device", "backend", "dtype")
# How a table is answered.
TABLE_OPTIONS = (
    "split",
    "with_sides",
    "shard_rows",
    "batch_size",
    "batch_tokens",
    "num_workers",
    "fetch_images",
    "retries",
    "overwrite",
    "engine",
    "ray_address",
)
# Options that say nothing of one post.
TABLE_ONLY = ("output", "storage_options", "max_rejected", *TABLE_OPTIONS)


class TooManyRejectedError(RuntimeError):
    """More rows could not be read than the caller allows; all that could be is answered."""


def declare_predict_flags(parser: CommandParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder or Hub name")
    post = parser.add_argument_group("one post")
    post.add_argument("--text", help="the words")
    post.add_argument("--image", metavar="FILE", help="the picture")
    note = "what the label is about; takes the place of $T$ in the words; may be given several times"
    post.add_argument("--target", action="append", help=note)
    table = parser.add_argument_group("or a whole table")
    note = "file, folder or glob of Parquet, CSV, JSON Lines or WebDataset tars, here or by URL, or a Hub name"
    table.add_argument("--data", metavar="SOURCE", help=note)
    note = "folder for the shards of answers and their manifest; the same call again goes on where it stopped"
    table.add_argument("--output", metavar="DIR", help=note)
    table.add_argument("--split", help="which part of the data; needed where there are several")
    table.add_argument("--with-sides", action="store_true", help="the answer from words and from picture alone too")
    table.add_argument("--shard-rows", type=int, default=10_000, metavar="N", help="rows of a shard (%(default)s)")
    table.add_argument("--batch-size", type=int, default=32, help="posts at once, at most (%(default)s)")
    note = "tokens at once, at most: words, patches and padding (those of --batch-size posts of 128 words)"
    table.add_argument("--batch-tokens", type=int, metavar="N", help=note)
    note = "processes that decode pictures; with 0 a thread does it (%(default)s)"
    table.add_argument("--num-workers", type=int, default=0, help=note)
    note = "fetch pictures whose cell is an address on the web; otherwise their rows are rejected"
    table.add_argument("--fetch-images", action="store_true", help=note)
    note = "of the file system of a URL, such as '{\"anon\": true}'"
    table.add_argument("--storage-options", metavar="JSON", help=note)
    note = "how often reading is tried again that fails in passing (%(default)s)"
    table.add_argument("--retries", type=int, default=5, metavar="N", help=note)
    note = "what scores the shards: this process and those beside it (%(default)s), or a cluster of Ray (duosent[ray])"
    table.add_argument("--engine", choices=["local", "ray"], default="local", help=note)
    note = "of the cluster, such as ray://head:10001 or auto; without it Ray runs on this machine"
    table.add_argument("--ray-address", metavar="URL", help=note)
    note = "exit code 1 if more rows than that are rejected: a number, or with a point a share (0.01)"
    table.add_argument("--max-rejected", metavar="N", help=note)
    note = "take the place of answers to another call, or of an output folder that is not empty"
    table.add_argument("--overwrite", action="store_true", help=note)
    parser.add_argument("--consistent", action="store_true", help=CONSISTENT)
    note = "of a calibrated model: the labels that hold the true one with this probability too, from 0.5 to 0.99"
    parser.add_argument("--confidence", type=float, metavar="C", help=note)
    note = "of a model calibrated for an accuracy: say which answers are too unsure for it"
    parser.add_argument("--abstain", action="store_true", help=note)
    parser.add_argument("--device", help="cpu, cuda, ...; default: the accelerator where there is one")
    note = "what computes: torch a checkpoint (%(default)s), onnx a folder of duosent export"
    parser.add_argument("--backend", choices=["torch", "onnx"], default="torch", help=note)
    note = "of backend torch, what it computes in; default: what the checkpoint was saved in"
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help=note)
    parser.epilog = "docs/predict.md says what a table's answers look like and how several processes share the work."


def check_call(options: argparse.Namespace, parser: CommandParser) -> None:
    """End a call that asks for one post and a table, for too little of either, or for what is none."""
    one_post = options.text is not None or options.image is not None
    if one_post == (options.data is not None):
        parser.error("give either --text and --image (or one of the two) or --data.")
    if options.data is not None and options.output is None:
        parser.error("--data needs --output.")
    if options.data is not None and options.target is not None:
        parser.error("--target belongs to one post; a table has a column of targets (--target-column).")
    if options.image is not None and not os.path.isfile(options.image):
        parser.error(f"--image {options.image} is not a file.")
    for name in TABLE_ONLY if one_post else ():
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} belongs to a table (--data).")
    _allowed_rejections(options.max_rejected, parser)
    _storage_options(options.storage_options, parser)


def run_predict(options: argparse.Namespace, columns: dict, parser: CommandParser) -> tuple[dict, str]:
    """What it answers, as JSON and as a table.

    Args:
        columns: keywords of `load_pairs`.
    """
    from duosent.inference.scoring import predict, predict_targets

    how = {name: getattr(options, name) for name in ANSWERS}
    if options.data is not None:
        return _run_table(options, columns, how, parser)
    if len(options.target or []) > 1:
        answers = predict_targets(options.checkpoint, options.text, options.image, options.target, **how)
        return {"targets": answers}, targets_table(answers)
    target = options.target[0] if options.target else None
    answer = predict(options.checkpoint, options.text, options.image, target, **how)
    return answer, scores_table(answer)


def _run_table(options: argparse.Namespace, columns: dict, how: dict, parser: CommandParser) -> tuple[dict, str]:
    from duosent.inference.score_table import predict_table

    answer = predict_table(
        options.checkpoint,
        options.data,
        options.output,
        columns=columns,
        storage_options=_storage_options(options.storage_options, parser),
        progress="json" if options.json else "bar",
        **{name: getattr(options, name) for name in TABLE_OPTIONS},
        **how,
    )
    table = f"{answer['n']} posts answered in {answer['predictions']}."
    if answer["rejected"]:
        table += f"\n{answer['rejected']} posts could not be read: {answer['rejected_files']} says why."
    return answer, table


def check_rejections(options: argparse.Namespace, answer: dict, parser: CommandParser) -> None:
    """
    Raises:
        TooManyRejectedError: for a table of which more rows were rejected than `--max-rejected` allows.
    """
    allowed = _allowed_rejections(options.max_rejected, parser)
    # Of several processes that torchrun runs one says so, and all fail by that.
    if allowed is None or os.environ.get("RANK", "0") != "0":
        return
    rows = answer["n"] + answer["rejected"]
    if answer["rejected"] > (allowed if isinstance(allowed, int) else allowed * rows):
        raise TooManyRejectedError(
            f"max_rejected is {options.max_rejected}, and {answer['rejected']} of {rows} posts were rejected; the "
            "others are answered."
        )


def _allowed_rejections(given: str | None, parser: CommandParser) -> int | float | None:
    """`--max-rejected` as a number of rows, or as a share of them; None where any number is allowed."""
    if given is None:
        return None
    try:
        allowed = float(given) if "." in given else int(given)
    except ValueError:
        allowed = -1
    if not allowed >= 0 or (isinstance(allowed, float) and not allowed <= 1):
        parser.error(f"--max-rejected must be a whole number >= 0, or a share from 0.0 to 1.0, got {given}.")
    return allowed


def _storage_options(given: str | None, parser: CommandParser) -> dict | None:
    if given is None:
        return None
    try:
        options = json.loads(given)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        parser.error("--storage-options must be a JSON object, such as '{\"anon\": true}'.")
    return options


__all__ = ["CONSISTENT", "check_call", "check_rejections", "declare_predict_flags", "run_predict"]
