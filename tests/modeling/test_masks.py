"""A mask that hides nothing, and none, are the same to every model."""

import pytest
import torch
from tiny import CLASSIFIERS, build, make_batch
from torch.testing import assert_close

from duosent.modeling.masks import side_by_side
from duosent.modeling.pooling import masked_mean
from duosent.processing.full_masks import without_full_masks


@pytest.mark.parametrize("kept", [(), ("text_present",), ("image_present",)], ids=["none", "text", "image"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_no_mask_is_a_full_mask(name, kept):
    model_class, fields = CLASSIFIERS[name]
    model, batch = build(model_class, **fields, dtype=torch.double), make_batch(dtype=torch.double)
    batch["attention_mask"][:] = 1
    answers = []
    for posts in (batch, without_full_masks(batch) | {mask: batch[mask] for mask in kept}):
        model.zero_grad()
        output = model(**posts)
        output.loss.backward()
        answers.append((output.logits, output.loss, {name: p.grad for name, p in model.named_parameters()}))
    (logits, loss, gradients), (again, loss_again, gradients_again) = answers
    assert_close(again, logits, rtol=1e-9, atol=1e-9)
    assert_close(loss_again, loss, rtol=1e-9, atol=1e-9)
    # None is not 0: distributed training waits for a gradient of each, and weight decay asks for it.
    trained = {name for name, gradient in gradients.items() if gradient is not None}
    assert trained == {name for name, gradient in gradients_again.items() if gradient is not None}
    for name in trained:
        assert_close(gradients_again[name], gradients[name], rtol=1e-7, atol=1e-9, msg=name)


def test_masks_side_by_side():
    words, cells = torch.zeros(2, 3, 4), torch.ones(2, 2, 4)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    tokens, none = side_by_side(words, None, cells, None)
    assert none is None and torch.equal(tokens, torch.cat([words, cells], dim=1))
    expected = [[True, True, True, True, True], [True, False, False, True, True]]
    assert side_by_side(words, mask, cells, None)[1].tolist() == expected
    assert side_by_side(cells, None, words, mask)[1].tolist() == [[True] * 5, [True, True, True, False, False]]
    assert masked_mean(torch.tensor([[[1.0], [5.0]]]), None).tolist() == [[3.0]]
