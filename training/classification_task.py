"""What a training run does for posts with one label, or several."""

import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict

from duosent.data.pairs import load_pairs
from duosent.data.streaming import StreamedPairs, labels_of
from duosent.modeling.label_scores import label_names
from duosent.modeling.modeling_baselines import BaselineForImageTextClassification
from duosent.modeling.modeling_clmlf import ClmlfForImageTextClassification
from duosent.modeling.modeling_lmf import LmfForImageTextClassification
from duosent.modeling.modeling_mdse import MdseForImageTextClassification
from duosent.modeling.modeling_radm import RadmForImageTextClassification
from duosent.modeling.modeling_tfn import TfnForImageTextClassification
from duosent.modeling.modeling_tombert import TombertForImageTextClassification
from duosent.processing.collator import ImageTextCollator
from duosent.processing.processing_image_text import ImageTextProcessor
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.calibration import Calibration
from duosent.training.checkpoints import CallError
from duosent.training.imbalance import balanced_sampler, class_weights
from duosent.training.joint_labels import label_combinations
from duosent.training.length_groups import check_grouping
from duosent.training.metrics import score_answers
from duosent.training.predictions import predictions_table
from duosent.training.trainer import ImageTextTrainer


class ClassificationTask:
    """Posts to labels, for every model; what `duosent train` does unless it is told otherwise.

    Attributes:
        models: the class of each `--model`.
        trainer_class: what trains it.
        best_figure: what the best model is kept by, unless the arguments say otherwise.
        figures: what an evaluation gives as plain numbers; micro_f1 only where a post may have several labels, the
            contrastive losses of the models that have them.

    Args:
        consistent: with tasks, give answers that go together; see `task_answers`.
        calibration: what an evaluation says of scores.
    """

    models = {
        "mdse": MdseForImageTextClassification,
        "radm": RadmForImageTextClassification,
        "text": BaselineForImageTextClassification,
        "image": BaselineForImageTextClassification,
        "concat": BaselineForImageTextClassification,
        "tfn": TfnForImageTextClassification,
        "lmf": LmfForImageTextClassification,
        "clmlf": ClmlfForImageTextClassification,
        "tombert": TombertForImageTextClassification,
    }
    trainer_class = ImageTextTrainer
    best_figure = "macro_f1"
    figures = (
        "accuracy",
        "macro_f1",
        "micro_f1",
        "weighted_f1",
        "loss",
        "classification_loss",
        "contrastive_loss",
        "label_contrastive_loss",
        "data_contrastive_loss",
    )

    def __init__(self, consistent: bool = False, calibration: Calibration | None = None) -> None:
        self.consistent = consistent
        self.calibration = calibration or Calibration()

    def load(self, data: str, columns: dict, names: list[str] | dict | None = None) -> DatasetDict:
        """The rows, by part.

        Args:
            data: what `load_pairs` takes.
            columns: keywords of `load_pairs` that choose columns.
            names: the labels of a trained model, with tasks those of each; None reads them from the data.

        Raises:
            CallError: if the data cannot be read.
        """
        try:
            return load_pairs(data, **columns, **({} if names is None else {"labels": names}))
        except (ValueError, OSError) as error:
            raise CallError(str(error)) from error

    def load_streamed(self, data: str, columns: dict) -> dict:
        """The rows, by part: the training part as a stream, the others whole. See `load`."""
        splits = dict(self.load(data, columns | {"streaming": True, "parts": ["train"]}))
        if "train" not in splits:
            return splits
        fields = self.label_fields(splits["train"], columns)
        names = fields["tasks"] or list(fields["label2id"])
        return splits | self.load(data, columns | {"parts": ["validation", "test"]}, names)

    def label_fields(self, rows: Dataset | StreamedPairs, columns: dict) -> dict:
        """The config's fields that follow from the label column, or columns.

        Raises:
            CallError: for the name of a task that cannot be one.
        """
        if columns.get("label_columns") is not None:
            return self._task_fields(rows, columns["label_columns"])
        feature = rows.features["label"]
        several = not isinstance(feature, ClassLabel)
        names = (feature.feature if several else feature).names
        return {
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            "problem_type": "multi_label_classification" if several else "single_label_classification",
            "tasks": None,  # a checkpoint to start from may have some
            "label_combinations": None,
        }

    def _task_fields(self, rows: Dataset | StreamedPairs, columns: list[str]) -> dict:
        for task in columns:
            if ":" in task:
                raise CallError(f"label_columns must be names without a colon, got {task}.")
        tasks = {task: list(rows.features[task].names) for task in columns}
        names = [f"{task}:{label}" for task, labels in tasks.items() for label in labels]
        return {
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            "problem_type": None,
            "tasks": tasks,
            "label_combinations": label_combinations([labels_of(rows, task) for task in columns]),
        }

    def evaluation_columns(self, config, recorded: dict, given: dict) -> dict:
        """The columns to evaluate a checkpoint on.

        Args:
            config: the model's.
            recorded: those that it was trained with, as far as that is known.
            given: those that were chosen now.

        Raises:
            CallError: for other columns of labels than the checkpoint's tasks, or several for one label.
        """
        columns = {**recorded, **given}
        if config.tasks is None:
            if "label_columns" in columns:
                raise CallError(f"The checkpoint gives one label, got {', '.join(columns['label_columns'])}.")
            return columns
        tasks = list(config.tasks)
        chosen = given.get("label_columns") or ([given["label_column"]] if "label_column" in given else tasks)
        if list(chosen) != tasks:
            raise CallError(f"The checkpoint gives the labels {', '.join(tasks)}, got {', '.join(chosen)}.")
        columns.pop("label_column", None)
        return {**columns, "label_columns": tasks}

    def collator(self, processor: ImageTextProcessor, config) -> ImageTextCollator:
        return ImageTextCollator(processor, num_labels=config.num_labels, tasks=config.tasks)

    def rows_to_learn(self, rows: Dataset | StreamedPairs) -> Dataset | StreamedPairs:
        """The rows of the training part that are learnt from: all."""
        return rows

    def check_training(self, args: ImageTextTrainingArguments, rows: Dataset | StreamedPairs, fields: dict) -> None:
        """
        Args:
            fields: what `label_fields` gave.

        Raises:
            CallError: for arguments that the training part cannot follow.
        """
        names, problem_type, tasks = list(fields["label2id"]), fields["problem_type"], fields["tasks"]
        try:
            class_weights(args.class_weights, names, problem_type, rows, tasks)
            if args.balanced_sampling:
                balanced_sampler(args, problem_type, rows, tasks)
            check_grouping(args, rows)
        except ValueError as error:
            raise CallError(str(error)) from error

    def rows_to_score(self, rows: Dataset, part: str) -> Dataset:
        """The rows of a part that an evaluation looks at: all."""
        return rows

    def score(self, prediction, rows: Dataset, config) -> dict:
        """The figures of an evaluation.

        Args:
            prediction: what `Trainer.predict` gave for `rows`.
            config: the model's.
        """
        figures = score_answers(prediction.predictions, prediction.label_ids, config, self.consistent)
        return figures | {"labels": label_names(config)} | ({"consistent": True} if self.consistent else {})

    def score_calibration(self, prediction, config) -> dict:
        """What an evaluation says of scores; see `score` and `Calibration.record`."""
        return {"calibration": self.calibration.record(prediction.predictions, prediction.label_ids, config)}

    def predictions(self, prediction, rows: Dataset, config) -> pa.Table:
        """The answers post by post; see `score` and `predictions_table`."""
        ids, logits, references = rows["id"][:], prediction.predictions, prediction.label_ids
        return predictions_table(ids, logits, references, config, self.consistent)


__all__ = ["ClassificationTask"]
