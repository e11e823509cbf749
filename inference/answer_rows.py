"""What a model answers to each post of a batch, and how a row of a table says it."""

import pyarrow as pa
import torch
from torch import Tensor
from transformers import PreTrainedModel

from duosent.inference.answer_options import check_answer_options, check_model_answers, is_withheld, set_threshold
from duosent.inference.post_logits import post_logits
from duosent.modeling.fitted_calibration import task_fits
from duosent.modeling.label_scores import best_labels, label_names, label_scores
from duosent.training.checkpoints import CallError, answers_questions
from duosent.training.sides import check_reads_both

# Of thousands of answers to a question.
ANSWERS_SHOWN = 5
# Each side, and the one that is taken away for its answer.
SIDES = {"text": "image", "image": "text"}


class AnswerRows:
    """Answers of one model, asked for in one way.

    Args:
        model: what `load_backend` gives.
        consistent, confidence, abstain: see `duosent.inference.scoring.predict`.
        with_sides: answer from the words alone and from the picture alone too.

    Attributes:
        schema: of the table: `id`, and what the docstring of `predict_table` tells of the others.

    Raises:
        CallError: for what the model cannot be asked.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        consistent: bool = False,
        confidence: float | None = None,
        abstain: bool = False,
        with_sides: bool = False,
    ):
        self.model, self.config = model, model.config
        self.consistent, self.confidence, self.abstain = consistent, confidence, abstain
        self.with_sides = with_sides
        self.questions = answers_questions(model)
        try:
            # In a table both can stand beside the label, which each of them allows by itself.
            check_answer_options({"consistent": consistent, "confidence": confidence})
            check_answer_options({"consistent": consistent, "abstain": abstain})
            check_model_answers(self.config, {"consistent": consistent, "confidence": confidence, "abstain": abstain})
        except ValueError as error:
            raise CallError(str(error)) from error
        if with_sides:
            check_reads_both(model, "with_sides")
        self.names = label_names(self.config)
        self.fits = task_fits(self.config)
        self.schema = self._schema()

    def answers(self, batch: dict[str, Tensor]) -> list[dict]:
        """Each post's answer, as `predict` returns it.

        Args:
            batch: a collator's.
        """
        return self._answers(batch, self.confidence, self.abstain)

    def rows(self, batch: dict[str, Tensor]) -> list[dict]:
        """Each post's row of the table, without its id.

        Args:
            batch: a collator's.
        """
        rows = [self._row(answer) for answer in self.answers(batch)]
        if self.with_sides:
            for side, other in SIDES.items():
                self._add_side(rows, batch, side, other)
        return rows

    def _add_side(self, rows: list[dict], batch: dict[str, Tensor], side: str, other: str) -> None:
        """Put the answer from one side alone into the rows that have it."""
        present = batch[f"{side}_present"]  # (B,)
        if not present.any():
            return
        alone = {**batch, f"{other}_present": torch.zeros_like(present)}
        for row, there, answer in zip(rows, present.tolist(), self._answers(alone), strict=True):
            if there:
                row |= self._row(answer, f"{side}_")

    def _answers(self, batch: dict[str, Tensor], confidence: float | None = None, abstain: bool = False) -> list[dict]:
        logits = post_logits(self.model, batch)  # (B, L)
        if self.questions:
            return [self._answer_to_question(scores) for scores in logits.sigmoid()]
        scores = label_scores(logits, self.config)  # (B, L)
        if self.config.tasks is None:
            [fit] = self.fits
            return [_answer(self.names, post, fit, confidence, abstain, self._label(post)) for post in scores.tolist()]
        posts = [{} for _ in logits]
        best = best_labels(logits, self.config, self.consistent).T.tolist()  # (tasks, B)
        spans = scores.split(self.config.task_sizes(), dim=-1)
        for (task, names), span, fit, labels in zip(self.config.tasks.items(), spans, self.fits, best, strict=True):
            for post, of_task, label in zip(posts, span.tolist(), labels, strict=True):
                post[task] = _answer(names, of_task, fit, confidence, abstain, names[label])
        return [{"tasks": post} for post in posts]

    def _answer_to_question(self, scores: Tensor) -> dict:
        """Several answers to a question may be right: scores `(L,)` do not sum to one."""
        best, ids = (part.tolist() for part in scores.topk(min(ANSWERS_SHOWN, len(self.names))))
        shown = {self.names[index]: score for index, score in zip(ids, best, strict=True)}
        return {"answer": self.names[ids[0]], "scores": shown}

    def _label(self, scores: list[float]) -> str | list[str]:
        if self.config.problem_type == "multi_label_classification":
            return [name for name, score in zip(self.names, scores, strict=True) if score > 0.5]
        return self.names[max(range(len(scores)), key=scores.__getitem__)]

    def _row(self, answer: dict, side: str = "") -> dict:
        """An answer as columns, whose names begin with `side`."""
        if self.questions:
            return {"answer": answer["answer"], "score": answer["scores"][answer["answer"]]}
        row = {}
        for task, of_task in answer.get("tasks", {None: answer}).items():
            ending, inside = ("", "") if task is None else (f"_{task}", f"{task}:")
            row |= {f"{side}{key}{ending}": value for key, value in of_task.items() if key != "scores"}
            row |= {f"{side}score_{inside}{name}": score for name, score in of_task["scores"].items()}
        return row

    def _schema(self) -> pa.Schema:
        if self.questions:
            return pa.schema([("id", pa.string()), ("answer", pa.string()), ("score", pa.float32())])
        endings = [""] if self.config.tasks is None else [f"_{task}" for task in self.config.tasks]
        several = self.config.problem_type == "multi_label_classification"
        kinds = {"label": pa.list_(pa.string()) if several else pa.string()}
        own = dict(kinds)
        if self.confidence is not None:
            own["label_set"] = pa.list_(pa.string())
        if self.abstain:
            own["withheld"] = pa.bool_()
        columns = [(f"{key}{ending}", kind) for key, kind in own.items() for ending in endings]
        scores = [(f"score_{name}", pa.float32()) for name in self.names]
        columns += scores
        if self.with_sides:
            for side in SIDES:
                columns += [(f"{side}_{key}{ending}", kind) for key, kind in kinds.items() for ending in endings]
                columns += [(f"{side}_{name}", kind) for name, kind in scores]
        return pa.schema([("id", pa.string()), *columns])


def _answer(
    names: list[str], scores: list[float], fit: dict, confidence: float | None, abstain: bool, label: str | list[str]
) -> dict:
    """The answer of one task.

    Args:
        fit: of the task, see `task_fits`.
    """
    answer = {"label": label}
    if confidence is not None:
        threshold = set_threshold(fit, confidence)
        order = sorted(range(len(names)), key=lambda index: -scores[index])
        answer["label_set"] = [names[index] for index in order if scores[index] >= threshold]
    if abstain:
        answer["withheld"] = is_withheld(scores, fit)
    return answer | {"scores": dict(zip(names, scores, strict=True))}


__all__ = ["AnswerRows"]
