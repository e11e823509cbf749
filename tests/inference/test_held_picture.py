import pytest
import torch
from tiny import CLASSIFIERS, build, make_batch

from duosent.inference.held_picture import held_picture
from duosent.inference.post_logits import post_logits

BOTH = [name for name in CLASSIFIERS if name not in ("text", "image")]


@pytest.mark.parametrize("name", BOTH)
def test_many_texts_beside_one_picture_are_answered_as_with_a_picture_each(name):
    model_class, fields = CLASSIFIERS[name]
    model = build(model_class, **fields)
    batch = {key: tensor for key, tensor in make_batch().items() if key != "labels"}
    batch["pixel_values"] = batch["pixel_values"][:1].repeat(4, 1, 1, 1)
    pictures = []
    hook = model.base_model.vision_model.register_forward_pre_hook(
        lambda tower, args, kwargs: pictures.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    with held_picture(model):
        held = [post_logits(model, batch), post_logits(model, batch)]
    assert pictures == [1]
    expected = post_logits(model, batch)
    assert pictures == [1, 4]
    hook.remove()
    for logits in held:
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_what_training_put_in_to_read_pictures_stays():
    model = build(CLASSIFIERS["mdse"][0])
    towers, plain, read = model.base_model, model.base_model.read_image, []

    def remembers(tower, pixel_values):
        read.append(len(pixel_values))
        return plain(tower, pixel_values=pixel_values)

    towers.read_image = remembers
    batch = {key: tensor for key, tensor in make_batch().items() if key != "labels"}
    with held_picture(model):
        post_logits(model, batch)
    assert towers.read_image is remembers
    post_logits(model, batch)
    assert read == [1, 4]


def test_the_model_reads_pictures_again_after_an_error():
    model = build(CLASSIFIERS["mdse"][0])
    with pytest.raises(RuntimeError, match="stop"), held_picture(model):
        raise RuntimeError("stop")
    batch = {key: tensor for key, tensor in make_batch().items() if key != "labels"}
    other = batch | {"pixel_values": batch["pixel_values"].flip(0)}
    assert not torch.equal(post_logits(model, batch), post_logits(model, other))
