"""Published files -> Parquet with the pictures inside, and `dataset.json`, which says where they come from.

Rows are read and written one at a time, in shards. Until all is done they stand in `OUT_DIR/.unfinished`, and a second
call with the same options goes on after the last whole shard.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from duosent.data.fingerprint import fingerprint
from duosent.data.msed import read_msed
from duosent.data.mvsa import read_mvsa
from duosent.data.published import PublishedData
from duosent.data.reading import DataError
from duosent.data.shards import ShardWriter, can_be_read, read_json, relative, write_json
from duosent.data.twitter import read_twitter
from duosent.data.vqa import read_vqa

# What a published data set's name stands for: its reader, and what is fixed for it.
READERS = {
    "mvsa-single": (read_mvsa, {"annotators": 1}),
    "mvsa-multiple": (read_mvsa, {"annotators": 3}),
    "twitter-2015": (read_twitter, {"year": 2015}),
    "twitter-2017": (read_twitter, {"year": 2017}),
    "msed": (read_msed, {}),
    "vqa-v2": (read_vqa, {}),
}
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
    earlier = read_json(output_dir / CARD)
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
    if read_json(workplace / "plan.json") != plan:
        shutil.rmtree(workplace, ignore_errors=True)
        workplace.mkdir(parents=True)
        write_json(workplace / "plan.json", plan)
    if not (workplace / CARD).is_file():
        with tqdm(total=sum(rows.values()), unit="row", desc=name) as bar:
            writer = ShardWriter(workplace, data.features, raw_dir, strict, bar)
            for split in data.parts:
                writer.write(split, data)
        write_json(workplace / CARD, plan | _finish(data, workplace))
    return _publish(workplace, output_dir)


def _is_whole(card: dict, output_dir: Path, raw_dir: Path) -> bool:
    """Whether all files of an earlier call are there, and no row that it rejected could be read by now."""
    if not all((output_dir / name).is_file() for name in card["files"]):
        return False
    return not any(can_be_read(row, raw_dir) for row in pq.read_table(output_dir / REJECTED).to_pylist())


def _finish(data: PublishedData, workplace: Path) -> dict:
    """Name the shards for good, count and fingerprint what is in them, and write what stands beside them."""
    parts, rejected, moves = {}, [], {}
    for split in data.parts:
        records = {path: read_json(path) for path in sorted(workplace.glob(f"{split}-*.json"))}
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
        write_json(workplace / file, content)
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
    card = read_json(workplace / CARD)
    moves = card.pop("moves")
    if earlier := read_json(output_dir / CARD):
        for name in earlier["files"]:
            (output_dir / name).unlink(missing_ok=True)
        (output_dir / CARD).unlink()
    for source, name in moves.items():
        if (workplace / source).is_file():
            (workplace / source).replace(output_dir / name)
    write_json(output_dir / CARD, card)
    shutil.rmtree(workplace)
    return card


def _check_output_dir(output_dir: Path, may_replace: bool) -> None:
    if output_dir.exists() and not output_dir.is_dir():
        raise DataError(f"{output_dir} must be a folder.")
    there = {path.name for path in output_dir.iterdir()} if output_dir.is_dir() else set()
    earlier = read_json(output_dir / CARD)
    half_moved = read_json(output_dir / UNFINISHED / CARD) or {"moves": {}}
    own = {UNFINISHED, *half_moved["moves"].values()}
    if earlier and may_replace:
        own |= {CARD, *earlier["files"]}
    if foreign := sorted(there - own):
        hint = " or overwrite" if earlier and not may_replace else ""
        raise DataError(f"{output_dir} is not empty ({', '.join(foreign[:3])}): give another folder{hint}.")


def _sizes(files: list[Path], raw_dir: Path) -> dict[str, list[int]]:
    """What tells whether a published file has been changed: size in bytes and time in nanoseconds."""
    return {relative(file, raw_dir): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def _plain(options: dict) -> dict:
    return json.loads(json.dumps(options, default=str))


__all__ = ["READERS", "prepare"]
