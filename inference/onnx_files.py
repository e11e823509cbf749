"""A graph of torch.export -> `model.onnx`, in float32 or with its weights in eight bits."""

import logging
from pathlib import Path

import torch
from torch.export import ExportedProgram

OPSET = 20
ONNX_FILE = "model.onnx"
# An ONNX file holds less than 2 GiB: more bytes of weights than these stand in a second file beside it.
LARGEST_FILE = 1_900_000_000
DATA_FILE = f"{ONNX_FILE}.data"
# What holds weights to quantise: matrix products, a Gemm is made one first, and embeddings.
MATRIX_PRODUCTS, EMBEDDINGS = "MatMul", "Gather"
# Names of the axes that may have any size.
AXES = ("batch", "length")


def write_onnx(program: ExportedProgram, folder: Path) -> Path:
    """Write the graph as `model.onnx`, with `model.onnx.data` beside it where it is too large for one file.

    The output is `logits`; the free axes are called `batch` and `length`. What the exporter notes of the source, paths
    of this machine among it, is left out.

    Args:
        program: see `export_program`.
        folder: it must exist.
    """
    exported = torch.onnx.export(
        program, dynamo=True, opset_version=OPSET, output_names=["logits"], verbose=False, optimize=True
    )
    model = exported.model
    _name_axes(model.graph)
    for part in (model, model.graph, *model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        part.metadata_props.clear()
    for node in model.graph.all_nodes():
        for part in (node, *node.outputs):
            part.metadata_props.clear()
    file = folder / ONNX_FILE
    weights = sum(tensor.nbytes for tensor in program.state_dict.values())
    exported.save(file, external_data=weights > LARGEST_FILE)
    return file


def _name_axes(graph) -> None:
    for value in (*graph.inputs, *graph.outputs):
        free = [axis for axis, size in enumerate(value.shape) if not isinstance(size, int)]
        for axis, name in zip(free, AXES, strict=False):
            value.shape[axis] = name


def quantise(file: Path, folder: Path, operators: tuple[str, ...] = (MATRIX_PRODUCTS, EMBEDDINGS)) -> Path:
    """Write `model.onnx` with its embeddings and the weights of its matrix products as whole numbers of eight bits.

    A matrix has one scale a column, an embedding one in all. What is multiplied with a matrix is rounded to eight bits
    too, when it is known, with a scale of its own (dynamic quantisation of ONNX Runtime): no post is needed for it.
    Convolutions and norms stay as they are.

    Args:
        file: what `write_onnx` wrote.
        folder: another one, which must exist.
        operators: of ONNX, those whose weights are quantised.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(file)
    # Noted shapes of weights, which are transposed on the way, would be taken for a contradiction.
    del model.graph.value_info[:]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends a step that the exporter has done
    try:
        quantize_dynamic(
            model,
            folder / ONNX_FILE,
            op_types_to_quantize=list(operators),
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=(file.parent / DATA_FILE).is_file(),
        )
    finally:
        root.setLevel(level)
    return folder / ONNX_FILE


__all__ = ["DATA_FILE", "EMBEDDINGS", "MATRIX_PRODUCTS", "ONNX_FILE", "OPSET", "quantise", "write_onnx"]
