"""The classification term of every model's loss, which in training may weigh classes and hard posts."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duosent.modeling.losses import IGNORED_LABEL, classification_loss, count_labelled


class ClassificationLoss(nn.Module):
    """`classification_loss`; in training, where one of the arguments asks for it, `balanced_classification_loss`.

    As with dropout, the arguments act in training alone: the losses of evaluations compare, however the models were
    trained. The weights are no part of a checkpoint.

    Args:
        problem_type: the config's.
        task_sizes: of several labels in one model, how many each task has; the loss is then the mean over the tasks,
            a task without a label in the batch counting as 0. None for a single task.
        class_weights, focal_gamma, label_smoothing: see `balanced_classification_loss`.
    """

    def __init__(
        self,
        problem_type: str | None = None,
        task_sizes: list[int] | None = None,
        class_weights: Tensor | None = None,
        focal_gamma: float = 0.0,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        self.several = problem_type == "multi_label_classification"
        self.problem_type, self.task_sizes = problem_type, task_sizes
        self.focal_gamma, self.label_smoothing = focal_gamma, label_smoothing
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.plain = class_weights is None and focal_gamma == 0 and label_smoothing == 0

    def forward(self, logits: Tensor, labels: Tensor, num_posts: Tensor | None = None) -> Tensor:
        """
        Args:
            logits: `(B, L)`.
            labels: as in `classification_loss`; with tasks `(B, tasks)` class indices, -100 for none.
            num_posts: as in `classification_loss`; with tasks `(tasks,)`.

        Returns: scalar.

        Raises:
            ValueError: for labels that are not one a task.
        """
        if self.task_sizes is None:
            return self._of_one_task(logits, labels, self.class_weights, num_posts)
        if labels.shape != (len(logits), len(self.task_sizes)):
            wanted, got = (len(logits), len(self.task_sizes)), tuple(labels.shape)
            raise ValueError(f"labels must be of shape (posts, tasks), here {wanted}, got {got}.")
        spans = logits.split(self.task_sizes, dim=-1)
        weights = [None] * len(spans) if self.class_weights is None else self.class_weights.split(self.task_sizes)
        posts = [None] * len(spans) if num_posts is None else num_posts.unbind()
        of_tasks = zip(spans, labels.unbind(dim=-1), weights, posts, strict=True)
        return torch.stack([self._of_one_task(*of_task) for of_task in of_tasks]).mean()

    def count_posts(self, labels: Tensor) -> Tensor:
        """How many posts the mean is taken over: scalar, with tasks `(tasks,)`."""
        return count_labelled(labels) if self.task_sizes is None else (labels != IGNORED_LABEL).sum(dim=0)

    def _of_one_task(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor | None, num_posts: Tensor | None
    ) -> Tensor:
        if self.plain or not self.training:
            return classification_loss(logits, labels, self.problem_type, num_posts)
        balanced = binary_balanced_loss if self.several else balanced_classification_loss
        return balanced(logits, labels, class_weights, self.focal_gamma, self.label_smoothing, num_posts)


def balanced_classification_loss(
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    focal_gamma: float = 0.0,
    label_smoothing: float = 0.0,
    num_posts: Tensor | None = None,
) -> Tensor:
    """Cross-entropy with weights of classes, focal loss and smoothed labels, each alone or together.

    Of a post, with `p` the softmax and the target `q = (1 - s) [c = label] + s / L`:
    `sum_c w_c q_c (1 - p_c)^gamma (-log p_c)`.
    Focal loss is (4) and (5) of Lin et al., "Focal loss for dense object detection" (ICCV 2017), `w` their alpha;
    label smoothing is section 7 of Szegedy et al., "Rethinking the Inception architecture" (CVPR 2016).

    Args:
        logits: `(B, L)`.
        labels: `(B,)` class indices, -100 for none.
        class_weights: `(L,)`, `w`, >= 0; None for 1.
        focal_gamma: >= 0; 0 for no focus on hard posts.
        label_smoothing: `s`, in [0, 1).
        num_posts: as in `classification_loss`.

    Returns: scalar, the mean over the posts that have a label; 0 with a gradient of 0 where none has. Other than in
        torch, the sum is not divided by the weights of the batch's labels: a post counts the same, whatever stands
        beside it.
    """
    log_p = in_full(logits).log_softmax(dim=-1)
    known = labels != IGNORED_LABEL  # (B,)
    truth = F.one_hot(labels.masked_fill(~known, 0), logits.shape[-1]).to(log_p.dtype)  # (B, L)
    q = (1 - label_smoothing) * truth + label_smoothing / logits.shape[-1]
    each = q * hardness(log_p, focal_gamma) * -log_p
    if class_weights is not None:
        each = each * class_weights.to(log_p.dtype)
    return mean_of_known(each.sum(dim=-1), known, num_posts)


def binary_balanced_loss(
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    focal_gamma: float = 0.0,
    label_smoothing: float = 0.0,
    num_posts: Tensor | None = None,
) -> Tensor:
    """The same for several labels a post: binary cross-entropy, each label for itself.

    Of a label, with `p` its probability and the target `q = (1 - s) y + s / 2`:
    `w q (1 - p)^gamma (-log p) + (1 - q) p^gamma (-log(1 - p))`, `w` the weight of being there.

    Args:
        logits: `(B, L)`.
        labels: `(B, L)` of 0 and 1, a row that holds -100 having no label.
        class_weights, focal_gamma, label_smoothing, num_posts: see `balanced_classification_loss`.

    Returns: scalar, mean over the labels and over the posts that have them.
    """
    known = (labels != IGNORED_LABEL).all(dim=-1)  # (B,)
    log_p, log_not_p = F.logsigmoid(in_full(logits)), F.logsigmoid(-in_full(logits))  # (B, L)
    q = (1 - label_smoothing) * labels.to(log_p.dtype).masked_fill(~known[:, None], 0.0) + label_smoothing / 2
    there = q * hardness(log_p, focal_gamma) * -log_p
    if class_weights is not None:
        there = there * class_weights.to(log_p.dtype)
    not_there = (1 - q) * hardness(log_not_p, focal_gamma) * -log_not_p
    return mean_of_known((there + not_there).mean(dim=-1), known, num_posts)


def in_full(logits: Tensor) -> Tensor:
    """In single precision at least: half is too coarse for logarithms of probabilities."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def hardness(log_p: Tensor, gamma: float) -> Tensor:
    """`(1 - p)^gamma` from `log p`; its gradient is finite at p = 1 too, where that of a root is not."""
    if gamma == 0:
        return torch.ones_like(log_p)
    return (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny) ** gamma


def mean_of_known(each: Tensor, known: Tensor, num_posts: Tensor | None) -> Tensor:
    """The sum of `each (B,)` over the posts that are `known (B,)`, over `num_posts` or, where that is None, their
    number; 0 where none is."""
    num_posts = known.sum() if num_posts is None else num_posts
    return each.masked_fill(~known, 0.0).sum() / num_posts.clamp_min(1)


__all__ = ["ClassificationLoss", "balanced_classification_loss", "binary_balanced_loss"]
