"""Sums over products of scores, against the maps themselves written out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from duosent.modeling.score_products import score_products, score_squares

B, H, Q, K, D = 2, 3, 4, 5, 2


def draw(seed, dtype=torch.double):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((B, H, Q, D), (B, H, K, D)) * 2
    return [torch.randn(shape, generator=generator, dtype=torch.double).to(dtype).requires_grad_() for shape in shapes]


@given(seed=st.integers(0, 1000))
def test_they_are_the_sums_over_two_maps(seed):
    query, key, other_query, other_key = draw(seed)
    products, squares = score_products(query, key, other_query, other_key), score_squares(query, key)
    query, key, other_query, other_key, products, squares = (
        of.detach() for of in (query, key, other_query, other_key, products, squares)
    )
    for b in range(B):
        for h in range(H):
            for q in range(Q):
                own = [sum(float(query[b, h, q, x] * key[b, h, k, x]) for x in range(D)) for k in range(K)]
                other = [
                    sum(float(other_query[b, h, q, x] * other_key[b, h, k, x]) for x in range(D)) for k in range(K)
                ]
                expected = sum(one * two for one, two in zip(own, other, strict=True))
                assert float(products[b, h, q]) == pytest.approx(expected, abs=1e-10)
                assert float(squares[b, h, q]) == pytest.approx(sum(one * one for one in own), abs=1e-10)


def test_gradients_are_those_of_finite_differences():
    query, key, other_query, other_key = draw(1)
    assert torch.autograd.gradcheck(score_products, (query, key, other_query, other_key))
    assert torch.autograd.gradcheck(score_squares, (query, key))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    maps = draw(2, dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = score_products(*maps), score_squares(*maps[:2])
    exact = [of.detach().float().requires_grad_() for of in maps]
    expected = score_products(*exact), score_squares(*exact[:2])
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert_close(one, other)
    (found[0].sum() + found[1].sum()).backward()
    (expected[0].sum() + expected[1].sum()).backward()
    for one, other in zip(maps, exact, strict=True):
        assert one.grad.dtype == dtype
        assert_close(one.grad.float(), other.grad, rtol=2e-2, atol=2e-2)


def test_only_what_was_given_is_kept():
    maps = draw(3)
    given_here = {tensor.data_ptr() for tensor in maps}
    kept = []

    def keep(tensor):
        kept.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        score_products(*maps)
        score_squares(*maps[:2])
    assert len(kept) == 6 and set(kept) == given_here
