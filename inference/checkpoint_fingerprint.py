"""What a checkpoint is, in 64 letters: other weights, another config or another tokenizer have another one."""

import hashlib
from pathlib import Path

from huggingface_hub import snapshot_download

from duosent.modeling.adapter_checkpoints import ADAPTERS_FOLDER, TOWERS_FILE
from duosent.training.checkpoints import read_json

# What answers depend on: the weights, tokenizers that are no JSON, and the configs of model and processor.
WEIGHTS = (".safetensors", ".onnx", ".data", ".model", ".spm")
CONFIGS = (
    "config.json",
    "export.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "adapter_config.json",
    TOWERS_FILE,
)


def checkpoint_fingerprint(checkpoint: str) -> str:
    """SHA-256 over the names and the SHA-256 of the files that the answers depend on, 64 hexadecimal digits.

    These are the weights and the configs of model and processor in the folder, and for adapters those of the towers
    that they were trained over. Where the folder lies does not matter.

    Args:
        checkpoint: folder, or a Hub name whose files are in the Hub's cache, as they are once it has been loaded.
    """
    digest = hashlib.sha256()
    for name, file in _files(checkpoint):
        with file.open("rb") as content:
            digest.update(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


def _files(checkpoint: str) -> list[tuple[str, Path]]:
    """Names and places, in a fixed order."""
    folder = Path(checkpoint)
    if not folder.is_dir():
        folder = Path(snapshot_download(checkpoint, local_files_only=True))
    inside = [*folder.iterdir(), *(folder / ADAPTERS_FOLDER).glob("*")]
    found = [(file.relative_to(folder).as_posix(), file) for file in sorted(inside) if _matters(file)]
    for tower, place in sorted(read_json(folder / TOWERS_FILE).items()):
        if isinstance(place, str):
            found += [(f"{tower}/{name}", file) for name, file in _files(place)]
    return found


def _matters(file: Path) -> bool:
    return file.is_file() and (file.name in CONFIGS or file.suffix in WEIGHTS)


__all__ = ["checkpoint_fingerprint"]
