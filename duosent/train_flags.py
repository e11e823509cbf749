"""The open flags of `duosent train`: every field of the model's config, and every field of the training arguments."""

import argparse
import dataclasses
import inspect
import typing

from duosent.parsing import CommandParser

MODEL_CONFIGS = ("mdse", "radm", "text", "image", "concat", "tfn", "lmf", "clmlf", "tombert")
# Fields of PreTrainedConfig that one may want to set; its others describe generation or outputs.
SHARED_FIELDS = {"attn_implementation": str | None}
# Towers come by --text-encoder and --image-encoder.
TOWER_FIELDS = ("text_config", "vision_config")
# And these by --label, or by evaluate --calibrate.
LABEL_FIELDS = ("tasks", "label_combinations", "calibration")


def read_train_flags(
    words: list[str], model: str, output_dir: str, parser: CommandParser, recipe=None
) -> tuple[dict, typing.Any]:
    """Words that `duosent train` did not declare, as config fields and training arguments.

    Args:
        words: such as `["--hidden-size", "384", "--freeze-image", "--learning-rate=1e-4"]`.
        model: decides which config's fields are known.
        output_dir: goes into the training arguments.
        parser: ends the call with one sentence for a wrong flag or value.
        recipe: a `Recipe` whose `config` and `training` hold where the words say nothing, or None.

    Returns: the config's fields, and `ImageTextTrainingArguments`.
    """
    fields, training_fields = config_fields(model), set(training_arguments())
    config, rest = dict(recipe.config) if recipe else {}, []
    usual = dict(recipe.training) if recipe else {}
    for name in usual:
        if name not in training_fields:
            parser.error(f"recipe {recipe.name}: training has {name}, which is no training argument.")
    for flag, values in _flags_with_values(words, parser):
        name = flag.removeprefix("--").replace("-", "_")
        if name in fields:
            config[name] = _convert(name, values, fields[name], parser)
        elif fields.get(name.removeprefix("no_")) is bool and not values:
            config[name.removeprefix("no_")] = False
        elif name in training_fields or name.removeprefix("no_") in training_fields:
            rest.append((name, values))
        else:
            others = [other for other in MODEL_CONFIGS if name in config_fields(other)]
            if others:
                parser.error(f"--{name} is a flag of model {' and '.join(others)}, not of {model}.")
            known = [f"--{known}" for known in [*fields, *training_fields]]
            parser.unknown("flag", f"--{name}", [*known, *(known_flag for known_flag in parser.flags())])
    return config, _training_arguments(rest, output_dir, parser, usual)


def config_fields(model: str) -> dict[str, typing.Any]:
    """Names and types of the config fields that are flags for this model."""
    from duosent.configuration.configuration_baselines import BaselineConfig
    from duosent.configuration.configuration_clmlf import ClmlfConfig
    from duosent.configuration.configuration_image_text import ImageTextConfig
    from duosent.configuration.configuration_lmf import LmfConfig
    from duosent.configuration.configuration_mdse import MdseConfig
    from duosent.configuration.configuration_radm import RadmConfig
    from duosent.configuration.configuration_tfn import TfnConfig
    from duosent.configuration.configuration_tombert import TombertConfig

    configs = {
        "mdse": MdseConfig,
        "radm": RadmConfig,
        "tfn": TfnConfig,
        "lmf": LmfConfig,
        "clmlf": ClmlfConfig,
        "tombert": TombertConfig,
    }
    config = configs.get(model, BaselineConfig)
    own = {
        name: annotation
        for base in reversed(config.__mro__)
        if issubclass(base, ImageTextConfig)
        for name, annotation in inspect.get_annotations(base).items()
        if name in {field.name for field in dataclasses.fields(config)} and name not in TOWER_FIELDS + LABEL_FIELDS
    }
    return own | SHARED_FIELDS


def training_arguments() -> dict[str, dataclasses.Field]:
    """The fields of `ImageTextTrainingArguments`, `output_dir` left out."""
    from duosent.training.arguments import ImageTextTrainingArguments

    return {f.name: f for f in dataclasses.fields(ImageTextTrainingArguments) if f.init and f.name != "output_dir"}


def _flags_with_values(words: list[str], parser: CommandParser) -> list[tuple[str, list[str]]]:
    flags: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            flags.append((flag, [value] if equals else []))
        elif flags:
            flags[-1][1].append(word)
        else:
            parser.error(f"there is no flag for {word} to belong to.")
    return flags


def _convert(name: str, values: list[str], annotation, parser: CommandParser):
    """Words to a config field's value, after its annotation."""
    kinds = typing.get_args(annotation) or (annotation,)
    if bool in kinds and not values:
        return True
    if any(typing.get_origin(kind) in (tuple, list) for kind in (annotation, *kinds)):
        return tuple(part for value in values for part in value.replace(",", " ").split())
    if len(values) != 1:
        parser.error(f"--{name} takes one value, got {len(values)}.")
    value = values[0]
    if type(None) in kinds and value.lower() == "none":
        return None
    if bool in kinds:
        if value.lower() not in ("true", "false"):
            parser.error(f"--{name} must be true or false, got {value}.")
        return value.lower() == "true"
    try:
        if float in kinds:
            return int(value) if int in kinds and value.lstrip("+-").isdigit() else float(value)
        return int(value) if int in kinds else value
    except ValueError:
        parser.error(f"--{name} must be a {'' if float in kinds else 'whole '}number, got {value}.")


def _training_arguments(flags: list[tuple[str, list[str]]], output_dir: str, parser: CommandParser, usual: dict):
    """Let transformers' own parser read the values; what it cannot say on a command line is None. `usual` takes the
    place of the defaults."""
    from transformers import HfArgumentParser

    from duosent.training.arguments import ImageTextTrainingArguments

    class TrainingParser(CommandParser, HfArgumentParser):
        """HfArgumentParser with errors of one sentence."""

    # Not the fields' own types: HfArgumentParser writes over those.
    types = typing.get_type_hints(ImageTextTrainingArguments)
    nones = {name: None for name, values in flags if values == ["none"] or values == ["None"]}
    for name in nones:
        if type(None) not in typing.get_args(types[name]):
            parser.error(f"--{name} cannot be none.")
    reader = TrainingParser(ImageTextTrainingArguments, prog=parser.prog, add_help=False)
    reader.set_defaults(**usual)
    words = [word for name, values in flags if name not in nones for word in (f"--{name}", *values)]
    values = vars(reader.parse_args([*words, "--output_dir", output_dir]))
    try:
        return ImageTextTrainingArguments(**(values | nones))
    except (ValueError, TypeError, ImportError) as error:
        parser.error(str(error))


class ListFlags(argparse.Action):
    """`--list-flags`: print the open flags with their defaults, and exit."""

    def __init__(self, option_strings, dest, **kwargs):
        super().__init__(option_strings, dest, nargs=0, **kwargs)

    def __call__(self, parser, namespace, values, option_string=None):
        from duosent.configuration.configuration_clmlf import ClmlfConfig
        from duosent.configuration.configuration_lmf import LmfConfig
        from duosent.configuration.configuration_mdse import MdseConfig
        from duosent.configuration.configuration_radm import RadmConfig
        from duosent.configuration.configuration_tfn import TfnConfig
        from duosent.configuration.configuration_tombert import TombertConfig

        for title, config, model in (
            ("--model mdse", MdseConfig(), "mdse"),
            ("--model radm", RadmConfig(), "radm"),
            ("--model text, image, concat", RadmConfig(), "text"),
            ("--model tfn", TfnConfig(), "tfn"),
            ("--model lmf", LmfConfig(), "lmf"),
            ("--model clmlf", ClmlfConfig(), "clmlf"),
            ("--model tombert", TombertConfig(), "tombert"),
        ):
            print(f"{title}:")
            for name in config_fields(model):
                print(f"  --{name} ({getattr(config, name, None)})")
        print("training:")
        for field in training_arguments().values():
            default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
            print(f"  --{field.name} ({default})  {field.metadata.get('help', '')}".rstrip())
        parser.exit()


__all__ = ["ListFlags", "config_fields", "read_train_flags"]
