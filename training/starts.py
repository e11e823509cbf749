"""Where a model's first weights come from: two pretrained encoders, or a trained checkpoint."""

import logging
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, PreTrainedModel

from duosent.modeling.modeling_tombert import TombertForImageTextClassification
from duosent.processing.processing_image_text import ImageTextProcessor
from duosent.training.checkpoints import CallError, load_checkpoint, may_be_hub_name, read_config

logger = logging.getLogger(__name__)

# The head that gives the logits, in every model.
HEAD = "classifier."


class EncodersStart:
    """Pretrained towers; everything else is new.

    Args:
        model: "text" reads no image encoder, "image" no text encoder, any other both.
        text_encoder, image_encoder: folders or Hub names.

    Raises:
        CallError: if one that the model reads is not given or cannot be there.
    """

    def __init__(self, model: str, text_encoder: str | None, image_encoder: str | None) -> None:
        unread = {"text": "image_encoder", "image": "text_encoder"}.get(model)
        encoders = {"text_encoder": text_encoder, "image_encoder": image_encoder}
        for option, name in encoders.items():
            if option == unread:
                continue
            if name is None:
                raise CallError(f"{option} must be given for model {model}.")
            if not Path(name).is_dir() and not may_be_hub_name(str(name)):
                raise CallError(f"{option} {name} is neither a folder nor a name on the Hub.")
        self.encoders = tuple(None if option == unread else name for option, name in encoders.items())

    def build(
        self, model_class: type[PreTrainedModel], fields: dict, processing: dict
    ) -> tuple[PreTrainedModel, ImageTextProcessor]:
        """Model and processor.

        Args:
            fields: of the model's config.
            processing: keywords of the processor.

        Raises:
            CallError: if an encoder cannot be loaded, or does not tell TomBERT where the target stands.
        """
        try:
            processor = ImageTextProcessor.from_encoders(*self.encoders, **processing)
            network = model_class.from_encoders(*self.encoders, **fields)
        except (OSError, ValueError) as error:
            names = " and ".join(name for name in self.encoders if name is not None)
            raise CallError(f"{names} cannot be loaded: {' '.join(str(error).split())}") from error
        if isinstance(network, TombertForImageTextClassification):
            self._check_target(network, processor)
        return network, processor

    def _check_target(self, network: TombertForImageTextClassification, processor: ImageTextProcessor) -> None:
        """Where the tokenizer puts no sign between words and target, all posts would be without one, in silence."""
        inputs = processor(text="words", target="target")
        found = network.find_target(inputs["input_ids"], inputs["attention_mask"], inputs.get("token_type_ids"))
        if not found.any():
            raise CallError(
                "text_encoder must mark the target for model tombert, by token_type_ids or by the separator of its "
                f"config in front of it, which the tokenizer of {self.encoders[0]} does not."
            )


class CheckpointStart:
    """A trained MDSE or RADM of whatever labels or answers: towers and fusion are its own, only the head is new.

    Args:
        checkpoint: folder or Hub name.
        config_class: of the model that shall be made.
        fields: of its config, those that shall differ from the checkpoint's.

    Raises:
        CallError: if there is no such checkpoint, it is of another kind, or a field is unknown or out of its range.
    """

    def __init__(self, checkpoint: str, config_class: type[PreTrainedConfig], fields: dict) -> None:
        self.checkpoint = checkpoint
        self.saved = read_config(checkpoint)
        if type(self.saved) is not config_class:
            wanted, got = config_class.model_type, self.saved.model_type
            raise CallError(f"init_from {checkpoint} must hold a model of type {wanted}, got {got}.")
        self.config(fields)

    def config(self, fields: dict) -> PreTrainedConfig:
        """The checkpoint's config with some fields changed.

        Raises:
            CallError: if a field is unknown or out of its range.
        """
        config_class = type(self.saved)
        saved = {name: value for name, value in self.saved.to_dict().items() if config_class._has_field(name)}
        try:
            return config_class(**{**saved, "calibration": None, **fields})  # of a head that will be another
        except (StrictDataclassError, ValueError, TypeError) as error:
            raise CallError(str(error.__cause__ or error)) from error

    def build(
        self, model_class: type[PreTrainedModel], fields: dict, processing: dict
    ) -> tuple[PreTrainedModel, ImageTextProcessor]:
        """Model and processor; see `EncodersStart.build`. What is not given is as in the checkpoint.

        Raises:
            CallError: as `config`; and if a field changes the shape of a weight.
        """
        model = model_class(self.config(fields))
        source, source_processor = load_checkpoint(self.checkpoint)
        there, here = (
            {name: weight for name, weight in network.state_dict().items() if not name.startswith(HEAD)}
            for network in (source, model)
        )
        for name in [*there, *here]:
            shape, wanted = (tuple(weights[name].shape) if name in weights else None for weights in (there, here))
            if shape != wanted:
                raise CallError(
                    f"init_from {self.checkpoint} does not fit the config that is asked for: the shape of {name} is "
                    f"{shape} there and would be {wanted}."
                )
        report = model.load_state_dict(there, strict=False)
        model.name_or_path = str(self.checkpoint)
        new = ", ".join(report.missing_keys)
        logger.info("All weights are those of %s, but for new ones: %s.", self.checkpoint, new)
        own = {name: getattr(source_processor, name) for name in ("clean_text", "reduced_decoding")}
        options = {**own, **processing}
        return model, ImageTextProcessor(source_processor.image_processor, source_processor.tokenizer, **options)


__all__ = ["CheckpointStart", "EncodersStart"]
