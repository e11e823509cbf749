"""The rows of a part -> Parquet shards with the pictures inside, one row at a time; whole shards stay as they are."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features
from tqdm import tqdm

from duosent.data.published import PublishedData, PublishedRow
from duosent.data.reading import DataError
from duosent.processing.pictures import open_picture
from duosent.processing.reasons import reason_of

SHARD_BYTES = 500_000_000
# Rows are handed to the Parquet writer together; a reader later takes as many at once.
GROUP_BYTES, GROUP_ROWS = 32_000_000, 5_000


@dataclass
class ShardWriter:
    """Writes `{part}-{n}.parquet`, and beside each its record `{part}-{n}.json`, which makes it whole.

    A record holds `rows`, the number written, `consumed`, the number read, and `rejected`, what cannot be read.

    Args:
        folder: where they go.
        features: columns of the table.
        raw_dir: what the paths of rejected pictures are relative to.
        strict: a row that cannot be read is an error.
        bar: counts the rows.
    """

    folder: Path
    features: Features
    raw_dir: Path
    strict: bool
    bar: tqdm

    def write(self, split: str, data: PublishedData) -> None:
        """Write what earlier calls did not.

        Raises:
            DataError: for a row that cannot be read (`strict`).
        """
        taken = self._whole_shards(split)
        consumed = sum(record["consumed"] for record in taken)
        self.bar.update(consumed)
        rows = itertools.islice(data.parts[split](), consumed, None)
        for number in itertools.count(len(taken)):
            first = next(rows, None)
            if first is None:
                return
            self._write_shard(split, number, itertools.chain([first], rows))

    def _whole_shards(self, split: str) -> list[dict]:
        """Records of the shards that stand, up to one of which a rejected row can be read by now."""
        whole = []
        for number in itertools.count():
            record = read_json(self.folder / f"{split}-{number:05d}.json")
            if record is None or any(can_be_read(row, self.raw_dir) for row in record["rejected"]):
                break
            whole.append(record)
        for number in itertools.count(len(whole)):
            stale = self.folder / f"{split}-{number:05d}.json"
            if not stale.is_file():
                return whole
            stale.unlink()

    def _write_shard(self, split: str, number: int, rows: Iterator[PublishedRow]) -> None:
        """Write rows until the shard is full or the rows are at an end."""
        path = self.folder / f"{split}-{number:05d}.parquet"
        group, group_bytes, written, consumed, rejected = [], 0, 0, 0, []
        picture, content, reason = None, None, None
        schema = self.features.arrow_schema
        # A picture of several rows, which stand side by side, is kept once in a group.
        options = {"dictionary_pagesize_limit": 2 * GROUP_BYTES}
        with path.open("wb") as file, pq.ParquetWriter(file, schema, **options) as writer:
            for row in rows:
                consumed += 1
                if row.picture != picture:
                    picture, (content, reason) = row.picture, read_picture(row.picture)
                if row.problem or reason:
                    rejected.append(self._rejected(split, row, reason))
                else:
                    group.append(row.values | {"image": {"bytes": content, "path": picture.name}})
                    group_bytes += len(content) + len(row.values["text"])
                self.bar.update()
                if group_bytes >= GROUP_BYTES or len(group) >= GROUP_ROWS:
                    writer.write_table(pa.Table.from_pylist(group, schema=schema))
                    written += len(group)
                    group, group_bytes = [], 0
                    if file.tell() + 2 * GROUP_BYTES > SHARD_BYTES:
                        break
            if group:
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
        record = {"rows": written + len(group), "consumed": consumed, "rejected": rejected}
        write_json(path.with_suffix(".json"), record)

    def _rejected(self, split: str, row: PublishedRow, reason: str | None) -> dict:
        reason = row.problem or reason
        if self.strict:
            raise DataError(f"{split}, row {row.values['id']}: {reason}.")
        # A row that is refused for itself, and not for its picture, need not be tried again.
        image = None if row.problem else relative(row.picture, self.raw_dir)
        return {"split": split, "id": row.values["id"], "image": image, "reason": reason}


def read_picture(path: Path) -> tuple[bytes | None, str | None]:
    """The bytes of a picture, or why it cannot be read; all of it is decoded once."""
    try:
        if not path.is_file():
            return None, f"there is no file {path.name}"
        content = path.read_bytes()
        open_picture({"bytes": content, "path": path.name})
    except (OSError, ValueError) as error:
        return None, reason_of(error)
    return content, None


def can_be_read(rejected: dict, raw_dir: Path) -> bool:
    """Whether the picture of a rejected row can be read by now."""
    return rejected["image"] is not None and read_picture(raw_dir / rejected["image"])[1] is None


def relative(path: Path, raw_dir: Path) -> str:
    return str(path.relative_to(raw_dir)) if path.is_relative_to(raw_dir) else str(path)


def read_json(path: Path):
    """What a JSON file holds; None where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_json(path: Path, content) -> None:
    """Whole or not at all."""
    half = path.with_name(f"{path.name}.half")
    half.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    half.replace(path)


__all__ = ["ShardWriter", "can_be_read", "read_json", "read_picture", "relative", "write_json"]
