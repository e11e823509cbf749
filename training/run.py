"""The one path from published rows to a trained, evaluated checkpoint; the commands and the examples both take it."""

import logging
import shutil
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import torch
import transformers
from datasets import Dataset
from huggingface_hub.errors import StrictDataclassError
from transformers import PrinterCallback, ProgressCallback, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import IntervalStrategy

from duosent.data.fingerprint import fingerprint
from duosent.data.folds import Fold, held_out
from duosent.data.streaming import StreamedPairs
from duosent.modeling.label_scores import label_names
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.calibration import Calibration, store_calibration
from duosent.training.checkpoints import (
    RUN_FILE,
    CallError,
    answers_questions,
    check_output_dir,
    check_same_run,
    is_finished,
    last_checkpoint,
    load_checkpoint,
    read_json,
    read_run,
    resume_folder,
    steps_if_stopped_early,
    write_json,
)
from duosent.training.classification_task import ClassificationTask
from duosent.training.joint_labels import check_consistent
from duosent.training.predictions import predictions_file
from duosent.training.progress import RunProgress
from duosent.training.sides import answer_sides, check_sides, score_sides
from duosent.training.starts import CheckpointStart, EncodersStart
from duosent.training.trainer import ImageTextTrainer
from duosent.training.vqa_task import VisualQuestionTask

logger = logging.getLogger(__name__)

TASKS = {"classification": ClassificationTask(), "vqa": VisualQuestionTask()}
MODELS = ClassificationTask.models
# What an evaluation of a part is written to.
RESULT_FILES = {"validation": "metrics.json", "test": "metrics_test.json"}


def train(
    model: str,
    data: str,
    args: ImageTextTrainingArguments,
    *,
    task: str = "classification",
    text_encoder: str | None = None,
    image_encoder: str | None = None,
    init_from: str | None = None,
    columns: dict | None = None,
    config: dict | None = None,
    processing: dict | None = None,
    streaming: bool = False,
    evaluate_test: bool = False,
    fold: Fold | None = None,
    continuing: bool = False,
    evaluate_sides: bool = False,
    overwrite: bool = False,
    recipe: str | None = None,
    command: str | None = None,
) -> dict:
    """Train one model on the `train` part of a data set, keep the best, evaluate it on the `validation` part.

    `args.output_dir` then holds the checkpoint (weights, config, processor), `metrics.json`, `run.json` with the
    options, `trainer_state.json` with every logged figure, and `README.md`, the model card; with `evaluate_test` also
    `metrics_test.json`. Beside each of the two metrics lies `predictions_<part>.parquet`, see `predictions_table`.

    Args:
        model: "mdse", "radm", or a baseline: "text", "image", "concat", "tfn", "lmf",
            "clmlf", "tombert".
        data: what `load_pairs` takes: file, folder or Hub name. For task "vqa" the folder that `load_questions` takes.
        args: how to train; `resume_from_checkpoint` goes on with a run (a checkpoint folder, or True for the last one
            in `output_dir`). Task "vqa" has no macro F1: where that is to choose the best model, accuracy does.
        task: "classification", or "vqa" for RADM's pre-training on questions about pictures.
        text_encoder, image_encoder: folders or Hub names; "text" reads no image encoder, "image" no text encoder.
        init_from: in place of encoders, a trained MDSE or RADM of whatever labels or answers to start from, folder or
            Hub name; all but the head, config and processor too, is taken from it.
        columns: keywords of `load_pairs` that choose columns, such as `label_column`.
        config: fields of the model's config.
        processing: keywords of `ImageTextProcessor`: `clean_text`, `max_length`, `reduced_decoding`.
        streaming: read the training part block by block, however large it is, in place of all of it at the start.
        evaluate_test: evaluate on the `test` part too, after training.
        fold: train and measure on folds of the `train` and `validation` posts instead, see `held_out`.
        continuing: go on with the same run in the output folder from its last checkpoint, or return what it came to
            if it is finished; a run with other options there is an error.
        evaluate_sides: say in each evaluation after training what the model does with words only, pictures only and
            pictures of other posts, see `score_sides`; three passes more.
        overwrite: take an output folder that is not empty; the checkpoints of an earlier run in it are removed.
        recipe: name of the recipe that the options follow, for the records.
        command: the command line, for the records.

    Returns: what `metrics.json` holds; an empty dict without a validation part.

    Raises:
        CallError: for an option that cannot be followed; nothing has been written then.
    """
    started = time.time()
    options = {
        "recipe": recipe,
        "model": model,
        "task": task,
        "data": str(data),
        "init_from": init_from,
        "text_encoder": text_encoder,
        "image_encoder": image_encoder,
        "columns": columns or {},
        "config": config or {},
        "processing": processing or {},
        "streaming": streaming,
        "evaluate_test": evaluate_test,
        "evaluate_sides": evaluate_sides,
        "fold": fold and asdict(fold),
        "training": _changed_arguments(args),
        "seed": args.seed,
    }
    from_hub = _from_hub(options)
    aim = _task(task, model)
    start = _start(model, options)
    _choose_metric(args, aim)
    output_dir = Path(args.output_dir)
    resume = resume_folder(args)
    here = read_run(output_dir) if continuing else {}
    if here:
        check_same_run(output_dir, here, options)
        resume = last_checkpoint(output_dir)
    check_output_dir(output_dir, overwrite or resume is not None or bool(here))
    if args.distributed_state is not None:
        args.distributed_state.wait_for_everyone()  # until all know what was there, no process may change it
    if is_finished(here):
        return read_json(output_dir / RESULT_FILES["validation"])
    splits = aim.load_streamed(data, options["columns"]) if streaming else aim.load(data, options["columns"])
    for part in ["train", "test"] if evaluate_test else ["train"]:
        _check_part(splits, part, data)
    if fold is not None:
        splits = _fold_parts(splits, fold)
    if "validation" not in splits:
        logger.warning("%s has no validation part: the last model is kept, and nothing stops early.", data)
        args.eval_strategy, args.load_best_model_at_end = IntervalStrategy.NO, False

    parts = [part for part in RESULT_FILES if part in splits and (part == "validation" or evaluate_test)]
    learnt = aim.rows_to_learn(splits["train"])
    fields = aim.label_fields(splits["train"], options["columns"])
    aim.check_training(args, learnt, fields)
    scored = {part: aim.rows_to_score(splits[part], part) for part in parts}

    set_seed(args.seed)  # before the new weights are drawn
    network, processor = start.build(aim.models[model], {**fields, **options["config"]}, options["processing"])
    for part in parts if evaluate_sides else []:
        check_sides(network, scored[part], part)
    trainer = _quiet_trainer(aim, network, processor, args, learnt, scored.get("validation"))
    if resume is None:
        for state in output_dir.glob(f"checkpoint-*/{TRAINER_STATE_NAME}"):
            shutil.rmtree(state.parent, ignore_errors=True)  # another process may be at it too
    if trainer.is_world_process_zero():
        for part, file in RESULT_FILES.items():  # of an earlier run
            (output_dir / file).unlink(missing_ok=True)
            predictions_file(output_dir, part).unlink(missing_ok=True)
        write_json(output_dir / RUN_FILE, options | {"from_hub": from_hub, "command": command})
    if resume is not None and args.stops_early:  # Trainer would go on by an evaluation
        args.max_steps = steps_if_stopped_early(resume, args.early_stopping_patience) or args.max_steps
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model(_internal_call=True)  # else it would be pushed, without its figures
    trainer.save_state()

    results = {}
    for part in parts:
        sides_seed = args.seed if evaluate_sides else None
        answers_file = predictions_file(output_dir, part)
        results[part] = _evaluate_part(aim, trainer, splits[part], part, answers_file, sides_seed) | {
            "model": model,
            "seed": args.seed,
            "data": str(data),
            "command": command,
        }
        if trainer.is_world_process_zero():
            write_json(output_dir / RESULT_FILES[part], results[part])
    if trainer.is_world_process_zero():
        record = options | {"from_hub": from_hub} | _outcome(trainer, splits["train"]) | {"command": command}
        write_json(output_dir / RUN_FILE, record | {"seconds": round(time.time() - started, 1)})
    if args.push_to_hub:
        trainer.push_to_hub()
    else:
        trainer.create_model_card()
    return results.get("validation", {})


def evaluate(
    checkpoint: str,
    data: str,
    split: str = "test",
    output: str | None = None,
    *,
    columns: dict | None = None,
    sides: bool = False,
    consistent: bool = False,
    batch_size: int = 64,
    use_cpu: bool = False,
    predictions: str | None = None,
    side_predictions: str | None = None,
    calibration: Calibration | None = None,
    cache_pictures: str | None = None,
    command: str | None = None,
    rows: Dataset | None = None,
) -> dict:
    """Evaluate a checkpoint on one part of a data set.

    Args:
        checkpoint: folder or Hub name.
        data, columns: as in `train`; a column that is not given is the one that the checkpoint was trained with.
        split: which part.
        output: JSON file to write; None writes none.
        sides: as `evaluate_sides` in `train`; the pictures are shuffled by the seed of the run.
        consistent: of a model with several labels, take the most probable answers that occurred together in training.
        batch_size: posts a batch on each device.
        use_cpu: leave a GPU alone.
        predictions: Parquet file to write the answers to, as `train` does; None writes none.
        side_predictions: with `sides`, folder for the answers that these rest on, `text.parquet` (words only),
            `image.parquet` and `shuffled_images.parquet`, like `predictions`; None writes none.
        calibration: what is said of scores; one with `fit` is written into the checkpoint's config.
        cache_pictures: folder of resized pictures, as in `ImageTextTrainingArguments`; None keeps none.
        command: the command line, for the records.
        rows: the posts of the part as `ClassificationTask.load` gives them, where a caller has them; None reads them.

    Returns: what the file holds, the keys of `metrics.json`.

    Raises:
        CallError: for an option that cannot be followed.
    """
    model, processor = load_checkpoint(checkpoint)
    run = read_run(checkpoint)
    aim = TASKS["vqa"] if answers_questions(model) else ClassificationTask(consistent, calibration)
    calibration = calibration or Calibration()
    calibration.check(checkpoint, split, model)
    if calibration.fit and predictions is not None:
        raise CallError("predictions must not be given with calibrate, whose scores come after the evaluation.")
    if consistent:
        check_consistent(model.config)
    columns = aim.evaluation_columns(model.config, run.get("columns", {}), columns or {})
    if rows is None:
        splits = aim.load(data, columns, model.config.tasks or label_names(model.config))
        _check_part(splits, split, data)
        rows = splits[split]
    if calibration.fit:
        _check_unseen(rows, split, run)
    if sides:
        check_sides(model, rows, split)
    with tempfile.TemporaryDirectory() as folder:
        args = ImageTextTrainingArguments(
            folder,
            per_device_eval_batch_size=batch_size,
            use_cpu=use_cpu,
            cache_pictures=cache_pictures,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
        )
        trainer = _quiet_trainer(aim, model, processor, args)
        sides_seed = (run.get("seed") or 0) if sides else None
        files = [file and Path(file) for file in (predictions, side_predictions)]
        figures = _evaluate_part(aim, trainer, rows, split, files[0], sides_seed, files[1]) | {
            "model": run.get("model", model.config.model_type),
            "seed": run.get("seed"),
            "data": str(data),
            "checkpoint": str(checkpoint),
            "command": command,
        }
    if calibration.fit and trainer.is_world_process_zero():
        store_calibration(
            checkpoint, figures["calibration"], {name: figures[name] for name in ("split", "fingerprint")}
        )
    if output is not None and trainer.is_world_process_zero():
        write_json(Path(output), figures)
    return figures


def check_config(model: str, fields: dict) -> None:
    """Build the config once, with towers of no account, so that a bad field is known before anything is loaded.

    Raises:
        CallError: for an unknown model, an unknown field or a value outside its range.
    """
    _check_model(model)
    try:
        MODELS[model].config_class(text_config={"model_type": "bert"}, vision_config={"model_type": "vit"}, **fields)
    except (StrictDataclassError, ValueError, TypeError) as error:
        raise CallError(str(error.__cause__ or error)) from error


def _check_model(model: str) -> None:
    if model not in MODELS:
        raise CallError(f"model must be one of {', '.join(MODELS)}, got {model!r}.")


def _task(task: str, model: str) -> ClassificationTask | VisualQuestionTask:
    """What the task's name stands for, if it goes with the model."""
    if task not in TASKS:
        raise CallError(f"task must be one of {', '.join(TASKS)}, got {task!r}.")
    _check_model(model)
    if model not in TASKS[task].models:
        raise CallError(f"task {task} must go with model {' or '.join(TASKS[task].models)}, got {model}.")
    return TASKS[task]


def _start(model: str, options: dict) -> EncodersStart | CheckpointStart:
    """What the first weights come from; bad fields of the config are known from here on."""
    if options["init_from"] is None:
        check_config(model, options["config"])
        return EncodersStart(model, options["text_encoder"], options["image_encoder"])
    for option in ("text_encoder", "image_encoder"):
        if options[option] is not None:
            raise CallError(f"{option} must not be given beside init_from, which has both encoders.")
    if model not in ("mdse", "radm"):
        raise CallError(f"init_from must go with model mdse or radm, got {model}.")
    return CheckpointStart(options["init_from"], MODELS[model].config_class, options["config"])


def _choose_metric(args: ImageTextTrainingArguments, aim: ClassificationTask | VisualQuestionTask) -> None:
    """Trainer would miss a misspelt metric only after the first epoch."""
    if args.metric_for_best_model == ImageTextTrainingArguments.metric_for_best_model:
        args.metric_for_best_model = aim.best_figure
    name = args.metric_for_best_model
    if name is not None and name.removeprefix("eval_") not in aim.figures:
        raise CallError(f"metric_for_best_model must be one of {', '.join(aim.figures)}, got {name!r}.")


def _fold_parts(splits: dict, fold: Fold) -> dict:
    try:
        return held_out(splits, fold)
    except ValueError as error:
        raise CallError(str(error)) from error


def _check_part(splits: dict, part: str, data: str) -> None:
    if part not in splits:
        raise CallError(f"{data} has no {part} part, only {', '.join(splits) or 'others'}.")


def _check_unseen(rows: Dataset, part: str, run: dict) -> None:
    """Answers to posts that were learnt from say nothing of others."""
    if fingerprint(rows) == run.get("train_fingerprint"):
        raise CallError(f"calibrate must not be given for the posts that were learnt from, got them as {part} part.")
    if run.get("fold") is not None and part != "test":
        raise CallError(f"calibrate must not be given for the {part} part of a run on folds, which learnt from it.")


def _quiet_trainer(aim, model, processor, args, train_rows=None, eval_rows=None) -> ImageTextTrainer:
    trainer = aim.trainer_class(model, args, aim.collator(processor, model.config), train_rows, eval_rows)
    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)
    trainer.add_callback(RunProgress())
    return trainer


def _evaluate_part(
    aim,
    trainer: ImageTextTrainer,
    rows: Dataset,
    part: str,
    predictions: Path | None,
    sides_seed: int | None,
    side_predictions: Path | None = None,
) -> dict:
    """What the file of an evaluation holds; `predictions` None writes no answers, `sides_seed` None leaves the sides
    out."""
    scored = aim.rows_to_score(rows, part)

    def write_answers(prediction, file: Path) -> None:
        if trainer.is_world_process_zero():
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(aim.predictions(prediction, scored, trainer.model.config), file)

    prediction = trainer.predict(scored, metric_key_prefix=part)
    if predictions is not None:
        write_answers(prediction, predictions)
    losses = {
        name.removeprefix(f"{part}_"): value for name, value in prediction.metrics.items() if name.endswith("loss")
    }
    score = partial(aim.score, rows=scored, config=trainer.model.config)
    sides = {}
    if sides_seed is not None:
        answers = answer_sides(trainer, scored, sides_seed)
        sides = {"sides": score_sides(prediction, answers, score, sides_seed)}
        for name, answer in answers.items() if side_predictions is not None else ():
            write_answers(answer, side_predictions / f"{name}.parquet")
    return {
        **score(prediction),
        **losses,
        **sides,
        **aim.score_calibration(prediction, trainer.model.config),
        "split": part,
        "fingerprint": fingerprint(rows),
    }


def _from_hub(options: dict) -> list[str]:
    """The options whose value is a name on the Hub, since nothing here has it."""
    names = ("data", "init_from", "text_encoder", "image_encoder")
    return [name for name in names if options[name] is not None and not Path(options[name]).exists()]


def _changed_arguments(args: ImageTextTrainingArguments) -> dict:
    """The training arguments that are not the usual ones."""
    usual = ImageTextTrainingArguments(args.output_dir, seed=args.seed).to_dict()
    return {name: value for name, value in args.to_dict().items() if value != usual[name]}


def _outcome(trainer: ImageTextTrainer, rows: Dataset | StreamedPairs) -> dict:
    """What a run came to, for its record."""
    args, state = trainer.args, trainer.state
    return {
        "train_fingerprint": fingerprint(rows),
        "train_rows": len(trainer.train_dataset),
        "best_checkpoint": state.best_model_checkpoint and Path(state.best_model_checkpoint).name,
        "epochs": state.epoch,
        "steps": state.global_step,
        "parameters": trainer.model.num_parameters(),
        "trainable_parameters": trainer.model.num_parameters(only_trainable=True),
        "device": torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else args.device.type,
        "versions": {"torch": str(torch.__version__), "transformers": transformers.__version__},
    }


__all__ = ["CallError", "check_config", "evaluate", "train"]
