"""Records on disk: what was added comes back bit by bit, and what is damaged does not come back at all."""

import logging
import resource
from contextlib import contextmanager
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from duosent.training.record_store import DTYPES, ENTRY_BYTES, RecordStore

KEYS = [bytes([number]) * 16 for number in range(4)]
RECORDS = {
    KEYS[0]: torch.arange(6.0).reshape(2, 3),
    KEYS[1]: torch.full((1, 2, 2), -1.5, dtype=torch.bfloat16),
    KEYS[2]: torch.tensor([0.25, float("nan")]),
}


def same(record, features: torch.Tensor) -> bool:
    numbers = features.clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8)
    return (record.content.tolist(), record.dtype, record.shape) == (numbers.tolist(), features.dtype, features.shape)


def written(folder: Path) -> tuple[Path, Path]:
    """The files of one process that added the records."""
    RecordStore(folder, "cache_features").add(RECORDS)
    return next(folder.glob("*.records")), next(folder.glob("*.index"))


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 9)
)
def test_another_process_reads_what_was_added(tmp_path_factory, shape, dtype, seed):
    folder = tmp_path_factory.mktemp("cache")
    features = torch.randn(*shape, 2, generator=torch.Generator().manual_seed(seed)).abs().mul(40).to(dtype)[..., 0]
    RecordStore(folder, "cache_features").add(RECORDS | {KEYS[3]: features})
    found = RecordStore(folder, "cache_features").find([KEYS[3], KEYS[0], KEYS[3]])
    assert set(found) == {KEYS[0], KEYS[3]}
    assert same(found[KEYS[3]], features) and same(found[KEYS[0]], RECORDS[KEYS[0]])


def test_a_folder_that_is_not_there_has_nothing(tmp_path):
    assert RecordStore(tmp_path / "none", "cache_features").find(KEYS) == {}
    assert not (tmp_path / "none").exists()


def test_a_cut_at_any_byte_leaves_the_whole_records_before_it(tmp_path):
    for file, ends in zip(written(tmp_path), ([24, 32, 40], [48, 96, 144]), strict=True):
        content = file.read_bytes()
        assert len(content) == ends[-1]
        for cut in range(len(content)):
            file.write_bytes(content[:cut])
            found = RecordStore(tmp_path, "cache_features").find(KEYS)
            assert list(found) == [key for key, end in zip(KEYS, ends, strict=False) if end <= cut], (file.suffix, cut)
            assert all(same(record, RECORDS[key]) for key, record in found.items())
        file.write_bytes(content)
    assert ENTRY_BYTES == 48


def test_any_flipped_bit_costs_its_record_alone(tmp_path):
    for file, ends in zip(written(tmp_path), ([24, 32, 40], [48, 96, 144]), strict=True):
        content = file.read_bytes()
        for place in range(len(content)):
            damaged = bytearray(content)
            damaged[place] ^= 1 << place % 8
            file.write_bytes(damaged)
            lost = next(number for number, end in enumerate(ends) if place < end)
            found = RecordStore(tmp_path, "cache_features").find(KEYS)
            assert set(found) == set(RECORDS) - {KEYS[lost]}, (file.suffix, place)
            assert all(same(record, RECORDS[key]) for key, record in found.items())
        file.write_bytes(content)


def test_a_damaged_record_is_written_again(tmp_path, caplog):
    features, _ = written(tmp_path)
    features.write_bytes(b"\xff" + features.read_bytes()[1:])
    store = RecordStore(tmp_path, "cache_features")
    assert set(store.find(KEYS)) == {KEYS[1], KEYS[2]}
    assert caplog.messages == [f"cache_features: a damaged record in {features.stem} is not used."]
    store.add({KEYS[0]: RECORDS[KEYS[0]]})
    for reader in (store, RecordStore(tmp_path, "cache_features")):
        assert same(reader.find(KEYS[:1])[KEYS[0]], RECORDS[KEYS[0]])


def test_two_writers_read_each_other(tmp_path):
    one, other = RecordStore(tmp_path, "cache_features"), RecordStore(tmp_path, "cache_features")
    for number, key in enumerate(KEYS):  # by turns: each finds what the other one has added since it last looked
        writer, reader = (one, other) if number % 2 == 0 else (other, one)
        assert reader.find([key]) == {}
        writer.add({key: torch.full((2,), float(number))})
        assert reader.find([key])[key].content.view("float32").tolist() == [number, number]
        assert list(writer.find([key])) == [key]
    assert len(list(tmp_path.glob("*.records"))) == len(list(tmp_path.glob("*.index"))) == 2


def test_an_entry_that_is_being_written_is_found_when_it_is_there(tmp_path):
    _, index = written(tmp_path)
    content, store = index.read_bytes(), RecordStore(tmp_path, "cache_features")
    for cut in (30, 90, 144):
        index.write_bytes(content[:cut])
        assert list(store.find(KEYS)) == KEYS[: cut // 48]


@contextmanager
def small_files():
    """No file may grow beyond 100 bytes, that of the tests' own report too: only for a moment."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_costs_one_warning(tmp_path, caplog):
    store = RecordStore(tmp_path, "cache_features")
    with small_files():
        store.add({KEYS[0]: torch.ones(20)})
        for key in KEYS[1:]:
            store.add({key: torch.ones(20)})
    assert list(store.find(KEYS)) == list(RecordStore(tmp_path, "cache_features").find(KEYS)) == KEYS[:1]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages == [
        f"cache_features: {tmp_path} takes no more records (File too large); those that it lacks are computed each "
        "time."
    ]
