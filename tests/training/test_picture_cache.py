"""Pictures are decoded once; what comes from the cache is bit by bit what would be computed."""

import io
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, default_collate
from transformers import ViTImageProcessor

from duosent import ImageTextCollator, ImageTextProcessor, ImageTextTrainer, ImageTextTrainingArguments
from duosent.processing import pictures
from duosent.training import record_store
from duosent.training.picture_cache import PictureCache, cache_pictures, file_of, resizing_hash
from duosent.training.run import evaluate


def file(number: int, size=(40, 36), file_format="JPEG") -> bytes:
    levels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(levels).save(content, file_format)
    return content.getvalue()


FILES = [file(0), file(1), file(2, (200, 150)), file(3, (33, 90), "PNG")]
# Every way to hand over a picture, and none.
PICTURES = [
    *FILES,
    {"bytes": FILES[0], "path": None},
    {"bytes": FILES[1], "path": "not/there.jpg"},
    bytearray(FILES[2]),
    [FILES[1]],
    Image.open(io.BytesIO(FILES[0])),
    np.full((9, 7, 3), 200, np.uint8),
    None,
    {"bytes": None, "path": None},
    [],
]


def rows_of(pictures) -> list[dict]:
    return [{"id": str(place), "text": "good", "image": picture} for place, picture in enumerate(pictures)]


def same(batch: dict, other: dict) -> bool:
    return batch.keys() == other.keys() and all(torch.equal(batch[name], other[name]) for name in batch)


@pytest.fixture
def plain(processor) -> ImageTextCollator:
    return ImageTextCollator(processor)


@pytest.fixture
def cached(plain, tmp_path):
    """A maker of collators over one cache, as different runs have them."""
    return lambda: cache_pictures(plain, str(tmp_path / "cache"))


@pytest.fixture
def no_decoding(monkeypatch):
    """From its call on, opening a file is an error."""

    def refuse(*args, **kwargs):
        raise RuntimeError("a picture is decoded")

    return lambda: monkeypatch.setattr(Image, "open", refuse)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.integers(0, len(PICTURES) - 1), min_size=1, max_size=6))
def test_a_batch_is_the_same_with_and_without_a_cache(plain, tmp_path_factory, places):
    rows = rows_of(PICTURES[place] for place in places)
    batch, folder = plain(rows), str(tmp_path_factory.mktemp("cache"))
    for _ in range(2):
        collator = cache_pictures(plain, folder)
        assert same(collator(rows), batch) and same(collator(rows), batch)


def test_a_known_picture_is_not_decoded_whatever_way_it_comes(plain, cached, no_decoding, tmp_path):
    batch = plain(rows_of(FILES))
    cached()(rows_of(FILES))
    paths = [tmp_path / str(number) for number in range(len(FILES))]
    for path, content in zip(paths, FILES, strict=True):
        path.write_bytes(content)
    no_decoding()
    for ways in (
        FILES,
        paths,
        map(str, paths),
        [{"bytes": None, "path": str(path)} for path in paths],
        [{"bytes": content, "path": "elsewhere"} for content in FILES],
    ):
        assert same(cached()(rows_of(ways)), batch)
    with pytest.raises(ValueError, match="a picture is decoded"):
        cached()(rows_of([file(9)]))


def test_a_picture_that_changes_under_its_path_is_decoded_again(plain, cached, tmp_path):
    path = tmp_path / "a.jpg"
    for content in FILES[:2]:
        path.write_bytes(content)
        assert same(cached()(rows_of([path])), plain(rows_of([content])))


@pytest.mark.parametrize("kind", ["records", "index"])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_what_is_damaged_is_computed_again(plain, cached, no_decoding, tmp_path, monkeypatch, kind, damage):
    rows = rows_of(FILES[:2])
    batch = plain(rows)
    cached()(rows)
    [written] = (tmp_path / "cache").glob(f"*/*.{kind}")
    content = written.read_bytes()
    assert len(content) == {"records": 2 * 32 * 32 * 3, "index": 2 * 48}[kind]
    for place in range(0, len(content), 1 if kind == "index" else len(content) // 12):
        for other in (tmp_path / "cache").glob("*/*"):  # what the last round has written
            if other.stem != written.stem:
                other.unlink()
        flipped = bytes([content[place] ^ 1 << place % 8])
        written.write_bytes(content[:place] + (flipped + content[place + 1 :] if damage == "flip" else b""))
        assert same(cached()(rows), batch), place
        with monkeypatch.context() as undone:
            undone.setattr(Image, "open", None)
            assert same(cached()(rows), batch), place


def test_other_preprocessing_has_other_files(plain, tokenizer, tmp_path):
    usual = ViTImageProcessor(size={"height": 32, "width": 32})
    processors = [
        ImageTextProcessor(usual, tokenizer),
        ImageTextProcessor(usual, tokenizer, reduced_decoding=False),
        ImageTextProcessor(ViTImageProcessor(size={"height": 32, "width": 16}), tokenizer),
        ImageTextProcessor(ViTImageProcessor(size={"height": 32, "width": 32}, resample=3), tokenizer),
        ImageTextProcessor(
            ViTImageProcessor(
                size={"height": 40, "width": 40}, do_center_crop=True, crop_size={"height": 32, "width": 32}
            ),
            tokenizer,
        ),
    ]
    rows = rows_of(FILES)
    for processor in processors:
        collator = ImageTextCollator(processor)
        assert same(cache_pictures(collator, str(tmp_path))(rows), collator(rows))
    assert len({resizing_hash(processor) for processor in processors}) == len(list(tmp_path.iterdir())) == 5


def test_pictures_are_shared_by_models_that_normalise_otherwise(tokenizer, tmp_path, no_decoding):
    size = {"height": 32, "width": 32}
    first, second = (
        ImageTextCollator(ImageTextProcessor(ViTImageProcessor(size=size, image_mean=[mean] * 3), tokenizer))
        for mean in (0.1, 0.6)
    )
    rows = rows_of(FILES)
    batch = second(rows)
    cache_pictures(first, str(tmp_path))(rows)
    no_decoding()
    assert same(cache_pictures(second, str(tmp_path))(rows), batch)


def test_other_versions_of_the_libraries_have_other_files(processor, monkeypatch):
    known = {resizing_hash(processor)}
    for library in ("torch", "torchvision", "transformers", "PIL"):
        with monkeypatch.context() as undone:
            undone.setattr(f"{library}.__version__", "0")
            known.add(resizing_hash(processor))
    assert len(known) == 5


def test_an_error_names_its_row_as_without_a_cache(plain, cached, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(FILES[0][:300])
    cached()(rows_of(FILES[:1]))
    for picture in (FILES[0][:300], str(tmp_path / "cut.jpg"), str(tmp_path / "none.jpg"), b"", "http://a.b/c", 7):
        rows = rows_of([FILES[0], None, picture])
        with pytest.raises(ValueError) as expected:
            plain(rows)
        for _ in range(2):
            with pytest.raises(ValueError) as error:
                cached()(rows)
            assert str(error.value) == str(expected.value)


def test_what_is_a_file():
    assert file_of(FILES[0]) == file_of(memoryview(FILES[0])) == {"bytes": FILES[0], "path": None}
    assert file_of({"bytes": FILES[0], "path": "a"}) == {"bytes": FILES[0], "path": "a"}
    for picture in (None, {}, {"bytes": None, "path": None}, "none", "a\0b", PICTURES[8], PICTURES[9]):
        assert file_of(picture) is None


# Processes


def in_a_fork(work) -> int:
    """The status of a process that does the work."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def test_a_fork_writes_files_of_its_own(plain, cached, no_decoding, tmp_path):
    collator, rows = cached(), rows_of(FILES)
    batch = plain(rows)
    collator(rows[:1])  # its files are open from here on
    assert in_a_fork(lambda: collator(rows[1:2])) == 0
    collator(rows[2:3])
    assert in_a_fork(lambda: collator(rows[3:])) == 0
    for kind in ("records", "index"):
        assert len(list((tmp_path / "cache").glob(f"*/*.{kind}"))) == 3
    no_decoding()
    assert same(cached()(rows), batch)


def test_a_writer_that_is_killed_leaves_nothing_wrong(plain, cached, monkeypatch, tmp_path):
    rows = rows_of(FILES[:2])
    batch = plain(rows)

    def killed_in(kind: str):
        def write(opened, content):
            half = Path(opened.name).suffix == kind
            opened.write(memoryview(content)[: len(content) // 2] if half else content)
            if half:
                os.kill(os.getpid(), signal.SIGKILL)

        return write

    for kind in (".records", ".index"):
        with monkeypatch.context() as undone:
            undone.setattr(record_store, "_write", killed_in(kind))
            assert in_a_fork(lambda: cached()(rows)) == signal.SIGKILL
        assert list((tmp_path / "cache").glob("*/*.records"))
        assert same(cached()(rows), batch)
        with monkeypatch.context() as undone:
            undone.setattr(Image, "open", None)
            assert same(cached()(rows), batch)
        for written in (tmp_path / "cache").glob("*/*"):
            written.unlink()


def test_two_writers_at_once(plain, cached, no_decoding):
    rows = rows_of([file(number, (300, 200)) for number in range(12)])
    batch = plain(rows)
    children, together = [], multiprocessing.get_context("fork").Barrier(2)
    for its_rows in (rows[:8], rows[4:]):
        child = os.fork()
        if child == 0:
            try:
                collator = cached()
                for row in its_rows:
                    together.wait(60)
                    collator([row])
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    no_decoding()
    assert same(cached()(rows), batch)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_worker_gives_the_batches_of_the_main_process(plain, cached, workers):
    rows = rows_of(FILES + PICTURES[4:8])
    for _ in range(2):
        loaders = [DataLoader(rows, 3, collate_fn=collator, num_workers=workers) for collator in (plain, cached())]
        expected = [plain(rows[start : start + 3]) for start in range(0, 8, 3)]
        for loader in loaders:
            assert all(same(batch, wanted) for batch, wanted in zip(loader, expected, strict=True))


def test_a_copy_by_pickle_is_sent_without_pictures_and_reads_the_same(plain, cached, no_decoding):
    collator, rows = cached(), rows_of(FILES)
    batch, sent_before = plain(rows), len(pickle.dumps(collator))
    collator(rows)
    sent = pickle.dumps(collator)
    assert len(sent) == sent_before
    no_decoding()
    assert same(pickle.loads(sent)(rows), batch)


@pytest.mark.slow  # a worker that is not forked imports everything
def test_a_spawned_worker_gives_the_same_batches(plain, cached):
    rows = rows_of(FILES)
    loader = DataLoader(rows, 2, collate_fn=cached(), num_workers=1, multiprocessing_context="spawn")
    for batch, start in zip(loader, (0, 2), strict=True):
        assert same(batch, plain(rows[start : start + 2]))


# Training


def trained(model, rows, collator, folder, **options) -> ImageTextTrainer:
    args = ImageTextTrainingArguments(
        str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=3,
        per_device_eval_batch_size=3,
        save_strategy="no",
        load_best_model_at_end=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        augment=True,
        augment_synonyms=0,
        **options,
    )
    trainer = ImageTextTrainer(model, args, collator, rows, rows)
    trainer.train()
    return trainer


def test_training_comes_to_the_same_weights_bit_by_bit(tiny_mdse, rows, plain, tmp_path, monkeypatch):
    without = trained(tiny_mdse(), rows, plain, tmp_path)
    cache = str(tmp_path / "cache")
    runs = [trained(tiny_mdse(), rows, plain, tmp_path, cache_pictures=cache)]
    assert plain.resize is None
    with monkeypatch.context() as undone:
        undone.setattr(Image, "open", None)
        runs.append(trained(tiny_mdse(), rows, plain, tmp_path, cache_pictures=cache))
    for run in runs:
        weights = run.model.state_dict()
        assert all(torch.equal(weights[name], weight) for name, weight in without.model.state_dict().items())
        assert run.state.log_history[-2]["eval_loss"] == without.state.log_history[-2]["eval_loss"]


def test_an_evaluation_reads_the_cache(tiny_mdse, rows, processor, tmp_path, monkeypatch):
    model, folder, data = tiny_mdse(), str(tmp_path / "model"), str(tmp_path / "validation.parquet")
    names = rows.features["label"].names
    model.config.id2label, model.config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    rows.to_parquet(data)
    options = {"cache_pictures": str(tmp_path / "cache"), "use_cpu": True, "batch_size": 3}
    figures = [evaluate(folder, data, "validation", use_cpu=True, batch_size=3)]
    figures.append(evaluate(folder, data, "validation", **options))
    monkeypatch.setattr(pictures, "_open", None)
    figures.append(evaluate(folder, data, "validation", **options))
    assert figures[0] == figures[1] == figures[2]
    with pytest.raises(Exception, match="NoneType"):
        evaluate(folder, data, "validation", use_cpu=True)


class RoundsLater(ViTImageProcessor):
    """Resizes in floating point."""

    def resize(self, image, *args, **kwargs):
        return super().resize(image.float(), *args, **kwargs)


class Brightens(ViTImageProcessor):
    """Does more than normalise a picture that it has resized."""

    def rescale_and_normalize(self, images, *args, **kwargs):
        return super().rescale_and_normalize(images.clamp(max=120) * 2, *args, **kwargs)


@pytest.mark.parametrize("kind", [RoundsLater, Brightens])
def test_an_image_processor_that_cannot_be_cut_in_two_is_refused(kind, tokenizer, tmp_path):
    collator = ImageTextCollator(ImageTextProcessor(kind(size={"height": 32, "width": 32}), tokenizer))
    with pytest.raises(ValueError) as error:
        cache_pictures(collator, str(tmp_path / "cache"))
    assert str(error.value) == (
        "cache_pictures must go with an image processor that resizes in 8 bits and does no more than normalise then, "
        f"got {kind.__name__}."
    )
    assert not (tmp_path / "cache").exists()


def test_another_collator_is_refused(tmp_path):
    with pytest.raises(ValueError) as error:
        cache_pictures(default_collate, str(tmp_path))
    assert str(error.value) == "cache_pictures must go with an ImageTextCollator, got function."


def test_a_folder_that_cannot_be_written_to_is_named(plain, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError) as error:
        cache_pictures(plain, str(tmp_path / "file"))
    assert str(error.value) == f"cache_pictures must be a folder to write to, got {tmp_path / 'file'}: File exists."


def test_a_cache_alone_resizes_as_the_processor(processor, tmp_path):
    small = PictureCache(processor, str(tmp_path))([FILES[2], None])
    assert small[0].size == (32, 32) and small[1] is None
    assert small[0].tobytes() == processor.resized([FILES[2]])[0].tobytes()
