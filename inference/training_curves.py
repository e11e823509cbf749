"""What a run logged while it trained, as curves over epochs."""

from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME

from duosent.training.checkpoints import read_json

EVALUATED = ("eval_accuracy", "eval_macro_f1", "eval_loss")


def training_curves(checkpoint: str) -> dict | None:
    """
    Args:
        checkpoint: folder of a run, or a Hub name, of which nothing is known.

    Returns: `training`, points of `epoch`, `step` and `loss`; `evaluation`, points of `epoch`, `step` and what was
        measured on the validation part while training, `accuracy`, `macro_f1`, `loss`. None without a log.
    """
    log = read_json(Path(checkpoint) / TRAINER_STATE_NAME).get("log_history", [])
    training = [_point(entry, ("loss",)) for entry in log if "loss" in entry]
    evaluation = [_point(entry, EVALUATED) for entry in log if "eval_loss" in entry or "eval_accuracy" in entry]
    return {"training": training, "evaluation": evaluation} if training or evaluation else None


def _point(entry: dict, names: tuple[str, ...]) -> dict:
    figures = {name.removeprefix("eval_"): entry[name] for name in names if name in entry}
    return {"epoch": entry.get("epoch"), "step": entry.get("step"), **figures}


__all__ = ["training_curves"]
