"""What a file of any kind is cut into, and what stands in place of a row that is damaged."""

from typing import NamedTuple


class Stretch(NamedTuple):
    """Rows of a file that can be read by themselves.

    Args:
        start: of a Parquet file the row group, of any other the first byte.
        size: of a Parquet file how many rows of the group stand before it, of any other its bytes.
        rows: number of rows, >= 1, damaged ones among them.
    """

    start: int
    size: int
    rows: int


class Damage(NamedTuple):
    """
    Args:
        reason: why a row is none, to stand behind "row 7: ".
        id: of the row, where that much is known.
    """

    reason: str
    id: str | None = None


class UnreadableFileError(ValueError):
    """A file that is not what its name says; the message is the reason."""


__all__ = ["Damage", "Stretch", "UnreadableFileError"]
