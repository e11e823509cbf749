"""A batch of texts is one call of the fast tokenizer."""

import pytest

from duosent import ImageTextCollator


@pytest.fixture
def calls(processor, monkeypatch) -> list[int]:
    """How many texts each call of the tokenizer had."""
    sizes, kind = [], type(processor.tokenizer)
    really = kind.__call__

    def counted(self, text, *args, **kwargs):
        sizes.append(len(text) if isinstance(text, list) else 1)
        return really(self, text, *args, **kwargs)

    monkeypatch.setattr(kind, "__call__", counted)
    return sizes


def test_a_batch_is_one_call(processor, calls):
    rows = [{"text": "good sun " * (1 + place % 5), "image": None} for place in range(64)]
    assert processor.tokenizer.is_fast
    ImageTextCollator(processor)(rows)
    assert calls == [64]


def test_targets_are_two_calls_more(processor, calls):
    rows = [{"text": "good $T$", "image": None, "target": "cat" if place % 4 else None} for place in range(64)]
    batch = ImageTextCollator(processor)(rows)
    assert sorted(calls) == [16, 48, 48]  # the targets alone, to see how long they are, and the two kinds of rows
    assert batch["token_type_ids"].amax(1).tolist() == [1 if place % 4 else 0 for place in range(64)]
