"""A tar of the WebDataset kind: consecutive files that share a name up to its first dot are one sample.

A reader of tars ends without a word where a header is damaged or the file was cut. Here each member is looked for by
itself, behind damage the next one, and an archive without its end mark counts as cut. Which files stood in the damage
nobody knows: the samples beside it may lack one, and are not given.

The format is that of https://github.com/webdataset/webdataset.
"""

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, NamedTuple

from duosent.data.source_access import CHUNK, SourceAccess
from duosent.data.stretches import Damage, Stretch, UnreadableFileError
from duosent.data.text_records import NO_UTF8, json_object

# The name of a sample, as a column.
KEY = "__key__"
# What a sample may have one of, by the endings of its files.
KINDS = {"text": ("txt",), "picture": ("jpg", "jpeg", "png", "webp"), "object": ("json",)}
# Samples whose fields are looked at for the names of the columns.
SAMPLES_LOOKED_AT = 100
NOT_WHOLE = "the archive is damaged or cut beside it, and it may not be whole"
# Where each header says that it is one.
MAGIC, MAGIC_AT = b"ustar", 257


class Member(NamedTuple):
    """
    Args:
        start: first byte of its header.
        end: first byte behind it.
        info: its header; None for damage, which has neither name nor content.
    """

    start: int
    end: int
    info: tarfile.TarInfo | None


@dataclass
class Sample:
    """
    Args:
        start: first byte of the first header.
        key: name.
        end: first byte behind the last member.
        behind_damage: whether damage stands right before it.
        whole: False where damage stands beside it.
        members: kind, such as "jpg", and header of each.
    """

    start: int
    key: str
    end: int
    behind_damage: bool
    whole: bool
    members: list[tuple[str, tarfile.TarInfo]] = field(default_factory=list)


class TarSamples:
    """The samples of a tar as rows: `__key__`; `text`, the words of the `.txt`; `image`, bytes and name of the
    picture; and the fields of the `.json`, which give way to these. Other files are not read.

    Raises:
        UnreadableFileError: if it holds no sample but damage.
        OSError: if the file cannot be read.
    """

    def __init__(self, access: SourceAccess, url: str):
        self._file = access.open(url)
        self._size = self._file.seek(0, 2)
        names = {}
        for sample in islice(_samples(self._file, 0, self._size, self._size), SAMPLES_LOOKED_AT):
            row = self._row(sample)
            names |= dict.fromkeys(row) if isinstance(row, dict) else {}
        self.column_names = list(names)

    def stretches(self, rows: int) -> Iterator[Stretch]:
        """Samples with damage between them stay together: only who reads across it sees it."""
        start, end, count, failure = 0, self._size, 0, None
        try:
            for sample in _samples(self._file, 0, self._size, self._size):
                if count >= rows and not sample.behind_damage:
                    yield Stretch(start, sample.start - start, count)
                    start, count = sample.start, 0
                count, last = count + 1, sample
        except OSError as error:  # what was read before it counts
            end, failure = last.end if count else start, error
        if count:
            yield Stretch(start, end - start, count)
        if failure is not None:
            raise failure

    def rows(self, stretch: Stretch, columns: list[str] | None = None) -> Iterator[dict | Damage]:
        for sample in _samples(self._file, stretch.start, stretch.start + stretch.size, self._size):
            yield self._row(sample)

    def close(self) -> None:
        self._file.close()

    def _row(self, sample: Sample) -> dict | Damage:
        if not sample.whole:
            return Damage(NOT_WHOLE, sample.key)
        of_kind = {kind: [info for each, info in sample.members if each in kinds] for kind, kinds in KINDS.items()}
        for kind, members in of_kind.items():
            if len(members) > 1:
                return Damage(f"a sample has one {kind}, got {', '.join(info.name for info in members)}", sample.key)
        text, picture, fields = (members[0] if members else None for members in of_kind.values())
        row = {} if fields is None else json_object(self._content(fields))
        if isinstance(row, str):
            return Damage(f"{fields.name}: {row}", sample.key)
        row[KEY] = sample.key
        if picture is not None:
            row["image"] = {"bytes": self._content(picture), "path": picture.name}
        try:
            if text is not None:
                row["text"] = self._content(text).decode("utf-8")
        except UnicodeDecodeError:
            return Damage(f"{text.name}: {NO_UTF8}", sample.key)
        return row

    def _content(self, info: tarfile.TarInfo) -> bytes:
        self._file.seek(info.offset_data)
        return self._file.read(info.size)


def _samples(file: BinaryIO, start: int, stop: int, size: int) -> Iterator[Sample]:
    """The samples that begin in a stretch, which ends with one of them."""
    sample, behind_damage = None, False
    for member in _members(file, start, stop, size):
        if member.info is None:
            behind_damage = True
            if sample is not None:
                sample.whole = False
            continue
        key, kind = _name(member.info)
        if kind is None:
            continue
        if sample is None or key != sample.key:
            if sample is not None:
                yield sample
            sample = Sample(member.start, key, member.end, behind_damage, whole=not behind_damage)
        behind_damage = False
        sample.members.append((kind, member.info))
        sample.end = member.end
    if sample is not None:
        yield sample
    elif behind_damage:
        raise UnreadableFileError("it is no tar, or damaged as a whole")


def _name(info: tarfile.TarInfo) -> tuple[str, str | None]:
    """Key and kind of a member; no kind for what is no file of a sample."""
    folder, name = posixpath.split(info.name.removeprefix("./"))
    key, _, kind = name.partition(".")
    return posixpath.join(folder, key), kind.lower() if info.isreg() and key and kind else None


def _members(file: BinaryIO, start: int, stop: int, size: int) -> Iterator[Member]:
    """The members of a stretch, and between them the damage.

    Args:
        stop: where a member begins, or the file ends.
        size: of the file.
    """
    position, archive = start, None
    while position < stop:
        try:
            if archive is None:
                file.seek(position)
                archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  (the file is not its own)
            info = archive.next()
            archive.members.clear()  # it would keep all that it has seen
            if archive.offset <= position:  # a size below zero
                info = None
        except OSError:
            raise
        except Exception:  # numbers, times and names that are none
            info = None
        if info is not None:
            yield Member(position, archive.offset, info)
            position = archive.offset
            if position > size:  # cut in its content
                break
            continue
        file.seek(position)
        if file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE):
            return  # the end mark
        behind = _next_header(file, position + 1, size)
        yield Member(position, behind, None)
        position, archive = behind, None
    if position >= size:
        yield Member(size, size, None)


def _next_header(file: BinaryIO, position: int, size: int) -> int:
    """Where the next member begins, at any byte; the file's end if there is none."""
    while position < size:
        file.seek(position)
        content = file.read(CHUNK + tarfile.BLOCKSIZE)
        at = content.find(MAGIC, MAGIC_AT)
        while at >= 0:
            header = content[at - MAGIC_AT : at - MAGIC_AT + tarfile.BLOCKSIZE]
            if len(header) == tarfile.BLOCKSIZE and _is_header(header):
                return position + at - MAGIC_AT
            at = content.find(MAGIC, at + 1)
        position += CHUNK
    return size


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


__all__ = ["KEY", "TarSamples"]
