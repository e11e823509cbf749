"""Which posts lose a side: never both, as often as asked, the same whoever makes the batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duosent.processing.collator import ImageTextCollator
from duosent.processing.modality_dropout import ModalityDropout


def bare(rows):
    """A collator of nothing but presence."""
    return {f"{side}_present": torch.tensor([row[side] for row in rows]) for side in ("text", "image")}


def posts(count, text=True, image=True):
    return [{"id": f"post {i}", "text": text, "image": image} for i in range(count)]


def lost(rows, rate=0.5, seed=0, epoch=0):
    """For each row `(text_present, image_present)`."""
    collator = ModalityDropout(bare, rate, seed=seed)
    collator.set_epoch(epoch)
    batch = collator(rows)
    return list(zip(batch["text_present"].tolist(), batch["image_present"].tolist(), strict=True))


@given(rate=st.floats(0, 1), seed=st.integers(0, 99), sides=st.lists(st.tuples(st.booleans(), st.booleans())))
def test_nobody_loses_the_last_side(rate, seed, sides):
    rows = [{"id": str(i), "text": text, "image": image} for i, (text, image) in enumerate(sides)]
    for before, after in zip(sides, lost(rows, rate, seed) if rows else [], strict=True):
        assert after == before or (all(before) and sum(after) == 1)


def test_rates():
    assert set(lost(posts(50), rate=0)) == {(True, True)}
    assert set(lost(posts(50), rate=1)) == {(True, False), (False, True)}
    found = lost(posts(4000), rate=0.3)
    # Within four standard deviations: 0.007 of all posts that lose, 0.014 of those that lose the words.
    losers = [sides for sides in found if sides != (True, True)]
    assert len(losers) / 4000 == pytest.approx(0.3, abs=0.03)
    assert losers.count((False, True)) / len(losers) == pytest.approx(0.5, abs=0.06)


def test_draws_follow_seed_epoch_and_id_alone():
    whole = lost(posts(40))
    assert [lost([row])[0] for row in posts(40)] == whole
    assert lost(posts(40), seed=1) != whole and lost(posts(40), epoch=1) != whole


def test_the_rest_of_the_batch_stays(processor):
    rows = [{"id": "a", "text": "good sun", "image": None}, {"id": "b", "text": "bad rain", "image": None}]
    plain = ImageTextCollator(processor)
    before, after = plain(rows), ModalityDropout(plain, 1.0)(rows)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_row_without_an_id_is_refused():
    with pytest.raises(ValueError, match=r"^Each row must have an id for modality_dropout"):
        ModalityDropout(bare, 0.5)([{"text": True, "image": True}])
