"""What every duosent model has in common: two towers, a fusion width and a classifier."""

import copy
import difflib
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.utils import logging

from duosent.configuration.remote_code import PIPELINE, PIPELINES, PROCESSOR, write_code

logger = logging.get_logger(__name__)

# Keywords that PreTrainedConfig takes besides its dataclass fields, and those that Trainer and from_pretrained leave
# in a config.
_PRETRAINED_CONFIG_KEYWORDS = {
    "attn_implementation",
    "auto_map",
    "custom_pipelines",
    "experts_implementation",
    "model_type",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "per_layer_config",
    "quantization_config",
    "tie_word_embeddings",
    "torch_dtype",
    "use_cache",
}


@strict
class ImageTextConfig(PreTrainedConfig):
    """Fields that all models of the package share. Use a model's own config; this one names no model.

    Args:
        text_config: the text tower, a config or a dict with `model_type`; default BERT-base.
        vision_config: the image tower, a config of transformers or timm or a dict with `model_type`; default ViT-B/16.
        hidden_size: fusion width `D`; > 0, divisible by `num_attention_heads`.
        num_attention_heads: heads `H` of every attention outside the towers; > 0.
        intermediate_size: inner width of the feed-forward blocks outside the towers; > 0.
        hidden_act: activation of the feed-forward blocks outside the towers, a name that transformers knows.
        hidden_dropout_prob: share of activations dropped after each block outside the towers; in [0, 1).
        attention_probs_dropout_prob: share of attention weights dropped outside the towers; in [0, 1).
        classifier_dropout: share of activations dropped in front of the classifier's linear layers; in [0, 1).
        initializer_range: standard deviation of the normal from which linear weights are drawn; > 0.
        layer_norm_eps: added to the variance in every layer norm outside the towers; > 0.
        freeze_text: hold the text tower still: no gradient, no dropout.
        freeze_image: hold the image tower still: no gradient, no dropout, batch norm in evaluation mode.
        freeze_batch_norm: keep the batch norms of a trainable CNN tower in evaluation mode (statistics stay as
            loaded).
        tasks: for several labels in one model, the labels of each task, `{"sentiment": ["negative", ...], ...}`. The
            logits are then the tasks' spans side by side, in order, and `id2label` follows from it, `task:label`.
        label_combinations: with tasks, what occurs together in training: class indices, one a task.
        calibration: what `duosent evaluate --calibrate` fitted, by which scores and label sets are given; training
            drops it.

    Raises:
        ValueError: for a field that the config does not have, or a value outside its range.
    """

    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vit"),
    }

    # The models of this config by the Auto classes that load them, as `auto_map` names them.
    auto_classes: ClassVar[dict[str, str]] = {}

    # Trainer drops these from predictions; without the list a prediction would be a tuple of tensors.
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "classification_loss",
        "contrastive_loss",
        "text_embeds",
        "image_embeds",
        "fused_embeds",
        "hidden_states",
        "attentions",
        "text_importance",
        "image_importance",
        "cross_scores",
        "gates",
    ]

    text_config: PreTrainedConfig | dict | None = None
    vision_config: PreTrainedConfig | dict | None = None
    hidden_size: int = 768
    num_attention_heads: int = 8
    intermediate_size: int = 768
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    classifier_dropout: float | int = 0.2
    initializer_range: float | int = 0.02
    layer_norm_eps: float = 1e-5
    freeze_text: bool = False
    freeze_image: bool = False
    freeze_batch_norm: bool = True
    tasks: dict[str, list[str]] | None = None
    label_combinations: list[list[int]] | None = None
    calibration: dict | None = None

    def __post_init__(self, **kwargs):
        for name, value in kwargs.items():
            if not self._has_field(name):
                raise ValueError(self._unknown_field(name, value))
        if isinstance(self.tasks, dict):
            self._join_labels(kwargs.get("num_labels"))
        super().__post_init__(**kwargs)

    def _join_labels(self, num_labels: int | None) -> None:
        """`id2label` from the tasks. JSON gives a saved config's by the alphabet: `id2label` has their order."""
        if self.id2label is not None:
            saved = [self.id2label[key] for key in sorted(self.id2label, key=int)]
            order = dict.fromkeys(name.partition(":")[0] for name in saved)
            if set(order) == set(self.tasks):
                self.tasks = {task: self.tasks[task] for task in order}
        names = [f"{task}:{label}" for task, labels in self.tasks.items() for label in labels]
        if self.id2label is not None and saved != names:
            raise ValueError(f"id2label must be None or task:label for each label of tasks, in order, got {saved}.")
        if num_labels not in (None, len(names)):
            raise ValueError(self._other_number(len(names), num_labels))
        self.id2label = dict(enumerate(names))
        self.label2id = {name: index for index, name in enumerate(names)}

    def task_sizes(self) -> list[int] | None:
        """How many labels each task has; None for a single task.

        Raises:
            ValueError: where `num_labels` was changed afterwards.
        """
        if self.tasks is None:
            return None
        sizes = [len(labels) for labels in self.tasks.values()]
        if sum(sizes) != self.num_labels:
            raise ValueError(self._other_number(sum(sizes), self.num_labels))
        return sizes

    @staticmethod
    def _other_number(size: int, num_labels: int) -> str:
        return (
            f"num_labels must be {size}, the labels of all tasks, got {num_labels}: other labels need other tasks, "
            "None for a single one."
        )

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs):
        """As in transformers; with the code by which the model loads where this package is not installed."""
        own = f"{type(self).__module__.rpartition('.')[2]}.{type(self).__name__}"
        self.auto_map = {"AutoConfig": own, **self.auto_classes, "AutoProcessor": PROCESSOR}
        self.custom_pipelines = copy.deepcopy(PIPELINES)  # transformers.pipeline puts classes into it
        super().save_pretrained(save_directory, **kwargs)
        if self._auto_class is None:  # or the class is of such code itself, which transformers has copied
            write_code(save_directory, [*self.auto_map.values(), PIPELINE])
            del self.custom_pipelines
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As in transformers. A saved config may hold fields of another version: they are kept, with a warning."""
        if cls._auto_class is None:  # or the pipeline would ask for trust in code that is installed here
            config_dict = {name: value for name, value in config_dict.items() if name != "custom_pipelines"}
        unknown = {name: value for name, value in config_dict.items() if not cls._has_field(name)}
        for name, value in unknown.items():
            logger.warning_once(cls._unknown_field(name, value))
        loaded = super().from_dict({k: v for k, v in config_dict.items() if k not in unknown}, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded  # with return_unused_kwargs=True
        for name, value in unknown.items():
            setattr(config, name, value)
        return loaded

    @classmethod
    def _field_names(cls) -> set[str]:
        return {field.name for field in fields(cls)} | _PRETRAINED_CONFIG_KEYWORDS

    @classmethod
    def _has_field(cls, name: str) -> bool:
        return name in cls._field_names() or name.startswith("_")

    @classmethod
    def _unknown_field(cls, name: str, value) -> str:
        """The sentence on a misspelt field, which PreTrainedConfig would keep in silence, the right one at default."""
        nearest = difflib.get_close_matches(name, cls._field_names(), n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else "."
        return f"{cls.__name__} has no field {name} (value {value!r}){hint}"

    def validate_widths(self):
        for name in ("hidden_size", "num_attention_heads", "intermediate_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads, "
                f"got hidden_size={self.hidden_size} and num_attention_heads={self.num_attention_heads}."
            )

    def validate_shares(self):
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 0 and < 1, got {getattr(self, name)}.")
        for name in ("initializer_range", "layer_norm_eps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")

    def validate_tasks(self):
        if self.tasks is None:
            if self.label_combinations is not None:
                raise ValueError("label_combinations must be None without tasks.")
            return
        if not self.tasks or any(":" in task for task in self.tasks):
            raise ValueError(f"tasks must be one or more, their names without a colon, got {list(self.tasks)}.")
        for task, labels in self.tasks.items():
            if not labels or len(set(labels)) < len(labels):
                raise ValueError(f"tasks must have different labels, at least one, got {labels} for {task}.")
        if self.problem_type == "multi_label_classification":
            raise ValueError(
                "problem_type must not be multi_label_classification with tasks: a post has one label each."
            )
        sizes = [len(labels) for labels in self.tasks.values()]
        for combination in self.label_combinations or []:
            fits = len(combination) == len(sizes)
            if not fits or not all(0 <= index < size for index, size in zip(combination, sizes, strict=True)):
                raise ValueError(f"label_combinations must hold a class index for each task, got {combination}.")

    def validate_calibration(self):
        fits = {} if self.calibration is None else self.calibration.get("tasks")
        if not isinstance(fits, dict) or not all(isinstance(fit, dict) for fit in fits.values()):
            raise ValueError("calibration must be None or what duosent evaluate --calibrate writes.")
        for task, fit in fits.items():
            temperature = fit.get("temperature")
            if not isinstance(temperature, float | int) or not 0 < temperature < float("inf"):
                raise ValueError(f"calibration must have a temperature > 0 for {task}, got {temperature!r}.")

    def validate_problem_type(self):
        if self.problem_type == "regression":
            raise ValueError(
                "problem_type must be single_label_classification or multi_label_classification, got regression."
            )


__all__ = ["ImageTextConfig"]
