"""Times taken in turns, their ratios, and the table they make.

A figure in seconds says more of the machine and of what else runs on it than of the code. So whatever is compared
takes turns (a, b, c, a, b, c, ...), a ratio is taken within each round, and the median over the rounds stands in the
table with both quartiles.
"""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

Times = dict[Hashable, list[float]]


class NotMeasured(Exception):
    """What a part needs is not here; says what."""


class Spread(NamedTuple):
    """A median with both quartiles."""

    median: float
    lower: float
    upper: float


def spread(values: Sequence[float]) -> Spread:
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, lower, upper)


def take_turns(
    steps: Mapping[Hashable, Callable[[], object]],
    rounds: int,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    wait: Callable[[], object] = lambda: None,
) -> Times:
    """Seconds of each step, one figure a round.

    Args:
        steps: each runs once a round, in this order.
        rounds: how many rounds are kept.
        warmup: rounds before them, which are not.
        wait: for the device to be done, before and after each step.
    """
    times = {name: [] for name in steps}
    for number in range(warmup + rounds):
        for name, step in steps.items():
            wait()
            start = clock()
            step()
            wait()
            if number >= warmup:
                times[name].append(clock() - start)
    return times


def added(*times: Sequence[float]) -> list[float]:
    """What several steps took together, round by round."""
    return [sum(of_round) for of_round in zip(*times, strict=True)]


def ratio(times: Sequence[float], against: Sequence[float]) -> Spread:
    """How many times as long the one took as the other, within a round."""
    return spread([one / other for one, other in zip(times, against, strict=True)])


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        what: was measured, and at what shape.
        subject: whose figure it is.
        value: the figure, in `unit`.
        against: what `subject` is compared with; None for a figure that stands alone.
        ratio: of the subject's figure to that of `against`.
        arithmetic: ratio of what both compute, in FLOPs.
    """

    what: str
    subject: str
    value: Spread
    unit: str
    against: str | None = None
    ratio: Spread | None = None
    arithmetic: float | None = None

    @property
    def over_arithmetic(self) -> float | None:
        """What the time has grown by beyond the arithmetic."""
        return None if self.ratio is None or self.arithmetic is None else self.ratio.median / self.arithmetic

    def as_json(self) -> dict:
        """Its fields, those that are None left out."""
        fields = asdict(self) | {
            name: value._asdict() for name, value in (("value", self.value), ("ratio", self.ratio)) if value
        }
        fields["over_arithmetic"] = self.over_arithmetic
        return {name: field for name, field in fields.items() if field is not None}


def compare(
    what: str,
    subject: str,
    times: Sequence[float],
    against: str,
    other: Sequence[float],
    posts: int = 1,
    arithmetic: float | None = None,
) -> Row:
    """Milliseconds a post of `subject` beside those of `against`.

    Args:
        times, other: seconds of both, round by round.
        posts: of a round.
    """
    value = spread([1000 * seconds / posts for seconds in times])
    return Row(what, subject, value, "ms a post", against, ratio(times, other), arithmetic)


def table(rows: Sequence[Row]) -> str:
    """Markdown, one line a row."""
    lines = [
        "| what | | figure | against | ratio (quartiles) | of arithmetic | ratio / arithmetic |",
        "|---|---|---:|---|---:|---:|---:|",
    ]
    for row in rows:
        shown = "" if row.ratio is None else f"{row.ratio.median:.3f} ({row.ratio.lower:.3f} to {row.ratio.upper:.3f})"
        numbers = ["" if number is None else f"{number:.3f}" for number in (row.arithmetic, row.over_arithmetic)]
        cells = [row.what, row.subject, f"{row.value.median:,.4g} {row.unit}", row.against or "", shown, *numbers]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
