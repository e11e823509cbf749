"""The posts of a table that a checkpoint is to answer: what it reads of them, and no label."""

from datasets import Dataset

from duosent.data.pairs import load_pairs
from duosent.inference.backends import trained_columns
from duosent.inference.chosen_part import chosen_part
from duosent.training.checkpoints import CallError

LABEL_COLUMNS = ("label_column", "text_label_column", "image_label_column", "label_columns")


def unlabelled_posts(checkpoint: str, data: str, split: str | None, columns: dict | None) -> tuple[str, Dataset]:
    """Name of the part, and its posts, of which some may be unreadable.

    Args:
        checkpoint: folder or Hub name.
        data: what `load_pairs` takes.
        split: which part; None where there is only one.
        columns: keywords of `load_pairs`; a column that is not given is the one that the checkpoint was trained with.

    Raises:
        CallError: for data or a part that is not there.
    """
    columns = {**trained_columns(checkpoint), **(columns or {}), **dict.fromkeys(LABEL_COLUMNS)}
    try:
        splits = load_pairs(data, **columns, check_rows=False)
    except (ValueError, OSError) as error:
        raise CallError(str(error)) from error
    split = chosen_part(splits, split, data)
    return split, splits[split]


__all__ = ["unlabelled_posts"]
