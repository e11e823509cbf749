"""transformers' common processor tests over ImageTextProcessor."""

import unittest

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

from duosent import ImageTextProcessor

from ..test_processing_common import ProcessorTesterMixin


class ImageTextProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = ImageTextProcessor
    images_text_kwargs_max_length = 117

    @classmethod
    def _setup_image_processor(cls):
        return ViTImageProcessor()

    @classmethod
    def _setup_tokenizer(cls):
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "lower", "newer", "upper", "older", "longer", "string", "image"]
        tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        )
