"""Which part of a data set is answered, where a caller may leave that open."""

from collections.abc import Iterable

from duosent.training.checkpoints import CallError


def chosen_part(parts: Iterable[str], asked: str | None, data: str) -> str:
    """The part that was asked for, or the only one.

    Args:
        parts: names of those that there are.
        asked: None where a caller did not say.
        data: what the sentence calls the data set.

    Raises:
        CallError: if there are several and none was asked for, or there is no such part.
    """
    parts = list(parts)
    if asked is None and len(parts) > 1:
        raise CallError(f"split must be given for data with several parts: one of {', '.join(parts)}.")
    if asked is not None and asked not in parts:
        raise CallError(f"{data} has no {asked} part, only {', '.join(parts)}.")
    return asked or parts[0]


__all__ = ["chosen_part"]
