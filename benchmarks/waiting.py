"""When a device is done with what it was given."""

from collections.abc import Callable

import torch


def wait_for(device: str) -> Callable[[], None]:
    """What returns once the device has nothing left to do; the CPU is done when a call returns."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None
