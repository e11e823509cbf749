import numpy as np

from duosent.inference.pointing_game import deciding_cells, deciding_words, hit


def test_words_are_compared_without_case_and_punctuation():
    words = ["Our", "trip", "was", "SPLENDID!", "again"]
    assert deciding_words(words, frozenset({"splendid"})).tolist() == [False, False, False, True, False]


def test_rationales_have_signs_too():
    words = ["I", "Don't", "like", "it", "😂", "!!!"]
    assert deciding_words(words, frozenset({"don't"})).tolist() == [False, True, False, False, False, False]
    assert deciding_words(words, frozenset({"😂", "like,"})).tolist() == [False, False, True, False, True, False]


def test_a_cell_decides_when_half_of_it_does():
    pixels = np.zeros((4, 8), bool)
    pixels[:2, :2] = True  # all of the first cell
    pixels[2:, 2] = True  # half of the second in the second row
    pixels[3, 7] = True  # a quarter of the last
    assert deciding_cells(pixels, (2, 4)).reshape(2, 4).tolist() == [
        [True, False, False, False],
        [False, True, False, False],
    ]


def test_a_mask_may_be_coarser_than_the_cells():
    assert deciding_cells(np.array([[True, False]]), (2, 4)).reshape(2, 4).tolist() == [[True, True, False, False]] * 2


def test_a_hit_is_the_largest_score_on_the_deciding_part():
    deciding = np.array([False, True, True, False])
    assert hit(np.array([0.1, 0.7, 0.2, 0.0]), deciding) == 1
    assert hit(np.array([0.7, 0.1, 0.2, 0.0]), deciding) == 0
    assert hit(np.array([0.4, 0.4, 0.1, 0.1]), deciding) == 0.5
    # A map that is the same everywhere has what chance has.
    assert hit(np.ones(4), deciding) == deciding.mean()
