"""The trainer of questions about pictures: of 3,129 logits and scores a question it keeps one each."""

from duosent.training.trainer import ImageTextTrainer


class VisualQuestionTrainer(ImageTextTrainer):
    """`ImageTextTrainer` for models that choose an answer.

    A prediction is the id of the best answer, `(N,)`, not its logits, and a label that answer's score, `(N,)`: all
    logits and scores of VQA v2's validation part would be gigabytes each. The one metric is `accuracy`, the mean score
    of the answers given.

    Args: those of `ImageTextTrainer`, `data_collator` a `VisualQuestionCollator`.
    """

    def __init__(self, *args, **kwargs) -> None:
        if kwargs.get("compute_metrics") is None:
            kwargs["compute_metrics"] = mean_score
        super().__init__(*args, **kwargs)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if logits is None:
            return loss, None, None
        best = logits.argmax(dim=-1)  # (B,)
        return loss, best, None if labels is None else labels.gather(-1, best[:, None]).squeeze(-1)


def mean_score(prediction) -> dict[str, float]:
    return {"accuracy": float(prediction.label_ids.mean())}


__all__ = ["VisualQuestionTrainer"]
