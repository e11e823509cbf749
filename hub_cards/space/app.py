"""The demo page of a checkpoint: a Space of its own, or `duosent serve CHECKPOINT`.

Set by environment variables: DUOSENT_MODEL, a folder or a name on the Hub; DUOSENT_DEVICE (cpu, cuda, ...; default:
the accelerator where there is one); and Gradio's own, such as GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
"""

import importlib.util
import os
import sys
from pathlib import Path

# Nobody is told of it.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("DO_NOT_TRACK", "1")

from post_page import build_page
from transformers import pipeline

MAX_BYTES = 10 * 2**20


def main() -> None:
    model = os.environ.get("DUOSENT_MODEL")
    if not model:
        sys.exit("DUOSENT_MODEL must name a checkpoint: a folder, or owner/name on the Hub.")
    installed = importlib.util.find_spec("duosent") is not None
    if installed:
        import duosent

        duosent.register_auto_classes()
    classify = pipeline(
        "image-text-classification",
        model=model,
        device=os.environ.get("DUOSENT_DEVICE"),
        # Without the package, the code that lies beside the weights.
        trust_remote_code=not installed,
        allow_paths=False,
        max_bytes=MAX_BYTES,
    )
    folder = Path(model)
    page = build_page(classify, folder.resolve().name if folder.is_dir() else model)
    port = os.environ.get("GRADIO_SERVER_PORT")
    _, url, _ = page.launch(
        # Given, it is this one or none; Gradio would go on to the next.
        server_port=int(port) if port else None,
        quiet=True,
        prevent_thread_lock=True,
        ssr_mode=False,
        max_file_size=MAX_BYTES,
        css_paths=Path(__file__).with_name("page.css"),
        footer_links=["api", "settings"],
    )
    print(f"The page is at {url} (Ctrl-C ends it).", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
