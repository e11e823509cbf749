"""A raw pair -> tensors."""

from duosent.processing.collator import ImageTextCollator
from duosent.processing.processing_image_text import ImageTextProcessor
from duosent.processing.text_cleaning import clean_text

__all__ = ["ImageTextCollator", "ImageTextProcessor", "clean_text"]
