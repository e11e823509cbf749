"""One picture beside many texts: its tower reads it once."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel


@contextmanager
def held_picture(model: PreTrainedModel) -> Iterator[None]:
    """For a while the model takes the first picture that it meets for that of every post.

    Args:
        model: one of duosent's own; afterwards it reads pictures as before.
    """
    towers, features = model.base_model, []
    reads, own = towers.read_image, "read_image" in vars(towers)

    def read(tower: nn.Module, pixel_values: Tensor) -> Tensor:
        if not features:
            features.append(reads(tower, pixel_values=pixel_values[:1]))
        return features[0].expand(len(pixel_values), *features[0].shape[1:])

    towers.read_image = read
    try:
        yield
    finally:
        if own:  # training may have put in what remembers a frozen tower
            towers.read_image = reads
        else:
            del towers.read_image


__all__ = ["held_picture"]
