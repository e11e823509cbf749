"""A row that cannot be read, in place of the row."""

from dataclasses import dataclass

from duosent.processing.processing_image_text import whole_characters


@dataclass(frozen=True)
class Rejected:
    """
    Args:
        place: of the row in the whole input, from 0.
        id: of the row, or what stands for it where none can be read; never None.
        reason: one sentence that names the file and the row, or the picture.
    """

    place: int
    id: str
    reason: str

    def __post_init__(self):
        # Both become words of a table, which takes no half characters; file names and damaged cells may hold some.
        object.__setattr__(self, "id", whole_characters(self.id))
        object.__setattr__(self, "reason", whole_characters(self.reason))


__all__ = ["Rejected"]
