"""Posts with texts of similar length side by side, so that a batch is padded by little."""

import random
from collections.abc import Iterator, Sequence

from datasets import Dataset
from torch.utils.data import Sampler

from duosent.training.arguments import GROUP_BY_LENGTH, ImageTextTrainingArguments
from duosent.training.imbalance import BalancedSampler

# Posts are sorted among so many units: enough for little padding, few enough for other neighbours in each epoch.
UNITS_SORTED = 50
# However small the training part, it is sorted in so many stretches at least.
STRETCHES = 4
ROWS_AT_ONCE = 1000


def check_grouping(args: ImageTextTrainingArguments, rows) -> None:
    """
    Raises:
        ValueError: for rows whose texts are not all at hand.
    """
    if args.train_sampling_strategy != GROUP_BY_LENGTH:
        return
    option = f"train_sampling_strategy {GROUP_BY_LENGTH}"
    if not isinstance(rows, Dataset):
        raise ValueError(f"{option} needs a training part that is held as a whole, got {type(rows).__name__}.")
    if not {"text", args.length_column_name} & set(rows.column_names):
        raise ValueError(f"{option} needs a column text in the training part, got {', '.join(rows.column_names)}.")


def length_grouped_sampler(
    args: ImageTextTrainingArguments, rows: Dataset, processor, draws: BalancedSampler | None = None
) -> "LengthGroupedSampler":
    """The sampler of the training part, drawn by `data_seed`, or else `seed`.

    Lengths are those of the column `length_column_name`, where there is one; else the texts are tokenised once.

    Args:
        processor: an `ImageTextProcessor`.
        draws: which posts make an epoch; None for each post once.

    Raises:
        ValueError: as `check_grouping`, and where nothing counts the tokens.
    """
    check_grouping(args, rows)
    if args.length_column_name in rows.column_names:
        lengths = rows[args.length_column_name][:]
    elif hasattr(processor, "text_lengths"):
        lengths = text_lengths(rows, processor)
    else:
        raise ValueError(
            f"train_sampling_strategy {GROUP_BY_LENGTH} needs an ImageTextProcessor, which counts the tokens of a "
            f"text, got {type(processor).__name__}."
        )
    return LengthGroupedSampler(lengths, args.train_batch_size * args.world_size, args.seed_of_draws, draws)


def text_lengths(rows: Dataset, processor) -> list[int]:
    """Tokens of each post's text, by its processor; no picture is read."""
    lengths = []
    columns = [name for name in ("text", "target") if name in rows.column_names]
    for some in rows.select_columns(columns).iter(ROWS_AT_ONCE):
        lengths += processor.text_lengths(some["text"], some.get("target"))
    return lengths


class LengthGroupedSampler(Sampler[int]):
    """Places of posts, those of a unit of similar length, units and stretches in a new order in each epoch.

    The posts of an epoch are shuffled and cut into stretches; each is sorted by length and cut into units, and all
    units are shuffled. Posts that fill no unit come last, as they were drawn. The order depends on seed and epoch
    alone, so that all processes of a run, and a resumed one, have the same.

    Args:
        lengths: of all posts.
        unit: posts that run at the same time, in all processes together.
        seed: of the order.
        draws: which posts make an epoch; None for each post once.
    """

    def __init__(self, lengths: Sequence[int], unit: int, seed: int, draws: BalancedSampler | None = None):
        self._lengths, self._unit, self._draws = lengths, unit, draws
        self.seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        if self._draws is not None:
            self._draws.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._lengths if self._draws is None else self._draws)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"lengths {self.seed}:{self._epoch}")
        order = list(range(len(self._lengths)) if self._draws is None else self._draws)
        rng.shuffle(order)
        whole = len(order) // self._unit
        stretch = self._unit * max(1, min(UNITS_SORTED, whole // STRETCHES))
        end = whole * self._unit
        units = []
        for start in range(0, end, stretch):
            alike = sorted(order[start : min(start + stretch, end)], key=self._lengths.__getitem__)
            units += [alike[first : first + self._unit] for first in range(0, len(alike), self._unit)]
        rng.shuffle(units)
        return iter([place for unit in units for place in unit] + order[end:])


__all__ = ["LengthGroupedSampler", "check_grouping", "length_grouped_sampler", "text_lengths"]
