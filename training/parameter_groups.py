"""A learning rate for each tower and each of its layers."""

from collections.abc import Iterator

from torch import nn

from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.layer_depths import depths_below_top

TOWERS = {"text_model": "text_learning_rate", "vision_model": "image_learning_rate"}


def parameter_groups(model: nn.Module, args: ImageTextTrainingArguments, decaying: set[str]) -> list[dict]:
    """Trainable parameters by learning rate and weight decay, as an optimizer takes them.

    Args:
        model: with towers under the names of `TOWERS`, at any depth.
        args: for the rates, `layer_decay` and `weight_decay`.
        decaying: names of the parameters that decay.

    Returns: first the groups outside the towers (so that the logged `learning_rate` is theirs), then the text
        tower's and the image tower's, a pair for each rate, that is for each layer where `layer_decay` is not 1; of
        each pair the first decays and the second, biases and norms, does not. Empty groups are left out.
    """
    groups: dict[tuple, list] = {}
    for name, tower, depth in _places(model, args.layer_decay):
        groups.setdefault((tower, depth, name not in decaying), []).append(model.get_parameter(name))
    order = ["", *TOWERS]
    return [
        {
            "params": parameters,
            "lr": _rate(tower, args) * args.layer_decay**depth,
            "weight_decay": 0.0 if plain else args.weight_decay,
        }
        for (tower, depth, plain), parameters in sorted(
            groups.items(), key=lambda item: (order.index(item[0][0]), *item[0][1:])
        )
    ]


def _rate(tower: str, args: ImageTextTrainingArguments) -> float:
    rate = getattr(args, TOWERS[tower]) if tower else None
    return args.learning_rate if rate is None else rate


def _places(model: nn.Module, layer_decay: float) -> Iterator[tuple[str, str, int]]:
    """Name, tower and layers above of each trainable parameter; without `layer_decay` all layers are one."""
    depths = {}
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in TOWERS and layer_decay != 1:
            depths |= {f"{name}.{inner}": depth for inner, depth in depths_below_top(module).items()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tower = next((part for part in name.split(".") if part in TOWERS), "")
            yield name, tower, depths.get(name, 0)


__all__ = ["parameter_groups"]
