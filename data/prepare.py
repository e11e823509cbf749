"""Published files -> Parquet with the pictures inside, and `dataset.json`, which says where they come from.

Rows are read and written one at a time, in shards. Until all is done they stand in `OUT_DIR/.unfinished`, and a second
call with the same options goes on after the last whole shard.
"""

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features
from tqdm import tqdm

from duosent.data.fingerprint import fingerprint
from duosent.data.msed import read_msed
from duosent.data.mvsa import read_mvsa
from duosent.data.published import PublishedData, PublishedRow
from duosent.data.reading import DataError
from duosent.data.twitter import read_twitter
from duosent.data.vqa import read_vqa
from duosent.processing.pictures import open_picture

# What a published data set's name stands for: its reader, and what is fixed for it.
READERS = {
    "mvsa-single": (read_mvsa, {"annotators": 1}),
    "mvsa-multiple": (read_mvsa, {"annotators": 3}),
    "twitter-2015": (read_twitter, {"year": 2015}),
    "twitter-2017": (read_twitter, {"year": 2017}),
    "msed": (read_msed, {}),
    "vqa-v2": (read_vqa, {}),
}
SHARD_BYTES = 500_000_000
# Rows are handed to the Parquet writer together; a reader later takes as many at once.
GROUP_BYTES, GROUP_ROWS = 32_000_000, 5_000
UNFINISHED, CARD = ".unfinished", "dataset.json"
REJECTED, DROPPED = "rejected.parquet", "dropped.parquet"
REJECTED_SCHEMA = pa.schema([(name, pa.string()) for name in ("split", "id", "image", "reason")])
DROPPED_SCHEMA = pa.schema([("id", pa.string()), ("reason", pa.string())])


def prepare(
    name: str,
    raw_dir: str | Path,
    output_dir: str | Path,
    *,
    strict: bool = False,
    overwrite: bool = False,
    **options,
) -> dict:
    """Turn a published data set's own files into Parquet parts that `load_pairs` reads.

    `output_dir` then holds `{part}-{n}-of-{m}.parquet` with the pictures inside, `rejected.parquet` (`split`, `id`,
    `image`, `reason` of each row that cannot be read), where the label rule leaves pairs out `dropped.parquet` (`id`,
    `reason`), and `dataset.json`: source, rule, split and its fingerprint, counts.

    Args:
        name: a key of `READERS`.
        raw_dir: the published folder.
        output_dir: an empty folder, one that is not there yet, or one that an earlier call with the same options left.
        strict: a row that cannot be read is an error.
        overwrite: take the place of an earlier call with other options.
        options: what the reader takes further, such as `fold`.

    Returns: what `dataset.json` holds.

    Raises:
        DataError: in one sentence: a missing or damaged file, a row that cannot be read (`strict`), a part of which
            no row can be read, an output folder that holds something else.
    """
    raw_dir, output_dir = Path(raw_dir), Path(output_dir)
    reader, fixed = READERS[name]
    data = reader(raw_dir, **fixed, **options)
    plan = {"name": name, "options": _plain(options), "published_files": _sizes(data.files, raw_dir)}
    earlier = _read_json(output_dir / CARD)
    same = earlier is not None and {key: earlier.get(key) for key in plan} == plan
    if same and not strict and _is_whole(earlier, output_dir, raw_dir):
        return earlier
    _check_output_dir(output_dir, overwrite or same)

    # Every line is looked at before anything is written.
    rows = {split: sum(1 for _ in read()) for split, read in data.parts.items()}
    for split, count in rows.items():
        if count == 0:
            raise DataError(f"{raw_dir} has no rows for {split}.")
    workplace = output_dir / UNFINISHED
    if _read_json(workplace / "plan.json") != plan:
        shutil.rmtree(workplace, ignore_errors=True)
        workplace.mkdir(parents=True)
        _write_json(workplace / "plan.json", plan)
    if not (workplace / CARD).is_file():
        with tqdm(total=sum(rows.values()), unit="row", desc=name) as bar:
            for split, read in data.parts.items():
                _write_part(split, read, data.features, workplace, raw_dir, strict, bar)
        _write_json(workplace / CARD, plan | _finish(data, workplace))
    return _publish(workplace, output_dir)


def _write_part(split, read, features, workplace, raw_dir, strict, bar) -> None:
    """Write what earlier calls did not."""
    taken = _whole_shards(split, workplace, raw_dir)
    consumed = sum(record["consumed"] for record in taken)
    bar.update(consumed)
    rows = itertools.islice(read(), consumed, None)
    for number in itertools.count(len(taken)):
        first = next(rows, None)
        if first is None:
            return
        _write_shard(split, number, itertools.chain([first], rows), features, workplace, raw_dir, strict, bar)


def _is_whole(card: dict, output_dir: Path, raw_dir: Path) -> bool:
    """Whether all files of an earlier call are there, and no row that it rejected could be read by now."""
    if not all((output_dir / name).is_file() for name in card["files"]):
        return False
    return not any(_can_be_read(row, raw_dir) for row in pq.read_table(output_dir / REJECTED).to_pylist())


def _can_be_read(rejected: dict, raw_dir: Path) -> bool:
    return rejected["image"] is not None and _read_picture(raw_dir / rejected["image"])[1] is None


def _whole_shards(split: str, workplace: Path, raw_dir: Path) -> list[dict]:
    """Records of the shards that stand, up to one of which a rejected row can be read by now."""
    whole = []
    for number in itertools.count():
        record = _read_json(workplace / f"{split}-{number:05d}.json")
        if record is None or any(_can_be_read(row, raw_dir) for row in record["rejected"]):
            break
        whole.append(record)
    for number in itertools.count(len(whole)):
        stale = workplace / f"{split}-{number:05d}.json"
        if not stale.is_file():
            return whole
        stale.unlink()


def _write_shard(split, number, rows: Iterator[PublishedRow], features, workplace, raw_dir, strict, bar) -> None:
    """Write rows until the shard is full or the rows are at an end; its record makes it whole."""
    schema = features.arrow_schema
    group, group_bytes, written, rejected, consumed = [], 0, 0, [], 0
    seen: tuple[Path | None, bytes | None, str | None] = (None, None, None)
    path = workplace / f"{split}-{number:05d}.parquet"
    # A picture of several rows, which stand side by side, is kept once in a group.
    with path.open("wb") as file, pq.ParquetWriter(file, schema, dictionary_pagesize_limit=2 * GROUP_BYTES) as writer:
        for row in rows:
            consumed += 1
            if row.picture != seen[0]:
                seen = (row.picture, *_read_picture(row.picture))
            _, picture, reason = seen
            reason = row.problem or reason
            if reason is None:
                group.append(row.values | {"image": {"bytes": picture, "path": row.picture.name}})
                group_bytes += len(picture) + len(row.values.get("text") or "")
            else:
                refused = {"split": split, "id": row.values["id"], "reason": reason}
                # A row that is refused for itself need not be tried again.
                image = None if row.problem else _relative(row.picture, raw_dir)
                rejected.append(refused | {"image": image})
                if strict:
                    raise DataError(f"{split}, row {row.values['id']}: {reason}.")
            bar.update()
            if group_bytes >= GROUP_BYTES or len(group) >= GROUP_ROWS:
                writer.write_table(_table(group, features))
                written += len(group)
                group, group_bytes = [], 0
                if file.tell() + 2 * GROUP_BYTES > SHARD_BYTES:
                    break
        if group:
            writer.write_table(_table(group, features))
    _write_json(path.with_suffix(".json"), {"rows": written + len(group), "consumed": consumed, "rejected": rejected})


def _table(rows: list[dict], features: Features) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=features.arrow_schema)


def _read_picture(path: Path) -> tuple[bytes | None, str | None]:
    """The bytes of a picture, or why it cannot be read; all of it is decoded once."""
    try:
        if not path.is_file():
            return None, f"there is no file {path.name}"
        content = path.read_bytes()
        open_picture({"bytes": content, "path": path.name})
    except (OSError, ValueError) as error:
        return None, " ".join(str(error).split()).rstrip(".")
    return content, None


def _finish(data: PublishedData, workplace: Path) -> dict:
    """Name the shards for good, count and fingerprint what is in them, and write what stands beside them."""
    parts, rejected, moves = {}, [], {}
    for split in data.parts:
        records = {path: _read_json(path) for path in sorted(workplace.glob(f"{split}-*.json"))}
        refused = [row for record in records.values() for row in record["rejected"]]
        shards = [path.with_suffix(".parquet") for path, record in records.items() if record["rows"]]
        if not shards:
            raise DataError(
                f"None of the {len(refused)} rows of {split} can be read; the first: {refused[0]['reason']}."
            )
        names = [f"{split}-{number:05d}-of-{len(shards):05d}.parquet" for number in range(len(shards))]
        moves |= {shard.name: name for shard, name in zip(shards, names, strict=True)}
        labels = {column: Counter() for column in data.labels}
        parts[split] = {
            "rows": sum(record["rows"] for record in records.values()),
            "rejected": len(refused),
            "fingerprint": fingerprint(_counted(shards, labels)),
            "labels": {column: dict(sorted(counts.items())) for column, counts in labels.items()},
            "files": names,
        }
        rejected += refused
    pq.write_table(pa.Table.from_pylist(rejected, schema=REJECTED_SCHEMA), workplace / REJECTED)
    moves[REJECTED] = REJECTED
    if data.dropped:
        pq.write_table(pa.Table.from_pylist(data.dropped, schema=DROPPED_SCHEMA), workplace / DROPPED)
        moves[DROPPED] = DROPPED
    for file, content in data.beside.items():
        _write_json(workplace / file, content)
        moves[file] = file
    return {
        "source": data.source,
        "rule": data.rule,
        "split": data.split,
        **data.facts,
        "parts": parts,
        "dropped": dict(Counter(row["reason"] for row in data.dropped)),
        "files": sorted(moves.values()),
        "moves": moves,
    }


def _counted(shards: list[Path], labels: dict[str, Counter]) -> Iterator[dict]:
    for shard in shards:
        with pq.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group).to_pylist():
                    for column, counts in labels.items():
                        if row[column] is not None:
                            counts[row[column]] += 1
                    yield row


def _publish(workplace: Path, output_dir: Path) -> dict:
    """Move what is finished to where it belongs, `dataset.json` last; an interrupted move can be gone on with."""
    card = _read_json(workplace / CARD)
    moves = card.pop("moves")
    if earlier := _read_json(output_dir / CARD):
        for name in earlier["files"]:
            (output_dir / name).unlink(missing_ok=True)
        (output_dir / CARD).unlink()
    for source, name in moves.items():
        if (workplace / source).is_file():
            (workplace / source).replace(output_dir / name)
    _write_json(output_dir / CARD, card)
    shutil.rmtree(workplace)
    return card


def _check_output_dir(output_dir: Path, may_replace: bool) -> None:
    if output_dir.exists() and not output_dir.is_dir():
        raise DataError(f"{output_dir} must be a folder.")
    there = {path.name for path in output_dir.iterdir()} if output_dir.is_dir() else set()
    earlier = _read_json(output_dir / CARD)
    half_moved = _read_json(output_dir / UNFINISHED / CARD) or {"moves": {}}
    own = {UNFINISHED, *half_moved["moves"].values()}
    if earlier and may_replace:
        own |= {CARD, *earlier["files"]}
    if foreign := sorted(there - own):
        hint = " or overwrite" if earlier and not may_replace else ""
        raise DataError(f"{output_dir} is not empty ({', '.join(foreign[:3])}): give another folder{hint}.")


def _sizes(files: list[Path], raw_dir: Path) -> dict[str, list[int]]:
    """What tells whether a published file has been changed: size in bytes and time in nanoseconds."""
    return {_relative(file, raw_dir): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def _relative(path: Path, raw_dir: Path) -> str:
    return str(path.relative_to(raw_dir)) if path.is_relative_to(raw_dir) else str(path)


def _plain(options: dict) -> dict:
    return json.loads(json.dumps(options, default=str))


def _read_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_json(path: Path, content) -> None:
    """Whole or not at all."""
    half = path.with_name(f"{path.name}.half")
    half.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    half.replace(path)


__all__ = ["READERS", "prepare"]
