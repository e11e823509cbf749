"""Shards scored on a cluster: Ray Data gives each to a worker that holds the model, and to another if that dies."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from duosent.inference.score_folder import ScoreFolder, Shard
from duosent.inference.score_job import ScoreJob
from duosent.training.checkpoints import CallError


class ShardActor:
    """What lives in a worker of Ray: the model, which scores one shard a call as `ShardScorer` does anywhere.

    Args:
        job, folder, shards: all that there is to do.
    """

    def __init__(self, job: ScoreJob, folder: ScoreFolder, shards: list[Shard]):
        self._scorer = job.scorer(folder)
        self._shards = shards

    def __call__(self, row: dict) -> dict:
        self._scorer([self._shards[row["shard"]]], _unseen)
        return row


def check_ray() -> None:
    """
    Raises:
        CallError: if Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise CallError('Engine ray needs ray, which is not installed: pip install "duosent[ray]".')


@contextmanager
def ray_cluster(address: str | None) -> Iterator[None]:
    """A cluster to work on: the one that this process is in, the one at the address, or one of this machine alone,
    which ends with the work.

    Args:
        address: such as `ray://head:10001`, or `auto` for the cluster that this machine is part of.

    Raises:
        CallError: if there is none at the address.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        own = {} if address is not None else {"include_dashboard": False}
        ray.init(address=address, log_to_driver=False, logging_level="error", **own)
    except (ConnectionError, ValueError) as error:
        raise CallError(f"ray_address {address} leads to no cluster of Ray: {' '.join(str(error).split())}") from error
    try:
        yield
    finally:
        ray.shutdown()


def score_by_ray(job: ScoreJob, folder: ScoreFolder, shards: list[Shard], left: list[Shard]) -> Iterator[int]:
    """Score shards on the cluster that this process is in.

    Every machine of it must see the input, the checkpoint and the folder of the answers under the same names. A
    worker takes a GPU where the cluster has any, else a processor.

    Args:
        shards: all of them.
        left: those that are not finished.

    Returns: the number of each, when it has been dealt with; one that another process has claimed is left.
    """
    import ray
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    resources = ray.cluster_resources()
    on_gpu = resources.get("GPU") and job.backend == "torch" and job.device != "cpu"
    needs = {"num_gpus": 1} if on_gpu else {"num_cpus": 1}
    slots = int(resources.get("GPU" if on_gpu else "CPU", 1))
    numbers = ray.data.from_items(
        [{"shard": shard.number} for shard in left],
        override_num_blocks=len(left),  # a task of its own for each shard
    )
    done = numbers.map(
        ShardActor,
        fn_constructor_kwargs={"job": job, "folder": folder, "shards": shards},
        compute=ray.data.ActorPoolStrategy(min_size=min(slots, len(left)), max_size=len(left)),
        **needs,
    )
    try:
        for row in done.iter_rows():
            yield row["shard"]
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise RuntimeError(f"A worker of Ray failed: {' '.join(str(cause).split())}") from error


def _unseen(shard: int, rows: int, rejected: int) -> None:
    """Who scores at a distance is watched by the records of its shards."""


__all__ = ["check_ray", "ray_cluster", "score_by_ray"]
