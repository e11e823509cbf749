"""How much a step computes, by torch's own counter."""

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def count_flops(step: Callable[[], object]) -> int:
    """FLOPs of matrix products and convolutions; a multiplication and an addition count as two."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()
