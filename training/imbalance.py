"""Classes of unequal size: weights in the loss, and a sampler that draws each class equally often."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import Sampler

from duosent.data.streaming import StreamedPairs, labels_of
from duosent.modeling.classification_losses import ClassificationLoss
from duosent.modeling.label_scores import label_names
from duosent.modeling.losses import IGNORED_LABEL
from duosent.training.arguments import BALANCED, ImageTextTrainingArguments

MULTI_LABEL = "multi_label_classification"


def training_loss(args: ImageTextTrainingArguments, model: nn.Module, rows) -> ClassificationLoss | None:
    """The classification term that the arguments ask for; None where the model's own, the plain one, is it.

    Args:
        model: with `classification_loss`.
        rows: of the training part.

    Raises:
        ValueError: for a model without such a term, and as `class_weights`.
    """
    if args.class_weights is None and args.focal_gamma == 0 and args.label_smoothing_factor == 0:
        return None
    if not hasattr(model, "classification_loss"):
        raise ValueError(
            "class_weights, focal_gamma and label_smoothing_factor belong to models that classify, "
            f"got {type(model).__name__}."
        )
    config = model.config
    names = label_names(config)
    weights = class_weights(args.class_weights, names, config.problem_type, rows, config.tasks)
    return ClassificationLoss(
        config.problem_type, config.task_sizes(), weights, args.focal_gamma, args.label_smoothing_factor
    )


def class_weights(
    wanted: list[str] | None, names: list[str], problem_type: str | None, rows, tasks: dict | None = None
) -> Tensor | None:
    """`(L,)`, a weight for each label.

    Args:
        wanted: "balanced", or "label=weight" for some labels, the others weighing 1; None for no weights.
        names: of the labels, in the order of the logits.
        problem_type: the config's.
        rows: of the training part, for "balanced": of K classes that occur, that of n_c among n labelled posts weighs
            n / (K n_c), which is 1 on average over the posts. Where a post may have several labels, the weight of
            being there is (n - n_c) / n_c. A label without such a ratio weighs 1. Each task is balanced for itself.
        tasks: the config's.

    Raises:
        ValueError: for a label that is not one, or rows that cannot be counted.
    """
    if wanted is None:
        return None
    if wanted != [BALANCED]:
        given = dict(weight.rpartition("=")[::2] for weight in wanted)
        for name in given:
            if name not in names:
                raise ValueError(f"class_weights must name labels of {', '.join(names)}, got {name!r}.")
        return torch.tensor([float(given.get(name, 1.0)) for name in names])
    option = f"class_weights {BALANCED}"
    if tasks is not None:
        spans = [balanced_weights(column_of(rows, task, option), len(tasks[task]), problem_type) for task in tasks]
        return torch.cat(spans)
    return balanced_weights(column_of(rows, "label", option), len(names), problem_type)


def balanced_weights(labels: list, size: int, problem_type: str | None) -> Tensor:
    """`(size,)`, by the counts of the labels; see `class_weights`."""
    labels = [label for label in labels if is_known(label)]
    if problem_type == MULTI_LABEL:
        counts = Counter(index for label in labels for index in label)
        return torch.tensor(
            [(len(labels) - counts[c]) / counts[c] if 0 < counts[c] < len(labels) else 1.0 for c in range(size)]
        )
    counts = Counter(labels)
    return torch.tensor([len(labels) / (len(counts) * counts[c]) if counts[c] else 1.0 for c in range(size)])


def balanced_sampler(
    args: ImageTextTrainingArguments, problem_type: str | None, rows, tasks: dict | None = None
) -> "BalancedSampler":
    """The sampler of the training part, drawn by `data_seed`, or else `seed`.

    Raises:
        ValueError: where a post may be of several classes, or the rows cannot be counted.
    """
    if problem_type == MULTI_LABEL:
        raise ValueError("balanced_sampling must be off where a post may have several labels: it draws by the label.")
    if not isinstance(rows, Dataset):
        raise ValueError(
            f"balanced_sampling needs a training part that is held as a whole, got {type(rows).__name__}."
        )
    if tasks is not None:
        raise ValueError(
            "balanced_sampling must be off with several tasks: it draws by the label, of which a post has several."
        )
    labels = column_of(rows, "label", "balanced_sampling")
    return BalancedSampler(labels, args.seed_of_draws)


def column_of(rows, column: str, option: str) -> list:
    """All labels of the training part.

    Raises:
        ValueError: for rows of another class, or without such a column.
    """
    if not isinstance(rows, Dataset | StreamedPairs):
        raise ValueError(f"{option} needs rows as load_pairs gives them, got {type(rows).__name__}.")
    if column not in rows.features:
        raise ValueError(f"{option} needs a column {column} in the training part, got {', '.join(rows.features)}.")
    return labels_of(rows, column)


def is_known(label) -> bool:
    return label is not None and label != IGNORED_LABEL


class BalancedSampler(Sampler[int]):
    """Places of posts, in an epoch of each class as many as of any other.

    An epoch is as long as the labelled part, rounded up to full rounds of the classes. Of one class every post comes
    as often as the others but for one time: a class that is too small is gone through again and again, of one that is
    too large a new part is drawn each epoch. Posts without a label are left out. Order and draws depend on seed and
    epoch alone, so that all processes of a run, and a resumed one, have the same.

    Args:
        labels: of the posts, class indices; None or -100 for none.
        seed: of the draws.

    Raises:
        ValueError: if no post has a label.
    """

    def __init__(self, labels: Sequence[int | None], seed: int):
        places: dict[int, list[int]] = {}
        for place, label in enumerate(labels):
            if is_known(label):
                places.setdefault(label, []).append(place)
        if not places:
            raise ValueError(f"balanced_sampling needs a post with a label, got none in {len(labels)}.")
        self._places = [places[label] for label in sorted(places)]
        self._each = -(-sum(map(len, self._places)) // len(self._places))
        self.seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._each * len(self._places)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self.seed}:{self._epoch}")
        drawn = []
        for places in self._places:
            times, more = divmod(self._each, len(places))
            drawn += places * times + rng.sample(places, more)
        rng.shuffle(drawn)
        return iter(drawn)


__all__ = ["BalancedSampler", "balanced_sampler", "class_weights", "training_loss"]
