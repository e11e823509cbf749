"""What draws anew in each epoch has to be told which one it is."""

from transformers import TrainerCallback


class EpochTeller(TrainerCallback):
    """Tells a collator, a sampler or a stream with `set_epoch` which epoch begins, also that of a resumed run."""

    def __init__(self, listener) -> None:
        self.listener = listener

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.listener.set_epoch(int(state.epoch))  # a run resumed within an epoch begins at 2.5, say


__all__ = ["EpochTeller"]
