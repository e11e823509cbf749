"""VQA accuracy: how right answers to questions about pictures are, by what ten annotators said."""

from collections import Counter, defaultdict
from functools import cache

import datasets
import evaluate

from duosent.data.answers import answer_scores, normalise_answer

CONFIGS = ("default", "answer_types")


class VqaMetrics(evaluate.Metric):
    """VQA accuracy by the official leave-one-out rule, with the floor and the ceiling beside it.

    Predictions are answers, references the list of the annotators' answers to the same question; both are brought to
    the normal form (`duosent.data.answers.normalise_answer`). An answer is as right as `answer_scores` says. `compute`
    gives `accuracy`, the mean over the questions; `n`; `majority_accuracy`, the accuracy of always giving the answer
    that annotators gave most often; and with a vocabulary `ceiling`, that of always giving the best answer in it.

    With `config_name="answer_types"` there is a third column, `answer_types` (yes/no, number, other), and
    `per_answer_type` holds `accuracy` and `n` of each; a question without a type counts in the other figures only.

    A question with an empty list of references takes no part.

    Args:
        vocabulary: the answers that the model chooses from, for `ceiling`.
        config_name: "default" or "answer_types".
        keep_in_memory: as in evaluate; False for several evaluating processes.

    Raises:
        ValueError: for an unknown `config_name`, or if no question has an annotator's answer.

    Example:
        >>> metrics = VqaMetrics()
        >>> metrics.compute(predictions=["No."], references=[["yes"] * 8 + ["no"] * 2])["accuracy"]
        0.6
    """

    def __init__(
        self,
        vocabulary: list[str] | None = None,
        config_name: str | None = None,
        keep_in_memory: bool = True,
        **kwargs,
    ) -> None:
        if config_name not in (None, *CONFIGS):
            raise ValueError(f'config_name must be "default" or "answer_types", got {config_name!r}.')
        self.vocabulary = vocabulary
        super().__init__(config_name=config_name, keep_in_memory=keep_in_memory, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        word = datasets.Value("string")
        columns = {"predictions": word, "references": datasets.List(word)}
        if self.config_name == "answer_types":
            columns["answer_types"] = word
        return evaluate.MetricInfo(
            description="VQA accuracy by the official leave-one-out rule, overall and for each type of answer.",
            citation="",
            inputs_description="predictions: answers; references: lists of the annotators' answers.",
            features=datasets.Features(columns),
            reference_urls=["https://visualqa.org/evaluation.html"],
        )

    def _compute(self, predictions, references, answer_types=None) -> dict:
        normalise = cache(normalise_answer)  # the same few words, over and over
        answers, scores, types = [], [], []
        given = Counter()
        for row, annotators in enumerate(references):
            if annotators:
                annotators = [normalise(answer) for answer in annotators]
                given.update(annotators)
                answers.append(normalise(predictions[row]))
                scores.append(answer_scores(annotators))
                types.append(answer_types[row] if answer_types else None)
        if not scores:
            raise ValueError(f"At least one question must have an annotator's answer, got none in {len(references)}.")

        right = [score.get(answer, 0.0) for answer, score in zip(answers, scores, strict=True)]
        commonest = min(given, key=lambda answer: (-given[answer], answer))
        figures = {
            "accuracy": _mean(right),
            "n": len(right),
            "majority_accuracy": _mean([score.get(commonest, 0.0) for score in scores]),
        }
        if self.vocabulary is not None:
            known = {normalise(answer) for answer in self.vocabulary}
            figures["ceiling"] = _mean(
                [max((value for answer, value in score.items() if answer in known), default=0.0) for score in scores]
            )
        if answer_types is not None:
            by_type = defaultdict(list)
            for kind, value in zip(types, right, strict=True):
                if kind:
                    by_type[kind].append(value)
            figures["per_answer_type"] = {
                kind: {"accuracy": _mean(by_type[kind]), "n": len(by_type[kind])} for kind in sorted(by_type)
            }
        return figures


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


__all__ = ["VqaMetrics"]
