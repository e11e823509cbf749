"""What a training run does for posts with one label, or several."""

import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict

from duosent.data.pairs import load_pairs
from duosent.data.streaming import StreamedPairs
from duosent.modeling.modeling_baselines import BaselineForImageTextClassification
from duosent.modeling.modeling_clmlf import ClmlfForImageTextClassification
from duosent.modeling.modeling_lmf import LmfForImageTextClassification
from duosent.modeling.modeling_mdse import MdseForImageTextClassification
from duosent.modeling.modeling_radm import RadmForImageTextClassification
from duosent.modeling.modeling_tfn import TfnForImageTextClassification
from duosent.modeling.modeling_tombert import TombertForImageTextClassification
from duosent.processing.collator import ImageTextCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError, label_names
from duosent.training.imbalance import balanced_sampler, class_weights
from duosent.training.metrics import score_answers
from duosent.training.predictions import predictions_table
from duosent.training.trainer import ImageTextTrainer


class ClassificationTask:
    """Posts to labels, for every model; what `duosent train` does unless it is told otherwise.

    Attributes:
        models: the class of each `--model`.
        trainer_class, collator_class: what trains it, and what makes its batches.
        best_figure: what the best model is kept by, unless the arguments say otherwise.
        figures: what an evaluation gives as plain numbers; micro_f1 only where a post may have several labels.
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
    collator_class = ImageTextCollator
    best_figure = "macro_f1"
    figures = (
        "accuracy",
        "macro_f1",
        "micro_f1",
        "weighted_f1",
        "loss",
        "classification_loss",
        "contrastive_loss",
    )

    def load(self, data: str, columns: dict, names: list[str] | None = None) -> DatasetDict:
        """The rows, by part.

        Args:
            data: what `load_pairs` takes.
            columns: keywords of `load_pairs` that choose columns.
            names: the labels of a trained model; None reads them from the data.

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
        names = list(self.label_fields(splits["train"])["label2id"])
        return splits | self.load(data, columns | {"parts": ["validation", "test"]}, names)

    def label_fields(self, rows: Dataset | StreamedPairs) -> dict:
        """The config's fields that follow from the label column."""
        feature = rows.features["label"]
        several = not isinstance(feature, ClassLabel)
        names = (feature.feature if several else feature).names
        return {
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            "problem_type": "multi_label_classification" if several else "single_label_classification",
        }

    def rows_to_learn(self, rows: Dataset | StreamedPairs) -> Dataset | StreamedPairs:
        """The rows of the training part that are learnt from: all."""
        return rows

    def check_training(self, args: ImageTextTrainingArguments, rows: Dataset | StreamedPairs) -> None:
        """
        Raises:
            CallError: for arguments that the training part cannot follow.
        """
        fields = self.label_fields(rows)
        try:
            class_weights(args.class_weights, list(fields["label2id"]), fields["problem_type"], rows)
            if args.balanced_sampling:
                balanced_sampler(args, fields["problem_type"], rows)
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
        figures = score_answers(prediction.predictions, prediction.label_ids, config)
        return figures | {"labels": label_names(config)}

    def predictions(self, prediction, rows: Dataset, config) -> pa.Table:
        """The answers post by post; see `score` and `predictions_table`."""
        return predictions_table(rows["id"][:], prediction.predictions, prediction.label_ids, config)


__all__ = ["ClassificationTask"]
