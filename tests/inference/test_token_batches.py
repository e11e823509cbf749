"""Batches of similar texts within a budget of tokens."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, ResNetConfig, ViTConfig

from duosent import BaselineConfig
from duosent.inference.token_batches import picture_tokens, token_batches, usual_budget


@given(
    lengths=st.lists(st.integers(0, 40), max_size=60),
    patches=st.integers(0, 30),
    posts=st.integers(1, 9),
    tokens=st.integers(1, 400),
)
def test_every_post_once_sorted_and_within_the_budget(lengths, patches, posts, tokens):
    batches = token_batches(lengths, patches, posts, tokens)
    places = [place for batch in batches for place in batch]
    assert sorted(places) == list(range(len(lengths)))
    assert [lengths[place] for place in places] == sorted(lengths)
    for batch in batches:
        padded = len(batch) * (max(lengths[place] for place in batch) + patches)
        assert 1 <= len(batch) <= posts and (padded <= tokens or len(batch) == 1)
    # No batch ends before it must: the next post would be one too many.
    for batch, following in pairwise(batches):
        padded = (len(batch) + 1) * (lengths[following[0]] + patches)
        assert len(batch) == posts or padded > tokens


def test_a_budget_worked_by_hand():
    assert token_batches([5, 30, 4, 6, 5], 2, 4, 24) == [[2, 0, 4], [3], [1]]


def test_patches_of_a_picture():
    words = BertConfig().to_dict()
    for tower, expected in ((ViTConfig(patch_size=16), 196), (ResNetConfig(), 49), (None, 0)):
        config = BaselineConfig(text_config=words, vision_config=tower and tower.to_dict())
        assert picture_tokens(config, 224, 224) == expected
    assert usual_budget(32, 196) == 32 * (128 + 196)
