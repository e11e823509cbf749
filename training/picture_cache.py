"""Pictures are decoded and resized once: what the model reads of them is kept on disk, for later epochs and runs.

A picture is known by the hash of its file, and the folder of a processor's pictures is named by all that decides what
becomes of a file. What changes either has other names, and nothing stored can be stale.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
import transformers
from PIL import Image, features
from torch import Tensor

from duosent.processing import pictures
from duosent.processing.collator import ImageTextCollator
from duosent.processing.processing_image_text import RESIZED, ImageTextProcessor
from duosent.training.checkpoints import CallError
from duosent.training.record_store import KEY_BYTES, Record, RecordStore, check_folder

# What an image processor does to a picture that is resized; it is done anew each time.
AFTERWARDS = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")


class PictureCache:
    """Resized pictures, from the disk where they are known; to be called as `ImageTextProcessor.resized`.

    A picture that is known is not decoded. One that is no file, such as an array, is not kept. A copy in another
    process, such as a worker of a loader, reads what all have written, and writes files of its own.

    Args:
        processor: resizes what is not known.
        folder: of the caches of all processors.
    """

    def __init__(self, processor: ImageTextProcessor, folder: str):
        self._processor = processor
        self._store = RecordStore(Path(folder) / resizing_hash(processor), "cache_pictures")

    def __call__(self, images: list) -> list[Image.Image | None]:
        files = [file_of(image) for image in images]
        keys = [file and hashlib.blake2b(file["bytes"], digest_size=KEY_BYTES).digest() for file in files]
        records = self._store.find([key for key in keys if key is not None])
        # Where there is nothing to resize stands None, so that an error still names the place of its picture.
        unknown = [
            None if key in records else image if file is None else file
            for key, file, image in zip(keys, files, images, strict=True)
        ]
        resized = self._processor.resized(unknown)
        computed = {
            key: torch.from_numpy(np.array(picture))
            for key, picture in zip(keys, resized, strict=True)
            if key is not None and picture is not None
        }
        if computed:
            self._store.add(computed)
        return [
            picture_of(records[key]) if key in records else picture for key, picture in zip(keys, resized, strict=True)
        ]


def file_of(image) -> dict | None:
    """A picture that is a file, as `{"bytes": ..., "path": ...}`; None for any other, or a file that is not there."""
    path = None
    if isinstance(image, dict):
        image, path = image.get("bytes"), image.get("path")
        image = path if image is None else image
    if isinstance(image, str | Path):
        path = str(image)
        try:
            image = Path(path).read_bytes()
        except (OSError, ValueError):  # the processor says so
            return None
    return {"bytes": bytes(image), "path": path} if isinstance(image, bytes | bytearray | memoryview) else None


def picture_of(record: Record) -> Image.Image:
    return Image.fromarray(record.content.reshape(record.shape))


def resizing_hash(processor: ImageTextProcessor) -> str:
    """A hash of all that decides which resized picture a processor makes of a file."""
    fields = processor.image_processor.to_dict()
    libraries = [torch, torchvision, transformers, PIL]
    decides = [
        {name: value for name, value in fields.items() if name not in AFTERWARDS},
        processor.reduced_decoding,
        [str(library.__version__) for library in libraries],
        [features.version(name) for name in ("jpg", "libjpeg_turbo")],
    ]
    digest = hashlib.blake2b(json.dumps(decides, sort_keys=True, default=str).encode(), digest_size=KEY_BYTES)
    digest.update(Path(pictures.__file__).read_bytes())
    return digest.hexdigest()


def cache_pictures(collator: Callable[[list[dict]], dict[str, Tensor]], folder: str) -> ImageTextCollator:
    """The collator with pictures from a cache.

    Raises:
        CallError: for another collator than an `ImageTextCollator`, an image processor whose work cannot be taken up
            behind the resizing, or a folder that cannot be written to.
    """
    if not isinstance(collator, ImageTextCollator):
        raise CallError(f"cache_pictures must go with an ImageTextCollator, got {type(collator).__name__}.")
    if not resizes_first(collator.processor):
        name = type(collator.processor.image_processor).__name__
        raise CallError(
            f"cache_pictures must go with an image processor that resizes in 8 bits and does no more than normalise "
            f"then, got {name}."
        )
    check_folder(folder, "cache_pictures")
    return dataclasses.replace(collator, resize=PictureCache(collator.processor, folder))


def resizes_first(processor: ImageTextProcessor) -> bool:
    """Whether a processor comes to the same numbers in two steps, by trying it on a picture of noise."""
    levels = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    try:
        small = processor.resized([levels])
    except ValueError:
        return False
    at_once, in_steps = processor(images=levels), processor(images=small, **RESIZED)
    return torch.equal(at_once["pixel_values"], in_steps["pixel_values"])


__all__ = ["PictureCache", "cache_pictures", "file_of", "resizing_hash"]
