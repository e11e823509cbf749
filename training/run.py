"""The one path from published rows to a trained, evaluated checkpoint; the commands and the examples both take it."""

import logging
import shutil
import tempfile
import time
from pathlib import Path

import torch
import transformers
from datasets import ClassLabel, Dataset, DatasetDict
from huggingface_hub.errors import StrictDataclassError
from transformers import PrinterCallback, ProgressCallback, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import IntervalStrategy

from duosent.data.fingerprint import fingerprint
from duosent.data.pairs import load_pairs
from duosent.data.streaming import StreamedPairs
from duosent.modeling.modeling_baselines import BaselineForImageTextClassification
from duosent.modeling.modeling_mdse import MdseForImageTextClassification
from duosent.modeling.modeling_radm import RadmForImageTextClassification
from duosent.processing.collator import ImageTextCollator
from duosent.processing.processing_image_text import ImageTextProcessor
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import (
    RUN_FILE,
    CallError,
    check_output_dir,
    label_names,
    load_checkpoint,
    may_be_hub_name,
    read_run,
    resume_folder,
    write_json,
)
from duosent.training.metrics import score_answers
from duosent.training.progress import RunProgress
from duosent.training.trainer import ImageTextTrainer

logger = logging.getLogger(__name__)

MODELS = {
    "mdse": MdseForImageTextClassification,
    "radm": RadmForImageTextClassification,
    "text": BaselineForImageTextClassification,
    "image": BaselineForImageTextClassification,
    "concat": BaselineForImageTextClassification,
}

# What an evaluation gives as plain numbers; micro_f1 only where a post may have several labels.
FIGURES = (
    "accuracy",
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "loss",
    "classification_loss",
    "contrastive_loss",
)


def train(
    model: str,
    data: str,
    args: ImageTextTrainingArguments,
    *,
    text_encoder: str | None = None,
    image_encoder: str | None = None,
    columns: dict | None = None,
    config: dict | None = None,
    processing: dict | None = None,
    streaming: bool = False,
    evaluate_test: bool = False,
    overwrite: bool = False,
    command: str | None = None,
) -> dict:
    """Train one model on the `train` part of a data set, keep the best, evaluate it on the `validation` part.

    `args.output_dir` then holds the checkpoint (weights, config, processor), `metrics.json`, `run.json` with the
    options, and `trainer_state.json` with every logged figure; with `evaluate_test` also `metrics_test.json`.

    Args:
        model: "mdse", "radm", or a baseline: "text", "image", "concat".
        data: what `load_pairs` takes: file, folder or Hub name.
        args: how to train; `resume_from_checkpoint` goes on with a run (a checkpoint folder, or True for the last one
            in `output_dir`).
        text_encoder, image_encoder: folders or Hub names; "text" reads no image encoder, "image" no text encoder.
        columns: keywords of `load_pairs` that choose columns, such as `label_column`.
        config: fields of the model's config.
        processing: keywords of `ImageTextProcessor`: `clean_text`, `max_length`.
        streaming: read the training part block by block, however large it is, in place of all of it at the start.
        evaluate_test: evaluate on the `test` part too, after training.
        overwrite: take an output folder that is not empty; the checkpoints of an earlier run in it are removed.
        command: the command line, for the records.

    Returns: what `metrics.json` holds; an empty dict without a validation part.

    Raises:
        CallError: for an option that cannot be followed; nothing has been written then.
    """
    started = time.time()
    options = {
        "model": model,
        "data": str(data),
        "text_encoder": text_encoder,
        "image_encoder": image_encoder,
        "columns": columns or {},
        "config": config or {},
        "processing": processing or {},
    }
    check_config(model, options["config"])
    text_encoder, image_encoder = _encoders(model, text_encoder, image_encoder)
    _check_metric(args.metric_for_best_model)
    output_dir = Path(args.output_dir)
    resume = resume_folder(args)
    check_output_dir(output_dir, overwrite or resume is not None)
    splits = _load_streamed(data, options["columns"]) if streaming else _load_pairs(data, options["columns"])
    for part in ["train", "test"] if evaluate_test else ["train"]:
        _check_part(splits, part, data)
    if "validation" not in splits:
        logger.warning("%s has no validation part: the last model is kept, and nothing stops early.", data)
        args.eval_strategy, args.load_best_model_at_end = IntervalStrategy.NO, False

    set_seed(args.seed)  # before the new weights are drawn
    fields = {**_label_fields(splits["train"]), **options["config"]}
    try:
        processor = ImageTextProcessor.from_encoders(text_encoder, image_encoder, **options["processing"])
        network = MODELS[model].from_encoders(text_encoder, image_encoder, **fields)
    except (OSError, ValueError) as error:
        names = " and ".join(name for name in (text_encoder, image_encoder) if name is not None)
        raise CallError(f"{names} cannot be loaded: {' '.join(str(error).split())}") from error
    if resume is None:
        for state in output_dir.glob(f"checkpoint-*/{TRAINER_STATE_NAME}"):
            shutil.rmtree(state.parent, ignore_errors=True)  # another process may be at it too
    trainer = _quiet_trainer(network, processor, args, splits["train"], splits.get("validation"))
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    trainer.save_state()

    results = {}
    for part, file in {"validation": "metrics.json", "test": "metrics_test.json"}.items():
        if part in splits and (part == "validation" or evaluate_test):
            results[part] = _evaluate_part(trainer, splits[part], part) | {
                "model": model,
                "seed": args.seed,
                "data": str(data),
                "command": command,
            }
            if trainer.is_world_process_zero():
                write_json(output_dir / file, results[part])
    if trainer.is_world_process_zero():
        record = options | _outcome(trainer, splits["train"]) | {"seed": args.seed, "command": command}
        write_json(output_dir / RUN_FILE, record | {"seconds": round(time.time() - started, 1)})
    return results.get("validation", {})


def evaluate(
    checkpoint: str,
    data: str,
    split: str = "test",
    output: str | None = None,
    *,
    columns: dict | None = None,
    batch_size: int = 64,
    use_cpu: bool = False,
    command: str | None = None,
) -> dict:
    """Evaluate a checkpoint on one part of a data set.

    Args:
        checkpoint: folder or Hub name.
        data, columns: as in `train`; a column that is not given is the one that the checkpoint was trained with.
        split: which part.
        output: JSON file to write; None writes none.
        batch_size: posts a batch on each device.
        use_cpu: leave a GPU alone.
        command: the command line, for the records.

    Returns: what the file holds, the keys of `metrics.json`.

    Raises:
        CallError: for an option that cannot be followed.
    """
    model, processor = load_checkpoint(checkpoint)
    run = read_run(checkpoint)
    columns = {**run.get("columns", {}), **(columns or {}), "labels": label_names(model.config)}
    splits = _load_pairs(data, columns)
    _check_part(splits, split, data)
    with tempfile.TemporaryDirectory() as folder:
        args = ImageTextTrainingArguments(
            folder,
            per_device_eval_batch_size=batch_size,
            use_cpu=use_cpu,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
        )
        figures = _evaluate_part(_quiet_trainer(model, processor, args), splits[split], split) | {
            "model": run.get("model", model.config.model_type),
            "seed": run.get("seed"),
            "data": str(data),
            "checkpoint": str(checkpoint),
            "command": command,
        }
    if output is not None:
        write_json(Path(output), figures)
    return figures


def check_config(model: str, fields: dict) -> None:
    """Build the config once, with towers of no account, so that a bad field is known before anything is loaded.

    Raises:
        CallError: for an unknown model, an unknown field or a value outside its range.
    """
    if model not in MODELS:
        raise CallError(f"model must be one of {', '.join(MODELS)}, got {model!r}.")
    try:
        MODELS[model].config_class(text_config={"model_type": "bert"}, vision_config={"model_type": "vit"}, **fields)
    except (StrictDataclassError, ValueError, TypeError) as error:
        raise CallError(str(error.__cause__ or error)) from error


def _encoders(model: str, text_encoder: str | None, image_encoder: str | None) -> tuple[str | None, str | None]:
    """The encoders that the model reads, None for a side that it does not."""
    unread = {"text": "image_encoder", "image": "text_encoder"}.get(model)
    encoders = {"text_encoder": text_encoder, "image_encoder": image_encoder}
    for option, name in encoders.items():
        if option == unread:
            continue
        if name is None:
            raise CallError(f"{option} must be given for model {model}.")
        if not Path(name).is_dir() and not may_be_hub_name(str(name)):
            raise CallError(f"{option} {name} is neither a folder nor a name on the Hub.")
    return tuple(None if option == unread else name for option, name in encoders.items())


def _check_metric(name: str | None) -> None:
    """Trainer would miss a misspelt metric only after the first epoch."""
    if name is not None and name.removeprefix("eval_") not in FIGURES:
        raise CallError(f"metric_for_best_model must be one of {', '.join(FIGURES)}, got {name!r}.")


def _load_pairs(data: str, columns: dict) -> DatasetDict:
    try:
        return load_pairs(data, **columns)
    except (ValueError, OSError) as error:
        raise CallError(str(error)) from error


def _load_streamed(data: str, columns: dict) -> dict:
    """The training part as a stream, the others whole."""
    splits = dict(_load_pairs(data, columns | {"streaming": True, "parts": ["train"]}))
    _check_part(splits, "train", data)
    names = list(_label_fields(splits["train"])["label2id"])
    return splits | _load_pairs(data, columns | {"parts": ["validation", "test"], "labels": names})


def _check_part(splits: dict, part: str, data: str) -> None:
    if part not in splits:
        raise CallError(f"{data} has no {part} part, only {', '.join(splits) or 'others'}.")


def _label_fields(rows: Dataset | StreamedPairs) -> dict:
    """The config's fields that follow from the label column."""
    feature = rows.features["label"]
    several = not isinstance(feature, ClassLabel)
    names = (feature.feature if several else feature).names
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
        "problem_type": "multi_label_classification" if several else "single_label_classification",
    }


def _quiet_trainer(model, processor, args, train_rows=None, eval_rows=None) -> ImageTextTrainer:
    collator = ImageTextCollator(processor, num_labels=model.config.num_labels)
    trainer = ImageTextTrainer(model, args, collator, train_rows, eval_rows)
    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)
    trainer.add_callback(RunProgress())
    return trainer


def _evaluate_part(trainer: ImageTextTrainer, rows: Dataset, part: str) -> dict:
    prediction = trainer.predict(rows, metric_key_prefix=part)
    config = trainer.model.config
    losses = {
        name.removeprefix(f"{part}_"): value for name, value in prediction.metrics.items() if name.endswith("loss")
    }
    return {
        **score_answers(prediction.predictions, prediction.label_ids, config),
        **losses,
        "labels": label_names(config),
        "split": part,
        "fingerprint": fingerprint(rows),
    }


def _outcome(trainer: ImageTextTrainer, rows: Dataset | StreamedPairs) -> dict:
    """What a run came to, for its record."""
    args, state = trainer.args, trainer.state
    usual = ImageTextTrainingArguments(args.output_dir, seed=args.seed).to_dict()
    return {
        "training": {name: value for name, value in args.to_dict().items() if value != usual[name]},
        "train_fingerprint": fingerprint(rows),
        "best_checkpoint": state.best_model_checkpoint and Path(state.best_model_checkpoint).name,
        "epochs": state.epoch,
        "steps": state.global_step,
        "parameters": trainer.model.num_parameters(),
        "trainable_parameters": trainer.model.num_parameters(only_trainable=True),
        "device": torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else args.device.type,
        "versions": {"torch": str(torch.__version__), "transformers": transformers.__version__},
    }


__all__ = ["CallError", "check_config", "evaluate", "train"]
