"""Which layer of a tower a parameter belongs to, told from its name: for rates that fall towards the input."""

import re
from collections import defaultdict

from torch import nn

# A layer's number stands alone (`encoder.layer.3.`, `blocks.3.`) or behind a word (`layer3.0.`, as in ResNet of timm).
NUMBERED = re.compile(r"(?P<stack>(?:\w+\.)*?(?:layer|stage|block)?)(?P<number>\d+)\.")


def depths_below_top(tower: nn.Module) -> dict[str, int]:
    """How many layers lie above each parameter of a tower.

    Layers are the numbered parts that hold most of the parameters: blocks of a transformer, stages of a CNN. What
    comes before them, such as embeddings, lies one below the first, and what comes after them belongs to the last.

    Args:
        tower: any encoder of transformers or timm.

    Returns: name of the parameter -> layers above it, 0 for the last layer.
    """
    sizes: dict[str, int] = defaultdict(int)
    places = {}
    for name, parameter in tower.named_parameters():
        match = NUMBERED.match(name)
        places[name] = (match["stack"], int(match["number"])) if match else (None, -1)
        sizes[places[name][0]] += parameter.numel()
    sizes.pop(None, None)
    if not sizes:
        return dict.fromkeys(places, 0)
    stack = max(sizes, key=sizes.get)
    numbers = sorted({number for own, number in places.values() if own == stack})
    above = {number: len(numbers) - 1 - place for place, number in enumerate(numbers)}
    depths, met = {}, False
    for name, (own, number) in places.items():
        met = met or own == stack
        depths[name] = above[number] if own == stack else 0 if met else len(numbers)
    return depths


__all__ = ["depths_below_top"]
