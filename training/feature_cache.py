"""Frozen towers are computed once: their tokens are kept on disk, for later epochs and for other runs.

A frozen tower is in evaluation mode, so that its tokens for a post follow from its weights and from that post's input
row alone. Both are hashed: the folder of a tower is named by its weights, its config and how it is computed, a record
by the row as it stands after all preprocessing. What changes either has other names, and nothing stored can be stale.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import timm
import torch
import transformers
from torch import Tensor, nn
from transformers import TrainerCallback

from duosent.modeling.encoders import tower_tokens
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError
from duosent.training.record_store import KEY_BYTES, Record, RecordStore, check_folder, tensor_bytes

logger = logging.getLogger(__name__)

# Fields of a tower's config that say where it came from.
ORIGIN = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


class FrozenTokens:
    """The tokens of a frozen tower, from the disk where they are known; to be called as `tower_tokens`.

    Text is kept without the padding behind it, whose tokens are 0 here: no model reads them. Tokens that are read are
    those that were once computed, bit by bit; computed anew, in another batch or with other padding, they might differ
    in the last bits. A tower that trains, or is in training mode, is run as if there were no cache.

    Args:
        tower: the model. Its hash is taken anew when a weight has changed, unless it was in place through `.data`.
        folder: of the caches of all towers.
        row_keys: of the tower's input, see `text_keys` and `picture_keys`.

    Attributes:
        read, computed: rows since the counts were last set to 0.
    """

    def __init__(self, tower: nn.Module, folder: str, row_keys: Callable[..., tuple[list[bytes], list[int] | None]]):
        self._tower, self._folder, self._row_keys = tower, Path(folder), row_keys
        self._stores: dict[str, RecordStore] = {}
        self._state: tuple[tuple, str] = ((), "")
        self._lock = threading.Lock()  # DataParallel has a thread for each GPU
        self.read = self.computed = 0

    def __reduce__(self):
        """A copy of the model runs its towers itself: its weights will be others."""
        return _plain, ()

    @torch.compiler.disable
    def __call__(self, tower: nn.Module, **inputs: Tensor) -> Tensor:
        if tower.training or any(parameter.requires_grad for parameter in self._tower.parameters()):
            return tower_tokens(tower, **inputs)
        with torch.no_grad():
            return self._tokens(tower, inputs)

    def _tokens(self, tower: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        main_input = next(iter(inputs.values()))
        keys, lengths = self._row_keys(**inputs)
        with self._lock:
            store = self._store(main_input.device)
            records = store.find(keys)
        missing = [row for row, key in enumerate(keys) if key not in records]
        found = [row for row, key in enumerate(keys) if key in records]
        self.read, self.computed = self.read + len(found), self.computed + len(missing)
        if found:
            longest = None if lengths is None else main_input.shape[1]
            stored = stack_records([records[keys[row]] for row in found], longest, main_input.device)
        if not missing:
            return stored

        computed = tower_tokens(tower, **{name: value[missing] for name, value in inputs.items()} if found else inputs)
        if lengths is not None:
            computed = _without_padding(computed, [lengths[row] for row in missing])
        rows = zip(missing, computed.cpu(), strict=True)
        kept = {keys[row]: tokens if lengths is None else tokens[: lengths[row]] for row, tokens in rows}
        with self._lock:
            store.add(kept)
        if not found:
            return computed
        tokens = stored.new_empty(len(keys), *stored.shape[1:])
        tokens[found], tokens[missing] = stored, computed
        return tokens

    def _store(self, device: torch.device) -> RecordStore:
        """That of the tower as it is now, computed as it is now."""
        tensors = [*self._tower.parameters(), *self._tower.buffers()]
        state = tuple((id(tensor), tensor.data_ptr(), tensor._version, tensor.dtype) for tensor in tensors)
        if state != self._state[0]:
            self._state = state, tower_hash(self._tower)
        name = _digest(self._state[1], arithmetic(self._tower, device)).hex()
        if name not in self._stores:
            self._stores[name] = RecordStore(self._folder / name, "cache_features")
        return self._stores[name]


def tower_hash(tower: nn.Module) -> str:
    """A hash of a tower's config and weights, and of the libraries whose code it is."""
    config = {name: value for name, value in tower.config.to_dict().items() if name not in ORIGIN}
    versions = [str(torch.__version__), transformers.__version__, timm.__version__]
    digest = hashlib.blake2b(json.dumps([config, versions], sort_keys=True, default=str).encode())
    for name, tensor in tower.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def arithmetic(tower: nn.Module, device: torch.device) -> str:
    """What besides config and weights decides which numbers a tower gives."""
    attention, precision = tower.config._attn_implementation, torch.get_float32_matmul_precision()
    autocast = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
    return f"{device.type} attention {attention} autocast {autocast} float32 {precision}"


def picture_keys(pixel_values: Tensor) -> tuple[list[bytes], None]:
    """A hash of each picture `(B, 3, height, width)`; all its tokens are kept."""
    header = f"{pixel_values.dtype} {tuple(pixel_values.shape[1:])}"
    return [_digest(header, picture) for picture in pixel_values.cpu()], None


def text_keys(
    input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
) -> tuple[list[bytes], list[int]]:
    """A hash of each row `(B, T)` up to its last real token, and the length up to there; no mask says that all are
    real."""
    attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    places = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
    lengths = (attention_mask.bool() * places).amax(dim=1).tolist()
    rows = [input_ids, attention_mask, *([] if token_type_ids is None else [token_type_ids])]
    rows = torch.stack(rows, dim=1).long().cpu()  # (B, 2 or 3, T)
    return [_digest(str(len(row)), row[:, :length]) for row, length in zip(rows, lengths, strict=True)], lengths


def stack_records(records: list[Record], longest: int | None, device: torch.device) -> Tensor:
    """Records `(n, ...)` as one tensor `(B, longest, ...)`, 0 behind the end of each; None where they are equal."""
    first = records[0]
    shape = first.shape if longest is None else (longest, *first.shape[1:])
    tokens = torch.zeros(len(records), *shape, dtype=first.dtype, pin_memory=device.type == "cuda")
    rows = tokens.flatten(1).view(torch.uint8).numpy()  # (B, bytes)
    for row, record in zip(rows, records, strict=True):
        row[: len(record.content)] = record.content
    return tokens.to(device)


def _without_padding(tokens: Tensor, lengths: list[int]) -> Tensor:
    """`(B, T, W)` with 0 from each length on."""
    places = torch.arange(tokens.shape[1], device=tokens.device)
    padding = places >= torch.tensor(lengths, device=tokens.device)[:, None]  # (B, T)
    return tokens.masked_fill(padding[..., None], 0)


def _digest(header: str, content: Tensor | str) -> bytes:
    digest = hashlib.blake2b(header.encode(), digest_size=KEY_BYTES)
    digest.update(content.encode() if isinstance(content, str) else tensor_bytes(content))
    return digest.digest()


def _plain():
    return tower_tokens


def cache_features(model: nn.Module, args: ImageTextTrainingArguments) -> dict[str, FrozenTokens]:
    """Let the frozen towers of a model read from `args.cache_features`; a side that is augmented stays as it is.

    Returns: what reads the towers, by side.

    Raises:
        CallError: where there is no such tower, its weights are spread over processes, or nothing can be written.
    """
    folder = args.cache_features
    if args.fsdp or args.deepspeed:
        raise CallError(f"cache_features must be None with fsdp and deepspeed, which spread weights, got {folder}.")
    towers = model.base_model
    pictures_change = args.augment and (args.augment_flip or args.augment_crop or args.augment_erasing)
    sides = {
        "text": (towers.text_model, model.config.freeze_text and not (args.augment and args.augment_synonyms)),
        "image": (towers.vision_model, model.config.freeze_image and not pictures_change),
    }
    row_keys = {"text": text_keys, "image": picture_keys}
    readers = {
        side: FrozenTokens(tower, folder, row_keys[side])
        for side, (tower, stays_same) in sides.items()
        if tower is not None and stays_same
    }
    if not readers:
        raise CallError(
            "cache_features must go with a frozen tower (freeze_text, freeze_image) whose input is not augmented, "
            f"got {folder} without one."
        )
    check_folder(folder, "cache_features")
    for side, reader in readers.items():
        setattr(towers, f"read_{side}", reader)
    return readers


class FeatureCounts(TrainerCallback):
    """Says after each epoch, and after each evaluation, how many rows were read and how many were computed.

    Args:
        readers: by side.
    """

    def __init__(self, readers: dict[str, FrozenTokens]):
        self._readers = readers

    def on_epoch_end(self, args, state, control, **kwargs):
        self._say(state, "training")

    def on_evaluate(self, args, state, control, **kwargs):
        self._say(state, "evaluation")

    def _say(self, state, what: str) -> None:
        for side, reader in self._readers.items():
            if state.is_world_process_zero:
                counts = reader.read, reader.computed
                logger.info("Epoch %g, %s: %s features %d read, %d computed.", state.epoch or 0, what, side, *counts)
            reader.read = reader.computed = 0


__all__ = ["FeatureCounts", "FrozenTokens", "cache_features"]
