"""Tokens joined to words, against words counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

from duosent import ImageTextProcessor
from duosent.inference.word_maps import mean_over_words, read_words, sum_over_words, token_words


@pytest.fixture(scope="module")
def by_bytes() -> ImageTextProcessor:
    """RoBERTa's way to cut, without any merge: every byte is a token, an emoji four."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "<pad>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=64
    )
    return ImageTextProcessor(ViTImageProcessor(size={"height": 32, "width": 32}), fast)


@pytest.fixture(scope="module")
def pieces() -> ImageTextProcessor:
    """BERT's way: pieces of words, and punctuation by itself."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##happ", "##y", "day", "!", "rain", "##s", "日", "本"]
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    return ImageTextProcessor(ViTImageProcessor(size={"height": 32, "width": 32}), fast, max_length=12)


def test_sub_words_are_joined(pieces):
    read = read_words(pieces, "unhappy day! rains")
    assert [(word.text, word.tokens) for word in read.words] == [
        ("unhappy", (1, 2, 3)),
        ("day!", (4, 5)),
        ("rains", (6, 7)),
    ]
    assert token_words(read).tolist() == [-1, 0, 0, 0, 1, 1, 2, 2, -1]
    scores = np.arange(9.0)
    assert sum_over_words(scores, read.words).tolist() == [6, 9, 13]
    assert mean_over_words(np.stack([scores, -scores], axis=1), read.words).tolist() == [
        [2, -2],
        [4.5, -4.5],
        [6.5, -6.5],
    ]


def test_words_stand_in_the_cleaned_text(pieces):
    read = read_words(pieces, "RT @anna: day &amp; rain https://t.co/x1")
    assert read.text == "day & rain"
    assert [read.text[word.start : word.end] for word in read.words] == ["day", "&", "rain"]


def test_characters_of_unspaced_scripts_are_words(pieces):
    assert [word.text for word in read_words(pieces, "日本 day").words] == ["日", "本", "day"]


def test_words_that_share_a_token_are_one(processor):
    """This tokenizer knows no such character: one unknown token stands for both."""
    assert [(word.text, word.tokens) for word in read_words(processor, "日本 day").words] == [
        ("日本", (1,)),
        ("day", (2,)),
    ]


def test_a_blank_before_a_word_is_none_of_it():
    """Where a token begins with the blank, as in SentencePiece."""
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "▁day": 2, "▁rain": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    read = read_words(ImageTextProcessor(ViTImageProcessor(), fast), "day rain")
    assert [(word.text, word.tokens) for word in read.words] == [("day", (0,)), ("rain", (1,))]


def test_a_target_is_a_second_segment(pieces):
    read = read_words(pieces, "$T$ day", "rains")
    assert (read.text, read.target) == ("rains day", "rains")
    assert [(word.text, word.segment, word.tokens) for word in read.words] == [
        ("rains", 0, (1, 2)),
        ("day", 0, (3,)),
        ("rains", 1, (5, 6)),
    ]


def test_words_that_are_cut_off_are_not_there(pieces):
    read = read_words(pieces, "day " * 20)
    assert read.length == 12 and len(read.words) == 10
    assert read.words[-1].end == len("day " * 10) - 1


@pytest.mark.parametrize("text", [None, "", "  ", "https://t.co/x1"])
def test_nothing_to_read(pieces, text):
    read = read_words(pieces, text)
    assert (read.text, read.words, token_words(read).tolist()) == (None, [], [])


def test_a_tokenizer_that_does_not_tell_is_refused(pieces, monkeypatch):
    monkeypatch.setattr(type(pieces.tokenizer), "is_fast", False)
    with pytest.raises(ValueError, match="The tokenizer must tell where tokens stand, which"):
        read_words(pieces, "day")


letters = st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters="@&$＠")


@given(words=st.lists(st.text(letters, min_size=1, max_size=4), min_size=1, max_size=4))
def test_every_byte_is_of_its_word(by_bytes, words):
    """Words are found by split(), and their tokens by counting bytes."""
    read = read_words(by_bytes, " ".join(words))
    if read.text is None:
        return
    expected = [list(pairs) for pairs in split_by_hand(read.text)]
    found = [[word.text, len(word.tokens)] for word in read.words]
    assert found == expected[: len(found)]
    assert read.length == 64 or len(found) == len(expected)
    tokens = [token for word in read.words for token in word.tokens]
    assert tokens == sorted(set(tokens))
    input_ids = by_bytes(text=read.text, return_tensors="pt")["input_ids"][0].tolist()
    assert len(input_ids) == read.length
    assert all(input_ids[token] > 2 for token in tokens)


def split_by_hand(text: str):
    """Words and their bytes; characters of Chinese and Japanese by themselves."""
    word = ""
    for sign in text + " ":
        alone = "\u3040" <= sign <= "\u30ff" or "\u3400" <= sign <= "\u4dbf" or "\u4e00" <= sign <= "\u9fff"
        alone = alone or "\uf900" <= sign <= "\ufaff"
        if (alone or sign.isspace()) and word:
            yield word, len(word.encode())
            word = ""
        if alone:
            yield sign, len(sign.encode())
        elif not sign.isspace():
            word += sign
