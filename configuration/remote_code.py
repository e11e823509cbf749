"""The code beside a checkpoint, by which transformers loads it where this package is not installed.

For `trust_remote_code=True` transformers takes modules of one folder, and with them those that they name in lines
`from .name import`. Here the modules lie in several folders and name each other in full; beside a checkpoint they
stand side by side. No torch: every save of a config comes here.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

# Modules that a checkpoint may need, by their name: it is one of a kind over all these folders.
FOLDERS = ("configuration", "processing", "modeling", "inference")
OWN_IMPORT = re.compile(r"^(\s*)from duosent\.\w+\.(\w+) import", re.MULTILINE)
RELATIVE_IMPORT = re.compile(r"^\s*from \.(\w+) import", re.MULTILINE)
PROCESSOR = "processing_image_text.ImageTextProcessor"
PIPELINE = "image_text_pipeline.ImageTextClassificationPipeline"
# What `custom_pipelines` of a config says to `transformers.pipeline`.
PIPELINES = {
    "image-text-classification": {
        "impl": PIPELINE,
        "pt": ["AutoModelForSequenceClassification"],
        "type": "multimodal",
    }
}


def write_code(folder: str | os.PathLike, references: Iterable[str]) -> None:
    """Write the modules of classes, and all that they import of this package, into a folder.

    What is loaded by the first class may be saved again by another hand: transformers then takes along what the
    module of that class names. So the first module names those of the other classes too.

    Args:
        folder: of the checkpoint.
        references: classes as `auto_map` has them, `module.Class`; a config's own comes first.
    """
    first, *others = (reference.split(".") for reference in references)
    texts, waiting = {}, [first[0], *(module for module, _ in others)]
    while waiting:
        name = waiting.pop()
        if name not in texts:
            texts[name] = flat_text(name)
            waiting += RELATIVE_IMPORT.findall(texts[name])
    named = [f"    from .{module} import {name}\n" for module, name in others]
    if named:
        texts[first[0]] += "\nif False:  # for transformers, which copies what such lines name\n" + "".join(named)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (Path(folder) / f"{name}.py").write_text(text, encoding="utf-8")


def flat_text(name: str) -> str:
    """A module's source, the modules of this package named as neighbours."""
    root = Path(__file__).resolve().parent.parent
    source = next(file for file in (root / folder / f"{name}.py" for folder in FOLDERS) if file.is_file())
    return OWN_IMPORT.sub(r"\1from .\2 import", source.read_text(encoding="utf-8"))


__all__ = ["PIPELINE", "PIPELINES", "PROCESSOR", "write_code"]
