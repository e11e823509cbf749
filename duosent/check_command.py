"""`duosent explain --check`: flags and call."""

import argparse
import os

from duosent.check_tables import check_tables
from duosent.parsing import CommandParser


def declare_check_flags(parser: CommandParser) -> None:
    check = parser.add_argument_group("or, in place of a page, whether the maps are true")
    note = "posts, as --data, on which each map is checked against random orders, edges and random weights"
    check.add_argument("--check", metavar="DATA", help=f"{note}; --limit 200, --output a JSON file")
    check.add_argument("--random-orders", type=int, metavar="N", help="that stand for chance, for each post (3)")
    check.add_argument("--seed", type=int, help="draws them, the random weights and the intervals (0)")


def run_check(options: argparse.Namespace, columns: dict, parser: CommandParser) -> tuple[dict, str]:
    """The report, and its table."""
    from pathlib import Path

    for flag in ("text", "image", "target", "data", "ids", "maps", "label", "ablations"):
        if getattr(options, flag):
            parser.error(f"--{flag} has no meaning beside --check.")
    for flag in ("limit", "random_orders"):
        number = getattr(options, flag)
        if number is not None and number < 1:
            parser.error(f"--{flag.replace('_', '-')} must be >= 1, got {number}.")
    if options.output is not None and os.path.isdir(options.output):
        parser.error(f"--output {options.output} is a folder.")
    from duosent.inference.explaining import Explainer
    from duosent.inference.map_check import check_maps
    from duosent.training.checkpoints import write_json

    explainer = Explainer(
        options.checkpoint,
        attributions=options.attributions,
        attribution_tolerance=options.attribution_tolerance,
        device=options.device,
    )
    given = {name: getattr(options, name) for name in ("limit", "random_orders", "seed")}
    given = {name: value for name, value in given.items() if value is not None}
    report = check_maps(explainer, options.check, split=options.split, columns=columns, **given)
    if options.output is not None:
        write_json(Path(options.output), report)
    return report, check_tables(report)


__all__ = ["declare_check_flags", "run_check"]
