"""Rows of a data set -> a batch."""

from dataclasses import dataclass

import torch

from duosent.processing.processing_image_text import ImageTextProcessor

IGNORED_LABEL = -100


@dataclass
class ImageTextCollator:
    """Process the rows of a batch, padded to the longest of them.

        [{"text": "so happy", "image": "a.jpg", "label": 2}, {"text": None, "image": b"...", "label": 0}]
        -> {"input_ids": (2, 8), "attention_mask": (2, 8), "pixel_values": (2, 3, 224, 224),
            "text_present": [True, False], "image_present": [True, True], "labels": [2, 0]}

    The keys are the same for every batch, whatever its rows lack: a model then runs both towers in each process of a
        distributed run.

    Args:
        processor: makes the tensors.
        pad_to_multiple_of: lengths of texts are rounded up to a multiple of it; None for the longest text.
        num_labels: `L`, for rows with a list of labels, which become a row of 0 and 1.

    A row may have `text_label` and `image_label` beside `label`, each a class index, a list of them, or None for
    none (-100), and `target`.
    """

    processor: ImageTextProcessor
    pad_to_multiple_of: int | None = 8
    num_labels: int | None = None

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """
        Args:
            rows: `text`, `image`, and where known `label`, `text_label`, `image_label`, `target`; others are not read.

        Raises:
            ValueError: for a row that cannot be processed, named by its `id`.
        """
        texts, images, targets = ([row.get(key) for row in rows] for key in ("text", "image", "target"))
        if not any(targets):
            targets = None
        limit = self.processor.tokenizer.model_max_length
        multiple = self.pad_to_multiple_of if self.pad_to_multiple_of and self.pad_to_multiple_of <= limit else None
        batch = {}
        try:
            batch.update(
                self.processor(
                    text=texts, images=images, target=targets, return_tensors="pt", pad_to_multiple_of=multiple
                )
            )
        except ValueError as error:
            raise ValueError(self._name_row(rows, str(error))) from error
        for side, key in (("text", "input_ids"), ("image", "pixel_values")):
            if key not in batch:
                batch.update(self.processor.empty_side(side, len(rows)))
        for column, key in (("label", "labels"), ("text_label", "text_labels"), ("image_label", "image_labels")):
            if any(column in row for row in rows):
                batch[key] = self._labels([row.get(column) for row in rows], column)
        return batch

    @staticmethod
    def _name_row(rows: list[dict], message: str) -> str:
        """The processor counts rows of the batch; a person knows them by their id."""
        for index, row in enumerate(rows):
            if message.startswith((f"images[{index}]", f"text[{index}]", f"target[{index}]")) and "id" in row:
                return f"Row {row['id']}: {message}"
        return message

    def _labels(self, labels: list, column: str) -> torch.Tensor:
        if not any(isinstance(label, list | tuple) for label in labels):
            return torch.tensor([IGNORED_LABEL if label is None else label for label in labels])
        if self.num_labels is None:
            raise ValueError(f"num_labels must be given where {column} holds lists of labels, got None.")
        several = torch.zeros(len(labels), self.num_labels)
        for row, label in zip(several, labels, strict=True):
            if label is None:
                row.fill_(IGNORED_LABEL)
            else:
                row[torch.as_tensor(label, dtype=torch.long)] = 1.0
        return several


__all__ = ["ImageTextCollator"]
