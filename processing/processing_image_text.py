"""`ImageTextProcessor`: the only road from raw words and pictures to tensors."""

import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    TimmWrapperConfig,
    ViTImageProcessor,
)
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import PILImageResampling
from transformers.processing_utils import ProcessorMixin

from duosent.processing.pictures import open_picture
from duosent.processing.text_cleaning import clean_text as clean

TARGET = "$T$"


class ImageTextProcessor(ProcessorMixin):
    """Words and pictures to what the models read; training, scoring and serving all take this road.

    A side that is None is missing, and so is a text of which cleaning leaves nothing: its row is False in
        `text_present` or
    `image_present`, and what stands in the row is not read.

    Args:
        image_processor: any image processor of transformers.
        tokenizer: any tokenizer of transformers.
        clean_text: take links, @names and HTML entities out of the words.
    """

    # Tokens, special ones and target included; a tokenizer with a max_length of its own (`from_encoders`) keeps that.
    text_kwargs = {"padding": True, "truncation": True, "max_length": 128}

    def __init__(self, image_processor=None, tokenizer=None, clean_text=True, **kwargs):
        self.clean_text = clean_text
        super().__init__(image_processor, tokenizer, **kwargs)

    @classmethod
    def from_encoders(
        cls, text: str | None, image: str | None, clean_text: bool = True, max_length: int = 128
    ) -> "ImageTextProcessor":
        """The tokenizer of a text encoder and the image processor of a vision model, as one.

        Both sides of a picture are resized to the size that the vision model reads (224 unless it says otherwise);
        nothing is cropped. Mean, standard deviation and interpolation are the vision model's own.

        Args:
            text, image: Hub names or folders. None for a side that a baseline does not read; a stand-in then fills
                that side.
            clean_text: see the class.
            max_length: tokens at most, special ones and target included; > 0.

        Raises:
            ValueError: if `max_length` is not > 0, or an encoder has no tokenizer or image processor.
        """
        if max_length <= 0:
            raise ValueError(f"max_length must be > 0, got {max_length}.")
        # transformers keeps what a tokenizer is made with, saves it, and lets it go before a processor's defaults.
        tokenizer = (
            stand_in_tokenizer() if text is None else AutoTokenizer.from_pretrained(text, max_length=max_length)
        )
        image_processor = stand_in_image_processor() if image is None else image_processor_of(image)
        return cls(image_processor, tokenizer, clean_text=clean_text)

    @property
    def model_input_names(self) -> list[str]:
        return [*super().model_input_names, "text_present", "image_present"]

    def __call__(self, images=None, text=None, target=None, **kwargs) -> BatchFeature:
        """One post or many to a batch.

        Args:
            images: one picture or a list: path, bytes, PIL image, array, `{"bytes", "path"}`; None where a post has
                none.
            text: one text or a list; None where a post has none.
            target: one target or a list: it takes the place of `$T$` in the text and stands as the second segment;
                None for none.
            kwargs: those of the tokenizer and of the image processor, such as `return_tensors="pt"`.

        Returns: `input_ids`, `attention_mask`, where the tokenizer makes them `token_type_ids` `(B, T)`,
            `pixel_values`
            `(B, 3, height, width)`, `text_present` and `image_present` `(B,)`. If no post of the call has a text (a
            picture), the tensors of that side are left out.

        Raises:
            ValueError: if nothing is given, lengths differ, a value has the wrong type, or a picture cannot be read.
        """
        texts, pictures, targets = as_list(text), as_pictures(images), as_list(target)
        size = self._check_lengths(texts, pictures, targets)
        options = self._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs)
        return_tensors = options["text_kwargs"].pop("return_tensors", None)
        options["images_kwargs"].pop("return_tensors", None)

        texts, targets = self._prepare_texts(texts or [None] * size, targets or [None] * size)
        pictures = [self._open(index, picture) for index, picture in enumerate(pictures or [None] * size)]
        data = {}
        if any(text is not None for text in texts):
            data.update(self._tokenize(texts, targets, options["text_kwargs"]))
        if any(picture is not None for picture in pictures):
            data.update(self._process_pictures(pictures, options["images_kwargs"]))
        data["text_present"] = [text is not None for text in texts]
        data["image_present"] = [picture is not None for picture in pictures]
        return BatchFeature(data, tensor_type=return_tensors)

    def empty_side(self, side: str, rows: int) -> dict[str, torch.Tensor]:
        """Tensors of a side that no row has, for a batch whose keys are always the same.

        Args:
            side: "text" or "image".
            rows: `B`.
        """
        if side == "text":
            return dict(self.tokenizer([""] * rows, return_tensors="pt"))
        blank = Image.new("RGB", (8, 8))
        pixel_values = self.image_processor(blank, return_tensors="pt")["pixel_values"]
        return {"pixel_values": torch.zeros_like(pixel_values).repeat(rows, 1, 1, 1)}

    @staticmethod
    def _check_lengths(texts, pictures, targets) -> int:
        given = {"text": texts, "images": pictures}
        sizes = {name: len(values) for name, values in given.items() if values is not None}
        if not sizes:
            raise ValueError("text or images must be given, got None for both.")
        if len(set(sizes.values())) > 1:
            raise ValueError(
                f"Each text needs its own picture: got {sizes['text']} texts and {sizes['images']} images; "
                "None stands for a side that a post lacks."
            )
        size = next(iter(sizes.values()))
        if size == 0:
            raise ValueError("text and images must hold at least one post, got an empty list.")
        if targets is not None and len(targets) != size:
            raise ValueError(f"Each post needs its own target: got {size} posts and {len(targets)} targets.")
        return size

    def _prepare_texts(self, texts: list, targets: list) -> tuple[list[str | None], list[str | None]]:
        """Clean, fill the target in, and make None of what holds no words."""
        for name, values in (("text", texts), ("target", targets)):
            for index, value in enumerate(values):
                if value is not None and not isinstance(value, str):
                    raise ValueError(f"{name}[{index}] must be a string or None, got {type(value).__name__}.")
        if self.clean_text:
            texts = [text and clean(text) for text in texts]
            targets = [target and clean(target) for target in targets]
        targets = [target.strip() or None if target else None for target in targets]
        filled = [
            text.replace(TARGET, target) if text and target else text
            for text, target in zip(texts, targets, strict=True)
        ]
        return [text if text and text.strip() else None for text in filled], targets

    def _tokenize(self, texts, targets, options) -> dict:
        options = dict(options)
        # A tower has no positions beyond its tokenizer's own limit.
        options["max_length"] = min(options["max_length"], self.tokenizer.model_max_length)
        texts = [text or "" for text in texts]
        if not any(targets):
            return dict(self.tokenizer(texts, **options))
        padding, return_mask = options.pop("padding", False), options.pop("return_attention_mask", None)
        rows = [
            self.tokenizer(text, target, **options) if target else self.tokenizer(text, **options)
            for text, target in zip(texts, targets, strict=True)
        ]
        keys = rows[0].keys()
        columns = {key: [row[key] for row in rows] for key in keys}
        return dict(
            self.tokenizer.pad(
                columns,
                padding=padding,
                max_length=options["max_length"] if padding == "max_length" else None,
                pad_to_multiple_of=options.get("pad_to_multiple_of"),
                return_attention_mask=return_mask,
            )
        )

    @staticmethod
    def _open(index: int, picture) -> Image.Image | None:
        try:
            return None if is_missing(picture) else open_picture(picture)
        except ValueError as error:
            raise ValueError(f"images[{index}]: {error}") from error

    def _process_pictures(self, pictures: list, options: dict) -> dict:
        """Missing pictures are rows of zeros of the others' size."""
        present = [picture for picture in pictures if picture is not None]
        processed = iter(self.image_processor(present, return_tensors="pt", **options)["pixel_values"])
        rows = [next(processed) if picture is not None else None for picture in pictures]
        zeros = torch.zeros_like(next(row for row in rows if row is not None))
        return {"pixel_values": torch.stack([zeros if row is None else row for row in rows])}


def as_list(values) -> list | None:
    """One value or many, as a list; None stays None."""
    if values is None or isinstance(values, list):
        return values
    return list(values) if isinstance(values, tuple) else [values]


def as_pictures(images) -> list | None:
    """As `as_list`; an array with four axes is a batch of pictures."""
    if getattr(images, "ndim", None) == 4:
        return list(images)
    return as_list(images)


def is_missing(picture) -> bool:
    """None, or an empty cell as `datasets` gives it."""
    return picture is None or (
        isinstance(picture, dict) and picture.get("bytes") is None and picture.get("path") is None
    )


def image_processor_of(name_or_path: str) -> ViTImageProcessor:
    """Resize both sides to what the vision model reads, and normalise as it was trained; see `from_encoders`."""
    config = AutoConfig.from_pretrained(name_or_path)
    if isinstance(config, TimmWrapperConfig):
        trained = config.pretrained_cfg or {}
        _, height, width = trained.get("input_size", (3, 224, 224))
        return ViTImageProcessor(
            size={"height": height, "width": width},
            image_mean=list(trained.get("mean", (0.5, 0.5, 0.5))),
            image_std=list(trained.get("std", (0.5, 0.5, 0.5))),
            resample=PILImageResampling[trained.get("interpolation", "bicubic").upper()],
        )
    try:
        own = AutoImageProcessor.from_pretrained(name_or_path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name_or_path} has no image processor (preprocessor_config.json) beside its model."
        ) from error
    size = getattr(getattr(config, "vision_config", config), "image_size", None) or 224
    height, width = (size, size) if isinstance(size, int) else size
    return ViTImageProcessor(
        size={"height": height, "width": width},
        image_mean=own.image_mean,
        image_std=own.image_std,
        resample=own.resample,
    )


def stand_in_tokenizer() -> PreTrainedTokenizerFast:
    """Reads any text as nothing, for a model that reads no words."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]")),
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=1,
    )


def stand_in_image_processor() -> ViTImageProcessor:
    """Shrinks any picture to 8 x 8, for a model that reads no pictures."""
    return ViTImageProcessor(size={"height": 8, "width": 8})


__all__ = ["ImageTextProcessor"]
