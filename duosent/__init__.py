"""duosent: read a post, a picture and the words beside it, and say what its author feels.

`import duosent` makes the models and the processor known to the Auto classes of transformers, and the pipeline to
`transformers.pipeline`.
"""

import importlib
import sys
from pathlib import Path

# A checkout keeps the sub-packages beside this folder (setup.cfg maps them); an installed wheel has them inside.
_root = Path(__file__).resolve().parent.parent
if (_root / "setup.cfg").is_file() and (_root / "modeling").is_dir():
    __path__.append(str(_root))

__version__ = "0.5.0.dev0"

_PUBLIC_NAMES = {
    "AutoModelForImageTextClassification": "modeling.modeling_auto",
    "BaselineConfig": "configuration.configuration_baselines",
    "BaselineForImageTextClassification": "modeling.modeling_baselines",
    "ClmlfConfig": "configuration.configuration_clmlf",
    "ClmlfForImageTextClassification": "modeling.modeling_clmlf",
    "ImageTextClassificationPipeline": "inference.image_text_pipeline",
    "ImageTextCollator": "processing.collator",
    "ImageTextProcessor": "processing.processing_image_text",
    "ImageTextTrainer": "training.trainer",
    "ImageTextTrainingArguments": "training.arguments",
    "LmfConfig": "configuration.configuration_lmf",
    "LmfForImageTextClassification": "modeling.modeling_lmf",
    "MdseConfig": "configuration.configuration_mdse",
    "MdseForImageTextClassification": "modeling.modeling_mdse",
    "MdseModel": "modeling.modeling_mdse",
    "OnnxModelForImageTextClassification": "inference.onnx_model",
    "RadmConfig": "configuration.configuration_radm",
    "RadmForImageTextClassification": "modeling.modeling_radm",
    "RadmForVisualQuestionAnswering": "modeling.modeling_radm",
    "RadmModel": "modeling.modeling_radm",
    "TfnConfig": "configuration.configuration_tfn",
    "TfnForImageTextClassification": "modeling.modeling_tfn",
    "TombertConfig": "configuration.configuration_tombert",
    "TombertForImageTextClassification": "modeling.modeling_tombert",
    "explain": "inference.explaining",
    "load_pairs": "data.pairs",
    "modality_agnostic_contrastive_loss": "modeling.losses",
}

__all__ = [*_PUBLIC_NAMES, "register_auto_classes"]


def __getattr__(name: str):
    if name not in _PUBLIC_NAMES:
        raise AttributeError(f"module 'duosent' has no attribute {name!r}")
    return getattr(importlib.import_module(f"duosent.{_PUBLIC_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC_NAMES])


def register_auto_classes() -> None:
    """Make models and processor known to the Auto classes, and the pipeline to `transformers.pipeline`, which
    `import duosent` does; once more does nothing.
    """
    import transformers
    from transformers.pipelines import PIPELINE_REGISTRY

    from duosent.configuration.configuration_baselines import BaselineConfig
    from duosent.configuration.configuration_clmlf import ClmlfConfig
    from duosent.configuration.configuration_lmf import LmfConfig
    from duosent.configuration.configuration_mdse import MdseConfig
    from duosent.configuration.configuration_radm import RadmConfig
    from duosent.configuration.configuration_tfn import TfnConfig
    from duosent.configuration.configuration_tombert import TombertConfig
    from duosent.inference.image_text_pipeline import TASK, ImageTextClassificationPipeline
    from duosent.modeling.modeling_auto import AutoModelForImageTextClassification
    from duosent.processing.processing_image_text import ImageTextProcessor

    for config in (MdseConfig, RadmConfig, BaselineConfig, TfnConfig, LmfConfig, ClmlfConfig, TombertConfig):
        transformers.AutoConfig.register(config.model_type, config, exist_ok=True)
        transformers.AutoProcessor.register(config, ImageTextProcessor, exist_ok=True)
        for auto_class, reference in config.auto_classes.items():
            module, name = reference.split(".")
            model = getattr(importlib.import_module(f"duosent.modeling.{module}"), name)
            getattr(transformers, auto_class).register(config, model, exist_ok=True)
            if auto_class == "AutoModelForSequenceClassification":
                AutoModelForImageTextClassification.register(config, model, exist_ok=True)
    if TASK not in PIPELINE_REGISTRY.supported_tasks:
        PIPELINE_REGISTRY.register_pipeline(
            TASK, ImageTextClassificationPipeline, pt_model=AutoModelForImageTextClassification, type="multimodal"
        )


def _is_command_line() -> bool:
    """True inside the console script and `python -m duosent`."""
    return Path(sys.argv[0]).stem == "duosent" or sys.orig_argv[1:3] == ["-m", "duosent"]


# Registration imports torch, seconds that `duosent --help` need not wait for: the commands register when they first
# need a model.
if not _is_command_line():
    register_auto_classes()
