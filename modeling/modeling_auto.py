"""`AutoModelForImageTextClassification`: the class that transformers lacks, one picture and its words to labels."""

from collections import OrderedDict

from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping, auto_class_update
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

MODEL_FOR_IMAGE_TEXT_CLASSIFICATION_MAPPING = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())


class AutoModelForImageTextClassification(_BaseAutoModelClass):
    _model_mapping = MODEL_FOR_IMAGE_TEXT_CLASSIFICATION_MAPPING


AutoModelForImageTextClassification = auto_class_update(
    AutoModelForImageTextClassification, head_doc="image-text classification"
)

__all__ = ["AutoModelForImageTextClassification"]
