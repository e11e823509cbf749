"""`duosent evaluate` with what lies behind the figures: slices of the posts, and what moved since before."""

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from transformers import PreTrainedConfig

from duosent.inference.answered_posts import ONLY_TASK, read_answered
from duosent.inference.drift import check_same_labels, compare_with
from duosent.inference.error_slices import OWN_ANSWERS
from duosent.inference.evaluated_part import EvaluatedPart
from duosent.inference.old_evaluation import read_old
from duosent.modeling.label_scores import label_names
from duosent.modeling.modeling_radm import RadmForVisualQuestionAnswering
from duosent.training.calibration import Calibration
from duosent.training.checkpoints import CallError, read_config, read_run, write_json
from duosent.training.classification_task import ClassificationTask
from duosent.training.run import evaluate as evaluate_run

SIDES = ("text", "image", "shuffled_images")


def evaluate(
    checkpoint: str,
    data: str,
    split: str = "test",
    output: str | None = None,
    *,
    slices: bool = False,
    against: str | None = None,
    columns: dict | None = None,
    sides: bool = False,
    predictions: str | None = None,
    calibration: Calibration | None = None,
    **how,
) -> dict:
    """Evaluate a checkpoint on one part of a data set, and say more of its answers.

    Args:
        slices: say how right the answers are by length of the text, by agreement of words and picture (by the data's
            labels of each side; without those, with `sides`, by the model's own answers to each).
        against: a `metrics.json` of before, or a folder of a run with one: say what moved, see `compare_with`.
        others: as in `duosent.training.run.evaluate`.

    Returns: what the file holds, with `slices` (by task: `Slicing.figures` of each) and `against` where asked for.

    Raises:
        CallError: for an option that cannot be followed.
    """
    kept = {"columns": columns, "sides": sides, "calibration": calibration, **how}
    asked = [name for name, given in (("slices", slices), ("against", against)) if given]
    if not asked:
        return evaluate_run(checkpoint, data, split, output, predictions=predictions, **kept)
    config = read_config(checkpoint)
    _check_can_be_looked_into(asked[0], config, calibration)
    old = None if against is None else read_old(against, split)
    if old is not None:
        check_same_labels(old, config.tasks or {ONLY_TASK: label_names(config)})
    with tempfile.TemporaryDirectory() as folder:
        answers, side_answers = Path(predictions or Path(folder) / "answers.parquet"), Path(folder) / "sides"
        kept |= {"predictions": str(answers), "side_predictions": str(side_answers)}
        figures = evaluate_run(checkpoint, data, split, **kept)
        if os.environ.get("RANK", "0") != "0":  # of several processes the first one writes
            return figures
        rows = _rows(checkpoint, data, split, config, columns)
        part = _part(rows, figures, pq.read_table(answers), side_answers if sides else None)
    figures["slices"] = {
        task: {name: slicing.figures(posts.right) for name, slicing in part.slicings(task).items()}
        for task, posts in part.answered.items()
    }
    if old is not None:

        def slices_like(task: str, like: dict) -> dict:
            found = part.slicings(task, like)
            # Which posts these are is the model's own doing.
            return {name: slicing for name, slicing in found.items() if slicing.by != OWN_ANSWERS}

        figures["against"] = compare_with(old, figures, part.ids, part.answered, slices_like)
    if output is not None:
        write_json(Path(output), figures)
    return figures


def _check_can_be_looked_into(option: str, config: PreTrainedConfig, calibration: Calibration | None) -> None:
    if RadmForVisualQuestionAnswering.__name__ in (config.architectures or []):
        raise CallError(f"{option} must go with a model that classifies posts, got one that answers questions.")
    if calibration is not None and calibration.fit:
        raise CallError(f"{option} must not be given with calibrate, whose scores come after the evaluation.")


def _rows(checkpoint: str, data: str, split: str, config: PreTrainedConfig, columns: dict | None) -> Dataset:
    """The posts of a part, as the evaluation reads them."""
    aim = ClassificationTask()
    chosen = aim.evaluation_columns(config, read_run(checkpoint).get("columns", {}), columns or {})
    names = config.tasks or label_names(config)
    return aim.load(data, chosen | {"parts": [split], "check_rows": False}, names)[split]


def _part(rows: Dataset, figures: dict, answers: pa.Table, sides: Path | None) -> EvaluatedPart:
    ids = answers.column("id").to_pylist()
    answered = read_answered(answers, figures)
    if sides is None:
        return EvaluatedPart(rows, ids, answered, None)
    of_sides = {name: read_answered(pq.read_table(sides / f"{name}.parquet"), figures) for name in SIDES}
    return EvaluatedPart(rows, ids, answered, of_sides)


__all__ = ["evaluate"]
