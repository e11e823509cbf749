"""The Trainer of transformers, with every loss term in the log and a learning rate for each tower."""

import functools
import logging
from collections import defaultdict
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from huggingface_hub import HfApi
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME
from transformers.trainer_pt_utils import nested_gather
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from duosent.data.streaming import StreamedBatches, StreamedPairs
from duosent.hub_cards.card_facts import CardFacts
from duosent.hub_cards.card_writer import KeptCardError, save_card
from duosent.hub_cards.publishing import publish
from duosent.processing.full_masks import FullMasksLeftOut
from duosent.processing.modality_dropout import ModalityDropout
from duosent.training.adapters import (
    add_adapters,
    has_adapters,
    load_adapters,
    merged_state,
    remove_adapters,
    save_adapters,
    towers_source,
)
from duosent.training.arguments import GROUP_BY_LENGTH, ImageTextTrainingArguments
from duosent.training.augmenting import augmenting
from duosent.training.checkpoints import CallError
from duosent.training.epochs import EpochTeller
from duosent.training.feature_cache import FeatureCounts, cache_features
from duosent.training.fsdp_units import fsdp_units
from duosent.training.imbalance import balanced_sampler, training_loss
from duosent.training.length_groups import length_grouped_sampler
from duosent.training.metrics import compute_metrics_for
from duosent.training.parameter_groups import parameter_groups
from duosent.training.picture_cache import cache_pictures
from duosent.training.sides import check_reads_both
from duosent.training.stages import TowerStages
from duosent.training.whole_batch import CachedBatch, SummedBatch, chunks_of

logger = logging.getLogger(__name__)

ARGUMENTS_FILE = "arguments.json"


def loss_terms(outputs) -> dict[str, Tensor]:
    """The named parts of a model's loss, `classification_loss` and so on; a part that the model leaves at None is not
    there."""
    return {name: term for name, term in outputs.items() if name.endswith("_loss") and term is not None}


def _listed(words: str | list[str] | None) -> list[str] | None:
    return [words] if isinstance(words, str) else words


class ImageTextTrainer(Trainer):
    """`transformers.Trainer` for the models of this package.

    - Each loss term is logged under its own name beside `loss`: in training the mean since the last log, in evaluation
      the mean over the posts with the prefix in front (`eval_classification_loss`).
    - Text tower, image tower and the rest have learning rates of their own, which may fall from layer to layer of a
      tower; towers may be held still in the first epochs.
    - The loss of a step is that of all its posts as one batch, whatever `gradient_accumulation_steps`, the number of
      processes and `contrastive_chunk_size`; see `duosent.training.whole_batch`. A batch norm in training mode alone
      sees no further than its own part, which a warning says.
    - With `augment` the posts of `train_dataset`, and no others, are augmented; see `AugmentingCollator`.
    - With `modality_dropout` some of them lose a side; see `ModalityDropout`.
    - With `cache_features` frozen towers are computed once; see `duosent.training.feature_cache`.
    - With `cache_pictures` each picture is decoded once; see `duosent.training.picture_cache`.
    - `class_weights`, `focal_gamma` and `label_smoothing_factor` act on the classification term alone, in training
      alone; `balanced_sampling` draws each class equally often. See `ClassificationLoss`, `BalancedSampler`.
    - With `train_sampling_strategy="group_by_length"` the posts of a training batch have texts of similar length, see
      `LengthGroupedSampler`; an evaluation has them in their order.
    - With `lora_rank` the towers of `model` get adapters, see `add_adapters`; checkpoints during training hold them,
      and `save_model` leaves what `lora_save` says.
    - The processor is saved in every checkpoint, and the arguments as `arguments.json`.

    Args: those of `transformers.Trainer`, `data_collator` an `ImageTextCollator`. Where they are not given, the
        metrics are those of `ImageTextMetrics` and the processor is the collator's.
    """

    _merging = True

    def __init__(
        self, model=None, args=None, data_collator=None, train_dataset=None, eval_dataset=None, **kwargs
    ) -> None:
        if args is None:
            blind = {"eval_strategy": "no", "load_best_model_at_end": False}
            args = ImageTextTrainingArguments(**(blind if eval_dataset is None else {}))
        if model is not None and kwargs.get("compute_metrics") is None:
            kwargs["compute_metrics"] = compute_metrics_for(model.config)
        if args.lora_rank is not None:
            self._add_adapters(model, args)
        super().__init__(model, args, data_collator, train_dataset, eval_dataset, **kwargs)
        if args.lora_rank is not None and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise CallError("lora_rank must be None with FSDP or DeepSpeed, which keep the weights in parts.")
        if self.is_fsdp_enabled and self.accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap is None:
            self.accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap = fsdp_units(self.model)
        self.processor = self.processing_class or getattr(data_collator, "processor", None)
        if args.stops_early:
            self.add_callback(EarlyStoppingCallback(args.early_stopping_patience))
        if args.freeze_text_epochs or args.freeze_image_epochs:
            self.add_callback(TowerStages())
        if args.cache_features is not None:
            self.add_callback(FeatureCounts(cache_features(self.model, args)))
        if args.cache_pictures is not None:
            self.data_collator = cache_pictures(self.data_collator, args.cache_pictures)
        self._augmenting_collator = augmenting(self.data_collator, args) if args.augment else None
        if args.augment:
            self.add_callback(EpochTeller(self._augmenting_collator))
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
        if train_dataset is not None and args.train_sampling_strategy == GROUP_BY_LENGTH:
            self._sampler = length_grouped_sampler(args, train_dataset, self.processor, self._sampler)
        if self._sampler is not None:
            # Accelerate does not reach it in the epoch that several processes resume.
            self.add_callback(EpochTeller(self._sampler))
        self._whole_batch: SummedBatch | CachedBatch | None = None
        self._check_whole_batch()
        self._term_sums: dict[str, Tensor] = {}
        self._steps_summed = 0
        self._evaluated_terms: dict[str, list[Tensor]] = defaultdict(list)

    @staticmethod
    def _add_adapters(model, args: ImageTextTrainingArguments) -> None:
        """
        Raises:
            CallError: as `add_adapters`; and if adapters were to be saved that name no towers.
        """
        if args.lora_save == "adapter" and not towers_source(model):
            raise CallError("lora_save must be merged with towers that come from no folder or Hub, got adapter.")
        if has_adapters(model):
            return
        alpha = 2 * args.lora_rank if args.lora_alpha is None else args.lora_alpha
        try:
            add_adapters(model, args.lora_rank, alpha, args.lora_dropout, args.lora_targets)
        except ValueError as error:
            raise CallError(str(error)) from error

    def _dropping_sides(self, collator) -> ModalityDropout:
        """
        Raises:
            CallError: for a model that reads one side.
        """
        check_reads_both(self.model, "modality_dropout")
        return ModalityDropout(collator, self.args.modality_dropout, seed=self.args.seed_of_draws)

    def train(self, *args, **kwargs):
        """As in transformers. What was fitted to the weights so far is no longer known of them."""
        self.model.config.calibration = None
        return super().train(*args, **kwargs)

    def get_train_dataloader(self):
        """Evaluation and prediction have loaders of their own, which never meet augmentation or lost sides."""
        with self._collating(self._training_collator or self.data_collator):
            streamed = isinstance(self.train_dataset, StreamedPairs)
            return self._streamed_loader() if streamed else super().get_train_dataloader()

    def get_eval_dataloader(self, eval_dataset=None):
        with self._collating(self.data_collator):
            return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset):
        with self._collating(self.data_collator):
            return super().get_test_dataloader(test_dataset)

    @contextmanager
    def _collating(self, collator):
        """Loaders made here have batches of the collator, without masks that hide nothing."""
        plain = self.data_collator
        # A compiled model is compiled anew for each set of inputs: it has the same ones in every batch.
        self.data_collator = collator if self.args.torch_compile else FullMasksLeftOut(collator)
        try:
            yield
        finally:
            self.data_collator = plain

    def _get_train_sampler(self, train_dataset=None):
        return super()._get_train_sampler(train_dataset) if self._sampler is None else self._sampler

    def _get_eval_sampler(self, eval_dataset):
        """None: the answers come in the order of the posts. Trainer's own would group them as those of training."""

    # The whole batch

    @property
    def _chunk_size(self) -> int | None:
        """Posts that pass the towers at a time; None for a whole batch of this process."""
        size = self.args.contrastive_chunk_size
        return None if size is None or size >= self._train_batch_size else size

    def _check_whole_batch(self) -> None:
        """Say what cannot be held, before anything is trained."""
        head = self.accelerator.unwrap_model(self.model)
        if self.args.contrastive_chunk_size is not None and not hasattr(head, "loss_inputs"):
            raise ValueError(
                f"contrastive_chunk_size must be None with {type(head).__name__}, which does not say what its loss is "
                f"computed from, got {self.args.contrastive_chunk_size}."
            )
        in_parts = self.args.world_size > 1 or self.args.gradient_accumulation_steps > 1 or self._chunk_size
        if self.train_dataset is None or not in_parts:
            return
        training = head.training
        head.train()  # a frozen tower stays in evaluation mode
        norms = [module for module in head.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if any(norm.training for norm in norms):
            logger.warning(
                "A batch norm in training mode (freeze_batch_norm is False) sees the posts of its own process, "
                "micro-batch or chunk alone: the loss will not be exactly that of the whole batch."
            )
        head.train(training)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """The micro-batches of a step. They all are known here: the one place to see them as one batch."""
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._whole_batch = self._joined(batches)
        self.loss_is_scaled_for_ga = None if self._whole_batch is None else True
        self._steps_summed += len(batches) > 0
        return batches, num_items

    def _joined(self, batches: list[dict]) -> SummedBatch | CachedBatch | None:
        """None where a single forward has the whole batch, or the loss is none of this package's."""
        head = self.accelerator.unwrap_model(self.model_wrapped)
        one_pass = len(batches) == 1 and self._chunk_size is None
        alone = one_pass and self.args.world_size == 1 and self.args.n_gpu <= 1
        if not batches or alone or self.compute_loss_func is not None or not hasattr(head, "loss_inputs"):
            return None
        chunks = [chunk for batch in batches for chunk in chunks_of(batch, self._chunk_size)]
        if head.compares_posts:
            return CachedBatch(chunks, head, self.accelerator, one_pass, self._prepare_inputs)
        return SummedBatch(chunks, head, self.accelerator)

    def training_step(self, model, inputs, num_items_in_batch=None):
        if self._whole_batch is None:
            return super().training_step(model, inputs, num_items_in_batch)
        chunks = chunks_of(inputs, self._chunk_size)
        loss = 0.0
        for number, chunk in enumerate(chunks, start=1):
            # Processes meet after the last chunk (of the last micro-batch, which is Trainer's to see to).
            with nullcontext() if number == len(chunks) else self.accelerator.no_sync(model):
                loss = loss + super().training_step(model, chunk, num_items_in_batch)
        return loss

    # Loss terms

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if model.training and self._whole_batch is not None:
            terms = self._whole_batch.terms(model, inputs)
            self._add_terms(terms, 1)
            return terms["loss"]
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if model.training:
            self._add_terms(outputs, self.current_gradient_accumulation_steps)
        else:
            for name, term in loss_terms(outputs).items():
                # As Trainer does with the loss: a value per post, so that a short last batch counts for what it holds.
                mean = term.detach().float().mean()  # one value from each GPU under DataParallel
                self._evaluated_terms[name].append(self.gather_function(mean.repeat(len(outputs["logits"]))))
        return (loss, outputs) if return_outputs else loss

    def _add_terms(self, outputs, parts: int) -> None:
        for name, term in loss_terms(outputs).items():
            share = term.detach().float().mean() / parts
            self._term_sums[name] = self._term_sums[name] + share if name in self._term_sums else share

    def log(self, logs, start_time=None):
        if "loss" in logs and self._term_sums:
            # The only point at which the sums leave the device.
            names = sorted(self._term_sums)
            sums = nested_gather(torch.stack([self._term_sums[name] for name in names])[None], self.args.parallel_mode)
            for name, total in zip(names, sums.mean(dim=0).tolist(), strict=True):
                logs[name] = total / self._steps_summed
            self._term_sums, self._steps_summed = {}, 0
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
            args.seed_of_draws,
            args.process_index,
            args.world_size,
            args.dataloader_drop_last,
        )
        self.add_callback(EpochTeller(batches))  # Trainer tells its loader, but not in an epoch that it resumes
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
            rates = (self.args.text_learning_rate, self.args.image_learning_rate)
            if rates != (None, None) or self.args.layer_decay != 1:
                raise ValueError(
                    f"text_learning_rate and image_learning_rate must be None with optim {self.args.optim}, which has "
                    "its own parameter groups, and layer_decay 1."
                )
            return super().create_optimizer(model)
        # Trainer takes ready groups under the name `params`.
        self.optimizer_cls_and_kwargs = optimizer_class, {**options, "params": self.parameter_groups(trained)}
        try:
            return super().create_optimizer(model)
        finally:
            self.optimizer_cls_and_kwargs = None

    def parameter_groups(self, model: nn.Module) -> list[dict]:
        """See `duosent.training.parameter_groups`."""
        return parameter_groups(model, self.args, set(self.get_decay_parameter_names(model)))

    def get_decay_parameter_names(self, model) -> list[str]:
        """Trainer's rule knows layer norms only; a batch norm's weight, like every bias, has one dimension."""
        shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
        return [name for name in super().get_decay_parameter_names(model) if shapes[name] > 1]

    # Checkpoints

    def _save_checkpoint(self, model, trial):
        if self.args.should_save:  # what is written last must not be there first, of an earlier run
            folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            (folder / TRAINER_STATE_NAME).unlink(missing_ok=True)
        super()._save_checkpoint(model, trial)

    def _save_rng_state(self, output_dir):
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()  # the state, by which a checkpoint is whole, comes after those of all

    def save_model(self, output_dir=None, _internal_call=False):
        # A resumed run must find adapters and towers apart, to the last bit; a push names no folder.
        self._merging = (output_dir is None or not _internal_call) and self.args.lora_save == "merged"
        super().save_model(output_dir, _internal_call)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        if not has_adapters(self.model):
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        try:
            load_adapters(self.model, Path(resume_from_checkpoint))
        except (OSError, ValueError) as error:
            raise CallError(f"resume_from_checkpoint {resume_from_checkpoint} cannot be taken up: {error}") from error

    def _load_best_model(self):
        if not has_adapters(self.model):
            return super()._load_best_model()
        load_adapters(self.model, Path(self.state.best_model_checkpoint))

    def _save(self, output_dir=None, state_dict=None):
        folder = Path(output_dir or self.args.output_dir)
        if has_adapters(self.model) and not self._merging:
            if self.args.should_save:
                save_adapters(self.model, folder)
        else:
            super()._save(output_dir, merged_state(self.model) if has_adapters(self.model) else state_dict)
            if self.args.should_save:
                remove_adapters(folder)
        if not self.args.should_save:
            return
        if (self.processing_class is None or has_adapters(self.model)) and self.processor is not None:
            self.processor.save_pretrained(folder)
        # Trainer's own record of the arguments is a pickle, which nobody should have to open.
        (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
        (folder / ARGUMENTS_FILE).write_text(self.args.to_json_string() + "\n", encoding="utf-8")

    # The Hub

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs,
    ) -> dict | Future | None:
        """Save the model, write its card, and send what `duosent publish` sends, in one commit: weights, processor,
        code, figures and card, and no record of the run, nor anything else that lies in the output folder.

        Args:
            commit_message, token, revision, private: as in `transformers.Trainer`.
            blocking: False sends in the background.
            kwargs: facts for the card, see `create_model_card`.

        Returns: what `duosent.hub_cards.publishing.publish` returns; in the background its Future; None where another
            process sends.
        """
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.create_model_card(**kwargs)
        send = functools.partial(
            publish,
            self.args.output_dir,
            self.hub_model_id,
            message=commit_message,
            token=token or self.args.hub_token,
            revision=revision or self.args.hub_revision,
        )
        return send() if blocking else HfApi().run_as_future(send)

    def create_model_card(
        self,
        language: str | list[str] | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | None = None,
    ) -> None:
        """Write the card of `duosent card` into the output folder, which every push does first.

        A card that a person wrote or changed is kept, with a warning.

        Args:
            language: codes of the languages of the posts, such as `en`.
            license: of the weights.
            tags: further tags.
            model_name: what the model is called, where it has no name on the Hub.
            finetuned_from: Hub names of what the training started from.
            dataset_tags: Hub names of the training data.
            dataset: what the training data are called.

        Raises:
            ValueError: if the model has not been saved there, or for a fact that cannot be.
        """
        if not self.is_world_process_zero():
            return
        folder = Path(self.args.output_dir)
        self.state.save_to_json(str(folder / TRAINER_STATE_NAME))
        facts = CardFacts(
            name=self.hub_model_id or self.args.hub_model_id or model_name,
            license=license,
            languages=_listed(language),
            data_name=dataset,
            datasets=_listed(dataset_tags),
            base_models=_listed(finetuned_from),
            tags=_listed(tags),
        )
        try:
            save_card(folder, facts)
        except KeptCardError as error:
            logger.warning("%s", error)


__all__ = ["ImageTextTrainer", "loss_terms"]
