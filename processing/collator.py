"""Rows of a data set -> a batch."""

import numbers
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image

from duosent.processing.processing_image_text import RESIZED, ImageTextProcessor

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
        pad_to_multiple_of: lengths of texts are rounded up to a multiple of it, as far as the tokenizer's own limit
            allows; None for the longest text.
        num_labels: `L`; needed for rows with a list of labels, which become a row of 0 and 1.
        tasks: of several labels in one model, the config's: a row then has a class index, or None, under the name of
            each task, and the batch has `labels (B, tasks)`.
        resize: gives the pictures of a batch as `ImageTextProcessor.resized` does, in its place; None to let the
            processor do it.

    A row may have `text_label` and `image_label` beside `label`, each a class index, a list of them, or None for none
    (-100), and `target`.
    """

    processor: ImageTextProcessor
    pad_to_multiple_of: int | None = 8
    num_labels: int | None = None
    tasks: dict[str, list[str]] | None = None
    resize: Callable[[list], list[Image.Image | None]] | None = None

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """
        Args:
            rows: `text`, `image`, and where known `label`, `text_label`, `image_label`, `target`; others are not read.

        Raises:
            ValueError: for a row that cannot be processed, named by its `id`, or a label that is no class index.
        """
        texts, images, targets = ([row.get(key) for row in rows] for key in ("text", "image", "target"))
        if not any(targets):
            targets = None
        batch = {}
        try:
            if self.resize is not None:
                images = self.resize(images)
            batch.update(
                self.processor(
                    text=texts,
                    images=images,
                    target=targets,
                    return_tensors="pt",
                    pad_to_multiple_of=self.pad_to_multiple_of,
                    **({} if self.resize is None else RESIZED),
                )
            )
        except ValueError as error:
            raise ValueError(self._name_row(rows, str(error))) from error
        for side, key in (("text", "input_ids"), ("image", "pixel_values")):
            if key not in batch:
                batch.update(self.processor.empty_side(side, len(rows)))
        if self.tasks is not None:
            if any(task in row for task in self.tasks for row in rows):
                batch["labels"] = torch.stack([self._labels_of_task(rows, task) for task in self.tasks], dim=-1)
            return batch
        for column, key in (("label", "labels"), ("text_label", "text_labels"), ("image_label", "image_labels")):
            if any(column in row for row in rows):
                batch[key] = self._labels(rows, column)
        return batch

    @staticmethod
    def _name_row(rows: list[dict], message: str) -> str:
        """The processor counts rows of the batch; a person knows them by their id."""
        place = re.match(r"(text|images|target)\[(\d+)\]", message)
        if place is None or "id" not in rows[int(place[2])]:
            return message
        return f"Row {rows[int(place[2])]['id']}, {place[1].removesuffix('s')}{message[place.end() :]}"

    def _labels(self, rows: list[dict], column: str) -> torch.Tensor:
        labels = [row.get(column) for row in rows]
        several = any(isinstance(label, list | tuple) for label in labels)
        if several and self.num_labels is None:
            raise ValueError(f"num_labels must be given where {column} holds lists of labels, got None.")
        for row, label in zip(rows, labels, strict=True):
            for index in label if isinstance(label, list | tuple) else [label]:
                self._check_label(row, column, index, self.num_labels)
        if not several:
            return torch.tensor([IGNORED_LABEL if label is None else int(label) for label in labels])
        columns = torch.zeros(len(labels), self.num_labels)
        for row, label in zip(columns, labels, strict=True):
            if label is None:
                row.fill_(IGNORED_LABEL)
            else:
                row[torch.as_tensor(label, dtype=torch.long)] = 1.0
        return columns

    def _labels_of_task(self, rows: list[dict], task: str) -> torch.Tensor:
        """`(B,)` class indices"""
        labels = [row.get(task) for row in rows]
        for row, label in zip(rows, labels, strict=True):
            self._check_label(row, task, label, len(self.tasks[task]))
        return torch.tensor([IGNORED_LABEL if label is None else int(label) for label in labels])

    def _check_label(self, row: dict, column: str, label, size: int | None) -> None:
        """A wrong index would stop the loss without a word of the row, or count from the end."""
        if label is None or label == IGNORED_LABEL:
            return
        below = "" if size is None else f" and < {size}"
        is_index = isinstance(label, numbers.Integral) and label >= 0
        if not is_index or (size is not None and label >= size):
            place = f"Row {row['id']}, {column}" if "id" in row else column
            raise ValueError(f"{place} must be a class index >= 0{below}, or None, got {label!r}.")


__all__ = ["ImageTextCollator"]
