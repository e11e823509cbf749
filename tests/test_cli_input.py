"""The flags of the input path reach what they are about."""

import pytest
from commands import call

from duosent.inference import evaluation
from duosent.training import run
from duosent.training.checkpoints import CallError


@pytest.fixture
def given(monkeypatch) -> dict:
    """What `train` and `evaluate` are called with; they end at once."""
    given = {}

    def end(*args, **options):
        given.update(options, args=args)
        raise CallError("That is all.")

    monkeypatch.setattr(run, "train", end)
    monkeypatch.setattr(evaluation, "evaluate_run", end)
    return given


@pytest.mark.parametrize(("words", "expected"), [([], {}), (["--no-reduced-decoding"], {"reduced_decoding": False})])
def test_train_decodes_every_pixel_only_if_it_is_told_to(capsys, given, tmp_path, words, expected):
    wanted = ["--model", "image", "--data", "posts", "--image-encoder", "E", "--output-dir", tmp_path / "out"]
    call(capsys, "train", *wanted, *words, "--cache_pictures", "cache")
    assert given["processing"] == {"clean_text": True, **expected}
    assert given["args"][2].cache_pictures == "cache"


@pytest.mark.parametrize(("words", "expected"), [([], None), (["--cache-pictures", "cache"], "cache")])
def test_evaluate_takes_a_cache_of_pictures(capsys, given, words, expected):
    call(capsys, "evaluate", "C", "--data", "posts", *words)
    assert given["cache_pictures"] == expected
