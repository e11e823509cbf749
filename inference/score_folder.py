"""What a folder of answers holds and will hold: the manifest, and a record of each finished shard.

`manifest.json` is there from the start: duosent's version, the checkpoint's fingerprint, the options that change
answers, the input's files as they were found, and the shards with their pieces; at the end also what became of each
shard. `shards/00007.json` is written when shard 7 is finished, after its files: what has no record is still to do.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from duosent import __version__
from duosent.data.source_files import SourceFile
from duosent.data.source_pieces import Piece
from duosent.inference.score_claims import CLAIMS, claim
from duosent.inference.whole_files import PART, remove_parts, write_whole
from duosent.training.checkpoints import CallError

MANIFEST, RECORDS = "manifest.json", "shards"
PREDICTIONS, REJECTED = "predictions", "rejected"
# The files of the answers themselves.
ANSWERS = re.compile(rf"({PREDICTIONS}|{REJECTED})-\d+\.parquet")
# Seconds between two looks at what another process is to write.
POLL = 0.2


@dataclass(frozen=True)
class Shard:
    """Some rows of the input, one after the other.

    Args:
        number: from 0, in the order of the input.
        pieces: where its rows stand.
    """

    number: int
    pieces: list[Piece]

    @property
    def name(self) -> str:
        return f"{self.number:05d}"

    @property
    def rows(self) -> int:
        """How many there are; what cannot be read at all counts as one."""
        return sum(piece.outcomes for piece in self.pieces)


@dataclass(frozen=True)
class Asked:
    """All that answers depend on.

    Args:
        checkpoint: folder or Hub name.
        fingerprint: see `checkpoint_fingerprint`.
        data: the source.
        files: of the source.
        options: that change answers, by name, as JSON has them.
    """

    checkpoint: str
    fingerprint: str
    data: str
    files: list[SourceFile]
    options: dict

    def manifest(self) -> dict:
        """How the manifest begins."""
        told = {
            "duosent": __version__,
            "checkpoint": self.checkpoint,
            "fingerprint": self.fingerprint,
            "options": self.options,
            "data": self.data,
            "files": [file.as_json() for file in self.files],
        }
        return json.loads(json.dumps(told))

    def why_not(self, manifest: dict) -> str | None:
        """What a manifest says that is not asked for here, as `holds answers ...` goes on; None where all is the same.

        The names of checkpoint and data are not compared: what lies there counts.
        """
        asked = self.manifest()
        if manifest["duosent"] != asked["duosent"]:
            return f"by duosent {manifest['duosent']}, not {asked['duosent']}"
        if manifest["fingerprint"] != asked["fingerprint"]:
            here, there = (of["fingerprint"][:16] for of in (manifest, asked))
            return f"of another checkpoint (its fingerprint begins with {here}, not {there})"
        for name, value in asked["options"].items():
            if manifest["options"].get(name) != value:
                return f"with {name} {manifest['options'].get(name)}, not {value}"
        here, there = ({file["url"]: file for file in of["files"]} for of in (manifest, asked))
        for url, file in there.items():
            if url not in here:
                return f"of data without {url}"
            if here[url] != file:
                return f"of {url} as it was before it changed"
        gone = [url for url in here if url not in there]
        if gone:
            return f"of data with {gone[0]}, which is not there any more"
        return None


class ScoreFolder:
    """The folder of the answers.

    Args:
        folder: may be there or not.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def plan(
        self, asked: Asked, cut: Callable[[], list[Shard]], overwrite: bool = False, first: bool = True
    ) -> list[Shard]:
        """The shards: those of an earlier call for the same, or else new ones.

        Args:
            cut: gives new ones.
            overwrite: take the place of answers to another call, or of a folder that is not empty.
            first: whether this process is to write the manifest; the others wait for it.

        Raises:
            CallError: if the folder holds something else.
        """
        while True:
            manifest = self.manifest()
            reason = asked.why_not(manifest) if manifest is not None else "nothing"
            if reason is None:
                return [
                    Shard(number, [Piece.from_json(values, asked.files) for values in shard["pieces"]])
                    for number, shard in enumerate(manifest["shards"])
                ]
            if manifest is not None and not overwrite:
                raise CallError(
                    f"output_dir {self.folder} holds answers {reason}: take another one, or say overwrite."
                )
            if first:
                return self._new_plan(asked, cut, overwrite)
            time.sleep(POLL)

    def _new_plan(self, asked: Asked, cut: Callable[[], list[Shard]], overwrite: bool) -> list[Shard]:
        self._clear(overwrite)
        shards = cut()
        pieces = [{"pieces": [piece.as_json() for piece in shard.pieces]} for shard in shards]
        (self.folder / RECORDS).mkdir(parents=True, exist_ok=True)
        self._write_manifest({**asked.manifest(), "finished": False, "shards": pieces})
        return shards

    def _clear(self, overwrite: bool) -> None:
        """Remove what an earlier call left; the manifest first, which vouches for the rest."""
        if self.folder.exists() and not self.folder.is_dir():
            raise CallError(f"output_dir {self.folder} is a file.")
        if not self.folder.is_dir():
            return
        # What a process leaves that is stopped before it has written its manifest.
        nothing = [self.folder / RECORDS, *self.folder.glob(f".{MANIFEST}.*{PART}")]
        if not overwrite and set(self.folder.iterdir()) - set(nothing):
            raise CallError(f"output_dir {self.folder} is not empty: take another one, or say overwrite.")
        for lock in (self.folder / CLAIMS).glob("*.lock"):
            if claim(self.folder, lock.stem) is None:
                raise CallError(f"output_dir {self.folder} is being written by another process: end it first.")
        (self.folder / MANIFEST).unlink(missing_ok=True)
        old = [file for file in self.folder.iterdir() if ANSWERS.fullmatch(file.name) or _is_part(file)]
        old += [*(self.folder / RECORDS).glob("*.json"), *(self.folder / CLAIMS).glob("*.lock")]
        old += [file for file in (self.folder / RECORDS).glob(".*") if _is_part(file)]
        for file in old:
            file.unlink(missing_ok=True)

    def manifest(self) -> dict | None:
        """None where there is none."""
        file = self.folder / MANIFEST
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            manifest = None
        if not isinstance(manifest, dict) or not {"duosent", "fingerprint", "options", "files", "shards"} <= set(
            manifest
        ):
            raise CallError(f"output_dir {self.folder} holds a {MANIFEST} that is not duosent's: take another one.")
        return manifest

    def record(self, shard: Shard) -> dict | None:
        """Rows, rejected rows and files of a finished shard; None where it is not finished, or its files are gone."""
        try:
            record = json.loads(self._record_file(shard).read_text(encoding="utf-8"))
            whole = all((self.folder / name).stat().st_size == of["bytes"] for name, of in record["files"].items())
        except FileNotFoundError:
            return None
        return record if whole else None

    def recorded(self) -> set[str]:
        """Names of the shards that have a record."""
        return {file.stem for file in (self.folder / RECORDS).glob("*.json")}

    def write_shard(self, shard: Shard, predictions: bytes, rejected: bytes | None, rows: int, refused: int) -> None:
        """Write the files of a shard, and then its record.

        Args:
            predictions, rejected: Parquet; None where no row was rejected.
            rows, refused: how many each of them holds.
        """
        contents = {PREDICTIONS: predictions, REJECTED: rejected}
        files = {}
        for kind, content in contents.items():
            name = f"{kind}-{shard.name}.parquet"
            if content is None:
                # An attempt that was stopped may have rejected a row which could be read this time.
                (self.folder / name).unlink(missing_ok=True)
                continue
            write_whole(self.folder / name, content)
            files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        record = {"rows": rows, "rejected": refused, "files": files}
        write_whole(self._record_file(shard), _json(record))

    def tidy(self, shard: Shard) -> None:
        """Remove what is half written of a shard that nobody else is working at."""
        for kind in (PREDICTIONS, REJECTED):
            remove_parts(self.folder / f"{kind}-{shard.name}.parquet")
        remove_parts(self._record_file(shard))

    def finish(self, shards: list[Shard]) -> dict:
        """Put what became of each shard into the manifest, once all are finished; claims are then of no use.

        Returns: `rows` and `rejected` of all.
        """
        manifest, records = self.manifest(), [self.record(shard) for shard in shards]
        totals = {name: sum(record[name] for record in records) for name in ("rows", "rejected")}
        of_shards = [{**planned, **record} for planned, record in zip(manifest["shards"], records, strict=True)]
        finished = {**manifest, "finished": True, **totals, "shards": of_shards}
        if finished != manifest:
            self._write_manifest(finished)
        shutil.rmtree(self.folder / CLAIMS, ignore_errors=True)
        return totals

    def _write_manifest(self, manifest: dict) -> None:
        write_whole(self.folder / MANIFEST, _json(manifest))

    def _record_file(self, shard: Shard) -> Path:
        return self.folder / RECORDS / f"{shard.name}.json"


def cut_into_shards(pieces: Iterable[Piece], shard_rows: int) -> list[Shard]:
    """Pieces one after the other, until there are `shard_rows` rows."""
    shards: list[list[Piece]] = []
    rows = shard_rows
    for piece in pieces:
        if rows >= shard_rows:
            shards.append([])
            rows = 0
        shards[-1].append(piece)
        rows += piece.outcomes
    return [Shard(number, of_shard) for number, of_shard in enumerate(shards)]


def _is_part(file: Path) -> bool:
    return file.name.startswith(".") and file.suffix == PART


def _json(content: dict) -> bytes:
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()


__all__ = ["MANIFEST", "PREDICTIONS", "REJECTED", "Asked", "ScoreFolder", "Shard", "cut_into_shards"]
