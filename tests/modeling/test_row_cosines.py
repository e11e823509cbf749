"""Cosines of the rows of two maps, against a plain loop, and their own backward."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from duosent.modeling.row_cosines import row_cosines

B, H, Q, K = 2, 3, 4, 5


def draw(seed=0, dtype=torch.double):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(B, H, Q, K, generator=generator, dtype=torch.double) for _ in range(2)]
    return [of.to(dtype).requires_grad_() for of in maps]


@given(seed=st.integers(0, 1000), size=st.sampled_from([1e-3, 1, 1e3]))
def test_they_are_products_of_rows_over_their_norms(seed, size):
    scores, others = (of.detach() for of in draw(seed))
    found = row_cosines(scores * size, others)
    for b in range(B):
        for h in range(H):
            for q in range(Q):
                one, other = scores[b, h, q].tolist(), others[b, h, q].tolist()
                product = sum(x * y for x, y in zip(one, other, strict=True))
                norms = math.sqrt(sum(x * x for x in one) * sum(y * y for y in other))
                assert float(found[b, h, q]) == pytest.approx(product / norms, abs=1e-12)


@given(seed=st.integers(0, 1000))
def test_gradients_are_those_of_finite_differences(seed):
    assert torch.autograd.gradcheck(row_cosines, draw(seed))


@pytest.mark.parametrize("size", [1e-11, 1e-6, 1, 1e6])
def test_gradients_of_small_and_large_rows(size):
    """Also where norms are so small that the cosine is 0 in effect."""
    (scores, others), gradient = draw(5), torch.randn(B, H, Q, dtype=torch.double)
    scores = (scores.detach() * size).requires_grad_()
    squares = (scores * scores).sum(dim=-1) * (others * others).sum(dim=-1)
    plain = (scores * others).sum(dim=-1) / squares.clamp_min(1e-20).sqrt()
    expected = torch.autograd.grad(plain, (scores, others), gradient)
    assert_close(torch.autograd.grad(row_cosines(scores, others), (scores, others), gradient), expected)


def test_gradients_have_gradients():
    assert torch.autograd.gradgradcheck(row_cosines, draw(1))


def test_a_row_of_zeros_has_no_direction():
    """Its own gradient is as finite as all others, and pulls nothing else."""
    scores, others = draw(2)
    with torch.no_grad():
        scores[0, 1, 2] = 0
    found = row_cosines(scores, others)
    assert found[0, 1, 2] == 0 and (found != 0).sum() == found.numel() - 1
    of_scores, of_others = torch.autograd.grad(found.sum(), (scores, others))
    assert of_scores.isfinite().all() and (of_others[0, 1, 2] == 0).all() and of_others[0, 1, 1].abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    """Squares of these rows are beyond float16."""
    maps = [(300 * of.detach()).to(dtype).requires_grad_() for of in draw(3)]
    exact = [of.detach().float().requires_grad_() for of in maps]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = row_cosines(*maps)
    expected = row_cosines(*exact)
    assert found.dtype == torch.float32
    assert_close(found, expected)
    (1000 * found.sum()).backward()
    (1000 * expected.sum()).backward()
    for one, other in zip(maps, exact, strict=True):
        assert one.grad.dtype == dtype and one.grad.abs().sum() > 0
        assert_close(one.grad.float(), other.grad, rtol=2e-2, atol=2e-2)


def test_no_map_is_kept_but_those_that_were_given():
    maps, kept = draw(4), []

    def keep(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        row_cosines(*maps)
    assert {of.data_ptr() for of in kept if of.ndim == 4} == {of.data_ptr() for of in maps}
    assert [of.shape for of in kept if of.ndim != 4] == [(B, H, Q)]
