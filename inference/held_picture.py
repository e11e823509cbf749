"""One picture beside many texts: its tower reads it once."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel

from duosent.modeling.encoders import tower_tokens


@contextmanager
def held_picture(model: PreTrainedModel) -> Iterator[None]:
    """For a while the model takes the first picture that it meets for that of every post.

    Args:
        model: one of duosent's own; afterwards it reads pictures as before.
    """
    features = []

    def read(tower: nn.Module, pixel_values: Tensor) -> Tensor:
        if not features:
            features.append(tower_tokens(tower, pixel_values=pixel_values[:1]))
        return features[0].expand(len(pixel_values), *features[0].shape[1:])

    towers = model.base_model
    towers.read_image = read
    try:
        yield
    finally:
        del towers.read_image


__all__ = ["held_picture"]
