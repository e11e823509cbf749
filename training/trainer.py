"""The Trainer of transformers, with every loss term in the log and a learning rate for each tower."""

from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_pt_utils import nested_gather

from duosent.data.streaming import StreamedBatches, StreamedPairs
from duosent.processing.modality_dropout import ModalityDropout
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.augmenting import AugmentationEpoch, augmenting
from duosent.training.epochs import EpochTeller
from duosent.training.imbalance import balanced_sampler, training_loss
from duosent.training.metrics import compute_metrics_for
from duosent.training.sides import check_reads_both

ARGUMENTS_FILE = "arguments.json"
TOWERS = {"text_model": "text_learning_rate", "vision_model": "image_learning_rate"}


def loss_terms(outputs) -> dict[str, Tensor]:
    """The named parts of a model's loss, `classification_loss` and so on; a part that the model leaves at None is not
    there."""
    return {name: term for name, term in outputs.items() if name.endswith("_loss") and term is not None}


class StreamEpoch(TrainerCallback):
    """Tells streamed batches which epoch it is. Trainer tells its data loader, but not in an epoch that it resumes."""

    def __init__(self, batches: StreamedBatches):
        self.batches = batches

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.batches.set_epoch(int(state.epoch))


class ImageTextTrainer(Trainer):
    """`transformers.Trainer` for the models of this package.

    - Each loss term is logged under its own name beside `loss`: in training the mean since the last log, in evaluation
      the mean over the posts with the prefix in front (`eval_classification_loss`).
    - Text tower, image tower and the rest have learning rates of their own.
    - With `augment` the posts of `train_dataset`, and no others, are augmented; see `AugmentingCollator`.
    - With `modality_dropout` some of them lose a side; see `ModalityDropout`.
    - `class_weights`, `focal_gamma` and `label_smoothing_factor` act on the classification term alone, in training
      alone; `balanced_sampling` draws each class equally often. See `ClassificationLoss`, `BalancedSampler`.
    - The processor is saved in every checkpoint, and the arguments as `arguments.json`.

    Args: those of `transformers.Trainer`, `data_collator` an `ImageTextCollator`. Where they are not given, the
        metrics are those of `ImageTextMetrics` and the processor is the collator's.
    """

    def __init__(
        self, model=None, args=None, data_collator=None, train_dataset=None, eval_dataset=None, **kwargs
    ) -> None:
        if args is None:
            blind = {"eval_strategy": "no", "load_best_model_at_end": False}
            args = ImageTextTrainingArguments(**(blind if eval_dataset is None else {}))
        if model is not None and kwargs.get("compute_metrics") is None:
            kwargs["compute_metrics"] = compute_metrics_for(model.config)
        super().__init__(model, args, data_collator, train_dataset, eval_dataset, **kwargs)
        self.processor = self.processing_class or getattr(data_collator, "processor", None)
        if args.stops_early:
            self.add_callback(EarlyStoppingCallback(args.early_stopping_patience))
        self._augmenting_collator = augmenting(self.data_collator, args) if args.augment else None
        if args.augment:
            self.add_callback(AugmentationEpoch(self._augmenting_collator))
        self._training_collator = self._augmenting_collator
        if args.modality_dropout:
            self._training_collator = self._dropping_sides(self._augmenting_collator or self.data_collator)
            self.add_callback(EpochTeller(self._training_collator))
        self.label_smoother = None  # Trainer's would take the place of the model's whole loss
        balanced_loss = None if train_dataset is None else training_loss(args, self.model, train_dataset)
        if balanced_loss is not None:
            self.model.classification_loss = balanced_loss.to(self.model.device)
        self._sampler = None
        if train_dataset is not None and args.balanced_sampling:
            self._sampler = balanced_sampler(
                args, self.model.config.problem_type, train_dataset, self.model.config.tasks
            )
            # Accelerate does not reach it in the epoch that several processes resume.
            self.add_callback(EpochTeller(self._sampler))
        self._term_sums: dict[str, Tensor] = {}
        self._steps_summed = 0.0
        self._evaluated_terms: dict[str, list[Tensor]] = defaultdict(list)

    def _dropping_sides(self, collator) -> ModalityDropout:
        """
        Raises:
            CallError: for a model that reads one side.
        """
        args = self.args
        check_reads_both(self.model, "modality_dropout")
        return ModalityDropout(
            collator, args.modality_dropout, args.seed if args.data_seed is None else args.data_seed
        )

    def get_train_dataloader(self):
        """Evaluation and prediction have loaders of their own, which never meet augmentation or lost sides."""
        plain = self.data_collator
        self.data_collator = self._training_collator or plain
        try:
            streamed = isinstance(self.train_dataset, StreamedPairs)
            return self._streamed_loader() if streamed else super().get_train_dataloader()
        finally:
            self.data_collator = plain

    def _get_train_sampler(self, train_dataset=None):
        return super()._get_train_sampler(train_dataset) if self._sampler is None else self._sampler

    # Loss terms

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        for name, term in loss_terms(outputs).items():
            term = term.detach().float().mean()  # one value from each GPU under DataParallel
            if model.training:
                share = term / self.current_gradient_accumulation_steps
                self._term_sums[name] = self._term_sums[name] + share if name in self._term_sums else share
            else:
                # As Trainer does with the loss: a value per post, so that a short last batch counts for what it holds.
                self._evaluated_terms[name].append(self.gather_function(term.repeat(len(outputs["logits"]))))
        if model.training:
            self._steps_summed += 1 / self.current_gradient_accumulation_steps
        return (loss, outputs) if return_outputs else loss

    def log(self, logs, start_time=None):
        if "loss" in logs and self._term_sums:
            # The only point at which the sums leave the device.
            names = sorted(self._term_sums)
            sums = nested_gather(torch.stack([self._term_sums[name] for name in names])[None], self.args.parallel_mode)
            for name, total in zip(names, sums.mean(dim=0).tolist(), strict=True):
                logs[name] = total / self._steps_summed
            self._term_sums, self._steps_summed = {}, 0.0
        super().log(logs, start_time)

    def evaluation_loop(self, dataloader, description, *args, metric_key_prefix="eval", **kwargs):
        self._evaluated_terms.clear()
        output = super().evaluation_loop(dataloader, description, *args, metric_key_prefix=metric_key_prefix, **kwargs)
        for name, values in self._evaluated_terms.items():
            output.metrics[f"{metric_key_prefix}_{name}"] = torch.cat(values).mean().item()
        return output

    # Streamed posts

    def _streamed_loader(self) -> DataLoader:
        """A streamed training part deals its rows out to the processes by itself: Accelerate must not do it again."""
        args = self.args
        batches = StreamedBatches(
            self.train_dataset,
            self._train_batch_size,
            args.shuffle_buffer_size,
            args.seed if args.data_seed is None else args.data_seed,
            args.process_index,
            args.world_size,
            args.dataloader_drop_last,
        )
        self.add_callback(StreamEpoch(batches))
        return DataLoader(
            batches,
            batch_size=None,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )

    def num_examples(self, dataloader):
        """Posts, also where the data loader's rows are batches."""
        dataset = dataloader.dataset
        return len(dataset.rows) if isinstance(dataset, StreamedBatches) else super().num_examples(dataloader)

    # Learning rates

    def create_optimizer(self, model=None):
        if self.optimizer is not None or self.optimizer_cls_and_kwargs is not None:
            return super().create_optimizer(model)
        trained = self.model if model is None else model
        optimizer_class, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
        if not isinstance(optimizer_class, type) or {"params", "model", "optimizer_dict"} & options.keys():
            if self.args.text_learning_rate is not None or self.args.image_learning_rate is not None:
                raise ValueError(
                    f"text_learning_rate and image_learning_rate must be None with optim {self.args.optim}, "
                    "which makes its own parameter groups."
                )
            return super().create_optimizer(model)
        # Trainer takes ready groups under the name `params`.
        self.optimizer_cls_and_kwargs = optimizer_class, {**options, "params": self.parameter_groups(trained)}
        try:
            return super().create_optimizer(model)
        finally:
            self.optimizer_cls_and_kwargs = None

    def parameter_groups(self, model: nn.Module) -> list[dict]:
        """Trainable parameters by learning rate and weight decay.

        Returns: up to six groups, first those outside the towers (so that the logged `learning_rate` is theirs), then
            the text tower's and the image tower's; of each pair the first decays and the second, biases and norms,
            does not. Empty groups are left out.
        """
        rates = {"": self.args.learning_rate}
        for tower, option in TOWERS.items():
            rate = getattr(self.args, option)
            rates[tower] = self.args.learning_rate if rate is None else rate
        decaying = set(self.get_decay_parameter_names(model))
        groups = {
            (tower, decay): {"params": [], "lr": rate, "weight_decay": decay}
            for tower, rate in rates.items()
            for decay in (self.args.weight_decay, 0.0)
        }
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                tower = next((part for part in name.split(".") if part in TOWERS), "")
                groups[tower, self.args.weight_decay if name in decaying else 0.0]["params"].append(parameter)
        return [group for group in groups.values() if group["params"]]

    def get_decay_parameter_names(self, model) -> list[str]:
        """Trainer's rule knows layer norms only; a batch norm's weight, like every bias, has one dimension."""
        shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
        return [name for name in super().get_decay_parameter_names(model) if shapes[name] > 1]

    # Checkpoints

    def _save(self, output_dir=None, state_dict=None):
        super()._save(output_dir, state_dict)
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        if self.processing_class is None and self.processor is not None:
            self.processor.save_pretrained(folder)
        # Trainer's own record of the arguments is a pickle, which nobody should have to open.
        (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
        (folder / ARGUMENTS_FILE).write_text(self.args.to_json_string() + "\n", encoding="utf-8")


__all__ = ["ImageTextTrainer", "loss_terms"]
