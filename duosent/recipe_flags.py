"""`--recipe` and `--list-recipes` of `duosent train`: a recipe fills in what the command line does not say."""

import argparse

from duosent.parsing import CommandParser
from duosent.tables import text_table
from duosent.training.recipe import Recipe, read_recipe, recipe_names

FIGURES = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1", "f1": "F1"}


def fill_in(options: argparse.Namespace, parser: CommandParser) -> Recipe | None:
    """Let the recipe of `--recipe`, if there is one, fill in the options that were not given.

    Model and task are what a recipe is about: another one on the command line is an error. `--init-from` takes the
    place of the recipe's encoders.
    """
    recipe = None
    if options.recipe is not None:
        try:
            recipe = read_recipe(options.recipe)
        except ValueError as error:
            parser.error(str(error))
        _fill(options, recipe, parser)
    if options.model is None:
        parser.error("--model must be given, or a --recipe, which names one.")
    options.task = options.task or "classification"
    return recipe


def _fill(options: argparse.Namespace, recipe: Recipe, parser: CommandParser) -> None:
    for name in ("model", "task"):
        given, wanted = getattr(options, name), getattr(recipe, name)
        if given not in (None, wanted):
            parser.error(f"--{name} {given} contradicts recipe {recipe.name}, whose {name} is {wanted}.")
        setattr(options, name, wanted)
    encoders = {"text_encoder": recipe.text_encoder, "image_encoder": recipe.image_encoder}
    columns = dict(recipe.columns)
    if "label_column" in columns:  # --label may be given several times
        columns["label_columns"] = [columns.pop("label_column")]
    fillings = columns | ({} if options.init_from else encoders)
    known = [
        name
        for name in vars(options)
        if name.endswith(("_column", "_columns")) or name in ("base_image_dir", "label_separator")
    ]
    for name in columns:
        if name not in known:
            allowed = ", ".join(["label_column", *known])
            parser.error(f"recipe {recipe.name}: columns has {name}, and may have {allowed}.")
    for name in recipe.processing:
        if name not in ("clean_text", "max_length"):
            parser.error(f"recipe {recipe.name}: processing has {name}, and may have clean_text and max_length.")
    fillings["max_length"] = recipe.processing.get("max_length")
    for name, value in fillings.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.clean_text = options.clean_text and recipe.processing.get("clean_text", True)


def recipes_table() -> str:
    """The package's recipes, one a line."""
    rows = []
    for recipe in map(read_recipe, recipe_names()):
        figures = [f"{FIGURES[name]} {value:.2f}" for name, value in recipe.published.items() if value is not None]
        rows.append([recipe.name, recipe.model, recipe.data_set, ", ".join(figures) or "none known"])
    return text_table(["recipe", "model", "data set", "published, %"], rows)


class ListRecipes(argparse.Action):
    """`--list-recipes`: print the package's recipes with their published figures, and exit."""

    def __init__(self, option_strings, dest, **kwargs):
        super().__init__(option_strings, dest, nargs=0, **kwargs)

    def __call__(self, parser, namespace, values, option_string=None):
        print(recipes_table())
        parser.exit()


__all__ = ["ListRecipes", "fill_in", "recipes_table"]
