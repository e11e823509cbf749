"""Questions about pictures, with soft answer scores -> a batch."""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from duosent.processing.collator import ImageTextCollator


@dataclass
class VisualQuestionCollator(ImageTextCollator):
    """Process the questions of a batch, as `ImageTextCollator` does posts, and spread their answers' scores out.

        [{"text": "what is it", "image": "a.jpg", "answer_ids": [2, 0], "answer_scores": [1.0, 0.3]}]
        -> {"input_ids": (1, 8), ..., "labels": [[0.3, 0.0, 1.0, 0.0]]}

    A row holds only the answers that somebody gave; all 3,129 scores of each exist only while its batch does.

    Args:
        processor, pad_to_multiple_of: see `ImageTextCollator`.
        num_labels: `L`, the number of answers to choose from.
    """

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """
        Args:
            rows: `text`, `image`, and where the answers are known `answer_ids` and `answer_scores`, of one length.

        Returns: the tensors of `ImageTextCollator`, and `labels (B, L)` in [0, 1], 0 for an answer that nobody gave.

        Raises:
            ValueError: for a row that cannot be processed, or whose answers are wrong, named by its `id`.
        """
        batch = super().__call__(rows)
        if any("answer_ids" in row for row in rows):
            labels = torch.zeros(len(rows), self.num_labels)
            for label, row in zip(labels, rows, strict=True):
                ids, scores = row.get("answer_ids") or [], row.get("answer_scores") or []
                if wrong := why_no_soft_label(ids, scores, self.num_labels):
                    raise ValueError(f"Row {row['id']}, {wrong}" if "id" in row else wrong)
                label[torch.tensor(ids, dtype=torch.long)] = torch.tensor(scores, dtype=label.dtype)
            batch["labels"] = labels
        return batch


def why_no_soft_label(ids: Sequence[int], scores: Sequence[float], num_labels: int) -> str | None:
    """What is wrong with a question's answers, in one sentence; None where nothing is."""
    if len(ids) != len(scores):
        return f"answer_ids and answer_scores must be of one length, got {len(ids)} and {len(scores)}."
    for index in ids:
        if not isinstance(index, numbers.Integral) or not 0 <= index < num_labels:
            return f"answer_ids must be >= 0 and < {num_labels}, the number of answers, got {index!r}."
    for score in scores:
        if not 0 <= score <= 1:
            return f"answer_scores must be >= 0 and <= 1, got {score!r}."
    return None


__all__ = ["VisualQuestionCollator", "why_no_soft_label"]
