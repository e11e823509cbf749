import numpy as np
import torch
from tiny import CLASSIFIERS, build, make_batch

from duosent.inference.map_controls import edge_scores, likeness, randomised


def test_edges_are_where_brightness_changes():
    picture = torch.zeros(3, 16, 16)
    picture[:, :, 12:] = 1  # an edge down the middle of the right half
    scores = edge_scores(picture, (2, 2)).reshape(2, 2)
    # Sobel's kernel gives 4 on both sides of a step of 1: two of eight columns.
    np.testing.assert_allclose(scores, [[0, 1], [0, 1]])


def test_a_randomised_model_shares_no_weight_and_leaves_the_other_alone():
    model_class, fields = CLASSIFIERS["mdse"]
    model = build(model_class, **fields)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    fresh = randomised(model, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    weights = dict(fresh.named_parameters())
    assert not any(torch.equal(tensor, weights[name]) for name, tensor in model.named_parameters() if tensor.ndim > 1)
    assert not fresh.training
    batch = {name: tensor for name, tensor in make_batch().items() if name != "labels"}
    again = randomised(model, seed=1)
    assert torch.equal(fresh(**batch).logits, again(**batch).logits)


def test_likeness_is_that_of_ranks():
    rising = np.array([0.1, 0.2, 0.9])
    assert likeness(rising, rising**3) == 1
    assert likeness(rising, -rising) == -1
    assert likeness(rising, np.ones(3)) == 0
