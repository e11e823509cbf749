"""`duosent evaluate --calibrate`: what is fitted on a part, what it is worth, and where it is kept."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from duosent.modeling.fitted_calibration import (
    calibrated_logits,
    confidence_key,
    task_fits,
    task_widths,
    why_no_confidence,
    why_no_sets,
)
from duosent.training.calibration_figures import BINS, calibration_figures, outcomes, reliability, scores_of
from duosent.training.checkpoints import CallError, answers_questions, read_config
from duosent.training.metrics import IGNORED
from duosent.training.temperature import abstain_threshold, fit_temperature, set_thresholds

USUAL_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Calibration:
    """What an evaluation says of scores.

    Args:
        fit: fit temperatures and thresholds anew. What they are worth is measured on posts that had no share in them:
            fitted on one half of the posts, measured on the other, and the other way round.
        accuracy_target: with `fit`, find from which score on so many answers are right, in (0, 1].
        confidence: of label sets whose coverage is told; with `fit` None tells that of 0.9.
        seed: draws the halves.
        bins: leave the bins of a reliability plot in the record.
    """

    fit: bool = False
    accuracy_target: float | None = None
    confidence: float | None = None
    seed: int = 0
    bins: bool = False

    def check(self, checkpoint: str, split: str, model) -> None:
        """
        Raises:
            CallError: for what cannot be asked of a checkpoint, before it answers anything.
        """
        asked = [name for name in ("accuracy_target", "confidence") if getattr(self, name) is not None]
        if not (self.fit or asked or self.bins):
            return
        if answers_questions(model):
            raise CallError("Calibration must go with a model that classifies posts, got one that answers questions.")
        if asked and model.config.problem_type == "multi_label_classification":
            raise CallError(f"{asked[0]} must go with a model of one label a post, got one of several.")
        if self.accuracy_target is not None and not self.fit:
            raise CallError("accuracy_target must be given with calibrate.")
        if self.accuracy_target is not None and not 0 < self.accuracy_target <= 1:
            raise CallError(f"accuracy_target must be > 0 and <= 1, got {self.accuracy_target}.")
        if self.confidence is not None:
            # What is stored so far does not matter to a fit.
            reason = why_no_confidence(self.confidence) if self.fit else why_no_sets(model.config, self.confidence)
            if reason is not None:
                raise CallError(reason)
        if not self.fit:
            return
        if not Path(checkpoint).is_dir():
            raise CallError(f"calibrate must go with a folder, to be written to, got {checkpoint} of the Hub.")
        if split == "train":
            raise CallError("calibrate must not be given for the train part: its answers are better than others.")

    def record(self, logits: np.ndarray, references: np.ndarray, config) -> dict:
        """What an evaluation's file says under `calibration`, and with `fit` a config.

        Args:
            logits: `(N, L)`, as the model gives them.
            references: `(N,)` class indices, or `(N, L)` of 0 and 1, or with tasks `(N, tasks)`; -100 for no label.
            config: the model's.

        Returns: `bins`, their number; `tasks`, by name (`label` where there is one task only) of each that has posts:
            `n`, `scores`, the figures of the scores as the pipeline gives them (`calibration_figures`), `sets` and
            `abstain` where these are known or asked for. With `fit`, see `_fitted`, and `seed`.

        Raises:
            CallError: if something cannot be fitted.
        """
        tasks = {}
        fits = dict(zip(task_widths(config), task_fits(config), strict=True))
        scaled = logits if self.fit else calibrated_logits(torch.tensor(logits), config).numpy()
        for task, (own, labels) in by_task(scaled, references, config).items():
            if not self.fit:
                tasks[task] = self._measured(own, labels, fits[task])
                continue
            try:
                tasks[task] = self._fitted(own, labels)
            except ValueError as error:
                name = "" if config.tasks is None else f" {task}"
                raise CallError(f"The checkpoint{name} cannot be calibrated: {error}.") from error
        if self.fit and len(tasks) < len(fits):
            raise CallError(f"calibrate needs posts of every task, got none of {', '.join(set(fits) - set(tasks))}.")
        return {"bins": BINS, "tasks": tasks} | ({"seed": self.seed} if self.fit else {})

    def _measured(self, logits: np.ndarray, labels: np.ndarray, fit: dict) -> dict:
        """Of scores as they are.

        Args:
            logits: `(N, L)`, divided by the temperature.
        """
        scores = scores_of(logits, labels)
        found = {"n": len(labels), "scores": calibration_figures(logits, labels)}
        if self.confidence is not None:
            threshold = fit["set_thresholds"][confidence_key(self.confidence)]
            found["sets"] = {"confidence": self.confidence, **set_figures(scores >= threshold, labels)}
        if "abstain" in fit:
            sure, right = outcomes(scores, labels)
            known = {name: fit["abstain"][name] for name in ("accuracy_target", "threshold")}
            found["abstain"] = known | answered_figures(sure >= known["threshold"], right)
        return found | ({"reliability": {"scores": reliability(*outcomes(scores, labels))}} if self.bins else {})

    def _fitted(self, logits: np.ndarray, labels: np.ndarray) -> dict:
        """Fitted on all posts; measured half by half, each by the fit of the other one.

        Returns: `n`, `num_labels`, `temperature`, `before` and `after`, the figures without and with a temperature,
            `set_thresholds`, `sets`, and with a target `abstain`.

        Raises:
            ValueError: if a fit, on all posts or on a half of them, cannot be.
        """
        whole = self._fit(logits, labels)
        if self.accuracy_target is not None and whole["abstain"] is None:
            raise ValueError(f"no score is high enough for an accuracy_target of {self.accuracy_target}")
        order = np.random.default_rng(self.seed).permutation(len(labels))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        scaled = np.empty(logits.shape)
        chosen, answered = np.zeros(logits.shape, bool), np.zeros(len(labels), bool)
        for fitted_on, measured_on in (halves, halves[::-1]):
            try:
                fit = self._fit(logits[fitted_on], labels[fitted_on])
            except ValueError as error:
                raise ValueError(f"on half of the posts, {error}") from error
            scaled[measured_on] = logits[measured_on] / fit["temperature"]
            scores = scores_of(scaled[measured_on], labels[measured_on])
            # What no score of this half is high enough for gets no answer; what half the posts are too few for, all.
            if "abstain" in fit:
                threshold = np.inf if fit["abstain"] is None else fit["abstain"]
                answered[measured_on] = scores.max(axis=-1) >= threshold
            if "set_thresholds" in fit:
                chosen[measured_on] = scores >= fit["set_thresholds"].get(self._percent(), 0.0)

        right = outcomes(scaled, labels)[1]
        found = {
            "n": len(labels),
            "num_labels": logits.shape[1],
            "temperature": whole["temperature"],
            "before": calibration_figures(logits, labels),
            "after": calibration_figures(scaled, labels),
        }
        if "set_thresholds" in whole:
            thresholds = whole["set_thresholds"].items()
            found["set_thresholds"] = {confidence_key(percent / 100): value for percent, value in thresholds}
            found["sets"] = {"confidence": self._percent() / 100, **set_figures(chosen, labels)}
        if "abstain" in whole:
            known = {"accuracy_target": self.accuracy_target, "threshold": whole["abstain"]}
            found["abstain"] = known | answered_figures(answered, right)
        if self.bins:
            curves = {"before": logits, "after": scaled}
            found["reliability"] = {
                name: reliability(*outcomes(scores_of(of, labels), labels)) for name, of in curves.items()
            }
        return found

    def _fit(self, logits: np.ndarray, labels: np.ndarray) -> dict:
        temperature = fit_temperature(logits, labels)
        fit = {"temperature": temperature}
        if labels.ndim == 2:
            return fit
        scores = scores_of(logits / temperature, labels)
        fit["set_thresholds"] = set_thresholds(scores, labels)
        if self.accuracy_target is not None:
            fit["abstain"] = abstain_threshold(*outcomes(scores, labels), self.accuracy_target)
        return fit

    def _percent(self) -> int:
        return round(100 * (USUAL_CONFIDENCE if self.confidence is None else self.confidence))


def by_task(logits: np.ndarray, references: np.ndarray, config) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Logits `(n, labels)` and labels of each task's posts that have one; a task without any is left out.

    Args: as in `Calibration.record`. The labels are `(n,)` class indices, or `(n, L)` of 0 and 1.
    """
    spans = np.split(np.asarray(logits, np.float64), np.cumsum(list(task_widths(config).values()))[:-1], axis=-1)
    labels = [references] if config.tasks is None else list(references.T)
    found = {}
    for task, span, own in zip(task_widths(config), spans, labels, strict=True):
        known = (own != IGNORED).all(axis=1) if own.ndim == 2 else own != IGNORED
        if known.any():
            found[task] = span[known], own[known].astype(np.int64)
    return found


def set_figures(chosen: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`coverage`, the share of sets with the true label, `mean_size` and `empty`, the share of sets without a label.

    Args:
        chosen: `(N, L)` bool.
        labels: `(N,)` class indices.
    """
    sizes = chosen.sum(axis=-1)
    covered = chosen[np.arange(len(labels)), labels]
    figures = {"coverage": covered.mean(), "mean_size": sizes.mean(), "empty": (sizes == 0).mean()}
    return {name: float(value) for name, value in figures.items()}


def answered_figures(answered: np.ndarray, right: np.ndarray) -> dict[str, float | None]:
    """`coverage`, the share of posts with an answer, and `accuracy` of these; None where there is none."""
    accuracy = float(right[answered].mean()) if answered.any() else None
    return {"coverage": float(answered.mean()), "accuracy": accuracy}


def store_calibration(checkpoint: str, record: dict, part: dict) -> None:
    """Write a record into the config of a checkpoint folder, each file whole or not at all, with the code that reads
    it.

    Args:
        record: with `fit`; its reliability bins are left out.
        part: what it was fitted on, `split` and `fingerprint`.
    """
    tasks = {
        task: {name: value for name, value in of_task.items() if name != "reliability"}
        for task, of_task in record["tasks"].items()
    }
    config = read_config(checkpoint)
    config.calibration = {**record, "tasks": tasks, **part}
    with tempfile.TemporaryDirectory(dir=checkpoint, prefix=".calibration-") as folder:
        config.save_pretrained(folder)
        # The config goes last: until then everything is as it was.
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == "config.json"):
            file.replace(Path(checkpoint) / file.name)


__all__ = ["Calibration", "by_task", "store_calibration"]
