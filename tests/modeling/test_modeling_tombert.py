"""TomBERT: where the target is found, and its equations layer by layer."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from hypothesis import given
from hypothesis import strategies as st
from tiny import TEXT, build, make_batch, take
from torch.testing import assert_close
from transformers import RobertaConfig

import duosent
from duosent.modeling.modeling_tombert import second_segment

CLS, SEP, PAD = 2, 3, 0


def bert_batch() -> dict[str, torch.Tensor]:
    """Four posts `[CLS] words [SEP] target [SEP]`; the last has no target."""
    posts = [([11, 12, 13], [21, 22]), ([14], [23, 24, 25]), ([15, 16, 17, 18], [26]), ([19, 20], [])]
    ids = [[CLS, *words, SEP, *target, *([SEP] if target else [])] for words, target in posts]
    types = [
        [0] * (len(words) + 2) + [1] * (len(row) - len(words) - 2) for (words, _), row in zip(posts, ids, strict=True)
    ]
    width = max(map(len, ids))
    batch = make_batch()
    batch["input_ids"] = torch.tensor([row + [PAD] * (width - len(row)) for row in ids])
    batch["attention_mask"] = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    batch["token_type_ids"] = torch.tensor([row + [0] * (width - len(row)) for row in types])
    return batch


def tombert(**config):
    return build(duosent.TombertForImageTextClassification, **config)


def segment_by_hand(row: list[int], separator: int) -> list[bool]:
    """True behind the first run of separators, which is left out itself."""
    marks, seen, over = [], False, False
    for token in row:
        if token == separator and not over:
            seen = True
            marks.append(False)
        else:
            over = over or seen
            marks.append(over)
    return marks


@given(row=st.lists(st.sampled_from([3, 5, 6]), min_size=1, max_size=10), padding=st.integers(0, 3))
def test_second_segment_equals_a_plain_loop(row, padding):
    ids = torch.tensor([row + [3] * padding])
    mask = torch.tensor([[True] * len(row) + [False] * padding])
    assert second_segment(ids, mask, 3)[0].tolist() == segment_by_hand(row, 3) + [False] * padding


def test_the_target_is_found_in_both_ways_of_writing_a_pair():
    roberta = {"eos_token_id": 3, "pad_token_id": 0, "bos_token_id": 2, "type_vocab_size": 1}
    model = tombert(text_config={**TEXT, "model_type": "roberta", **roberta})
    ids = torch.tensor([[2, 11, 12, 3, 3, 21, 22, 3], [2, 11, 12, 3, 0, 0, 0, 0]])
    found = model.find_target(ids, ids != 0)
    assert found.tolist() == [[False] * 5 + [True] * 3, [False] * 8]
    batch = bert_batch()
    found = tombert().find_target(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    assert torch.equal(found, batch["token_type_ids"].bool())


@torch.no_grad()
def test_the_target_is_read_alone_by_the_text_tower():
    model, batch = tombert(), bert_batch()
    sentence = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids")}
    encoded = model.encode_target(**sentence)
    for row, target in enumerate([[21, 22], [23, 24, 25], [26]]):
        alone = torch.tensor([[CLS, *target, SEP]])
        expected = model.target_projection.projection(model.text_model(alone).last_hidden_state)
        assert_close(encoded[[row], : len(target) + 2], expected, atol=2e-5, rtol=1e-4)
    assert_close(encoded[3, 0], model.target_projection.missing[0])
    cut = tombert(max_target_length=3).encode_target(**sentence)
    alone = torch.tensor([[CLS, 23, 24]])
    expected = model.target_projection.projection(model.text_model(alone).last_hidden_state)
    assert cut.shape == (4, 3, 16)
    assert_close(cut[[1]], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("pooling", "places"), [("first", [0]), ("cls", [1]), ("both", [0, 1])])
@torch.no_grad()
def test_matching_then_words_and_answer_together(pooling, places):
    model, batch = tombert(pooling=pooling, num_matching_layers=2, num_multimodal_layers=2), bert_batch()
    output = model(**batch)
    row, target, length = 0, [21, 22], 8
    picture = model.vision_model(batch["pixel_values"][[row]]).last_hidden_state[:, 1:]  # without the class token
    picture = model.image_projection.projection(picture)
    asked = model.text_model(torch.tensor([[CLS, *target, SEP]])).last_hidden_state
    asked = model.target_projection.projection(asked)
    for layer in model.matching_layers:
        asked, _ = layer(asked, picture, None)
    answer = torch.tanh(asked[:, 0] @ model.pooler.weight.T + model.pooler.bias)
    assert_close(output.image_embeds[[row]], answer, atol=2e-5, rtol=1e-4)
    words = model.text_model(
        batch["input_ids"][[row], :length], token_type_ids=batch["token_type_ids"][[row], :length]
    ).last_hidden_state
    tokens = torch.cat([answer[:, None], model.text_projection.projection(words)], dim=1)
    for layer in model.multimodal_layers:
        tokens, _ = layer(tokens, tokens, None)
    feature = torch.cat([tokens[:, place] for place in places], dim=-1)
    assert_close(output.fused_embeds[[row]], feature, atol=2e-5, rtol=1e-4)
    assert_close(output.logits[[row]], model.classifier(feature), atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_posts_with_targets_of_other_lengths_do_not_touch_each_other():
    model, batch = tombert(), bert_batch()
    together = model(**batch).logits
    for row in range(4):
        assert_close(model(**take(batch, [row])).logits, together[[row]], atol=2e-5, rtol=1e-4)
    padded = {
        key: torch.nn.functional.pad(batch[key], (0, 9), value=value)
        for key, value in {"input_ids": 7, "attention_mask": 0, "token_type_ids": 1}.items()
    }
    assert_close(model(**{**batch, **padded}).logits, together, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_the_target_changes_the_answer_and_without_words_there_is_none():
    model, batch = tombert(), bert_batch()
    other = {**batch, "input_ids": batch["input_ids"].clone()}
    other["input_ids"][0, 5] = 30
    before, after = model(**batch), model(**other)
    assert not torch.allclose(before.image_embeds[0], after.image_embeds[0])
    assert torch.equal(before.logits[1:], after.logits[1:])
    batch["text_present"][:] = other["text_present"][:] = False
    assert torch.equal(model(**batch).logits, model(**other).logits)
    without = {"pixel_values": batch["pixel_values"], "labels": batch["labels"]}
    assert_close(model(**without).logits, model(**batch).logits, atol=2e-5, rtol=1e-4)


def test_every_parameter_gets_a_gradient_with_targets_and_without():
    for types in (bert_batch()["token_type_ids"], torch.zeros(4, 8, dtype=torch.long)):
        model = tombert().train()
        model(**{**bert_batch(), "token_type_ids": types}).loss.backward()
        assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


@torch.no_grad()
def test_the_processors_pairs_are_read(processor):
    """With a tokenizer of token types: the words that are found are the target's."""
    model = tombert(text_config={**TEXT, "vocab_size": len(processor.tokenizer)})
    inputs = processor(text=["so $T$ is bad", "so good"], target=["sun rain", None])
    found = model.find_target(inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"])
    words = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0][found[0]])
    assert words == ["sun", "rain", "[SEP]"] and not found[1].any()
    assert model(**inputs).logits.shape == (2, 3)


def test_a_tower_that_marks_no_target_is_refused():
    distilbert = {"model_type": "distilbert", "dim": 24, "n_heads": 2, "n_layers": 1, "hidden_dim": 32}
    message = "by token_type_ids, or behind the sep_token_id or eos_token_id .* which distilbert has not"
    with pytest.raises(ValueError, match=message):
        tombert(text_config=distilbert)
    assert tombert(text_config=RobertaConfig(**{**TEXT, "pad_token_id": 1}).to_dict()).separator == 2


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("num_matching_layers", 0, "num_matching_layers must be > 0, got 0."),
        ("num_multimodal_layers", 0, "num_multimodal_layers must be > 0, got 0."),
        ("max_target_length", 1, "max_target_length must be > 1, got 1."),
        ("pooling", "mean", 'pooling must be "first", "cls" or "both", got \'mean\'.'),
    ],
)
def test_what_the_config_refuses(field, value, sentence):
    with pytest.raises(StrictDataclassError) as error:
        duosent.TombertConfig(**{field: value})
    assert str(error.value.__cause__) == sentence
