"""Speed and memory as ratios, each taken in one run against what a user would take instead.

    python -m benchmarks                      all parts
    python -m benchmarks training inference   some of them

Prints a table a part, and puts figures, command, seed, versions and machine into `benchmarks/results/<machine>.json`,
each part in the place of its earlier figures. A ratio is taken within each round of taking turns; the table has the
median over the rounds and both quartiles. `make bench PARTS="training inference" OPTIONS="--rounds 3"` is the same.
"""

import argparse
import sys
from pathlib import Path

import datasets
import torch

from benchmarks.harness import NotMeasured, table
from benchmarks.parts import (
    autogluon,
    exported,
    feeding,
    gpu,
    inference,
    latency,
    loading,
    residual_attention,
    scoring,
    startup,
    training,
)
from benchmarks.record import ROOT, circumstances, cores, keep, machine_name
from benchmarks.shapes import add_shape_options

PARTS = {
    part.__name__.rpartition(".")[2]: part
    for part in (
        training,
        inference,
        latency,
        feeding,
        residual_attention,
        loading,
        startup,
        exported,
        scoring,
        gpu,
        autogluon,
    )
}


def parse(words: list[str]) -> argparse.Namespace:
    parts = "\n".join(f"  {name:20}{part.__doc__.splitlines()[0]}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__}\nparts:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all, unless given")
    parser.add_argument("--rounds", type=int, metavar="N", help="kept rounds; each part has its own number")
    parser.add_argument("--warmup", type=int, default=1, metavar="N", help="rounds before them (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=cores(), help="of torch (as many as cores)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of training, inference and memory")
    parser.add_argument("--machine", help="name of the file of results; 2-core-cpu or the name of the card")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR")
    parser.add_argument(
        "--attention-dropout",
        type=float,
        default=0.0,
        metavar="P",
        help="of attention maps in towers, fusions and ViLT; above 0 the CPU has no fused attention (%(default)s)",
    )
    add_shape_options(parser)
    for part in PARTS.values():
        part.add_options(parser)
    options = parser.parse_args(words)
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"PART must be one of {', '.join(PARTS)}, got {unknown[0]!r}.")
    for name, least in (("rounds", 1), ("warmup", 0), ("threads", 1)):
        number = getattr(options, name)
        if number is not None and number < least:
            parser.error(f"--{name} must be >= {least}, got {number}.")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU, and there is none.")
    return options


def main(words: list[str]) -> None:
    options = parse(words)
    torch.set_num_threads(options.threads)
    datasets.disable_progress_bars()
    file = options.results / f"{options.machine or machine_name(options.device)}.json"
    for name in options.parts or PARTS:
        print(f"\n## {name}\n", flush=True)
        record = circumstances(words, options.seed)
        try:
            rows = PARTS[name].measure(options)
        except NotMeasured as missing:
            print(f"Not measured: {missing}", flush=True)
            continue
        keep(file, name, record | {"rows": [row.as_json() for row in rows]})
        print(table(rows), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
