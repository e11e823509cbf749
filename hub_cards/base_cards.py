"""python -m duosent.hub_cards.base_cards training/recipes hub_cards

Writes the cards of the papers' configurations, of which no weights are published.
"""

import json
import sys
from pathlib import Path

from duosent.hub_cards.card_facts import CardFacts
from duosent.hub_cards.card_writer import Published, render
from duosent.hub_cards.run_files import RunFiles

# Card -> the recipes of its configuration, one for a data set.
CONFIGURATIONS = {
    "mdse-roberta-vit": "mdse-*-vit.json",
    "mdse-roberta-resnet50": "mdse-*-resnet50.json",
    "mdse-roberta-vgg19": "mdse-*-vgg19.json",
    "radm-bert-vit": "radm-m*.json",
}
ABLATIONS = ("-rm-rg", "-rm-c")


def base_cards(recipes: Path) -> dict[str, str]:
    """The cards by their names.

    Args:
        recipes: folder of recipes, `MODEL/NAME.json`.
    """
    return {name: _base_card(name, _read(recipes, pattern)) for name, pattern in CONFIGURATIONS.items()}


def _read(recipes: Path, pattern: str) -> dict[str, dict]:
    files = [file for file in sorted(recipes.glob(f"*/{pattern}")) if not file.stem.endswith(ABLATIONS)]
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _base_card(name: str, recipes: dict[str, dict]) -> str:
    first = next(iter(recipes.values()))
    encoders = {option: first[option] for option in ("text_encoder", "image_encoder")}
    shared = {
        group: {
            option: value
            for option, value in first[group].items()
            if all(recipe[group].get(option, "its default") == value for recipe in recipes.values())
        }
        for group in ("training", "config", "processing")
    }
    run = RunFiles(
        folder=Path(name),
        config={"model_type": first["model"], "text_config": {}, "vision_config": {}},
        run={**encoders, "from_hub": list(encoders), **shared},
        arguments={},
        state={},
        adapter={},
        evaluations=[],
        facts=CardFacts(license="apache-2.0", languages=["en"]),
    )
    return render(
        run,
        [
            Published(recipe["data_set"], title, recipe["paper"], recipe["published"], recipe.get("notes", []))
            for title, recipe in recipes.items()
        ],
    )


def write_base_cards(recipes: Path, folder: Path) -> None:
    for name, card in base_cards(recipes).items():
        (folder / f"{name}.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    write_base_cards(Path(sys.argv[1]), Path(sys.argv[2]))

__all__ = ["CONFIGURATIONS", "base_cards", "write_base_cards"]
