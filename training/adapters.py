"""LoRA on the towers (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, section 4.1).

A tower's own weights stand still. Beside a linear layer `W (out, in)` learn `A (rank, in)` and `B (out, rank)`, and
the layer gives `W x + (alpha / rank) B A x`; `B` is zero at the start. Everything outside the towers is trained in
full.

How adapters are saved, and loaded as a model: `duosent.modeling.adapter_checkpoints`.
"""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_NAME

from duosent.modeling.adapter_checkpoints import ADAPTER_FILE, ADAPTERS_FOLDER, FUSION_FILE, PEFT_PREFIX, TOWERS_FILE

# The config's word for each tower.
SIDES = {"text_model": "text", "vision_model": "image"}
# Queries, keys and values, as the towers of transformers and timm name the layers that make them.
PROJECTIONS = (
    *("query", "key", "value", "query_proj", "key_proj", "value_proj", "q_proj", "k_proj", "v_proj"),
    *("q_lin", "k_lin", "v_lin", "q", "k", "v", "qkv", "qkv_proj", "Wqkv", "in_proj"),
)
# The one adapter of a model, which peft would let have several.
ADAPTER = "default"


def check_peft() -> None:
    """
    Raises:
        ImportError: if peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise ImportError('LoRA needs peft, which is not installed: pip install "duosent[lora]".')


def has_adapters(model: nn.Module) -> bool:
    """Whether `add_adapters` was here."""
    return hasattr(model, "peft_config")


def add_adapters(
    model: PreTrainedModel, rank: int, alpha: float, dropout: float = 0.0, targets: list[str] | None = None
) -> None:
    """Give adapters to the towers that the config does not freeze, and hold those towers' own weights still.

    Args:
        rank: of the update of a layer, >= 1.
        alpha: the update is multiplied by alpha / rank; > 0.
        dropout: probability that an adapter loses an input, in [0, 1).
        targets: ends of the names of the layers that get one; None for queries, keys and values.

    Raises:
        ValueError: if both towers are frozen, a tower has no such layer, or a target is in no tower.
    """
    from peft import LoraConfig

    layers = adapted_layers(model, targets)
    _inject(model, LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers))


def _inject(model: PreTrainedModel, config) -> None:
    from peft import inject_adapter_in_model

    # peft takes the gradient from all but the adapters.
    outside = [(p, p.requires_grad) for name, p in model.named_parameters() if tower_of(name) is None]
    inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    for parameter, trained in outside:
        parameter.requires_grad_(trained)


def tower_of(name: str) -> str | None:
    """The tower that a parameter or module belongs to, by its name; None outside the towers."""
    return next((part for part in name.split(".") if part in SIDES), None)


def adapted_layers(model: PreTrainedModel, targets: list[str] | None = None) -> list[str]:
    """Names of the layers that get an adapter: see `add_adapters`."""
    wanted = tuple(targets or PROJECTIONS)
    found: dict[str, list[str]] = {}
    for tower, side in SIDES.items():
        if getattr(model.base_model, tower, None) is not None and not getattr(model.config, f"freeze_{side}"):
            found[tower] = []
    if not found:
        raise ValueError("lora_rank must be None where every tower is frozen, for it acts on the towers alone.")
    for name, module in model.named_modules():
        fits = isinstance(module, (nn.Linear, nn.Conv2d)) and any(f".{name}".endswith(f".{end}") for end in wanted)
        if fits and tower_of(name) in found:
            found[tower_of(name)].append(name)
    layers = [name for names in found.values() for name in names]
    for end in targets or ():
        if not any(f".{name}".endswith(f".{end}") for name in layers):
            raise ValueError(f"lora_targets must be ends of names of linear layers in the towers, got {end}.")
    for tower, names in found.items():
        if not names:
            kind = type(getattr(model.base_model, tower)).__name__
            raise ValueError(
                f"lora_targets must name layers of the {SIDES[tower]} tower too, in which ({kind}) there is none of "
                f"{', '.join(wanted)}; or hold it still with freeze_{SIDES[tower]}."
            )
    return layers


def towers_source(model: PreTrainedModel) -> dict[str, str | None]:
    """What the towers' weights were loaded from: `init_from`, or `text_encoder` and `image_encoder`, each a folder or
    a Hub name; empty if that is not known."""
    if model.name_or_path:
        return {"init_from": _lasting(model.name_or_path)}
    towers = {side: getattr(model.base_model, tower, None) for tower, side in SIDES.items()}
    names = {side: tower and tower.config.name_or_path for side, tower in towers.items()}
    if "" in names.values():
        return {}
    return {f"{side}_encoder": name and _lasting(name) for side, name in names.items()}


def _lasting(name: str) -> str:
    """A folder's name that means the same wherever it is read."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def merged_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """The state dict of the same model without adapters, with `W + (alpha / rank) B A` for `W`."""
    from peft.tuners.lora import LoraLayer

    state = {
        name.replace(".base_layer.", "."): value for name, value in model.state_dict().items() if not _is_lora(name)
    }
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            with torch.no_grad():
                state[f"{name}.weight"] = state[f"{name}.weight"] + layer.get_delta_weight(ADAPTER)
    return state


def _is_lora(name: str) -> bool:
    return any(part.startswith("lora_") for part in name.split("."))


def _learnt_state(model: PreTrainedModel) -> dict[str, dict[str, Tensor]]:
    """What training changes, by the file that holds it: the model's own tensors under the names that they are saved
    by."""
    still = {name for name, _ in model.named_parameters() if tower_of(name) and not _is_lora(name)}
    files: dict[str, dict[str, Tensor]] = {ADAPTER_FILE: {}, FUSION_FILE: {}}
    for name, value in model.state_dict().items():
        if _is_lora(name):
            as_peft = re.sub(rf"(\.lora_\w+)\.{ADAPTER}\b", r"\1", name)
            files[ADAPTER_FILE][f"{PEFT_PREFIX}{as_peft}"] = value
        elif name not in still:
            files[FUSION_FILE][name] = value
    return files


def save_adapters(model: PreTrainedModel, folder: Path) -> None:
    """Write config, adapters and what else is trained into a folder, in place of a whole checkpoint there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SAFE_WEIGHTS_NAME).unlink(missing_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.peft_config[ADAPTER].save_pretrained(str(folder / ADAPTERS_FOLDER))
    (folder / TOWERS_FILE).write_text(json.dumps(towers_source(model), indent=2) + "\n", encoding="utf-8")
    for file, state in _learnt_state(model).items():
        whole = {name: value.detach().contiguous() for name, value in state.items()}
        save_file(whole, folder / file, metadata={"format": "pt"})


def load_adapters(model: PreTrainedModel, folder: Path) -> None:
    """Read what `save_adapters` wrote into a model with the same adapters.

    Raises:
        ValueError: if the folder holds other tensors.
    """
    saved = {file: load_file(folder / file) for file in (ADAPTER_FILE, FUSION_FILE)}
    for file, state in _learnt_state(model).items():
        for name in [*state, *saved[file]]:
            shapes = [tuple(of[name].shape) if name in of else None for of in (saved[file], state)]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"{folder} does not fit the model with its adapters: the shape of {name} is {shapes[0]} there and "
                    f"would be {shapes[1]}."
                )
        with torch.no_grad():
            for name, value in state.items():
                value.copy_(saved[file][name])


def remove_adapters(folder: Path) -> None:
    """Take the files of an earlier run with adapters out of a folder."""
    shutil.rmtree(folder / ADAPTERS_FOLDER, ignore_errors=True)
    for file in (FUSION_FILE, TOWERS_FILE):
        (folder / file).unlink(missing_ok=True)


__all__ = [
    "adapted_layers",
    "add_adapters",
    "check_peft",
    "has_adapters",
    "load_adapters",
    "merged_state",
    "remove_adapters",
    "save_adapters",
    "towers_source",
]
