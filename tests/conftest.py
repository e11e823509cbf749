"""Tiny parts that the tests share: width 16, no downloads, seconds in all."""

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, ViTConfig, ViTImageProcessor, ViTModel

import duosent

# A process's first tensor operation is slow: no deadline.
settings.register_profile("duosent", deadline=None, max_examples=25)
settings.load_profile("duosent")

WORDS = """
a the this is was not so very good bad fine happy sad great awful sun rain dog cat day night sea
city tea bus love hate hope fear joy anger calm we you they she he it and but or with without on in
at my our what why how
""".split()  # noqa: SIM905  (a list of them would be a page)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


@pytest.fixture(scope="session")
def processor(tokenizer) -> "duosent.ImageTextProcessor":
    return duosent.ImageTextProcessor(ViTImageProcessor(size={"height": 32, "width": 32}), tokenizer)


@pytest.fixture(scope="session")
def text_encoder_dir(tokenizer, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("text_encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def image_encoder_dir(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("image_encoder")
    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)
