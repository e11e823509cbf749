"""What a person sees of a run: one bar, and one line after each evaluation."""

import sys

from transformers.trainer_callback import ProgressCallback

SHOWN = ("loss", "classification_loss", "contrastive_loss")


class RunProgress(ProgressCallback):
    """Trainer's bars, and in place of a dict for each log one line for each evaluation: the training losses last
    logged, and the evaluation's loss, accuracy and the figure that the best model is chosen by."""

    def __init__(self):
        super().__init__()
        self._last_losses: dict[str, float] = {}

    def on_train_begin(self, args, state, control, **kwargs):
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.set_description("train")

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or self.training_bar is None:
            return
        self._last_losses.update({name: logs[name] for name in SHOWN if name in logs})
        metric = f"eval_{(args.metric_for_best_model or 'loss').removeprefix('eval_')}"
        if metric in logs:
            losses = "".join(f"  {name} {value:.4f}" for name, value in self._last_losses.items())
            shown = ["eval_loss", "eval_accuracy", metric]
            figures = "".join(f"  {name} {logs[name]:.4f}" for name in dict.fromkeys(shown) if name in logs)
            self.training_bar.write(f"epoch {state.epoch:g}{losses}{figures}", file=sys.stderr)


__all__ = ["RunProgress"]
