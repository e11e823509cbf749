"""A trained checkpoint and the records beside it: finding, reading, writing."""

import json
import re
from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.trainer import TRAINER_STATE_NAME

from duosent.modeling.adapter_checkpoints import TOWERS_FILE
from duosent.modeling.modeling_auto import AutoModelForImageTextClassification
from duosent.modeling.modeling_radm import RadmForVisualQuestionAnswering
from duosent.processing.processing_image_text import ImageTextProcessor

RUN_FILE = "run.json"
# What `duosent export` leaves in a folder, which is then no checkpoint.
EXPORT_FILE = "export.json"


class CallError(ValueError):
    """An option that names what is not there or cannot be."""


def read_config(checkpoint: str) -> PreTrainedConfig:
    """The config of a checkpoint, a folder or a Hub name.

    Raises:
        CallError: if there is no such checkpoint, or it is not one of this package's.
    """
    missing = f"{checkpoint} is neither a folder with a checkpoint nor a model that the Hub gives."
    if not Path(checkpoint).is_dir() and ("/" not in str(checkpoint) or not may_be_hub_name(str(checkpoint))):
        raise CallError(missing)
    try:
        config = AutoConfig.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise CallError(missing) from error
    if type(config) not in AutoModelForImageTextClassification._model_mapping:
        raise CallError(f"{checkpoint} holds a model of type {config.model_type}, which is not one of duosent's.")
    return config


def load_checkpoint(checkpoint: str) -> tuple[PreTrainedModel, ImageTextProcessor]:
    """Model (in evaluation mode) and processor of a folder or a Hub name; the model is a classifier, or answers
    questions if it was saved as one that does. Adapters in a folder are merged into the towers that it names.

    Raises:
        CallError: if there is no such checkpoint, or it is not one of this package's; for a folder of
            `duosent export`; and for adapters if their towers are not to be had.
    """
    exported = read_json(Path(checkpoint) / EXPORT_FILE)
    if exported:
        ways = {"onnx": "duosent predict runs it with --backend onnx", "torch-export": "torch.export.load reads it"}
        way = ways[exported["format"]]
        raise CallError(f"{checkpoint} is an exported model ({exported['format']}) and no checkpoint: {way}.")
    config = read_config(checkpoint)
    # One config serves both heads of RADM: only the class that was saved tells them apart.
    answers = RadmForVisualQuestionAnswering.__name__ in (config.architectures or [])
    model_class = RadmForVisualQuestionAnswering if answers else AutoModelForImageTextClassification
    try:
        model = model_class.from_pretrained(checkpoint)
    except (OSError, ValueError, RuntimeError) as error:
        if not (Path(checkpoint) / TOWERS_FILE).is_file():
            raise
        towers = read_json(Path(checkpoint) / TOWERS_FILE)
        if not towers:
            raise CallError(str(error)) from error
        names = " and ".join(name for name in towers.values() if name is not None)
        reason = " ".join(str(error).split())
        raise CallError(
            f"{checkpoint} holds adapters of {names}, with which they cannot be loaded: {reason}"
        ) from error
    return model, ImageTextProcessor.from_pretrained(checkpoint)


def answers_questions(model: PreTrainedModel) -> bool:
    """Whether a model answers questions about pictures; all others classify posts."""
    return isinstance(model, RadmForVisualQuestionAnswering)


def may_be_hub_name(name: str) -> bool:
    """`name`, or `owner/name` with no local folder `owner`.

    So a mistyped path is told at once, not after the Hub was asked in vain.
    """
    owner = name.partition("/")[0]
    return re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name) is not None and not ("/" in name and Path(owner).is_dir())


def read_run(checkpoint: str) -> dict:
    """The record that a training run left beside its checkpoint; empty where there is none."""
    return read_json(Path(checkpoint) / RUN_FILE)


def is_finished(record: dict) -> bool:
    """Whether a run's record is that of a run that came to its end; its options are there from the start."""
    return "seconds" in record


def check_same_run(output_dir: Path, record: dict, options: dict) -> None:
    """Refuse the record of a run whose options are not these.

    Raises:
        CallError: which names the first option that differs.
    """
    saved, wanted = ({**of, **of.get("training", {})} for of in (record, json.loads(json.dumps(options))))
    for name in dict.fromkeys([*wanted, *saved.get("training", {})]):
        here, there = (values.get(name, "its default") for values in (saved, wanted))
        if here != there and name != "training":
            raise CallError(
                f"output_dir {output_dir} holds a run with {name} {here}, not {there}: take another one, or say "
                "overwrite."
            )


def last_checkpoint(output_dir: Path) -> str | None:
    """The last checkpoint folder in which all that a resumed run needs has been written; None without one."""
    whole = [state.parent for state in output_dir.glob(f"checkpoint-*/{TRAINER_STATE_NAME}") if _is_whole(state)]
    numbers = {folder.name.removeprefix("checkpoint-"): folder for folder in whole}
    steps = [int(number) for number in numbers if number.isdigit()]
    return str(numbers[str(max(steps))]) if steps else None


def _is_whole(state: Path) -> bool:
    """Whether a checkpoint was written to its end: the trainer's state is what is written last."""
    try:
        json.loads(state.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def steps_if_stopped_early(checkpoint: str, patience: int) -> int | None:
    """The steps of a run whose patience was at its end when it wrote a checkpoint folder; else None."""
    state = read_json(Path(checkpoint) / TRAINER_STATE_NAME)
    stopping = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    waited = stopping.get("attributes", {}).get("early_stopping_patience_counter", 0)
    return state["global_step"] if waited >= patience else None


def read_json(file: Path) -> dict:
    """What a JSON file holds; empty where there is none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def write_json(file: Path, content: dict) -> None:
    """Write a file that is there whole or not at all, whatever stops the process."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(file)


def resume_folder(args) -> str | None:
    """The checkpoint folder that `args.resume_from_checkpoint` asks for: a folder, or True (in words too) for the last
    whole one in `output_dir`.

    Raises:
        CallError: if there is no checkpoint of a run there.
    """
    wanted = args.resume_from_checkpoint
    if wanted is None or str(wanted).lower() in ("false", "none"):
        return None
    if str(wanted).lower() == "true":
        last = last_checkpoint(Path(args.output_dir))
        if last is None:
            raise CallError(f"output_dir {args.output_dir} holds no checkpoint to resume from.")
        return last
    state = Path(wanted) / TRAINER_STATE_NAME
    if not state.is_file() or not _is_whole(state):
        raise CallError(f"resume_from_checkpoint {wanted} is not a checkpoint folder of a run.")
    return str(wanted)


def check_output_dir(output_dir: Path, may_be_used: bool) -> None:
    """Refuse a folder with something in it, unless the caller said that it may be used.

    Raises:
        CallError: for a file, or for a folder that is not empty.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise CallError(f"output_dir {output_dir} is a file.")
    if not may_be_used and output_dir.is_dir() and any(output_dir.iterdir()):
        raise CallError(f"output_dir {output_dir} is not empty: take another one, or say overwrite.")


__all__ = [
    "EXPORT_FILE",
    "CallError",
    "answers_questions",
    "check_output_dir",
    "check_same_run",
    "is_finished",
    "last_checkpoint",
    "load_checkpoint",
    "may_be_hub_name",
    "read_config",
    "read_json",
    "read_run",
    "resume_folder",
    "steps_if_stopped_early",
    "write_json",
]
