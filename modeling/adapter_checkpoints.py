"""Checkpoints without their towers: LoRA adapters and the fusion, over towers that lie elsewhere.

`adapters/` holds what peft writes (`adapter_config.json`, `adapter_model.safetensors`; in a folder of its own, for
transformers takes a checkpoint with such a file for something else), `fusion.safetensors` all that is trained in
full, `towers.json` says where the towers are. Loaded, the updates are merged: `W + (alpha / rank) B A` for `W`,
equation 3 of Hu et al. (LoRA, ICLR 2022). That needs no peft.
"""

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils import ADAPTER_CONFIG_NAME, ADAPTER_SAFE_WEIGHTS_NAME, cached_file

ADAPTERS_FOLDER = "adapters"
ADAPTER_CONFIG_FILE = f"{ADAPTERS_FOLDER}/{ADAPTER_CONFIG_NAME}"
ADAPTER_FILE = f"{ADAPTERS_FOLDER}/{ADAPTER_SAFE_WEIGHTS_NAME}"
FUSION_FILE = "fusion.safetensors"
TOWERS_FILE = "towers.json"
# What peft puts in front of a model's own names.
PEFT_PREFIX = "base_model.model."


def find_towers_file(checkpoint: str | Path | None, **hub) -> str | None:
    """The `towers.json` of a checkpoint, a folder or a Hub name; None where it has towers of its own.

    Args:
        hub: what `from_pretrained` takes of the kind: `revision`, `token`, `cache_dir`, `local_files_only`, ...
    """
    if checkpoint is None:
        return None
    return cached_file(
        checkpoint,
        TOWERS_FILE,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **hub,
    )


def merged_checkpoint(model: PreTrainedModel, checkpoint: str | Path, towers_file: str, **hub) -> dict[str, Tensor]:
    """The state dict of a checkpoint without towers, its adapters merged, under the names of a model with a head.

    Args:
        model: of its config, for its towers, whose weights are changed.
        checkpoint: folder or Hub name.
        towers_file: see `find_towers_file`.
        hub: see `find_towers_file`.

    Raises:
        ValueError: if towers, adapters and fusion do not fit each other, or it is not known where the towers are.
        OSError: if a file is missing, or the towers are gone.
    """
    source = json.loads(Path(towers_file).read_text(encoding="utf-8"))
    if not source:
        raise ValueError(f"{checkpoint} holds adapters of towers that came from no folder or Hub.")
    if "init_from" in source:
        start = AutoModelForSequenceClassification.from_pretrained(source["init_from"])
        for tower in ("text_model", "vision_model"):
            if getattr(model.base_model, tower) is not None:
                getattr(model.base_model, tower).load_state_dict(getattr(start.base_model, tower).state_dict())
    else:
        model.load_encoders(source["text_encoder"], source["image_encoder"])
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else ""
    state = {
        f"{prefix}{name}": value
        for name, value in model.base_model.state_dict().items()
        if name.startswith(("text_model.", "vision_model."))
    }
    files = {name: cached_file(checkpoint, name, **hub) for name in (ADAPTER_CONFIG_FILE, ADAPTER_FILE, FUSION_FILE)}
    config = json.loads(Path(files[ADAPTER_CONFIG_FILE]).read_text(encoding="utf-8"))
    _add_updates(state, load_file(files[ADAPTER_FILE]), config["lora_alpha"] / config["r"], checkpoint)
    return state | load_file(files[FUSION_FILE])


def _add_updates(state: dict[str, Tensor], adapters: dict[str, Tensor], scale: float, checkpoint) -> None:
    for name, down in adapters.items():
        if not name.endswith(".lora_A.weight"):
            continue
        weight = f"{name.removeprefix(PEFT_PREFIX).removesuffix('.lora_A.weight')}.weight"
        up = adapters[name.replace(".lora_A.", ".lora_B.")]
        if weight not in state or state[weight].numel() != len(up) * down[0].numel():
            raise ValueError(f"{checkpoint} holds an adapter of {weight}, which its towers do not have in that shape.")
        # A convolution's update, (out, rank, 1, 1) and (rank, in, height, width), is the same product.
        update = up.flatten(1).float() @ down.flatten(1).float()  # (out, in)
        state[weight] = state[weight] + (scale * update).view_as(state[weight]).to(state[weight].dtype)


__all__ = [
    "ADAPTERS_FOLDER",
    "ADAPTER_CONFIG_FILE",
    "ADAPTER_FILE",
    "FUSION_FILE",
    "PEFT_PREFIX",
    "TOWERS_FILE",
    "find_towers_file",
    "merged_checkpoint",
]
