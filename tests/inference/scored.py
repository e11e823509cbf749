"""Checkpoints, posts and folders of answers that the tests of scoring share."""

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from tiny import draw_weights

from duosent import MdseForImageTextClassification
from duosent.inference.score_folder import ScoreFolder
from duosent.inference.score_table import predict_table

LABELS = {0: "negative", 1: "neutral", 2: "positive"}
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = ["good sun", "bad rain and not so very fine", "the city", "a", "we hope you love the sea at night", "cat dog"]
# What other batches may change in a score: the order in which float32 numbers are summed, nothing else. A sum of a few
# hundred products of size one is off by 1e-6 or so, and a score, behind a softmax, by less than its logit.
ROUNDING = 1e-5


def make_checkpoint(folder: Path, encoders: tuple[str, str], processor, seed: int = 0, **config) -> str:
    """A tiny MDSE whose answers differ from post to post."""
    torch.manual_seed(seed)
    model = MdseForImageTextClassification.from_encoders(*encoders, **{"id2label": LABELS, **SMALL, **config})
    draw_weights(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (12, 10), (number * 37 % 256, number * 91 % 256, number * 13 % 256)).save(file, "PNG")
    return file.getvalue()


def made_up_posts(number: int) -> list[dict]:
    """Posts of all kinds: both sides, one of them, none, and pictures that are none."""
    rows = []
    for place in range(number):
        content = {3: None, 5: b"no picture"}.get(place % 8, picture(place))
        text = None if place % 8 in (4, 5) else f"{WORDS[place % len(WORDS)]} {WORDS[place % 5]}"
        if place % 16 == 3:
            text = "  "  # and no picture: nothing to read
        rows.append({"id": f"post {place}", "text": text, "image": {"bytes": content, "path": None}})
    return rows


def write_parquet(file: Path, rows: list[dict], **options) -> str:
    kinds = {"bytes": pa.binary(), "path": pa.string()}
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("image", pa.struct(kinds))])
    pq.write_table(pa.Table.from_pylist(rows, schema), file, **options)
    return str(file)


def rows_of(folder: Path, kind: str) -> list[list[dict]]:
    """The rows of each file, `predictions` or `rejected`, in the order of the shards."""
    return [pq.read_table(file).to_pylist() for file in sorted(Path(folder).glob(f"{kind}-*.parquet"))]


def union(folder: Path) -> tuple[list[dict], list[dict]]:
    """All rows answered, and all rejected."""
    return tuple([row for rows in rows_of(folder, kind) for row in rows] for kind in ("predictions", "rejected"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the answers, by its name."""
    return {file.name: file.read_bytes() for file in sorted(Path(folder).glob("*.parquet"))}


def manifest(folder: Path) -> dict:
    return json.loads((Path(folder) / "manifest.json").read_text())


def score(words: tuple, options: dict, environment: dict | None = None, told: Path | None = None) -> None:
    """What a process does that the tests start.

    Args:
        environment: variables, such as a launcher sets.
        told: file for the numbers of the shards that it writes, in their order.
    """
    torch.set_num_threads(1)
    os.environ.update(environment or {})
    if told is not None:
        write, wrote = ScoreFolder.write_shard, []

        def write_shard(self, shard, *contents):
            wrote.append(shard.number)
            told.write_text(json.dumps(wrote))
            write(self, shard, *contents)

        ScoreFolder.write_shard = write_shard
    predict_table(*words, device="cpu", progress="none", **options)
