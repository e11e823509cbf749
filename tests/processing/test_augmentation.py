"""Augmented pictures against plain loops, and batches that hang on seed, epoch and id alone."""

import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from duosent import ImageTextCollator
from duosent.processing.augmentation import AugmentingCollator, PictureAugmentation
from duosent.processing.synonyms import SynonymReplacement

HEIGHT, WIDTH = 16, 24
# Each pixel has a value of its own, none is 0.
PICTURE = 1.0 + torch.arange(3 * HEIGHT * WIDTH).reshape(3, HEIGHT, WIDTH)
GREY = Image.linear_gradient("L").resize((32, 32)).convert("RGB")


def outcomes(augmentation: PictureAugmentation, count: int) -> list[torch.Tensor]:
    return [augmentation(PICTURE, seed) for seed in range(count)]


def test_a_flip_mirrors_left_and_right():
    expected = torch.empty_like(PICTURE)
    for channel in range(3):
        for y in range(HEIGHT):
            for x in range(WIDTH):
                expected[channel, y, x] = PICTURE[channel, y, WIDTH - 1 - x]
    assert all(torch.equal(out, expected) for out in outcomes(PictureAugmentation(1, 0, 0), 5))


def test_a_crop_is_a_piece_of_the_padded_picture():
    """A quarter of 16 by 24: a border of 4 rows and 6 columns."""
    padded = torch.zeros(3, HEIGHT + 8, WIDTH + 12)
    for channel in range(3):
        for y in range(HEIGHT):
            for x in range(WIDTH):
                padded[channel, y + 4, x + 6] = PICTURE[channel, y, x]
    corners = set()
    for out in outcomes(PictureAugmentation(0, 0.25, 0), 400):
        # Where the drawn piece begins is read from the first pixel of the picture that is in it.
        y, x = (out[0] > 0).nonzero()[0].tolist()
        value = int(out[0, y, x]) - 1
        top, left = value // WIDTH + 4 - y, value % WIDTH + 6 - x
        assert torch.equal(out, padded[:, top : top + HEIGHT, left : left + WIDTH])
        corners.add((top, left))
    assert {top for top, _ in corners} == set(range(9)) and {left for _, left in corners} == set(range(13))


def test_erasing_empties_one_rectangle_and_nothing_else():
    areas = []
    for out in outcomes(PictureAugmentation(0, 0, 1), 300):
        rows, columns = (torch.unique(place).tolist() for place in (out == 0).any(0).nonzero().T)
        assert rows == list(range(rows[0], rows[-1] + 1)) and columns == list(range(columns[0], columns[-1] + 1))
        expected = PICTURE.clone()
        for y in rows:
            for x in columns:
                expected[:, y, x] = 0
        assert torch.equal(out, expected)
        # Both sides are rounded to whole pixels, half a pixel at most.
        height, width = len(rows), len(columns)
        assert (height - 0.5) * (width - 0.5) <= 0.33 * HEIGHT * WIDTH
        assert (height + 0.5) * (width + 0.5) >= 0.02 * HEIGHT * WIDTH
        assert (height - 0.5) / (width + 0.5) <= 3.3 and (height + 0.5) / (width - 0.5) >= 0.3
        areas.append(height * width / (HEIGHT * WIDTH))
    assert min(areas) < 0.06 and max(areas) > 0.28


@pytest.mark.parametrize(
    ("augmentation", "happened"),
    [
        (PictureAugmentation(0.3, 0, 0), lambda out: out[0, 0, 0] > out[0, 0, 1]),
        (PictureAugmentation(0, 0, 0.3), lambda out: (out == 0).any()),
    ],
    ids=["flip", "erasing"],
)
def test_probabilities_hold(augmentation, happened):
    n = 600
    count = sum(bool(happened(out)) for out in outcomes(augmentation, n))
    # Five standard deviations of a binomial count: beyond them less than once in a million.
    assert abs(count - 0.3 * n) < 5 * math.sqrt(n * 0.3 * 0.7)


def test_all_switched_off_changes_nothing():
    assert torch.equal(PictureAugmentation(0, 0, 0)(PICTURE, 3), PICTURE)


def test_nothing_but_the_result_is_touched(monkeypatch):
    def refused(seed):
        raise AssertionError("the GPUs' random state is not to be seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refused)
    picture, state = PICTURE.clone(), torch.get_rng_state()
    outs = [PictureAugmentation(0.5, 0.2, 1)(picture, seed) for seed in (2**64 - 1, 0, 2**64 - 1)]
    assert torch.equal(picture, PICTURE) and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(outs[0], outs[2]) and not torch.equal(outs[0], outs[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.5}, "flip must lie in [0, 1], got 1.5."),
        ({"crop": 0.6}, "crop must lie in [0, 0.5], got 0.6."),
        ({"erasing": -1}, "erasing must lie in [0, 1], got -1."),
        ({"erasing": math.nan}, "erasing must lie in [0, 1], got nan."),
    ],
)
def test_an_amount_out_of_range_is_named(options, message):
    with pytest.raises(ValueError) as error:
        PictureAugmentation(**options)
    assert str(error.value) == message


ROWS = [
    {"id": "a", "text": "the dog in the city", "image": GREY, "label": 1},
    {"id": "b", "text": "the dog in the city", "image": GREY, "label": 2},
    {"id": "c", "text": None, "image": GREY, "label": 0},
    {"id": "d", "text": "the dog in the city", "image": None, "label": 0},
    {"id": "e", "text": "$T$ in the city", "target": "dog city", "image": GREY, "label": 0},
    {"id": "f", "text": " ", "image": {"bytes": None, "path": None}, "label": 0},
]


@pytest.fixture(scope="module")
def augmenting(processor, wordnet_dir):
    """A maker of collators that change every row."""

    def make(seed: int = 0) -> AugmentingCollator:
        words = SynonymReplacement(1.0, wordnet_dir)
        return AugmentingCollator(ImageTextCollator(processor), PictureAugmentation(0.5, 0.25, 1), words, seed=seed)

    return make


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_seed_and_epoch_decide(augmenting):
    first = augmenting()(ROWS)
    assert equal(augmenting()(ROWS), first)
    assert not equal(augmenting(seed=1)(ROWS), first)
    later = augmenting()
    later.set_epoch(1)
    assert not torch.equal(later(ROWS)["pixel_values"], first["pixel_values"])
    later.set_epoch(0)
    assert equal(later(ROWS), first)


def test_rows_of_other_ids_are_drawn_apart(augmenting):
    batch = augmenting()(ROWS[:2])
    assert not torch.equal(batch["pixel_values"][0], batch["pixel_values"][1])
    texts = {tuple(augmenting()([ROWS[0] | {"id": name}])["input_ids"][0].tolist()) for name in "abcdefghij"}
    assert len(texts) == 2  # "metropolis" and "urban center"


@pytest.fixture(scope="module")
def alone(augmenting) -> list[dict]:
    """Each row as a batch of its own."""
    return [augmenting()([row]) for row in ROWS]


@given(order=st.permutations(range(len(ROWS))), size=st.integers(1, len(ROWS)))
def test_a_row_is_the_same_in_any_company(augmenting, alone, order, size):
    """So neither the number of processes nor the sampler's order changes what is drawn for it."""
    batch = augmenting()([ROWS[index] for index in order[:size]])
    for place, index in enumerate(order[:size]):
        assert torch.equal(batch["pixel_values"][place], alone[index]["pixel_values"][0])
        if alone[index]["text_present"]:  # else what stands in the row is not read
            tokens = [b["input_ids"][i][b["attention_mask"][i].bool()] for b, i in ((batch, place), (alone[index], 0))]
            assert torch.equal(*tokens)


def test_a_missing_side_stays_missing(augmenting, processor):
    batch, plain = augmenting()(ROWS), ImageTextCollator(processor)(ROWS)
    assert batch.keys() == plain.keys()
    for name in ("text_present", "image_present", "labels"):
        assert torch.equal(batch[name], plain[name])
    for index, row in enumerate(ROWS):
        changed = not torch.equal(batch["pixel_values"][index], plain["pixel_values"][index])
        assert changed is plain["image_present"][index].item(), row
    alone = augmenting()([ROWS[5]])
    assert not alone["image_present"].any() and not alone["pixel_values"].any()


def test_the_targets_own_words_stay(augmenting, processor):
    assert torch.equal(augmenting()([ROWS[4]])["input_ids"], ImageTextCollator(processor)([ROWS[4]])["input_ids"])


def test_either_part_may_be_left_out(augmenting, processor):
    plain, both = ImageTextCollator(processor)(ROWS), augmenting()
    batches = {
        side: AugmentingCollator(both.collator, **{side: getattr(both, side)})(ROWS) for side in ("pictures", "words")
    }
    full = both(ROWS)
    assert torch.equal(batches["pictures"]["input_ids"], plain["input_ids"])
    assert torch.equal(batches["pictures"]["pixel_values"], full["pixel_values"])
    assert torch.equal(batches["words"]["pixel_values"], plain["pixel_values"])
    assert torch.equal(batches["words"]["input_ids"], full["input_ids"])
    assert equal(AugmentingCollator(both.collator)(ROWS), plain)


def test_bad_rows_are_told(augmenting):
    with pytest.raises(ValueError, match="Each row must have an id for augmentation"):
        augmenting()([{"text": "good"}])
    with pytest.raises(ValueError, match="^Row a, text must be a string or None, got int"):
        augmenting()([{"id": "a", "text": 3}])
    augmenting()([{"id": "half a \ud83d", "text": "good"}])  # a cut emoji in an id


@pytest.mark.slow
def test_processes_that_are_not_forked_hear_of_the_epoch_too(augmenting):
    """As on macOS and Windows; they outlive an epoch here."""
    collate = augmenting()
    loader = DataLoader(
        ROWS,
        batch_size=3,
        collate_fn=collate,
        num_workers=2,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    for epoch in (0, 1, 5):
        collate.set_epoch(epoch)
        expected = augmenting()
        expected.set_epoch(epoch)
        assert all(equal(batch, expected(ROWS[3 * i : 3 * i + 3])) for i, batch in enumerate(loader))


def test_synonyms_travel_to_another_process(wordnet_dir):
    replace = SynonymReplacement(0.5, wordnet_dir)
    assert pickle.loads(pickle.dumps(replace))("dog city", 3) == replace("dog city", 3)
