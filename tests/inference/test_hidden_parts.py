import numpy as np
import pytest
import torch
from tiny import CLASSIFIERS, build, make_batch, take

from duosent.inference.hidden_parts import PostParts
from duosent.inference.picture_maps import cell_of_pixels
from duosent.inference.post_logits import post_logits

PAD = 0


@pytest.fixture
def parts():
    """The second post of the batch: tokens 0 to 3, of which 1 and 2 are two words, and padding behind them."""
    batch = take(make_batch(), slice(1, 2))
    del batch["labels"]
    return PostParts(batch, words=[[1], [2]], grid=(2, 4), pad_token_id=PAD)


def test_a_hidden_word_leaves_no_gap(parts):
    first, _, third, last = parts.batch["input_ids"][0, :4].tolist()
    versions = parts.with_words(np.array([[True, True], [False, True], [False, False]]))
    whole = parts.batch["input_ids"][0].tolist()
    assert versions["input_ids"].tolist() == [whole, [first, third, last, 0, 0, 0, 0], [first, last, 0, 0, 0, 0, 0]]
    assert versions["attention_mask"].sum(dim=1).tolist() == [4, 3, 2]
    assert versions["text_present"].tolist() == [True, True, False]
    assert torch.equal(versions["pixel_values"], parts.batch["pixel_values"].expand(3, -1, -1, -1))


def test_a_word_of_several_tokens_goes_as_one(parts):
    whole = PostParts(parts.batch, words=[[1, 2]], grid=(2, 4), pad_token_id=PAD)
    both = parts.with_words(np.array([[False, False]]))
    assert torch.equal(whole.with_words(np.array([[False]]))["input_ids"], both["input_ids"])


def test_segments_move_with_their_tokens(parts):
    batch = parts.batch | {"token_type_ids": torch.tensor([[0, 0, 1, 1, 0, 0, 0]])}
    versions = PostParts(batch, parts.words, parts.grid, PAD).with_words(np.array([[False, True]]))
    assert versions["token_type_ids"][0, :3].tolist() == [0, 1, 1]


def test_hidden_cells_take_the_mean_colour_and_the_others_stay(parts):
    [picture] = parts.batch["pixel_values"]  # 32 by 32: cells of 16 rows and 8 columns
    shown = np.ones((1, 8), bool)
    shown[0, 5] = False
    [version] = parts.with_cells(shown)["pixel_values"]
    expected = picture.clone()
    for channel in range(3):
        expected[channel, 16:32, 8:16] = picture[channel].mean()
    torch.testing.assert_close(version, expected)


def test_cells_of_sides_that_do_not_divide():
    assert cell_of_pixels((2, 2), 3, 5).tolist() == [[0, 0, 1, 1, 1], [2, 2, 3, 3, 3], [2, 2, 3, 3, 3]]


@pytest.mark.parametrize("name", ["mdse", "radm"])
def test_a_model_answers_as_if_the_word_had_never_been_written(name, parts):
    model_class, fields = CLASSIFIERS[name]
    model = build(model_class, **fields)
    hidden = post_logits(model, parts.with_words(np.array([[False, True]])))
    never = parts.batch | {"input_ids": parts.batch["input_ids"][:, [0, 2, 3]]}
    never["attention_mask"] = torch.ones(1, 3, dtype=torch.long)
    torch.testing.assert_close(hidden, post_logits(model, never), atol=1e-5, rtol=1e-5)
