"""An exported classifier, run by ONNX Runtime."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig

from duosent.inference.exported_model import ExportedModel
from duosent.inference.onnx_files import ONNX_FILE
from duosent.training.checkpoints import EXPORT_FILE, CallError, read_json


class OnnxModelForImageTextClassification(ExportedModel):
    """A classifier that `duosent export` wrote as ONNX, for scoring and for the pipeline.

    >>> model = OnnxModelForImageTextClassification.from_pretrained("out/mdse-onnx")
    >>> processor = ImageTextProcessor.from_pretrained("out/mdse-onnx")
    >>> classify = pipeline("image-text-classification", model=model, processor=processor)

    Args:
        config, inputs, name_or_path: see `ExportedModel`.
        session: an `onnxruntime.InferenceSession` of the graph.
    """

    def __init__(self, config: PreTrainedConfig, inputs: dict[str, dict], session, name_or_path: str = ""):
        super().__init__(config, inputs, name_or_path)
        self.session = session

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, providers: Sequence[str] = ("CPUExecutionProvider",), session_options=None
    ) -> "OnnxModelForImageTextClassification":
        """
        Args:
            folder: what `duosent export --format onnx` wrote.
            providers: where ONNX Runtime computes, what is wanted most first.
            session_options: `onnxruntime.SessionOptions`, such as the number of threads; None for its defaults.

        Raises:
            CallError: if the folder holds no exported classifier in ONNX, or ONNX Runtime is not installed.
        """
        record = _read_record(folder)
        config = AutoConfig.from_pretrained(folder)
        return cls.from_graph(config, record["inputs"], Path(folder) / ONNX_FILE, providers, session_options)

    @classmethod
    def from_graph(
        cls,
        config: PreTrainedConfig,
        inputs: dict[str, dict],
        file: Path,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        session_options=None,
    ) -> "OnnxModelForImageTextClassification":
        """Args: see `from_pretrained` and the class; `file` is the graph."""
        import onnxruntime

        session = onnxruntime.InferenceSession(str(file), sess_options=session_options, providers=list(providers))
        return cls(config, inputs, session, str(file.parent))

    def run(self, posts: dict[str, Tensor]) -> Tensor:
        feed = {name: tensor.numpy() for name, tensor in posts.items()}
        return torch.from_numpy(self.session.run(["logits"], feed)[0])


def _read_record(folder: str | Path) -> dict:
    record = read_json(Path(folder) / EXPORT_FILE)
    if not record:
        raise CallError(f"{folder} is no folder of duosent export: it has no {EXPORT_FILE}.")
    if record["format"] != "onnx":
        raise CallError(f"{folder} was exported as {record['format']}; backend onnx runs what --format onnx wrote.")
    if importlib.util.find_spec("onnxruntime") is None:
        raise CallError('Backend onnx needs onnxruntime, which is not installed: pip install "duosent[onnx]".')
    return record


__all__ = ["OnnxModelForImageTextClassification"]
