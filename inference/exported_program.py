"""A classifier -> the graph of its logits by torch.export, for any number of posts and any length of text."""

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from transformers import PreTrainedModel

from duosent.processing.processing_image_text import ImageTextProcessor

# The example that is traced: sizes that no tower has, so that none of them is taken for one.
EXAMPLE_POSTS, EXAMPLE_LENGTH = 3, 7


class PostLogits(nn.Module):
    """A classifier that takes posts alone and gives logits alone; the order of the inputs is that of the graph's."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        text_present: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_present: Tensor | None = None,
    ) -> Tensor:
        """Returns: `(B, L)`."""
        return self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            text_present=text_present,
            pixel_values=pixel_values,
            image_present=image_present,
        ).logits


def example_posts(model: PreTrainedModel, processor: ImageTextProcessor) -> dict[str, Tensor]:
    """What the model reads of a post: tensors of the kinds and sizes that the processor makes."""
    posts = {}
    if model.config.text_config is not None:
        ids = torch.zeros(EXAMPLE_POSTS, min(EXAMPLE_LENGTH, longest_text(model, processor)), dtype=torch.long)
        posts |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if "token_type_ids" in processor.tokenizer.model_input_names:
            posts["token_type_ids"] = torch.zeros_like(ids)
        posts["text_present"] = torch.ones(EXAMPLE_POSTS, dtype=torch.bool)
    if model.config.vision_config is not None:
        posts["pixel_values"] = processor.empty_side("image", EXAMPLE_POSTS)["pixel_values"]
        posts["image_present"] = torch.ones(EXAMPLE_POSTS, dtype=torch.bool)
    return posts


def longest_text(model: PreTrainedModel, processor: ImageTextProcessor) -> int:
    """Tokens at most that the text tower reads: its tokenizer's limit, and never more than it has positions."""
    positions = getattr(model.config.text_config, "max_position_embeddings", None) or processor.max_length
    return min(processor.tokenizer.model_max_length, positions)


def graph_inputs(model: PreTrainedModel, processor: ImageTextProcessor) -> dict[str, dict]:
    """Type and shape of what the graph reads, `batch` and `length` for axes of any size, and the longest text."""
    inputs = {}
    for name, tensor in example_posts(model, processor).items():
        shape = ["batch", *tensor.shape[1:]] if tensor.ndim != 2 else ["batch", "length"]
        inputs[name] = {"type": str(tensor.dtype).removeprefix("torch."), "shape": shape}
        if tensor.ndim == 2:
            inputs[name]["longest"] = longest_text(model, processor)
    return inputs


def export_program(model: PreTrainedModel, processor: ImageTextProcessor) -> ExportedProgram:
    """The graph of a classifier's logits.

    Args:
        model: float32, on the CPU; it is left as it is.
        processor: the model's.

    Returns: a program whose inputs are those of `example_posts`; the number of posts and the length of the texts may
        be any from 1 on, up to `longest_text`; the size of the pictures is the processor's.
    """
    posts = example_posts(model, processor)
    batch = Dim("batch", min=1)
    length = Dim("length", min=1, max=longest_text(model, processor)) if "input_ids" in posts else None
    # Attention written out: fused attention guards against rows without keys, which no post has, by four steps more.
    written_out = copy.deepcopy(model)
    written_out.set_attn_implementation("eager")
    graph = PostLogits(written_out).eval()
    shapes = {name: {0: batch, 1: length} if tensor.ndim == 2 else {0: batch} for name, tensor in posts.items()}
    with torch.no_grad():
        return torch.export.export(graph, (), kwargs=posts, dynamic_shapes=shapes, strict=False)


__all__ = ["example_posts", "export_program", "graph_inputs", "longest_text"]
