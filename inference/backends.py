"""What answers posts: a checkpoint run by torch, or an exported folder run by ONNX Runtime."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from duosent.inference.onnx_model import OnnxModelForImageTextClassification
from duosent.processing.processing_image_text import ImageTextProcessor
from duosent.training.checkpoints import EXPORT_FILE, CallError, load_checkpoint, read_json, read_run

BACKENDS = ("torch", "onnx")
DTYPES = ("float32", "bfloat16", "float16")


def load_backend(
    checkpoint: str, backend: str, device: str | None = None, dtype: str | None = None
) -> tuple[PreTrainedModel | OnnxModelForImageTextClassification, ImageTextProcessor]:
    """A model that answers posts, where it is to compute, and its processor.

    Args:
        checkpoint: folder or Hub name; of backend "onnx" a folder that `duosent export` wrote.
        backend: "torch" or "onnx".
        device: of backend "torch": "cpu", "cuda", ...; None takes the accelerator where there is one.
        dtype: of backend "torch": what the model computes in, one of `DTYPES`; None takes what it was saved in.

    Raises:
        CallError: if there is no such checkpoint, or it is none that the backend runs.
    """
    if backend not in BACKENDS:
        raise CallError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}.")
    if dtype is not None and dtype not in DTYPES:
        raise CallError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    if backend == "onnx":
        if dtype is not None:
            raise CallError(f"dtype must go with backend torch, got {dtype}: an exported graph has types of its own.")
        if device not in (None, "cpu"):
            raise CallError(f"device must be cpu with backend onnx, got {device}.")
        model = OnnxModelForImageTextClassification.from_pretrained(checkpoint)
        return model, ImageTextProcessor.from_pretrained(checkpoint)
    model, processor = load_checkpoint(checkpoint)
    return model.to(device or default_device(), None if dtype is None else getattr(torch, dtype)), processor


def trained_columns(checkpoint: str) -> dict:
    """The columns of the data that a model was trained on, as far as its folder says."""
    return (read_json(Path(checkpoint) / EXPORT_FILE) or read_run(checkpoint)).get("columns", {})


def default_device() -> str:
    return str(torch.accelerator.current_accelerator() or "cpu") if torch.accelerator.is_available() else "cpu"


__all__ = ["BACKENDS", "default_device", "load_backend", "trained_columns"]
