"""`ImageTextProcessor`: the only road from raw words and pictures to tensors."""

import copy
import difflib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    BatchEncoding,
    PreTrainedTokenizerFast,
    TimmWrapperConfig,
    ViTImageProcessor,
)
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import ImageInput, PILImageResampling
from transformers.processing_utils import ImagesKwargs, ProcessorMixin, TextKwargs

from duosent.configuration.remote_code import PROCESSOR, write_code
from duosent.processing.pictures import Resizing, open_picture
from duosent.processing.text_cleaning import clean_text as clean
from duosent.processing.text_cleaning import fold_text

TARGET = "$T$"
# Side of the pictures of a vision model that says nothing of it.
IMAGE_SIZE = 224
# Keywords for pictures that are `resized`.
RESIZED = {"do_resize": False, "do_center_crop": False}


class ImageTextProcessor(ProcessorMixin):
    """Words and pictures to what the models read; training, scoring and serving all take this road.

    A side that is None is missing, and so is a text of which cleaning leaves nothing: its row is False in
    `text_present` or `image_present`, and what stands in the row is not read.

    Args:
        image_processor: any image processor of transformers.
        tokenizer: any tokenizer of transformers.
        clean_text: take links, @names and HTML entities out of the words.
        reduced_decoding: decode a JPEG file at a half, a quarter or an eighth of its size, as long as both sides keep
            twice the pixels that the image processor resizes to; False decodes every pixel. A keyword of the call
            that changes the resizing, or a picture that is no file, decodes every pixel too.
        kwargs: `max_length`, tokens at most, special ones and target included; more than the special ones of a pair
            (3 in BERT). 128 where neither it nor the tokenizer says otherwise. It is saved with the tokenizer.

    Raises:
        ValueError: if `max_length` leaves no room for a word.
    """

    text_kwargs = {"padding": True, "truncation": True, "max_length": 128, "return_tensors": "pt"}

    def __init__(self, image_processor=None, tokenizer=None, clean_text=True, reduced_decoding=True, **kwargs):
        self.clean_text = clean_text
        self.reduced_decoding = reduced_decoding
        if "max_length" in kwargs:
            tokenizer = with_max_length(tokenizer, kwargs.pop("max_length"))
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
            max_length: see the class.

        Raises:
            ValueError: if `max_length` leaves no room for a word, or an encoder has no tokenizer or image processor.
        """
        tokenizer = stand_in_tokenizer() if text is None else tokenizer_of(text)
        image_processor = stand_in_image_processor() if image is None else image_processor_of(image)
        return cls(image_processor, tokenizer, clean_text=clean_text, max_length=max_length)

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs) -> list[str]:
        """As in transformers; with the code by which it loads where this package is not installed."""
        self.auto_map = {"AutoProcessor": PROCESSOR}
        files = super().save_pretrained(save_directory, **kwargs)
        del self.auto_map
        if self._auto_class is None:  # or the class is of such code itself, which transformers has copied
            write_code(save_directory, [PROCESSOR])
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)
        return files

    @property
    def max_length(self) -> int:
        """Tokens at most, special ones and target included, where a call says nothing else."""
        own = self.tokenizer.init_kwargs.get("max_length") or self.text_kwargs["max_length"]
        # A tower has no positions beyond its tokenizer's own limit.
        return min(own, self.tokenizer.model_max_length)

    @property
    def model_input_names(self) -> list[str]:
        return [*super().model_input_names, "text_present", "image_present"]

    def __call__(
        self,
        images: ImageInput | str | bytes | dict | list | None = None,
        text: str | list[str | None] | None = None,
        target: str | list[str | None] | None = None,
        **kwargs,
    ) -> BatchFeature:
        """One post or many to a batch.

        Args:
            images: one picture or a list: path, bytes, PIL image, array, `{"bytes", "path"}`; None where a post has
                none. A picture may stand in a list of its own, as in other processors.
            text: one text or a list; None where a post has none.
            target: one target or a list: it takes the place of `$T$` in the text and stands as the second segment;
                None for none.
            kwargs: those of the tokenizer and of the image processor, such as `padding="max_length"`;
                `return_tensors` is "pt" by default.

        Returns: `input_ids`, `attention_mask` and, where the tokenizer makes them, `token_type_ids` `(B, T)`,
            `pixel_values` `(B, 3, height, width)`, `text_present` and `image_present` `(B,)`. If no post of the call
            has a text (a picture), the tensors of that side are left out.

        Raises:
            ValueError: if nothing is given, lengths differ, a value has the wrong type, or a picture cannot be read.
            TypeError: for a keyword that nobody knows.
        """
        self._check_keywords(kwargs)
        texts, pictures, targets = as_list(text), as_pictures(images), as_list(target)
        size = self._check_lengths(texts, pictures, targets)
        options = self._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs)
        return_tensors = options["text_kwargs"].pop("return_tensors", None)
        options["images_kwargs"].pop("return_tensors", None)

        texts, targets = self._prepare_texts(texts or [None] * size, targets or [None] * size)
        pictures = self._open(pictures or [None] * size, options["images_kwargs"])
        data = {}
        if any(text is not None for text in texts):
            data.update(self._tokenize(texts, targets, options["text_kwargs"]))
        if any(picture is not None for picture in pictures):
            data.update(self._process_pictures(pictures, options["images_kwargs"]))
        data["text_present"] = [text is not None for text in texts]
        data["image_present"] = [picture is not None for picture in pictures]
        return BatchFeature(data, tensor_type=return_tensors)

    def text_lengths(self, text: list[str | None], target: list[str | None] | None = None) -> list[int]:
        """Tokens of each post's words, special ones and target included, as it is read without padding.

        Args:
            text, target: see the call.
        """
        options = self._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs)["text_kwargs"]
        options = {"truncation": options["truncation"], "max_length": self.max_length}
        encoded = self._encode(*self._prepare_texts(text, target or [None] * len(text)), options)
        return [len(row["input_ids"]) for row in encoded]

    def encode_post(self, text: str | None, target: str | None = None) -> tuple[str | None, str | None, BatchEncoding]:
        """What is read of one post's words, without padding, and where each token stands in them.

        Args:
            text, target: see the call.

        Returns: text and target as they are after cleaning, None where nothing is left, and the tokenizer's encoding
            with `offset_mapping` and `sequence_ids()`.

        Raises:
            ValueError: for a tokenizer that does not know where its tokens stand.
        """
        [text], [target] = self._prepare_texts([text], [target])
        if not self.tokenizer.is_fast:
            raise ValueError(
                f"The tokenizer must tell where tokens stand, which {type(self.tokenizer).__name__} does not."
            )
        options = self._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs)["text_kwargs"]
        options = {"truncation": options["truncation"], "max_length": self.max_length}
        [options["truncation"]] = self._truncations([target], options)
        return text, target, self.tokenizer(text or "", target, return_offsets_mapping=True, **options)

    def resized(self, images: list) -> list[Image.Image | None]:
        """Pictures in the size that the model reads, in RGB, as they are before their numbers are normalised.

        The call makes of them what it makes of the pictures themselves, with `RESIZED` as keywords.

        Args:
            images: see the call.

        Raises:
            ValueError: as the call; and for an image processor that resizes to anything but whole numbers of 8 bits.
        """
        pictures = self._open(images, {})
        present = [picture for picture in pictures if picture is not None]
        if not present:
            return pictures
        levels = self.image_processor(present, do_rescale=False, do_normalize=False, return_tensors="pt")[
            "pixel_values"
        ]  # (n, 3, height, width)
        if levels.dtype != torch.uint8:
            name = type(self.image_processor).__name__
            raise ValueError(f"image_processor must resize in 8 bits, got {name}, which gives {levels.dtype}.")
        small = iter(levels.permute(0, 2, 3, 1).numpy())
        return [None if picture is None else Image.fromarray(next(small)) for picture in pictures]

    def empty_side(self, side: str, rows: int) -> dict[str, torch.Tensor]:
        """Tensors of a side that no row has, for a batch whose keys are always the same.

        Args:
            side: "text" or "image".
            rows: `B`.
        """
        if side == "text":
            # At least one position, even where a tokenizer adds no special tokens.
            return dict(self.tokenizer([""] * rows, padding="max_length", max_length=1, return_tensors="pt"))
        blank = Image.new("RGB", (8, 8))
        pixel_values = self.image_processor(blank, return_tensors="pt")["pixel_values"]
        return {"pixel_values": torch.zeros_like(pixel_values).repeat(rows, 1, 1, 1)}

    def _check_keywords(self, kwargs: dict) -> None:
        """transformers only warns of an unknown keyword: `image=` for `images=` would lose the picture."""
        known = {"images", "text", "target", "common_kwargs", *self.valid_processor_kwargs.__annotations__}
        for options in (TextKwargs, ImagesKwargs, getattr(self.image_processor, "valid_kwargs", ImagesKwargs)):
            known.update(options.__annotations__)
        for name in kwargs:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {nearest[0]}?" if nearest else "."
                raise TypeError(f"{type(self).__name__} takes no {name}{hint}")

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
        texts, targets = ([value and whole_characters(value) for value in values] for values in (texts, targets))
        if self.clean_text:
            texts = [text and clean(text) for text in texts]
            targets = [target and fold_text(target) for target in targets]
        targets = [target.strip() or None if target else None for target in targets]
        filled = [
            text.replace(TARGET, target) if text and target else text
            for text, target in zip(texts, targets, strict=True)
        ]
        return [text if text and text.strip() else None for text in filled], targets

    def _tokenize(self, texts: list, targets: list, options: dict) -> dict:
        options = dict(options)
        limit = self.tokenizer.model_max_length
        options["max_length"] = min(options["max_length"] or limit, limit)
        padding, multiple = options.pop("padding", False), options.pop("pad_to_multiple_of", None)
        encoded = self._encode(texts, targets, options)
        longest = options["max_length"] if padding == "max_length" else max(len(row["input_ids"]) for row in encoded)
        if multiple and -(-longest // multiple) * multiple > limit:
            multiple = None
        names = ("max_length",) if padding == "max_length" else ()
        names += ("return_attention_mask", "padding_side")
        return dict(
            self.tokenizer.pad(
                {name: [row[name] for row in encoded] for name in encoded[0]},
                padding=padding,
                pad_to_multiple_of=multiple,
                **{name: options[name] for name in names if name in options},
            )
        )

    def _encode(self, texts: list, targets: list, options: dict) -> list[dict]:
        """The rows without padding, each of its own length."""
        # One call for all rows that are cut in the same way.
        groups = defaultdict(list)
        for row, truncation in enumerate(self._truncations(targets, options)):
            groups[targets[row] is not None, truncation].append(row)
        encoded = [None] * len(texts)
        for (has_target, truncation), rows in groups.items():
            words = [texts[row] or "" for row in rows]
            pair = [targets[row] for row in rows] if has_target else None
            columns = self.tokenizer(words, pair, **{**options, "truncation": truncation})
            for position, row in enumerate(rows):
                encoded[row] = {name: values[position] for name, values in columns.items()}
        return encoded

    def _truncations(self, targets: list, options: dict) -> list:
        """The words are cut and the target stays; where it alone is too long, the longer of the two is cut."""
        usual, given = options.get("truncation", False), [target for target in targets if target is not None]
        if usual is not True or not given:
            return [usual] * len(targets)
        taken = iter(self.tokenizer(given, add_special_tokens=False, verbose=False)["input_ids"])
        room = options["max_length"] - self.tokenizer.num_special_tokens_to_add(pair=True)
        return [
            usual if target is None else "only_first" if len(next(taken)) < room else "longest_first"
            for target in targets
        ]

    def _open(self, pictures: list, options: dict) -> list[Image.Image | None]:
        """
        Args:
            options: those of the image processor that the call gives.
        """
        as_usual = self.reduced_decoding and not {"do_resize", "size", "resample"} & options.keys()
        resizing = resizing_of(self.image_processor) if as_usual else None
        return [self._open_one(index, picture, resizing) for index, picture in enumerate(pictures)]

    @staticmethod
    def _open_one(index: int, picture, resizing: Resizing | None) -> Image.Image | None:
        try:
            if isinstance(picture, list | tuple):
                if len(picture) > 1:
                    raise ValueError(f"A post has one picture, got {len(picture)}.")
                picture = picture[0] if picture else None
            return None if is_missing(picture) else open_picture(picture, resizing)
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
    if isinstance(values, str | bytes | bytearray | memoryview):
        return [values]
    if getattr(values, "ndim", None) == 1:  # NumPy, pandas
        return values.tolist()
    return list(values) if isinstance(values, Sequence) else [values]


def as_pictures(images) -> list | None:
    """As `as_list`; an array with four axes is a batch of pictures."""
    if getattr(images, "ndim", None) == 4:
        return list(images)
    return as_list(images)


def is_missing(picture) -> bool:
    """None, or an empty cell as `datasets` gives it."""
    return picture is None or (
        isinstance(picture, dict)
        and bool({"bytes", "path"} & set(picture))
        and picture.get("bytes") is None
        and picture.get("path") is None
    )


def whole_characters(text: str) -> str:
    """Half a character, which a text cut in the middle of an emoji may hold, is no Unicode: no tokenizer takes it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def with_max_length(tokenizer, max_length: int):
    """The tokenizer, with a length of its own.

    transformers keeps what a tokenizer is made with, saves it, and lets it go before the defaults of a processor.
    """
    special = tokenizer.num_special_tokens_to_add(pair=True)
    if max_length <= special:
        raise ValueError(f"max_length must be > {special}, the special tokens of a text and target, got {max_length}.")
    tokenizer = copy.copy(tokenizer)
    tokenizer.init_kwargs = {**tokenizer.init_kwargs, "max_length": max_length}
    return tokenizer


def tokenizer_of(name_or_path: str):
    """The tokenizer of a text encoder."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name_or_path} has no tokenizer beside its model.") from error
    # Where the files are missing, transformers makes a tokenizer that knows its special tokens and no word.
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ValueError(f"{name_or_path} has no tokenizer beside its model.")
    return tokenizer


def image_processor_of(name_or_path: str) -> ViTImageProcessor:
    """Resize both sides to what the vision model reads, and normalise as it was trained; see `from_encoders`."""
    config = AutoConfig.from_pretrained(name_or_path)
    if isinstance(config, TimmWrapperConfig):
        trained = config.pretrained_cfg or {}
        _, height, width = trained.get("input_size", (3, IMAGE_SIZE, IMAGE_SIZE))
        interpolation = trained.get("interpolation", "bicubic").upper()
        return ViTImageProcessor(
            size={"height": height, "width": width},
            image_mean=list(trained.get("mean", (0.5, 0.5, 0.5))),
            image_std=list(trained.get("std", (0.5, 0.5, 0.5))),
            resample=PILImageResampling.__members__.get(interpolation, PILImageResampling.BICUBIC),
        )
    try:
        own = AutoImageProcessor.from_pretrained(name_or_path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name_or_path} has no image processor beside its model.") from error
    if getattr(own, "do_flip_channel_order", None):
        raise ValueError(f"{name_or_path} reads blue before red, which ImageTextProcessor cannot give.")
    names = ("image_mean", "image_std", "resample", "do_rescale", "rescale_factor", "do_normalize")
    kept = {name: getattr(own, name) for name in names if getattr(own, name, None) is not None}
    height, width = read_size(own, config)
    return ViTImageProcessor(size={"height": height, "width": width}, **kept)


def read_size(image_processor, config) -> tuple[int, int]:
    """Height and width that a vision model reads: what its processor crops or resizes to, else what its config says.

    DINOv2's config names the largest size that it was trained with, 518; its processor gives it 224.
    """
    crop = image_processor.crop_size if getattr(image_processor, "do_center_crop", None) else None
    for size in (crop, image_processor.size):
        if size and size.get("height") and size.get("width"):
            return size["height"], size["width"]
    size = getattr(getattr(config, "vision_config", config), "image_size", None) or IMAGE_SIZE
    return (size, size) if isinstance(size, int) else tuple(size)


def resizing_of(image_processor) -> Resizing | None:
    """What an image processor does to every picture first; None where that is not to bring it to one size, by a way
    that Pillow and torchvision have alike."""
    size, way = getattr(image_processor, "size", None) or {}, getattr(image_processor, "resample", None)
    alike = way in (PILImageResampling.BILINEAR, PILImageResampling.BICUBIC)
    if not (getattr(image_processor, "do_resize", False) and alike and size.get("height") and size.get("width")):
        return None
    return Resizing(size["height"], size["width"], way)


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


__all__ = ["RESIZED", "ImageTextProcessor"]
