"""A graph of torch.export on disk: `model.pt2`, which `torch.export.load` reads."""

from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram
from transformers import PreTrainedConfig

from duosent.inference.exported_model import ExportedModel

PROGRAM_FILE = "model.pt2"


def write_program(program: ExportedProgram, folder: Path) -> Path:
    """Write `model.pt2`: graph as JSON, weights as raw bytes.

    Args:
        program: see `export_program`.
        folder: it must exist.
    """
    program.example_inputs = None  # torch would pickle it
    file = folder / PROGRAM_FILE
    torch.export.save(program, file)
    return file


class TorchProgram(ExportedModel):
    """A written program.

    Args:
        config, inputs: see `ExportedModel`.
        file: what `write_program` wrote in this process: of one that came from elsewhere torch may unpickle parts.
    """

    def __init__(self, config: PreTrainedConfig, inputs: dict[str, dict], file: Path):
        super().__init__(config, inputs, str(file.parent))
        self.graph = torch.export.load(file).module()

    def run(self, posts: dict[str, Tensor]) -> Tensor:
        return self.graph(**posts)


__all__ = ["PROGRAM_FILE", "TorchProgram", "write_program"]
