"""`duosent evaluate` with what lies behind the figures: slices, what moved since before, an error report."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
from datasets import Dataset
from transformers import PreTrainedConfig

from duosent.inference.answered_posts import ONLY_TASK, read_answered
from duosent.inference.drift import check_same_labels, compare_with
from duosent.inference.error_report import error_report
from duosent.inference.evaluated_part import EvaluatedPart
from duosent.inference.mistake_maps import mistake_maps
from duosent.inference.old_evaluation import read_old
from duosent.inference.report_files import check_report, write_report
from duosent.inference.training_curves import training_curves
from duosent.inference.training_doubles import TrainingDoubles, find_training_doubles
from duosent.modeling.label_scores import label_names
from duosent.modeling.modeling_radm import RadmForVisualQuestionAnswering
from duosent.training.calibration import Calibration
from duosent.training.checkpoints import CallError, read_config, read_run, write_json
from duosent.training.classification_task import ClassificationTask
from duosent.training.run import evaluate as evaluate_run
from duosent.training.sides import have_both_sides

SIDES = ("text", "image", "shuffled_images")


def evaluate(
    checkpoint: str,
    data: str,
    split: str = "test",
    output: str | None = None,
    *,
    slices: bool = False,
    against: str | None = None,
    report: str | None = None,
    training_split: str | None = None,
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
        report: folder for an error report, see `error_report`; with slices, with `sides` where the model and the posts
            have two, and with the bins of a reliability plot. None writes none.
        training_split: with `report`, the part to look for doubles in; None for `train` where there is one.
        others: as in `duosent.training.run.evaluate`.

    Returns: what the file holds, with `slices` (by task: `Slicing.figures` of each) and `against` where asked for.

    Raises:
        CallError: for an option that cannot be followed.
    """
    asked = [name for name, given in (("slices", slices), ("against", against), ("report", report)) if given]
    if training_split is not None and report is None:
        raise CallError("training_split must be given with report.")
    kept = {"columns": columns, "sides": sides, "predictions": predictions, "calibration": calibration, **how}
    if not asked:
        return evaluate_run(checkpoint, data, split, output, **kept)
    config = read_config(checkpoint)
    _check_can_be_looked_into(asked[0], config, calibration)
    old = None if against is None else read_old(against, split)
    if old is not None:
        several = config.problem_type == "multi_label_classification"
        check_same_labels(old, config.tasks or {ONLY_TASK: label_names(config)}, several)
    run, aim = read_run(checkpoint), ClassificationTask()
    chosen = aim.evaluation_columns(config, run.get("columns", {}), columns or {})
    doubles = None
    if report is not None:
        check_report(report)
        doubles = _doubles(data, split, training_split, chosen)
        kept["calibration"] = replace(calibration or Calibration(), bins=True)
    # Where the part is not there, the evaluation says so.
    rows = aim.load(data, chosen, config.tasks or label_names(config)).get(split)
    if report is not None and rows is not None and _have_two_sides(config, rows):
        kept["sides"] = True
    with tempfile.TemporaryDirectory() as folder:
        answers, side_answers = Path(predictions or Path(folder) / "answers.parquet"), Path(folder) / "sides"
        files = {"predictions": str(answers), "side_predictions": str(side_answers)}
        figures = evaluate_run(checkpoint, data, split, rows=rows, **kept | files)
        if os.environ.get("RANK", "0") != "0":  # of several processes the first one writes
            return figures
        part = _part(rows, figures, answers, side_answers if kept["sides"] else None, doubles)
    figures["slices"] = {
        task: {name: slicing.figures(posts.right) for name, slicing in part.slicings(task).items()}
        for task, posts in part.answered.items()
    }
    if old is not None:
        figures["against"] = compare_with(old, figures, part.ids, part.answered, part.slicings)
    if output is not None:
        write_json(Path(output), figures)
    if report is not None:
        learnt_from = figures["fingerprint"] == run.get("train_fingerprint")
        found = error_report(part, figures, training_curves(checkpoint), learnt_from)
        write_report(report, found, rows, mistake_maps(checkpoint, found, rows))
    return figures


def _check_can_be_looked_into(option: str, config: PreTrainedConfig, calibration: Calibration | None) -> None:
    if RadmForVisualQuestionAnswering.__name__ in (config.architectures or []):
        raise CallError(f"{option} must go with a model that classifies posts, got one that answers questions.")
    if calibration is not None and calibration.fit:
        raise CallError(f"{option} must not be given with calibrate, whose scores come after the evaluation.")


def _have_two_sides(config: PreTrainedConfig, rows: Dataset) -> bool:
    reads_both = config.text_config is not None and config.vision_config is not None
    return reads_both and {"text", "image"} <= set(rows.column_names) and have_both_sides(rows)


def _doubles(data: str, split: str, training_split: str | None, columns: dict) -> TrainingDoubles | None:
    doubles = find_training_doubles(data, split, training_split or "train", columns)
    if doubles is None and training_split is not None:
        raise CallError(f"training_split must be another part of {data} than {split}, got {training_split}.")
    return doubles


def _part(
    rows: Dataset, figures: dict, answers: Path, side_answers: Path | None, doubles: TrainingDoubles | None
) -> EvaluatedPart:
    """What lies in the files of an evaluation, beside its posts."""
    table, sides = pq.read_table(answers), None
    if side_answers is not None:
        sides = {name: read_answered(pq.read_table(side_answers / f"{name}.parquet"), figures) for name in SIDES}
    return EvaluatedPart(rows, table.column("id").to_pylist(), read_answered(table, figures), sides, doubles)


__all__ = ["evaluate"]
