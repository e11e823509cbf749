"""Posts with pictures in three parts, for runs that leave a card, and a Hub for them."""

import io
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import transformers.utils.hub
from PIL import Image


@pytest.fixture(scope="session")
def posts(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("made_up") / "moods"
    folder.mkdir()
    pictures = []
    for colour in ("red", "green"):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), colour).save(file, "PNG")
        pictures.append({"bytes": file.getvalue(), "path": None})
    rows = [("good sun", 0, "happy"), ("bad rain", 1, "sad"), ("great dog", 0, "happy"), ("awful bus", 1, "sad")] * 2
    columns = {
        "text": [text for text, _, _ in rows],
        "image": [pictures[number] for _, number, _ in rows],
        "mood": [mood for _, _, mood in rows],
    }
    table = pa.table(columns)
    for part in ("train", "validation", "test"):
        pq.write_table(table, folder / f"{part}.parquet")
    return str(folder)


@pytest.fixture
def hub(start_hub, tmp_path, monkeypatch) -> Path:
    """The folder of a Hub that this process finds."""
    environment = start_hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", environment["HF_ENDPOINT"])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)  # it remembers where it was made for
    monkeypatch.setenv("HF_TOKEN", environment["HF_TOKEN"])
    return tmp_path / "hub"
