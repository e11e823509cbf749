"""A head's loss apart from its forward, for a batch that does not pass the towers at once."""

from torch import Tensor


class BatchLoss:
    """What a head's loss is computed from, and how, for a `PreTrainedModel` with a `classification_loss` to inherit
    beside its own class.

    `losses(**predictions, **targets)` is the loss of the posts whose rows it is given. So the parts of a batch may be
    run one by one, on one device or several, and their rows joined before the loss is computed.

    Attributes:
        compares_posts: whether the loss compares posts with each other. If not, it is a mean over posts, and the
            parts of a batch add up to it when each is given `num_posts`, the posts that all parts have.
    """

    compares_posts = False

    def loss_inputs(self, output, labels: Tensor, **inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """
        Args:
            output: what the forward gave.
            labels, inputs: what the forward was given.

        Returns: predictions, which have a gradient, and targets: keywords of `losses`, a row a post.
        """
        return {"logits": output.logits}, {"labels": labels}

    def losses(self, logits: Tensor, labels: Tensor, num_posts: Tensor | None = None) -> dict[str, Tensor]:
        """The loss and its terms, by the names that they have in the forward's output."""
        loss = self.classification_loss(logits, labels, num_posts)
        return {"loss": loss, "classification_loss": loss}

    def count_posts(self, labels: Tensor) -> Tensor:
        """How many posts the mean is taken over: scalar, with tasks `(tasks,)`."""
        return self.classification_loss.count_posts(labels)


__all__ = ["BatchLoss"]
