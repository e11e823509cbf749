"""A fingerprint knows what answers depend on, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from scored import make_checkpoint

from duosent.inference.checkpoint_fingerprint import checkpoint_fingerprint


@pytest.fixture(scope="module")
def checkpoint(text_encoder_dir, image_encoder_dir, processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return Path(make_checkpoint(folder, (text_encoder_dir, image_encoder_dir), processor))


@pytest.fixture
def copy(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "moved"))


def test_place_and_records_do_not_matter(checkpoint, copy):
    (copy / "metrics.json").write_text("{}")
    (copy / "README.md").write_text("a card")
    assert checkpoint_fingerprint(str(copy)) == checkpoint_fingerprint(str(checkpoint))


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "processor_config.json"])
def test_what_answers_depend_on_matters(checkpoint, copy, file):
    if file.endswith(".json"):
        (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | {"new": 1}))
    else:
        weights = load_file(copy / file)
        next(iter(weights.values())).view(-1)[0] += 1e-3
        save_file(weights, copy / file, metadata={"format": "pt"})
    assert checkpoint_fingerprint(str(copy)) != checkpoint_fingerprint(str(checkpoint))


def test_towers_of_adapters_matter(checkpoint, copy, tmp_path):
    """Adapters name the folders of their towers, whose weights are not in theirs."""
    (tmp_path / "adapters").mkdir()
    towers = {"text_encoder": str(copy), "image_encoder": None}
    (tmp_path / "adapters" / "towers.json").write_text(json.dumps(towers))
    before = checkpoint_fingerprint(str(tmp_path / "adapters"))
    assert before == checkpoint_fingerprint(str(tmp_path / "adapters"))
    (copy / "config.json").write_text("{}")
    assert checkpoint_fingerprint(str(tmp_path / "adapters")) != before
