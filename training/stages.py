"""Training in stages, as the authors of MDSE do it: the fusion first, the towers later."""

from transformers import TrainerCallback


class TowerStages(TrainerCallback):
    """Holds the towers still for the first `freeze_text_epochs` and `freeze_image_epochs` of a run, resumed or not.

    Their parameters get no gradient then, so that neither they nor the optimizer's memory of them change.
    """

    def on_epoch_begin(self, args, state, control, model=None, **kwargs):
        epoch = int(state.epoch or 0)
        model.base_model.hold_still(text=epoch < args.freeze_text_epochs, image=epoch < args.freeze_image_epochs)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        model.base_model.hold_still(text=False, image=False)


__all__ = ["TowerStages"]
