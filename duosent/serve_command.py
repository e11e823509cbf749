"""`duosent serve`: the demo page that a Space shows, on this machine."""

import argparse
import importlib.util
import os
import runpy
import sys
from pathlib import Path

from duosent import hub_cards
from duosent.parsing import CommandParser

# Its files import one another as those of a Space do.
SPACE = Path(hub_cards.__file__).with_name("space")


def declare_serve_flags(parser: CommandParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder or Hub name")
    note = "address to listen at (%(default)s: this machine alone); 0.0.0.0: whoever can reach this machine"
    parser.add_argument("--host", default="127.0.0.1", help=note)
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument("--device", help="cpu, cuda, ...; default: the accelerator where there is one")
    parser.epilog = (
        "Needs duosent[serve]. What visitors send is kept for an hour at most, and sent to nobody. The page stands in "
        "hub_cards/space, ready to be a Space of its own."
    )


def run_serve(options: argparse.Namespace, parser: CommandParser) -> None:
    """Returns when the page is ended."""
    if options.port is not None and not 1 <= options.port <= 65535:
        parser.error(f"--port must be from 1 to 65535, got {options.port}.")
    if importlib.util.find_spec("gradio") is None:
        raise ModuleNotFoundError("The page needs Gradio: pip install 'duosent[serve]'.")
    os.environ |= {"DUOSENT_MODEL": options.checkpoint, "GRADIO_SERVER_NAME": options.host}
    if options.port is not None:
        os.environ["GRADIO_SERVER_PORT"] = str(options.port)
    if options.device is not None:
        os.environ["DUOSENT_DEVICE"] = options.device
    sys.path.insert(0, str(SPACE))
    runpy.run_path(str(SPACE / "app.py"), run_name="__main__")


__all__ = ["declare_serve_flags", "run_serve"]
