"""What was computed, on disk: records that are only ever added, each under the hash of what it was computed from.

A process that adds records has two files of its own: the bytes of the records one after another, and an index with an
entry for each, written after its bytes. All processes read all files, memory-mapped. A process that is killed leaves
at most bytes without an entry, or half an entry, which nobody reads; an entry or a record whose checksum is wrong is
as good as not there.
"""

import logging
import os
import struct
import tempfile
import zlib
from io import FileIO
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from duosent.training.checkpoints import CallError

logger = logging.getLogger(__name__)

KEY_BYTES = 16
MOST_DIMENSIONS = 3
# Key, offset of the record, its checksum, index of its dtype, number of dimensions, shape.
ENTRY = struct.Struct(f"<{KEY_BYTES}sQIBB{MOST_DIMENSIONS}I2x")
CHECKSUM = struct.Struct("<I")  # of the entry, behind it
ENTRY_BYTES = ENTRY.size + CHECKSUM.size
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.uint8)


def tensor_bytes(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor in the order of its dimensions, as uint8."""
    numbers = tensor.detach().cpu().flatten()
    return numbers.contiguous().as_strided(numbers.shape, (1,)).view(torch.uint8).numpy()  # of one, any stride will do


class Place(NamedTuple):
    """Where a record lies, and what it is."""

    name: str
    offset: int
    checksum: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.offset + int(np.prod(self.shape)) * self.dtype.itemsize


class Record(NamedTuple):
    """A tensor as it was added: its bytes, row by row, its dtype and shape."""

    content: np.ndarray
    dtype: torch.dtype
    shape: tuple[int, ...]


class RecordStore:
    """Tensors that were computed in one and the same way, under 16-byte keys.

    A process that got it by a fork, or by pickle, writes to files of its own.

    Args:
        folder: made when the first record is added.
        option: that asked for the cache, as warnings call it.
    """

    def __init__(self, folder: Path, option: str):
        self.folder, self._option = folder, option
        # Of one key there may be several: of two processes, or a good record behind a damaged one.
        self._places: dict[bytes, list[Place]] = {}
        self._entries_read: dict[str, int] = {}
        self._maps: dict[str, np.ndarray] = {}
        self._sound: set[Place] = set()
        self._own: tuple[int, FileIO, FileIO] | None = None  # with the process that opened them
        self._takes_more = True

    def __reduce__(self):
        return RecordStore, (self.folder, self._option)

    def find(self, keys: list[bytes]) -> dict[bytes, Record]:
        """The records that are there. Each is checked when this process reads it for the first time."""
        wanted = dict.fromkeys(keys)
        if not all(self._places.get(key) for key in wanted):
            self._read_indexes()  # another process may have added it meanwhile
        found = {key: self._record(key) for key in wanted}
        return {key: record for key, record in found.items() if record is not None}

    def add(self, records: dict[bytes, Tensor]) -> None:
        """Write tensors of at most three dimensions. A disk that is full costs a warning, once: what is not stored
        can still be computed."""
        if not self._takes_more:
            return
        try:
            self._append(records)
        except OSError as error:
            self._takes_more = False
            logger.warning(
                "%s: %s takes no more records (%s); those that it lacks are computed each time.",
                self._option,
                self.folder,
                error.strerror,
            )

    def _record(self, key: bytes) -> Record | None:
        places = self._places.get(key, [])
        while places:
            content = self._content(places[0])
            if content is not None:
                return Record(content, places[0].dtype, places[0].shape)
            logger.warning("%s: a damaged record in %s is not used.", self._option, places[0].name)
            places.pop(0)
        return None

    def _content(self, place: Place) -> np.ndarray | None:
        """None for a record that is damaged or not there."""
        file = self._maps.get(place.name)
        if file is None or len(file) < place.end:
            path = self.folder / f"{place.name}.records"
            try:
                if path.stat().st_size < place.end:
                    return None
                file = self._maps[place.name] = np.memmap(path, np.uint8, "r").view(np.ndarray)
            except OSError:
                return None
        content = file[place.offset : place.end]
        if place not in self._sound:
            if zlib.crc32(content) != place.checksum:
                return None
            self._sound.add(place)
        return content

    def _read_indexes(self) -> None:
        """Take up the entries that were not there before, of all processes."""
        for path in sorted(self.folder.glob("*.index")):
            start = self._entries_read.get(path.stem, 0)
            try:
                if path.stat().st_size < (start + 1) * ENTRY_BYTES:
                    continue
                with path.open("rb") as file:
                    file.seek(start * ENTRY_BYTES)
                    content = file.read()
            except OSError:  # somebody is tidying up
                continue
            whole = len(content) // ENTRY_BYTES  # the last one may be half written
            self._entries_read[path.stem] = start + whole
            for number in range(whole):
                self._take_up(path.stem, content[number * ENTRY_BYTES : (number + 1) * ENTRY_BYTES])

    def _take_up(self, name: str, entry: bytes) -> None:
        body = entry[: ENTRY.size]
        if CHECKSUM.pack(zlib.crc32(body)) != entry[ENTRY.size :]:
            logger.warning("%s: a damaged entry in the index of %s is not used.", self._option, name)
            return
        key, offset, checksum, dtype, dimensions, *shape = ENTRY.unpack(body)
        self._places.setdefault(key, []).append(
            Place(name, offset, checksum, DTYPES[dtype], tuple(shape[:dimensions]))
        )

    def _append(self, records: dict[bytes, Tensor]) -> None:
        process = os.getpid()
        if self._own is None or self._own[0] != process:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / uuid4().hex
            self._own = process, FileIO(path.with_suffix(".records"), "xb"), FileIO(path.with_suffix(".index"), "xb")
        _, records_file, index_file = self._own
        entries = b""
        for key, tensor in records.items():
            content = tensor_bytes(tensor)
            shape = (*tensor.shape, *[0] * (MOST_DIMENSIONS - tensor.ndim))
            body = ENTRY.pack(
                key,
                records_file.tell(),
                zlib.crc32(content),
                DTYPES.index(tensor.dtype),
                tensor.ndim,
                *shape,
            )
            _write(records_file, content)
            entries += body + CHECKSUM.pack(zlib.crc32(body))
        _write(index_file, entries)


def _write(file: FileIO, content) -> None:
    """All of it: one call may write a part."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def check_folder(folder: str, option: str) -> None:
    """Make the folder of a cache.

    Raises:
        CallError: where nothing can be written to it.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise CallError(f"{option} must be a folder to write to, got {folder}: {error.strerror}.") from error


__all__ = ["Record", "RecordStore", "check_folder", "tensor_bytes"]
