"""What a training run does for questions about pictures: RADM's pre-training on VQA v2."""

import logging

import pyarrow as pa
from datasets import Dataset, DatasetDict

from duosent.data.questions import answerable, answered, load_questions
from duosent.modeling.label_scores import label_names
from duosent.modeling.modeling_radm import RadmForVisualQuestionAnswering
from duosent.processing.processing_image_text import ImageTextProcessor
from duosent.processing.vqa_collator import VisualQuestionCollator
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError
from duosent.training.vqa_metrics import VqaMetrics
from duosent.training.vqa_trainer import VisualQuestionTrainer

logger = logging.getLogger(__name__)

# Training arguments without a meaning here.
OF_POSTS = ("class_weights", "focal_gamma", "label_smoothing_factor", "balanced_sampling", "modality_dropout")


class VisualQuestionTask:
    """Questions to answers out of a fixed vocabulary, on a table that `duosent prepare` made.

    A question with no answer in the vocabulary teaches nothing but to say no to all: it is left out of training, as is
    usual. An evaluation counts it, as a question that cannot be answered right. One without any annotator's answer, as
    in VQA's test part, takes no part in either.

    Attributes: see `ClassificationTask`.
    """

    models = {"radm": RadmForVisualQuestionAnswering}
    trainer_class = VisualQuestionTrainer
    best_figure = "accuracy"
    figures = ("accuracy", "loss", "classification_loss")

    def load(self, data: str, columns: dict, names: list[str] | None = None) -> DatasetDict:
        """The questions, by part; see `load_questions`.

        Args:
            data: the folder.
            columns: `base_image_dir` or nothing.
            names: the answers of a trained model; None reads them from the data.

        Raises:
            CallError: if a column is chosen, or the data cannot be read.
        """
        for name in columns:
            if name != "base_image_dir":
                raise CallError(f"{name} must not be given for task vqa, the columns of which are fixed.")
        try:
            return load_questions(data, names, **columns)
        except (ValueError, OSError) as error:
            raise CallError(str(error)) from error

    def load_streamed(self, data: str, columns: dict) -> dict:
        """
        Raises:
            CallError: always; the questions are in memory but for their pictures, which are read as they are wanted.
        """
        raise CallError("streaming must not be given for task vqa: only the pictures of its table are large.")

    def label_fields(self, rows: Dataset, columns: dict) -> dict:
        """The config's fields that follow from the vocabulary."""
        names = rows.features["answer_ids"].feature.names
        return {
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            # A checkpoint to start from may have these, those of its own labels.
            "problem_type": None,
            "tasks": None,
            "label_combinations": None,
        }

    def evaluation_columns(self, config, recorded: dict, given: dict) -> dict:
        return {**recorded, **given}

    def collator(self, processor: ImageTextProcessor, config) -> VisualQuestionCollator:
        return VisualQuestionCollator(processor, num_labels=config.num_labels)

    def rows_to_learn(self, rows: Dataset) -> Dataset:
        """The questions with an answer in the vocabulary.

        Raises:
            CallError: if there is none.
        """
        learnt = answerable(rows)
        if not len(learnt):
            raise CallError("The train part must hold a question with an answer in the vocabulary, got none.")
        if len(learnt) < len(rows):
            left_out = len(rows) - len(learnt)
            logger.info("%d of %d questions have no answer in the vocabulary: left out.", left_out, len(rows))
        return learnt

    def check_training(self, args: ImageTextTrainingArguments, rows: Dataset, fields: dict) -> None:
        """
        Raises:
            CallError: for arguments that are about posts and their labels.
        """
        for name in OF_POSTS:
            if getattr(args, name):
                raise CallError(
                    f"{name} must not be given for task vqa, which has questions and answers, not posts and labels."
                )

    def rows_to_score(self, rows: Dataset, part: str) -> Dataset:
        """The questions with annotators' answers.

        Raises:
            CallError: if there is none.
        """
        scored = answered(rows)
        if not len(scored):
            raise CallError(f"The {part} part must hold a question with annotators' answers, got none.")
        return scored

    def score(self, prediction, rows: Dataset, config) -> dict:
        """The figures of an evaluation: those of `VqaMetrics`.

        Args:
            prediction: what `VisualQuestionTrainer.predict` gave for `rows`, in their order.
            config: the model's.
        """
        vocabulary = label_names(config)
        metrics = VqaMetrics(vocabulary, "answer_types")
        figures = metrics.compute(
            predictions=[vocabulary[best] for best in prediction.predictions],
            references=rows["answers"][:],
            answer_types=rows["answer_type"][:],
        )
        return figures | {"task": "vqa", "num_answers": len(vocabulary)}

    def score_calibration(self, prediction, config) -> dict:
        """Nothing: several answers to a question are right, each in the eyes of some annotators."""
        return {}

    def predictions(self, prediction, rows: Dataset, config) -> pa.Table:
        """The answers question by question, `id` and `answer`; see `score`."""
        vocabulary = label_names(config)
        return pa.table({"id": rows["id"][:], "answer": [vocabulary[best] for best in prediction.predictions]})


__all__ = ["VisualQuestionTask"]
