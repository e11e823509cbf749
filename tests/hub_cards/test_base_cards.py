"""The ready-made cards stand as the writer writes them today, and claim no figure as measured."""

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from made_runs import code_blocks

from duosent.hub_cards.base_cards import CONFIGURATIONS, base_cards

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "training" / "recipes"


def test_the_cards_are_up_to_date():
    cards = base_cards(RECIPES)
    assert {file.stem for file in (ROOT / "hub_cards").glob("*.md")} == set(cards) == set(CONFIGURATIONS)
    for name, card in cards.items():
        assert (ROOT / "hub_cards" / f"{name}.md").read_bytes() == card.encode(), name


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_published_figures_are_no_results(name):
    card = ModelCard.load(ROOT / "hub_cards" / f"{name}.md")
    assert "model-index" not in card.data.to_dict() and len(card.data.base_model) == 2
    assert "Reported by the paper, not measured here." in card.text and "no weights of it" in card.text
    text, image = card.data.base_model
    assert all(f'text, image = "{text}", "{image}"' in block for block in code_blocks(card.content, "python"))


def test_every_published_figure_of_the_configuration_is_there():
    card = (ROOT / "hub_cards" / "mdse-roberta-resnet50.md").read_text()
    for data_set in ("mvsa-single", "mvsa-multiple", "twitter-2015", "twitter-2017"):
        published = json.loads((RECIPES / "mdse" / f"mdse-{data_set}-resnet50.json").read_text())["published"]
        kind = "weighted" if data_set.startswith("mvsa") else "macro"
        assert f"| {published['accuracy']} | {published[f'{kind}_f1']}, {kind} | mdse-{data_set}-resnet50 |" in card
    radm = (ROOT / "hub_cards" / "radm-bert-vit.md").read_text()
    assert radm.count("| not known | not known |") == 5 and "Only margins are known" in radm and "-rm-" not in radm
