"""TomBERT starts only from a text encoder that marks the target."""

import pytest
from transformers import BertModel, PreTrainedTokenizerFast

from duosent import TombertForImageTextClassification
from duosent.training.checkpoints import CallError
from duosent.training.starts import EncodersStart

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.parametrize("marked", [True, False])
def test_a_tokenizer_without_token_types_is_refused(marked, tokenizer, text_encoder_dir, image_encoder_dir, tmp_path):
    BertModel.from_pretrained(text_encoder_dir).save_pretrained(tmp_path)
    names = ["input_ids", "token_type_ids", "attention_mask"] if marked else ["input_ids", "attention_mask"]
    special = {name: getattr(tokenizer, name) for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, model_max_length=64, model_input_names=names, **special
    ).save_pretrained(tmp_path)
    start = EncodersStart("tombert", str(tmp_path), image_encoder_dir)
    if marked:
        assert start.build(TombertForImageTextClassification, SMALL, {})[0].config.hidden_size == 16
        return
    with pytest.raises(CallError, match=r"text_encoder must mark the target for model tombert, .* does not\."):
        start.build(TombertForImageTextClassification, SMALL, {})
