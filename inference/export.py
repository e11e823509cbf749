"""`duosent export`: a checkpoint -> a folder that runs without its code, and how far it gives the same answers."""

import hashlib
import importlib
import importlib.util
import logging
import os
import tempfile
from pathlib import Path

from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedModel

from duosent.data.fingerprint import fingerprint
from duosent.data.reading import read_splits
from duosent.inference.chosen_part import chosen_part
from duosent.inference.exported_program import example_posts, export_program, graph_inputs, longest_text
from duosent.inference.onnx_files import DATA_FILE, ONNX_FILE, OPSET, quantise, write_onnx
from duosent.inference.onnx_model import OnnxModelForImageTextClassification
from duosent.inference.parity import compare_answers, largest_difference, made_up_posts
from duosent.inference.torch_program import PROGRAM_FILE, TorchProgram, write_program
from duosent.modeling.label_scores import label_names
from duosent.training.checkpoints import (
    EXPORT_FILE,
    CallError,
    answers_questions,
    check_output_dir,
    load_checkpoint,
    read_run,
    write_json,
)
from duosent.training.classification_task import ClassificationTask

logger = logging.getLogger(__name__)

FORMATS = ("onnx", "torch-export")
# What each needs beside torch.
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch-export": ()}
# Logits of the exported graph in float32 may differ by this much and no more; rounding gives 1e-5 or so.
TOLERANCE = 1e-3


def export(
    checkpoint: str,
    output_dir: str,
    format: str = "onnx",
    *,
    int8: bool = False,
    data: str | None = None,
    split: str | None = None,
    columns: dict | None = None,
    batch_size: int = 32,
    overwrite: bool = False,
    command: str | None = None,
) -> dict:
    """Write a classifier as one graph, for any number of posts and any length of text, and measure it by the model.

    `output_dir` then holds the graph (`model.onnx`, or `model.pt2`), `config.json`, the processor's files and
    `export.json`, what is returned. No file is a pickle.

    Args:
        checkpoint: folder or Hub name of a classifier.
        output_dir: it must be empty unless `overwrite`.
        format: "onnx" for ONNX Runtime, or "torch-export" for `torch.export.load`.
        int8: of ONNX, embeddings and the weights of matrix products in eight bits, see `quantise`.
        data: what `load_pairs` takes; the model and the graph answer its posts. None for made-up posts alone.
        split: which part of the data; None where there is only one.
        columns: keywords of `load_pairs`; a column that is not given is the one that the checkpoint was trained with.
            Data without a column of labels have no accuracy.
        batch_size: posts at once.
        overwrite: take a folder that is not empty; what an earlier export left in it goes.
        command: the command line, for the record.

    Returns: `format`, `precision`, `opset`, `inputs`, `versions`, `weights`, a fingerprint of those that it was made
        from, `bytes` by precision, and `parity`, see `compare_answers`: `made_up_posts` has the largest difference of
        logits by precision, `data` what came of the posts.

    Raises:
        CallError: for an option that cannot be followed.
        RuntimeError: if the graph in float32 does not give the model's logits.
    """
    _check_options(checkpoint, output_dir, format, int8, split, data)
    check_output_dir(Path(output_dir), overwrite)
    model, processor = load_checkpoint(checkpoint)
    if answers_questions(model):
        raise CallError(f"{checkpoint} answers questions about pictures; only classifiers are exported.")
    model = model.float().eval()
    batches, about_data = _posts_of(model, processor, checkpoint, data, split, columns or {}, batch_size)

    folder = Path(output_dir)
    for name in (EXPORT_FILE, ONNX_FILE, DATA_FILE, PROGRAM_FILE):
        (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    # As JSON alone: its own save_pretrained brings the model's code, for which there are no weights here.
    model.config.to_json_file(folder / "config.json")
    processor.save_pretrained(folder)
    record = {
        "format": format,
        "precision": "int8" if int8 else "float32",
        "opset": OPSET if format == "onnx" else None,
        "inputs": graph_inputs(model, processor),
        "checkpoint": str(checkpoint),
        "weights": fingerprint_of_weights(model),
        "columns": read_run(checkpoint).get("columns", {}),
        "versions": _versions(format),
        "command": command,
    }
    with tempfile.TemporaryDirectory() as other:
        exported, sizes = _write(model, processor, format, int8, folder, Path(other), record["inputs"])
        record |= {"bytes": sizes, "parity": _parity(model, processor, exported, batches, about_data)}
    write_json(folder / EXPORT_FILE, record)
    return record | {"output_dir": str(output_dir)}


def fingerprint_of_weights(model: PreTrainedModel) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over names, types, shapes and values of all parameters and buffers
    of a checkpoint."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _versions(format: str) -> dict[str, str]:
    """Of the modules, since ONNX Runtime comes in packages of several names."""
    names = ("duosent", "torch", "transformers", *NEEDED[format])
    return {name: str(importlib.import_module(name).__version__) for name in names}


def _check_options(checkpoint, output_dir, format, int8, split, data) -> None:
    if format not in FORMATS:
        raise CallError(f"format must be one of {', '.join(FORMATS)}, got {format!r}.")
    if int8 and format != "onnx":
        raise CallError(f"int8 must go with format onnx, got {format}.")
    if split is not None and data is None:
        raise CallError(f"split must go with data, got {split} without.")
    if os.path.realpath(checkpoint) == os.path.realpath(output_dir):
        raise CallError(f"output_dir must not be the checkpoint's own folder, got {output_dir}.")
    missing = [name for name in NEEDED[format] if importlib.util.find_spec(name) is None]
    if missing:
        raise CallError(
            f'Format {format} needs {" and ".join(missing)}, not installed here: pip install "duosent[onnx]".'
        )


def _write(model, processor, format, int8, folder, other, inputs) -> tuple[dict, dict[str, int]]:
    """The graph into its folder, with int8 that in float32 into another one; models that run them, and sizes in bytes,
    by precision."""
    logger.info("Tracing the model")
    program = export_program(model, processor)
    logger.info("Writing the graph")
    if format == "torch-export":
        file = write_program(program, folder)
        return {"float32": TorchProgram(model.config, inputs, file)}, {"float32": file.stat().st_size}
    places = {"float32": other if int8 else folder}
    write_onnx(program, places["float32"])
    if int8:
        logger.info("Rounding its weights to eight bits")
        places["int8"] = folder
        quantise(other / ONNX_FILE, folder)
    graphs = {
        name: OnnxModelForImageTextClassification.from_graph(model.config, inputs, place / ONNX_FILE)
        for name, place in places.items()
    }
    return graphs, {name: _bytes(place) for name, place in places.items()}


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / ONNX_FILE, folder / DATA_FILE) if file.is_file())


def _posts_of(model, processor, checkpoint, data, split, given, batch_size) -> tuple[DataLoader | None, dict]:
    """The posts to compare by, and what to say of them."""
    if data is None:
        return None, {}
    aim = ClassificationTask()
    columns = aim.evaluation_columns(model.config, read_run(checkpoint).get("columns", {}), given)
    try:
        raw = read_splits(data)
    except (ValueError, OSError) as error:
        raise CallError(str(error)) from error
    split = chosen_part(raw, split, data)
    wanted = columns.get("label_columns") or [columns.get("label_column", "label")]
    asked = {"label_column", "label_columns"} & set(given)
    if not asked and not set(wanted) & set(raw[split].column_names):
        columns |= {"label_column": None, "label_columns": None, "text_label_column": None, "image_label_column": None}
    labelled = columns.get("label_column", "label") is not None or columns.get("label_columns") is not None
    names = (model.config.tasks or label_names(model.config)) if labelled else None
    rows = aim.load(data, {**columns, "parts": [split]}, names)[split]
    about = {"data": str(data), "split": split, "fingerprint": fingerprint(rows)}
    return DataLoader(rows, batch_size, collate_fn=aim.collator(processor, model.config)), about


def _parity(model, processor, exported: dict, batches: DataLoader | None, about: dict) -> dict:
    vocabulary = getattr(model.config.text_config, "vocab_size", 0)
    example, longest = example_posts(model, processor), longest_text(model, processor)
    made_up = list(made_up_posts(example, vocabulary, longest))
    differences = {name: largest_difference(model, graph, made_up) for name, graph in exported.items()}
    if not differences["float32"] <= TOLERANCE:
        raise RuntimeError(
            f"The exported graph must give the model's logits to {TOLERANCE}, but differs by {differences['float32']}."
        )
    parity = {"made_up_posts": {"posts": sum(len(next(iter(batch.values()))) for batch in made_up), **differences}}
    if batches is not None:
        shown = tqdm(batches, unit="batch", desc="compare")
        parity["data"] = about | compare_answers({"eager": model, **exported}, shown, model.config)
    return parity


__all__ = ["FORMATS", "export", "fingerprint_of_weights"]
