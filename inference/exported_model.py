"""What stands where a model of torch could stand: the graph of a classifier, called as the classifier itself."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from duosent.modeling.encoders import count_posts
from duosent.modeling.outputs import BaselineOutput

# What a side that is there has, where a caller does not say more.
ALL_THERE = ("attention_mask", "text_present", "image_present")


class ExportedModel(ABC):
    """A classifier whose graph reads both sides of every post, called with one of them as well.

    It gives the logits alone. Tensors go in and come out on the CPU.

    Args:
        config: the classifier's.
        inputs: what the graph reads, `{name: {"type", "shape"}}`, for words also `longest`, as `export.json` has it.
        name_or_path: where it came from.
    """

    input_modalities = ("image", "text")
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, config: PreTrainedConfig, inputs: dict[str, dict], name_or_path: str = ""):
        self.config = config
        self.inputs = inputs
        self.name_or_path = name_or_path

    @abstractmethod
    def run(self, posts: dict[str, Tensor]) -> Tensor:
        """All inputs of the graph, by name and in order -> `(B, L)`."""

    def eval(self) -> "ExportedModel":
        """It never trains."""
        return self

    def to(self, device) -> "ExportedModel":
        """Its tensors stay on the CPU, whatever a caller says."""
        return self

    def can_generate(self) -> bool:
        return False

    def __call__(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        text_present: Tensor | None = None,
        image_present: Tensor | None = None,
    ) -> BaselineOutput:
        """
        Args: as of the classifier; either side may be None for the whole batch.

        Returns: `logits (B, L)`.

        Raises:
            ValueError: if both sides are None, or a tensor does not have the shape that the graph reads.
        """
        sizes = {"batch": count_posts(input_ids, pixel_values)}
        if input_ids is not None:
            sizes["length"] = input_ids.shape[-1]
            if token_type_ids is None and "token_type_ids" in self.inputs:
                raise ValueError("token_type_ids must be given with input_ids: the exported model reads them.")
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "text_present": text_present,
            "pixel_values": pixel_values,
            "image_present": image_present,
        }
        posts = {}
        for name in self.inputs:
            absent = (pixel_values if name in ("pixel_values", "image_present") else input_ids) is None
            there = not absent and given[name] is not None
            posts[name] = self._checked(name, given[name]) if there else self._filled(name, sizes, absent)
        return BaselineOutput(logits=self.run(posts))

    def _filled(self, name: str, sizes: dict[str, int], absent: bool) -> Tensor:
        """Zeros for a side that no post has, which say so; ones for what says that all of a side is there."""
        shape = [sizes.get(size, 1) if isinstance(size, str) else size for size in self.inputs[name]["shape"]]
        value = 1 if name in ALL_THERE and not absent else 0
        return torch.full(shape, value, dtype=getattr(torch, self.inputs[name]["type"]))

    def _checked(self, name: str, tensor: Tensor) -> Tensor:
        shape, longest = self.inputs[name]["shape"], self.inputs[name].get("longest")
        fits = tensor.ndim == len(shape) and all(
            isinstance(wanted, str) or wanted == size for wanted, size in zip(shape, tensor.shape, strict=False)
        )
        if not fits or (longest is not None and not 0 < tensor.shape[1] <= longest):
            limit = "" if longest is None else f" with length from 1 to {longest}"
            wanted = ", ".join(map(str, shape))
            raise ValueError(f"{name} must be of the shape ({wanted}){limit}, got {tuple(tensor.shape)}.")
        return tensor.to("cpu", getattr(torch, self.inputs[name]["type"]))


__all__ = ["ExportedModel"]
