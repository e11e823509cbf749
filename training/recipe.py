"""Recipes: one file for a row of a paper's table, with all that `duosent train` needs but the data, and the published
figures beside it.

The files under `recipes/` belong to the package; `docs/paper_index.md` says what they take from the papers.
"""

import dataclasses
import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path

RECIPES = Path(__file__).resolve().parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """What a recipe's file holds, and the file's name.

    Args:
        name: the file's, without its ending.
        model, task: as in `duosent.training.run.train`.
        paper: which row of which table.
        data_set: its name in `duosent prepare`.
        text_encoder, image_encoder: folders or Hub names.
        columns: keywords of `load_pairs` that choose columns.
        processing: keywords of `ImageTextProcessor`: `clean_text`, `max_length`.
        config: fields of the model's config.
        training: fields of `ImageTextTrainingArguments`.
        published: the paper's figures on the test part, in percent as printed; None for one that is not known.
        notes: where the paper is silent or contradicts itself.
    """

    name: str
    model: str
    task: str = "classification"
    paper: str = ""
    data_set: str = ""
    text_encoder: str | None = None
    image_encoder: str | None = None
    columns: dict = field(default_factory=dict)
    processing: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    published: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)


def recipe_names() -> list[str]:
    """The recipes of the package, sorted."""
    return sorted(file.stem for file in RECIPES.glob("*/*.json"))


def read_recipe(recipe: str) -> Recipe:
    """A recipe of the package by its name, or one's own by its file, `*.json`.

    Raises:
        ValueError: if there is none of that name, or the file cannot be read or holds what no recipe has.
    """
    if not recipe.endswith(".json"):
        return _read_file(_file_of(recipe))
    if not Path(recipe).is_file():
        raise ValueError(f"recipe {recipe} is not a file.")
    return _read_file(Path(recipe))


def _file_of(name: str) -> Path:
    for file in RECIPES.glob("*/*.json"):
        if file.stem == name:
            return file
    nearest = difflib.get_close_matches(name, recipe_names(), n=3, cutoff=0.4)
    hint = f"; the nearest are {', '.join(nearest)}" if nearest else ""
    raise ValueError(f"there is no recipe {name}{hint}; --list-recipes names them all.")


def _read_file(file: Path) -> Recipe:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"recipe {file} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"recipe {file} must hold an object, got {type(content).__name__}.")
    kinds = {known.name: known.type for known in dataclasses.fields(Recipe) if known.name != "name"}
    for name, value in content.items():
        if name not in kinds:
            nearest = difflib.get_close_matches(name, kinds, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else f", only {', '.join(kinds)}."
            raise ValueError(f"recipe {file} holds {name}, which no recipe has{hint}")
        if not isinstance(value, kinds[name]):
            kind = getattr(kinds[name], "__name__", kinds[name])
            raise ValueError(f"recipe {file}: {name} must be {kind}, got {value!r}.")
    if "model" not in content:
        raise ValueError(f"recipe {file} must name a model, and does not.")
    return Recipe(name=file.stem, **content)


__all__ = ["Recipe", "read_recipe", "recipe_names"]
