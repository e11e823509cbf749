"""What a training run may be told, with defaults that suit fine-tuning two pretrained towers under a new fusion."""

import math
from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy, IntervalStrategy

from duosent.processing.wordnet_files import find_wordnet
from duosent.training.adapters import check_peft

# Each option of the augmentation and its largest value.
AUGMENTATIONS = {"augment_flip": 1, "augment_crop": 0.5, "augment_erasing": 1, "augment_synonyms": 1}
# The word for class weights that follow from the counts of the training part.
BALANCED = "balanced"
# The words for batches of posts with texts of similar length, and for a way to draw that needs tokens in the rows.
GROUP_BY_LENGTH, BATCH_REBALANCE = "group_by_length", "batch_rebalance"
# What a run with LoRA may leave behind.
LORA_FORMS = ("merged", "adapter")


@dataclass
class ImageTextTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with a rate per tower, early stopping and this package's defaults.

    The papers train with AdamW at 2e-5; here that is the rate of the pretrained towers, while fusion and classifier,
    which start from nothing, take a larger one. Linear decay after a warm-up over the first tenth of the steps; the
    checkpoint with the best macro F1 on the validation part is the one that stays.

    Raises:
        ValueError: for a value out of its range, options that contradict each other, or synonyms without WordNet.
        ImportError: for synonyms without nltk, or LoRA without peft.
    """

    learning_rate: float = field(
        default=1e-4, metadata={"help": "Peak learning rate of everything outside the two towers; > 0."}
    )
    text_learning_rate: float | None = field(
        default=2e-5, metadata={"help": "Peak learning rate of the text tower; > 0, None takes learning_rate."}
    )
    image_learning_rate: float | None = field(
        default=2e-5, metadata={"help": "Peak learning rate of the image tower; > 0, None takes learning_rate."}
    )
    layer_decay: float = field(
        default=1.0,
        metadata={"help": "Rate of a layer of a tower over that of the layer above it, in (0, 1]; the last has all."},
    )
    freeze_text_epochs: int = field(
        default=0, metadata={"help": "Hold the text tower still for so many epochs at the start; >= 0."}
    )
    freeze_image_epochs: int = field(
        default=0, metadata={"help": "Hold the image tower still for so many epochs at the start; >= 0."}
    )
    weight_decay: float = field(default=0.01, metadata={"help": "Decay of weights; biases and norms have none."})
    lr_scheduler_type: str = field(default="linear", metadata={"help": "How the rates fall after the warm-up."})
    warmup_steps: float = field(
        default=0.1, metadata={"help": "Steps over which the rates rise; below 1 a share of all steps."}
    )
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Posts a step on each device."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Posts a batch on each device."})
    hub_strategy: str = field(default="end", metadata={"help": "When to push: end, once the model is trained."})
    num_train_epochs: float = field(default=10.0, metadata={"help": "Passes over the training part, at most."})
    early_stopping_patience: int | None = field(
        default=3, metadata={"help": "Evaluations without a better metric_for_best_model before the end; None never."}
    )
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save: no, steps, epoch or best."})
    save_total_limit: int | None = field(
        default=1, metadata={"help": "Checkpoints kept during training; the best one stays besides."}
    )
    load_best_model_at_end: bool = field(default=True, metadata={"help": "End with the best model, not the last."})
    metric_for_best_model: str | None = field(
        default="macro_f1", metadata={"help": "Which figure of the evaluation the best model is chosen by."}
    )
    # The patience counter is part of an exact resume.
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "Whether a resumed run takes up the callbacks where they were."}
    )
    logging_steps: float = field(default=10, metadata={"help": "Log every so many steps; below 1 a share of all."})
    # A filter would hide the NaN, and costs a wait for the GPU at each step.
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Leave losses that are NaN or infinite out of the log."}
    )
    contrastive_chunk_size: int | None = field(
        default=None,
        metadata={
            "help": "Posts of a batch that pass the model at a time; the loss is still that of the whole batch, and "
            "memory that of a chunk. A contrastive loss then takes two forwards a post. >= 1, None for all at once."
        },
    )
    shuffle_buffer_size: int = field(
        default=1000, metadata={"help": "Of a streamed training part, posts among which the next one is drawn; >= 1."}
    )
    augment: bool = field(
        default=False,
        metadata={"help": "Change the training posts anew in each epoch, by the four augmentations of MDSE."},
    )
    augment_flip: float = field(
        default=0.5, metadata={"help": "With augment: probability of mirroring a picture, in [0, 1]; 0 for none."}
    )
    augment_crop: float = field(
        default=0.125,
        metadata={
            "help": "With augment: border around a picture before a random crop of the old size, as a share of the "
            "side, in [0, 0.5]; 0 for none."
        },
    )
    augment_erasing: float = field(
        default=0.5,
        metadata={"help": "With augment: probability of erasing a rectangle of a picture, in [0, 1]; 0 for none."},
    )
    augment_synonyms: float = field(
        default=0.3,
        metadata={"help": "With augment: probability of a synonym for a word that has one, in [0, 1]; 0 for none."},
    )
    wordnet_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of WordNet's files; None for that in WNSEARCHDIR, nltk's data or Debian's wordnet-base."
        },
    )
    class_weights: list[str] | None = field(
        default=None,
        metadata={
            "help": "Weights of the classes in the classification loss: balanced, for those that follow from the "
            "counts of the training part, or label=weight for some of the labels (the others weigh 1)."
        },
    )
    focal_gamma: float = field(
        default=0.0,
        metadata={"help": "Gamma of the focal loss, which looks away from posts that are easy; >= 0, 0 for none."},
    )
    label_smoothing_factor: float = field(
        default=0.0,
        metadata={"help": "Share of each label that is spread over all, in the classification loss alone; in [0, 1)."},
    )
    balanced_sampling: bool = field(
        default=False, metadata={"help": "Draw every class equally often in an epoch of training."}
    )
    modality_dropout: float = field(
        default=0.0,
        metadata={
            "help": "Probability that a training post with both sides loses one of them, its words or its picture, in "
            "[0, 1]; 0 for none."
        },
    )
    lora_rank: int | None = field(
        default=None,
        metadata={
            "help": "Rank of LoRA's update of the towers, whose own weights then stand still; >= 1, None for towers "
            "that are trained in full. Adapters have the towers' learning rates, and take larger ones."
        },
    )
    lora_alpha: float | None = field(
        default=None, metadata={"help": "LoRA's update counts alpha / rank times; > 0, None for twice the rank."}
    )
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout in front of LoRA's adapters, in [0, 1)."})
    lora_targets: list[str] | None = field(
        default=None,
        metadata={"help": "Ends of names of the layers that get LoRA's adapters; None for queries, keys and values."},
    )
    lora_save: str = field(
        default="merged",
        metadata={
            "help": "What a run with LoRA leaves: merged, an ordinary checkpoint, or adapter, the adapters beside the "
            "parts trained in full, which need the towers that they were trained on."
        },
    )
    cache_features: str | None = field(
        default=None,
        metadata={
            "help": "Folder that keeps the tokens of frozen towers (freeze_text, freeze_image) whose input is not "
            "augmented: each post is computed once, for this run and all later ones with the same tower. A ViT-B/16 "
            "takes 0.6 MB a picture. None computes them in every epoch."
        },
    )
    cache_pictures: str | None = field(
        default=None,
        metadata={
            "help": "Folder that keeps the pictures as they are resized, before any augmentation: each file is "
            "decoded once, for this run and all later ones that resize alike. 0.15 MB a picture of 224 pixels. None "
            "decodes them in every epoch."
        },
    )
    # The collator reads the raw columns, which no forward knows.
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Drop the columns that the model's forward does not take."}
    )
    # Trainer would ask for text_labels and image_labels too, and give no metric where a data set lacks them.
    label_names: list[str] | None = field(
        default_factory=lambda: ["labels"], metadata={"help": "Keys of a batch that hold labels."}
    )

    def __post_init__(self):
        for name in ("learning_rate", "text_learning_rate", "image_learning_rate"):
            rate = getattr(self, name)
            if rate is not None and rate <= 0:
                raise ValueError(f"{name} must be > 0, got {rate}.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be > 0 and <= 1, got {self.layer_decay}.")
        for name in ("freeze_text_epochs", "freeze_image_epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}.")
            if getattr(self, name) and self.ddp_find_unused_parameters is None:
                self.ddp_find_unused_parameters = True  # a tower that is held still has no gradient to wait for
        if self.early_stopping_patience is not None and self.early_stopping_patience < 1:
            raise ValueError(f"early_stopping_patience must be >= 1 or None, got {self.early_stopping_patience}.")
        if self.contrastive_chunk_size is not None and self.contrastive_chunk_size < 1:
            raise ValueError(f"contrastive_chunk_size must be >= 1 or None, got {self.contrastive_chunk_size}.")
        if self.contrastive_chunk_size is not None and self.deepspeed is not None:
            raise ValueError(
                f"contrastive_chunk_size must be None with deepspeed, which takes a step after every backward pass, "
                f"got {self.contrastive_chunk_size}."
            )
        if self.shuffle_buffer_size < 1:
            raise ValueError(f"shuffle_buffer_size must be >= 1, got {self.shuffle_buffer_size}.")
        for name, largest in AUGMENTATIONS.items():
            if not 0 <= getattr(self, name) <= largest:
                raise ValueError(f"{name} must lie in [0, {largest}], got {getattr(self, name)}.")
        if self.augment and self.augment_synonyms:
            find_wordnet(self.wordnet_dir)  # what is missing is said here, before anything is loaded
        if not 0 <= self.modality_dropout <= 1:
            raise ValueError(f"modality_dropout must lie in [0, 1], got {self.modality_dropout}.")
        if self.push_to_hub and HubStrategy(self.hub_strategy) is not HubStrategy.END:
            raise ValueError(
                "hub_strategy must be end, for the others send a pickle of the arguments with each checkpoint, "
                f"got {HubStrategy(self.hub_strategy).value}."
            )
        if self.train_sampling_strategy == BATCH_REBALANCE:
            raise ValueError(
                "train_sampling_strategy must be random, sequential or group_by_length, got batch_rebalance."
            )
        self._check_imbalance()
        self._check_lora()
        if not torch.accelerator.is_available():
            self.use_cpu = True  # without this word Trainer refuses bf16
        if self.use_cpu:
            self.dataloader_pin_memory = False  # nothing to pin for, and torch would warn
        if self.dataloader_pin_memory and self.accelerator_config is None:
            # Else each copy of a batch waits for all that the GPU has yet to do.
            self.accelerator_config = {"non_blocking": True}
        super().__post_init__()

    def _check_imbalance(self) -> None:
        if isinstance(self.class_weights, str):
            self.class_weights = [self.class_weights]
        if self.class_weights == [BALANCED] and self.balanced_sampling:
            raise ValueError("class_weights must not be balanced beside balanced_sampling: rare classes count twice.")
        for weight in self.class_weights or []:
            if weight != BALANCED and not is_weight(weight):
                raise ValueError(f"class_weights must be balanced, or label=number with numbers >= 0, got {weight!r}.")
        if BALANCED in (self.class_weights or []) and len(self.class_weights) > 1:
            raise ValueError(f"class_weights must be balanced alone or name labels, got {self.class_weights}.")
        if not 0 <= self.focal_gamma < math.inf:
            raise ValueError(f"focal_gamma must be >= 0, got {self.focal_gamma}.")
        if not 0 <= self.label_smoothing_factor < 1:
            raise ValueError(f"label_smoothing_factor must be >= 0 and < 1, got {self.label_smoothing_factor}.")

    def _check_lora(self) -> None:
        if isinstance(self.lora_targets, str):
            self.lora_targets = [self.lora_targets]
        if self.lora_save not in LORA_FORMS:
            raise ValueError(f"lora_save must be {' or '.join(LORA_FORMS)}, got {self.lora_save!r}.")
        if self.lora_rank is None:
            unused = {"lora_alpha": None, "lora_dropout": 0.0, "lora_targets": None, "lora_save": "merged"}
            for name, usual in unused.items():
                if getattr(self, name) != usual:
                    raise ValueError(f"{name} must be {usual} without lora_rank, got {getattr(self, name)}.")
            return
        if self.lora_rank < 1:
            raise ValueError(f"lora_rank must be >= 1 or None, got {self.lora_rank}.")
        if self.lora_alpha is not None and not 0 < self.lora_alpha < math.inf:
            raise ValueError(f"lora_alpha must be > 0 or None, got {self.lora_alpha}.")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be >= 0 and < 1, got {self.lora_dropout}.")
        if self.lora_targets is not None and not (self.lora_targets and all(self.lora_targets)):
            raise ValueError(f"lora_targets must be names or None, got {self.lora_targets}.")
        reentrant = (self.gradient_checkpointing_kwargs or {}) if self.gradient_checkpointing else {}
        if isinstance(reentrant, dict) and reentrant.get("use_reentrant"):
            # Such a block passes no gradient on if none of its inputs wants one, as behind embeddings that stand
            # still.
            raise ValueError("gradient_checkpointing_kwargs must not ask for use_reentrant with lora_rank, got True.")
        check_peft()

    @property
    def seed_of_draws(self) -> int:
        """What is drawn of the training part follows from it: `data_seed`, or else `seed`."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def stops_early(self) -> bool:
        """Whether there is something to stop by: a patience, an evaluation and a figure."""
        return (
            self.early_stopping_patience is not None
            and self.metric_for_best_model is not None
            and self.eval_strategy != IntervalStrategy.NO
        )


def is_weight(word: str) -> bool:
    """Whether it is `label=number`, the number >= 0."""
    try:
        return 0 <= float(word.rpartition("=")[2]) < math.inf and "=" in word
    except ValueError:
        return False


__all__ = ["ImageTextTrainingArguments"]
