"""The card of a real run in the docs: as it was written, and with the figures of that run."""

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from duosent.hub_cards.card_writer import is_ours

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_card_of_the_real_run_holds_its_figures():
    card = ModelCard.load(DOCS / "card-msed.md")
    assert is_ours((DOCS / "card-msed.md").read_text(encoding="utf-8"))
    figures = json.loads((DOCS / "results" / "msed" / "mdse-seed-0.json").read_text(encoding="utf-8"))
    data = card.data.to_dict()
    [result] = data["model-index"][0]["results"]
    assert result["dataset"]["args"]["fingerprint"] == figures["fingerprint"]
    measured = {(metric["name"]): metric["value"] for metric in result["metrics"]}
    assert measured == {
        "accuracy": pytest.approx(figures["accuracy"], abs=1e-6),
        "macro F1": pytest.approx(figures["macro_f1"], abs=1e-6),
        "weighted F1": pytest.approx(figures["weighted_f1"], abs=1e-6),
    }
    assert data["language"] == ["en"] and data["pipeline_tag"] == "text-classification"
