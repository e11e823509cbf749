"""Which files of a checkpoint go to the Hub: those on a list, and nothing else."""

import fnmatch
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from duosent.hub_cards.run_files import CardError

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
# Of a checkpoint without its towers.
ADAPTERS = (
    *("adapters/adapter_config.json", "adapters/adapter_model.safetensors"),
    *("fusion.safetensors", "towers.json"),
)
# The processor, under whatever names its tokenizer has files.
PROCESSOR = (
    *("processor_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "bpe.codes"),
    *("sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "chat_template.jinja"),
)
# Written anew for the Hub: config, code of what is installed, figures without the paths of this machine, the card.
REWRITTEN = ("config.json", "*.py", "metrics*.json", "README.md")
# Why the rest stays.
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.npy", "*.npz")
OF_THE_RUN = (
    *("run.json", "arguments.json", "trainer_state.json", "summary.json", "card.json"),
    *("checkpoint-*/*", "runs/*", "predictions_*.parquet"),
)


@dataclass(frozen=True)
class Publishable:
    """
    Args:
        files: to send as they are, by their name in the repository.
        kept: the others, and why each stays here.
    """

    files: dict[str, Path]
    kept: dict[str, str]


def publishable(folder: Path) -> Publishable:
    """Sort the files of a checkpoint.

    Raises:
        CardError: if there are no weights that may go, or a file of weights is not what its name says.
    """
    files, kept = {}, {}
    for file in sorted(file for file in folder.rglob("*") if not file.is_dir()):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink():
            kept[name] = "a link, which may lead to anything"
        elif fits(name, (*WEIGHTS, *ADAPTERS, *PROCESSOR)):
            files[name] = file
        elif fits(name, OF_THE_RUN):
            kept[name] = "of the run"
        elif fits(name, PICKLES):
            kept[name] = "a pickle, which can run code when it is read"
        elif "/" in name or not fits(name, REWRITTEN):
            kept[name] = "not on the list of what is published"
    if not any(fits(name, (*WEIGHTS[:2], "fusion.safetensors")) for name in files):
        raise CardError(f"{folder} must hold weights as safetensors to be published, and holds none.")
    for name, file in files.items():
        if name.endswith(".safetensors"):
            _check_weights(file)
    return Publishable(files, kept)


def fits(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name is one of these patterns', by `fnmatch`."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _check_weights(file: Path) -> None:
    try:
        with safe_open(file, framework="np") as weights:
            weights.keys()
    except (SafetensorError, OSError) as error:
        raise CardError(f"{file} must be a safetensors file, which it is not: {error}.") from error


__all__ = ["PICKLES", "Publishable", "fits", "publishable"]
