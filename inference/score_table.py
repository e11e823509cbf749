"""A checkpoint's answers to a table of any size, in shards, by any number of processes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from accelerate.utils import get_cpu_distributed_information

from duosent.data.retries import RETRIES, Retries
from duosent.data.source_files import SourceFile, source_files
from duosent.data.source_pieces import PIECE_ROWS, source_pieces
from duosent.data.source_reader import SourceReader
from duosent.inference.backends import trained_columns
from duosent.inference.checkpoint_fingerprint import checkpoint_fingerprint
from duosent.inference.score_folder import (
    MANIFEST,
    POLL,
    PREDICTIONS,
    REJECTED,
    Asked,
    ScoreFolder,
    Shard,
    cut_into_shards,
)
from duosent.inference.score_job import ScoreJob, own_device
from duosent.inference.score_progress import MODES, ScoreProgress
from duosent.inference.score_ray import check_ray, ray_cluster, score_by_ray
from duosent.inference.score_shards import ShardScorer
from duosent.training.checkpoints import CallError

SHARD_ROWS = 10_000
ENGINES = ("local", "ray")
# What a table to be scored is read by, with the keyword of `load_pairs` for each.
COLUMNS = {"text": "text_column", "image": "image_column", "target": "target_column", "id": "id_column"}


def predict_table(
    checkpoint: str,
    data: str,
    output_dir: str,
    *,
    split: str | None = None,
    columns: dict | None = None,
    consistent: bool = False,
    confidence: float | None = None,
    abstain: bool = False,
    with_sides: bool = False,
    shard_rows: int = SHARD_ROWS,
    batch_size: int = 32,
    batch_tokens: int | None = None,
    num_workers: int = 0,
    fetch_images: bool = False,
    storage_options: dict | None = None,
    retries: int = RETRIES,
    device: str | None = None,
    overwrite: bool = False,
    backend: str = "torch",
    engine: str = "local",
    ray_address: str | None = None,
    progress: str = "bar",
    dtype: str | None = None,
) -> dict:
    """Label and scores of every post of a table, as Parquet, in shards.

    Shard 7 is `predictions-00007.parquet`, with `id`, `label` and `score_<label>` for each label, in the order of the
    rows; or `id`, `answer` and its `score` of a model that answers questions; or `label_<task>` and
    `score_<task>:<label>` of one with several tasks. `confidence` adds `label_set`, `abstain` adds `withheld` (each
    `_<task>`), and `with_sides` adds `text_label`, `text_score_<label>`, `image_label`, ..., null where a post has no
    such side. `rejected-00007.parquet` has `id` and `reason` of each row that cannot be read, if there is any, so
    that every row is in one of the two. `manifest.json` tells what was asked, and of each shard its rows and the
    SHA-256 of its files.

    A shard is there whole or not at all. Called again, it goes on with the shards that are not there. Several
    processes that torchrun or accelerate started, or that run at the same time for the same folder, share the shards
    among them; each comes back when all are finished.

    Args:
        checkpoint: folder or Hub name.
        data: what `source_files` takes.
        output_dir: where the files go, on this machine or a drive that it sees.
        split: which part; None where there is only one.
        columns: keywords of `load_pairs`; a column that is not given is the one that the checkpoint was trained with.
        consistent, confidence, abstain: as in `duosent.inference.scoring.predict`.
        with_sides: answer from the words alone and from the picture alone too.
        shard_rows: rows of a shard, about; one more begins when there are so many.
        batch_size: posts of a batch at most; those of a batch have texts of similar length.
        batch_tokens: tokens of a batch at most, words and patches of pictures, padding included; None for those of
            `batch_size` posts of 128 words' tokens.
        num_workers: processes that decode pictures and tokenise; 0 does it in a thread of this one.
        fetch_images: fetch pictures whose cell holds an address on the web; otherwise such rows are rejected.
        storage_options: of the file system of a remote source, see `source_files`.
        retries: how often reading is tried again that fails in passing.
        device, backend, dtype: as in `predict`. Of several processes on a machine each takes an accelerator of its
            own.
        overwrite: take the place of answers to another call, or of a folder that is not empty; what the same call
            has finished stays.
        engine: "local", or "ray" for a cluster of Ray, whose machines must all see checkpoint, data and folder under
            the same names.
        ray_address: of the cluster; None for the one that this process is in, or else one of this machine alone.
        progress: "bar" or "json" for standard error, or "none".

    Returns: `{"predictions": pattern of the files, "rejected_files": pattern, "manifest": file, "shards": number,
        "n": rows answered, "rejected": rows not read}`.

    Raises:
        CallError: for an option that cannot be followed, and for a folder that holds answers to another call.
    """
    if shard_rows < 1:
        raise CallError(f"shard_rows must be >= 1, got {shard_rows}.")
    if progress not in MODES:
        raise CallError(f"progress must be one of {', '.join(MODES)}, got {progress!r}.")
    _check_engine(engine, ray_address)
    _check_apart(data, output_dir)
    process = get_cpu_distributed_information()
    if process.world_size > 1 and backend == "torch":
        device = own_device(device, process.local_rank)
    columns = trained_columns(checkpoint) | (columns or {})
    answers = {"consistent": consistent, "confidence": confidence, "abstain": abstain, "with_sides": with_sides}
    base = columns.get("base_image_dir")
    read_by = {
        "columns": {name: columns.get(keyword) for name, keyword in COLUMNS.items()},
        "base_image_dir": base and _absolute(base),
        "allow_urls": fetch_images,
    }
    with _wrong_calls():
        reader, tries = SourceReader(**read_by), Retries(retries)
    job = ScoreJob(
        _absolute(checkpoint), backend, device, dtype, answers, reader, batch_size, batch_tokens, num_workers
    )
    folder = ScoreFolder(Path(output_dir).absolute())
    # With a cluster, whose workers have models of their own, this one is only asked what it can do.
    scorer = (job if engine == "local" else replace(job, device="cpu")).scorer(folder)
    with _wrong_calls():
        files = source_files(data, split, storage_options, tries)
        reader.check(files)
    options = {"backend": backend, "dtype": dtype, "split": split, **answers, **read_by, "shard_rows": shard_rows}
    asked = Asked(checkpoint, checkpoint_fingerprint(checkpoint), str(data), files, options)
    shards = folder.plan(asked, lambda: _cut(files, shard_rows), overwrite, first=process.rank == 0)

    shown = ScoreProgress(folder, shards, progress if process.rank == 0 else "none")
    if engine == "ray":
        _score_on_cluster(job, folder, shards, ray_address, shown)
    else:
        _score_here(scorer, shards, len(shards) * process.rank // process.world_size, shown)
    shown.close()
    totals = folder.finish(shards)
    return {
        "predictions": str(folder.folder / f"{PREDICTIONS}-*.parquet"),
        "rejected_files": str(folder.folder / f"{REJECTED}-*.parquet"),
        "manifest": str(folder.folder / MANIFEST),
        "shards": len(shards),
        "n": totals["rows"],
        "rejected": totals["rejected"],
    }


def _check_engine(engine: str, ray_address: str | None) -> None:
    if engine not in ENGINES:
        raise CallError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}.")
    if engine == "ray":
        check_ray()
    elif ray_address is not None:
        raise CallError(f"ray_address must go with engine ray, got {ray_address} with engine {engine}.")


def _check_apart(data: str, output_dir: str) -> None:
    """Answers among the posts would be read as posts by the next call."""
    source, folder = Path(data), Path(output_dir).resolve()
    if source.is_dir() and folder.is_relative_to(source.resolve()):
        raise CallError(f"output_dir {output_dir} must not lie in {data}, whose files are read as posts.")


@contextmanager
def _wrong_calls() -> Iterator[None]:
    """What is wrong with the source, as what is wrong with the call."""
    try:
        yield
    except ValueError as error:
        raise CallError(str(error)) from error


def _absolute(name: str) -> str:
    """A folder by its whole name, since other processes may work elsewhere; a Hub name or a URL as it is."""
    return str(Path(name).absolute()) if Path(name).is_dir() else name


def _cut(files: list[SourceFile], shard_rows: int) -> list[Shard]:
    return cut_into_shards(source_pieces(files, min(shard_rows, PIECE_ROWS)), shard_rows)


def _score_here(scorer: ShardScorer, shards: list[Shard], own: int, shown: ScoreProgress) -> None:
    """Score what is left, beginning at a process's own shard, until all is finished, be it by others."""
    left = shards[own:] + shards[:own]
    while left := _unfinished(scorer.folder, left):
        if not scorer(left, shown):
            # Others are at the rest. Should one of them die, its claim is free.
            time.sleep(POLL)
            shown.show()


def _score_on_cluster(
    job: ScoreJob, folder: ScoreFolder, shards: list[Shard], address: str | None, shown: ScoreProgress
) -> None:
    """As `_score_here`, by the workers of Ray."""
    left = shards
    with ray_cluster(address):
        while left := _unfinished(folder, left):
            for _ in score_by_ray(job, folder, shards, left):
                shown.show()
            time.sleep(POLL)


def _unfinished(folder: ScoreFolder, shards: list[Shard]) -> list[Shard]:
    return [shard for shard in shards if folder.record(shard) is None]


__all__ = ["SHARD_ROWS", "predict_table"]
