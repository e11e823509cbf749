"""The command line, `duosent COMMAND ...`.

Exit code 0 for work done, 2 with one sentence for a wrong call, 1 with one sentence for work that failed; an audit
that finds problems is work done. Results go to standard output, as a table or with `--json` as JSON; progress and
messages go to standard error. Nothing slow is imported before a command needs it.
"""

import argparse
import functools
import inspect
import json
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from duosent import __version__
from duosent.calibration_tables import calibration_tables
from duosent.card_command import declare_card_flags, run_card
from duosent.comparison_tables import comparison_table, search_table, summary_table
from duosent.data_tables import audit_table, prepared_table
from duosent.explain_command import declare_explain_flags, run_explain
from duosent.export_command import declare_export_flags, run_export
from duosent.parsing import CommandParser, hyphened
from duosent.predict_command import CONSISTENT, check_call, check_rejections, declare_predict_flags, run_predict
from duosent.publish_command import declare_publish_flags, run_publish
from duosent.serve_command import declare_serve_flags, run_serve
from duosent.slice_tables import drift_tables, slice_tables
from duosent.tables import demo_table, figures_table

PUBLISHED = ("mvsa-single", "mvsa-multiple", "twitter-2015", "twitter-2017", "msed", "vqa-v2")


def main(argv: list[str] | None = None) -> int:
    try:
        return _dispatch(sys.argv[1:] if argv is None else argv)
    except BrokenPipeError:  # `duosent ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if argv[0] == "--version":
        print(f"duosent {__version__}")
        return 0
    name, *rest = argv
    parser = CommandParser(prog="duosent")
    if name not in COMMANDS:
        parser.unknown("command", name, [*COMMANDS])
    declare, run = COMMANDS[name]
    parser = CommandParser(prog=f"duosent {name}", description=run.__doc__)
    declare(parser)
    options, free = parser.parse_known_args(hyphened(rest))
    if free and name != "train":
        parser.unknown("argument", free[0], parser.flags())
    return _run(parser, run, options, free)


def _run(parser: CommandParser, run: Callable, options: argparse.Namespace, free: list[str]) -> int:
    """Do the work; a failure becomes one sentence and an exit code."""
    if not options.debug:
        _silence_libraries()
    try:
        run(options, free, parser)
        return 0
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        # The class lives in a module that imports torch; where that was never imported, the error is no CallError.
        checkpoints = sys.modules.get("duosent.training.checkpoints")
        if checkpoints is not None and isinstance(error, checkpoints.CallError):
            parser.error(str(error))
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"{parser.prog} failed: {reason}", file=sys.stderr)
        return 1


def _silence_libraries() -> None:
    """Keep what other libraries say to developers from a person's screen; `--debug` shows it."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    own = logging.getLogger("duosent")
    own.setLevel(logging.INFO)
    if not own.handlers:
        own.addHandler(logging.StreamHandler())


def _register() -> None:
    """Make the models known to transformers; from here on torch is there."""
    import transformers

    import duosent

    transformers.utils.logging.disable_progress_bar()
    duosent.register_auto_classes()


# The commands: what each takes, and what it does.


def _declare_common(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and what the libraries say")


def _declare_columns(parser: CommandParser, labels: bool = True, several: bool = False) -> None:
    group = parser.add_argument_group("columns of the data, where they are not text, image, label and id")
    if several:
        note = "column of labels, may be given several times; default: every column that looks like labels"
        group.add_argument("--label", dest="label_columns", action="append", metavar="COLUMN", help=note)
    elif labels:
        note = "column of the post's label; given several times, each is a task of one model"
        group.add_argument("--label", dest="label_columns", action="append", metavar="COLUMN", help=note)
    if labels:
        group.add_argument("--label-separator", metavar="SIGN", help="between several labels in one cell, such as '|'")
        group.add_argument("--text-label-column", metavar="COLUMN", help="column of a label of the text alone")
        group.add_argument("--image-label-column", metavar="COLUMN", help="column of a label of the picture alone")
    group.add_argument("--text-column", metavar="COLUMN")
    group.add_argument("--image-column", metavar="COLUMN")
    group.add_argument("--target-column", metavar="COLUMN", help="column of what $T$ in the text stands for")
    group.add_argument("--id-column", metavar="COLUMN")
    group.add_argument("--base-image-dir", metavar="DIR", help="what picture paths in the data are relative to")


def _columns(options: argparse.Namespace, audited: bool = False) -> dict:
    """Keywords of `load_pairs`; an audit has a list of label columns whatever their number."""
    columns = {
        name: value
        for name, value in vars(options).items()
        if (name.endswith(("_column", "_columns")) or name in ("base_image_dir", "label_separator"))
        and value is not None
    }
    if not audited and len(columns.get("label_columns", [])) == 1:
        [columns["label_column"]] = columns.pop("label_columns")
    return columns


def _command_line() -> str:
    return shlex.join(["duosent", *sys.argv[1:]])


def _show(options: argparse.Namespace, result: dict, table: str) -> None:
    if os.environ.get("RANK", "0") != "0":  # torchrun runs the command in several processes
        return
    print(json.dumps(result, ensure_ascii=False) if options.json else table)


def declare_demo(parser: CommandParser) -> None:
    parser.add_argument("--output-dir", default="out/demo", metavar="DIR", help="where everything goes (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws posts and weights (%(default)s)")
    _declare_common(parser)


def demo(options, free, parser) -> None:
    """Made-up posts, small encoders, the whole road; no network."""
    _register()
    from duosent.inference.demo import next_commands, run_demo

    result = run_demo(options.output_dir, options.seed)
    commands = next_commands(result)
    _show(options, result | {"next": commands}, demo_table(result))
    if not options.json:
        print("\nTry next:\n" + "\n".join(f"  {command}" for command in commands))


def declare_prepare(parser: CommandParser) -> None:
    parser.add_argument("name", metavar="NAME", choices=PUBLISHED, help=", ".join(PUBLISHED))
    parser.add_argument("raw_dir", metavar="RAW_DIR", help="folder of the files as they were published")
    parser.add_argument("output_dir", metavar="OUT_DIR", help="folder for the Parquet files and dataset.json")
    parser.add_argument("--strict", action="store_true", help="a row that cannot be read is an error")
    parser.add_argument("--overwrite", action="store_true", help="take the place of an earlier call's files")
    mvsa = parser.add_argument_group("MVSA")
    mvsa.add_argument(
        "--split-files", nargs="+", metavar="FILE", help="published lists, or the folder that holds them"
    )
    mvsa.add_argument("--fold", type=int, help="which of ten folds is the test part, where no list is given (1)")
    mvsa.add_argument("--seed", type=int, help="of the folds (0)")
    mvsa.add_argument("--text-encoding", choices=["gb18030", "utf-8-ignore"], help="how texts are read (gb18030)")
    vqa = parser.add_argument_group("VQA v2")
    vqa.add_argument("--min-answer-count", type=int, help="an answer of the vocabulary is the commonest so often (9)")
    _declare_common(parser)


def prepare(options, free, parser) -> None:
    """Turn a published data set's own files into Parquet with the pictures inside."""
    from duosent.data.prepare import READERS
    from duosent.data.prepare import prepare as prepare_published

    if not os.path.isdir(options.raw_dir):
        parser.error(f"there is no folder {options.raw_dir}.")
    known = inspect.signature(READERS[options.name][0]).parameters
    given = {}
    for name in ("split_files", "fold", "seed", "text_encoding", "min_answer_count"):
        value = getattr(options, name)
        if value is None:
            continue
        if name not in known:
            parser.error(f"--{name.replace('_', '-')} has no meaning for {options.name}.")
        given[name] = [Path(file) for file in value] if name == "split_files" else value
    if "split_files" in given and {"fold", "seed"} & set(given):
        parser.error("--fold and --seed have no meaning beside --split-files.")
    if not 1 <= given.get("fold", 1) <= 10:
        parser.error(f"--fold must be from 1 to 10, got {given['fold']}.")
    if given.get("min_answer_count", 1) < 1:
        parser.error(f"--min-answer-count must be >= 1, got {given['min_answer_count']}.")
    result = prepare_published(
        options.name, options.raw_dir, options.output_dir, strict=options.strict, overwrite=options.overwrite, **given
    )
    _show(options, result, prepared_table(result, options.output_dir))


def declare_audit(parser: CommandParser) -> None:
    parser.add_argument("data", metavar="DATA", help="file or folder of Parquet, CSV or JSON Lines, or a Hub name")
    parser.add_argument("--output", metavar="FILE", help="JSON file to write")
    parser.add_argument("--write-clean", metavar="DIR", help="folder for the parts without leaks, and removed.parquet")
    parser.add_argument("--overwrite", action="store_true", help="take a --write-clean folder that is not empty")
    note = "bits of 64 in which the perceptual hashes of nearly the same pictures may differ, from 0 to 16 (4)"
    parser.add_argument("--image-distance", type=int, metavar="BITS", help=note)
    _declare_columns(parser, several=True)
    _declare_common(parser)
    parser.epilog = (
        "Doubles are posts with the same text (word for word; nearly: but for links, @names, case, punctuation and "
        "white space) or the same picture (pixel for pixel; nearly: by perceptual hash). Columns that look like "
        "labels: label, text_label, image_label, each ClassLabel, and words or whole numbers of 2 to 50 values, two "
        "rows or more a value. --write-clean takes from train what stands in validation or test too, from validation "
        "what stands in test, and from each the rows that cannot be read. Problems found are no failure: the exit "
        "code is 0."
    )


def audit(options, free, parser) -> None:
    """Find doubles and leaks across splits, conflicting labels and bad rows in a data set."""
    from duosent.data.audit import audit as audit_data
    from duosent.training.checkpoints import CallError, check_output_dir, write_json

    if options.output is not None and Path(options.output).is_dir():
        parser.error(f"--output {options.output} is a folder.")
    if options.write_clean is not None:
        check_output_dir(Path(options.write_clean), options.overwrite)
    distance = {} if options.image_distance is None else {"image_distance": options.image_distance}
    try:
        report = audit_data(options.data, options.write_clean, **_columns(options, audited=True), **distance)
    except ValueError as error:
        raise CallError(str(error)) from error
    if options.output is not None:
        write_json(Path(options.output), report)
    _show(options, report, audit_table(report))


def declare_train(parser: CommandParser) -> None:
    from duosent.recipe_flags import ListRecipes
    from duosent.train_flags import MODEL_CONFIGS, ListFlags

    parser.add_argument("--model", choices=MODEL_CONFIGS, help="needed where no recipe names it")
    note = "a row of a paper's table, by name, or a JSON file: fills in what is not given here"
    parser.add_argument("--recipe", metavar="NAME|FILE", help=note)
    parser.add_argument("--list-recipes", action=ListRecipes, help="list every recipe with its published figures")
    parser.add_argument("--data", required=True, help="file or folder of Parquet, CSV or JSON Lines, or a Hub name")
    parser.add_argument("--output-dir", required=True, metavar="DIR", help="where the checkpoint goes")
    parser.add_argument(
        "--task",
        choices=["classification", "vqa"],
        help="vqa: radm's pre-training on questions about pictures, --data what prepare made of VQA v2; else posts",
    )
    parser.add_argument("--text-encoder", metavar="E", help="folder or Hub name of a pretrained text encoder")
    parser.add_argument("--image-encoder", metavar="E", help="folder or Hub name of a pretrained vision model")
    parser.add_argument("--init-from", metavar="C", help="in place of encoders: a trained mdse or radm, new head")
    parser.add_argument("--max-length", type=int, help="longest text, in tokens (128)")
    parser.add_argument("--no-clean-text", dest="clean_text", action="store_false", help="leave links and @names in")
    note = "decode every pixel of a large JPEG, not only those that the model reads twice over"
    parser.add_argument("--no-reduced-decoding", dest="reduced_decoding", action="store_false", help=note)
    parser.add_argument("--streaming", action="store_true", help="read the train part block by block, however large")
    parser.add_argument("--evaluate-test", action="store_true", help="evaluate on the test part too, at the end")
    parser.add_argument("--seeds", type=int, metavar="N", help="N runs, seeds 0 to N-1, or from --seed on; see below")
    parser.add_argument("--folds", type=int, metavar="K", help="K runs, each with a K-th of the posts held out")
    parser.add_argument("--fold-seed", type=int, metavar="S", help="deals the posts out to the folds (0)")
    note = "say at the end what words only, pictures only and pictures of other posts give; three passes more"
    parser.add_argument("--evaluate-sides", action="store_true", help=note)
    parser.add_argument("--search", type=int, metavar="TRIALS", help="try options first; needs duosent[search]")
    parser.add_argument("--overwrite", action="store_true", help="take an output folder that is not empty")
    parser.add_argument("--list-flags", action=ListFlags, help="list every further flag, and exit")
    _declare_columns(parser)
    _declare_common(parser)
    parser.epilog = (
        "Every field of the config is a flag too (--hidden_size 384 --private_similarity sum), and so is every "
        "field of transformers.TrainingArguments (--learning_rate 1e-4 --num_train_epochs 5 --seed 1 --bf16); "
        "--list-flags names them. Hyphens and underscores are alike. --resume_from_checkpoint true goes on with the "
        "run in --output-dir. --seeds and --folds train in folders seed-0, ... or fold-1, ... of --output-dir and "
        "write summary.json there; the same command again goes on where it stopped. The folds are of train and "
        "validation together, and each run's fold is its validation part; the test part is left alone. --search tries "
        "the learning rates, the weight decay and, for mdse, the contrastive loss's weight and temperature, as far as "
        "they are not given; the figures of the validation part are then tuned on it."
    )


def train(options, free, parser) -> None:
    """Train a model on the train part of a data set, keep the best, evaluate it on the validation part."""
    from duosent.recipe_flags import fill_in
    from duosent.train_flags import read_train_flags

    recipe = fill_in(options, parser)
    config, arguments = read_train_flags(free, options.model, options.output_dir, parser, recipe)
    _register()
    from duosent.training.run import train as train_run

    if options.fold_seed is not None and options.folds is None:
        parser.error("--fold-seed has no meaning without --folds.")
    if options.seeds is not None or options.folds is not None:
        train_run = _series(options, free, arguments.seed, parser)
    if options.search is not None:
        from duosent.training.search import search

        train_run = functools.partial(search, trials=options.search)
    processing = {"clean_text": options.clean_text, "max_length": options.max_length}
    if not options.reduced_decoding:
        processing["reduced_decoding"] = False
    metrics = train_run(
        options.model,
        options.data,
        arguments,
        task=options.task,
        text_encoder=options.text_encoder,
        image_encoder=options.image_encoder,
        init_from=options.init_from,
        columns=_columns(options),
        config=config,
        processing={name: value for name, value in processing.items() if value is not None},
        streaming=options.streaming,
        evaluate_test=options.evaluate_test,
        evaluate_sides=options.evaluate_sides,
        overwrite=options.overwrite,
        recipe=recipe and recipe.name,
        command=_command_line(),
    )
    if "runs" in metrics:
        return _show(options, metrics, f"{summary_table(metrics)}\n\nThe runs are in {options.output_dir}.")
    table = figures_table(metrics) if metrics else "No validation part: nothing was evaluated."
    if "search" in metrics:
        table = f"{table}\n\n{search_table(metrics)}"
    return _show(options, metrics, f"{table}\n\nThe checkpoint is in {options.output_dir}.")


def _series(options: argparse.Namespace, free: list[str], seed: int, parser: CommandParser) -> Callable:
    """Training over the seeds or folds that the options ask for."""
    from duosent.training.series import train_series

    if options.search is not None:
        parser.error("--search must not be given with --seeds or --folds; give them the options that it finds.")
    if options.seeds is not None and options.folds is not None:
        parser.error("--seeds and --folds must not be given together; --folds with another --seed trains once more.")
    if options.seeds is None:
        return functools.partial(train_series, folds=options.folds, fold_seed=options.fold_seed or 0)
    if options.seeds < 1:
        parser.error(f"--seeds must be >= 1, got {options.seeds}.")
    first = seed if any(word.partition("=")[0] == "--seed" for word in free) else 0
    return functools.partial(train_series, seeds=range(first, first + options.seeds))


def declare_evaluate(parser: CommandParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder or Hub name")
    parser.add_argument("--data", required=True, help="file or folder of Parquet, CSV or JSON Lines, or a Hub name")
    parser.add_argument("--split", help="which part of the data (test; with --calibrate validation)")
    parser.add_argument("--output", metavar="FILE", help="JSON file to write, such as metrics.json")
    parser.add_argument("--predictions", metavar="FILE", help="Parquet file to write each post's answer to")
    note = "say too what words only, pictures only and pictures of other posts give; three passes more"
    parser.add_argument("--sides", action="store_true", help=note)
    note = "say too how right the answers are by length of the text and by agreement of words and picture"
    parser.add_argument("--slices", action="store_true", help=note)
    note = "metrics.json of before, or a run's folder with one: say which labels and slices moved beyond noise"
    parser.add_argument("--against", metavar="OLD_METRICS", help=note)
    note = "folder for a page that shows where the model fails, and report.json; needs duosent[report]"
    parser.add_argument("--report", metavar="DIR", help=note)
    note = "part in which --report looks for doubles of the posts (train where there is one)"
    parser.add_argument("--training-split", metavar="PART", help=note)
    parser.add_argument("--consistent", action="store_true", help=CONSISTENT)
    parser.add_argument("--batch-size", type=int, default=64, help="posts at once (%(default)s)")
    parser.add_argument("--use-cpu", action="store_true", help="leave a GPU alone")
    note = "folder of resized pictures, as in train: each file is decoded once"
    parser.add_argument("--cache-pictures", metavar="DIR", help=note)
    scores = parser.add_argument_group("how far scores can be trusted")
    note = "fit a temperature and label sets on the part, and write them into the checkpoint's config"
    scores.add_argument("--calibrate", action="store_true", help=note)
    note = "with --calibrate: find too from which score on answers have this accuracy, such as 0.9"
    scores.add_argument("--accuracy-target", type=float, metavar="A", help=note)
    note = "tell how often label sets of this confidence hold the true label, from 0.5 to 0.99"
    scores.add_argument("--confidence", type=float, metavar="C", help=note)
    note = "reliability plot to draw, .png or .svg; needs duosent[plot]"
    scores.add_argument("--reliability", metavar="FILE", help=note)
    scores.add_argument(
        "--seed", type=int, default=0, help="draws the halves that --calibrate measures by (%(default)s)"
    )
    _declare_columns(parser)
    _declare_common(parser)


def evaluate(options, free, parser) -> None:
    """Evaluate a checkpoint on one part of a data set; columns not given are those it was trained with."""
    _register()
    from duosent.inference.comparison_plot import check_plot_file
    from duosent.inference.evaluation import evaluate as evaluate_run
    from duosent.inference.reliability_plot import plot_reliability
    from duosent.training.calibration import Calibration

    if options.reliability is not None:
        check_plot_file(options.reliability)
    figures = evaluate_run(
        options.checkpoint,
        options.data,
        options.split or ("validation" if options.calibrate else "test"),
        options.output,
        slices=options.slices,
        against=options.against,
        report=options.report,
        training_split=options.training_split,
        columns=_columns(options),
        sides=options.sides,
        consistent=options.consistent,
        batch_size=options.batch_size,
        use_cpu=options.use_cpu,
        cache_pictures=options.cache_pictures,
        predictions=options.predictions,
        calibration=Calibration(
            options.calibrate,
            options.accuracy_target,
            options.confidence,
            options.seed,
            bins=options.reliability is not None,
        ),
        command=_command_line(),
    )
    if options.reliability is not None and os.environ.get("RANK", "0") == "0":
        plot_reliability(figures, options.reliability)
    tables = [figures_table(figures), *calibration_tables(figures.get("calibration"))]
    tables += [*slice_tables(figures.get("slices")), *drift_tables(figures.get("against"))]
    if options.report is not None:
        tables.append(f"The report is {Path(options.report) / 'index.html'}.")
    _show(options, figures, "\n\n".join(tables))


def declare_predict(parser: CommandParser) -> None:
    declare_predict_flags(parser)
    _declare_columns(parser, labels=False)
    _declare_common(parser)


def predict(options, free, parser) -> None:
    """Answer one post with a label and scores, or every post of a table of any size, in shards."""
    check_call(options, parser)
    _register()
    answer, table = run_predict(options, _columns(options), parser)
    _show(options, answer, table)
    if options.data is not None:
        check_rejections(options, answer, parser)


def declare_compare(parser: CommandParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="output folder of train: one run, several seeds, folds")
    parser.add_argument("--label", metavar="NAME", help="which label of models that give several")
    parser.add_argument("--split", choices=["test", "validation"], help="default: test where all have it")
    note = "what the models are tested by (%(default)s)"
    parser.add_argument("--metric", default="accuracy", choices=["accuracy", "macro_f1", "weighted_f1"], help=note)
    parser.add_argument("--resamples", type=int, default=10_000, metavar="S", help="bootstrap samples (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws them (%(default)s)")
    parser.add_argument("--output", metavar="FILE", help="JSON file to write")
    parser.add_argument("--plot", metavar="FILE", help="picture to draw, .png or .svg; needs duosent[plot]")
    _declare_common(parser)
    parser.epilog = (
        "Runs with the same options but the seed make one group. Intervals are percentile bootstrap intervals over "
        "posts; differences have a paired one and its p value; McNemar's test is exact; p values are also given after "
        "Holm's correction. docs/compare.md says how it is computed."
    )


def compare(options, free, parser) -> None:
    """Compare runs on the same posts: seeds, bootstrap intervals, paired tests."""
    for flag in ("output", "plot"):
        if getattr(options, flag) is not None and Path(getattr(options, flag)).is_dir():
            parser.error(f"--{flag} {getattr(options, flag)} is a folder.")
    from duosent.inference.comparison import compare as compare_runs
    from duosent.inference.comparison_plot import check_plot_file, plot_comparison
    from duosent.training.checkpoints import write_json

    if options.plot is not None:
        check_plot_file(options.plot)
    chosen = {name: getattr(options, name) for name in ("split", "label", "metric", "resamples", "seed")}
    result = compare_runs(options.runs, **chosen)
    if options.output is not None:
        write_json(Path(options.output), result | {"command": _command_line()})
    if options.plot is not None:
        plot_comparison(result, options.plot)
    _show(options, result, comparison_table(result))


def declare_card(parser: CommandParser) -> None:
    declare_card_flags(parser)
    _declare_common(parser)


def card(options, free, parser) -> None:
    """Write the model card of a checkpoint, from what its run left."""
    if options.example:
        _register()
    _show(options, *run_card(options, parser))


def declare_publish(parser: CommandParser) -> None:
    declare_publish_flags(parser)
    _declare_common(parser)


def publish(options, free, parser) -> None:
    """Send a checkpoint to the Hub: card, code, processor, weights and figures in one commit; or a data set."""
    if not options.dataset:
        _register()
    _show(options, *run_publish(options, parser))


def declare_serve(parser: CommandParser) -> None:
    declare_serve_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks and what the libraries say")


def serve(options, free, parser) -> None:
    """Show the demo page of a checkpoint: picture and words in, scores out, and what they rest on."""
    _register()
    run_serve(options, parser)


def declare_export(parser: CommandParser) -> None:
    declare_export_flags(parser)
    _declare_columns(parser)
    _declare_common(parser)


def export(options, free, parser) -> None:
    """Turn a checkpoint into ONNX or a torch.export program, and say how far it gives the same answers."""
    _register()
    _show(options, *run_export(options, _columns(options), _command_line()))


def declare_explain(parser: CommandParser) -> None:
    declare_explain_flags(parser)
    _declare_columns(parser, labels=False)
    _declare_common(parser)


def explain(options, free, parser) -> None:
    """Show what a model used for its answer: words, regions of the picture, and each side's share, as a page."""
    _register()
    _show(options, *run_explain(options, _columns(options), parser))


COMMANDS = {
    "demo": (declare_demo, demo),
    "prepare": (declare_prepare, prepare),
    "audit": (declare_audit, audit),
    "train": (declare_train, train),
    "evaluate": (declare_evaluate, evaluate),
    "predict": (declare_predict, predict),
    "compare": (declare_compare, compare),
    "card": (declare_card, card),
    "publish": (declare_publish, publish),
    "serve": (declare_serve, serve),
    "export": (declare_export, export),
    "explain": (declare_explain, explain),
}


def overview() -> str:
    """What `duosent --help` prints."""
    lines = [f"  {name:9} {run.__doc__}" for name, (_, run) in COMMANDS.items()]
    return "\n".join(
        [
            "duosent reads a post, a picture and the words beside it, and says what its author feels.",
            "",
            "Commands:",
            *lines,
            "",
            "duosent COMMAND --help tells more; duosent --version the version. Start with: duosent demo",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
