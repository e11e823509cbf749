"""Sources that fsspec knows: listed, read, and tried again when they answer with errors for a while."""

import errno
import io
import json
import os
import pickle
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import blocks, encoded
from failing_file_system import FailingFile, FailingFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_tar_samples import sample, tar_of

from duosent.data.reading import DataError
from duosent.data.rejected import Rejected
from duosent.data.retries import Retries
from duosent.data.source_files import source_files
from duosent.data.source_pieces import PieceReader, source_pieces
from duosent.data.source_reader import SourceReader

PNG = encoded(blocks(1))
ROWS = [{"text": f"post {number}", "image": "photos/1.png"} for number in range(40)]
AT_ONCE = Retries(5, first_pause=0)


def as_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file, row_group_size=15)
    return file.getvalue()


FILES = {
    "a.csv": b"text,image\n" + b"".join(b"%s,%s\n" % (*map(str.encode, row.values()),) for row in ROWS),
    "b.parquet": as_parquet(),
    "c.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "d.tar": tar_of(*(member for number in range(40) for member in sample(number))),
}


@pytest.fixture(params=["memory", "flaky"])
def remote(request):
    """A URL with the files, and a picture beside them."""
    return filled(request.param)


def filled(protocol: str) -> str:
    system = fsspec.filesystem(protocol)
    system.store.clear()
    system.invalidate_cache()
    FailingFileSystem.fails = staticmethod(lambda what, path: None)
    for name, content in {**FILES, "photos/1.png": PNG}.items():
        system.pipe_file(f"/data/{name}", content)
    return f"{protocol}:///data"


@pytest.fixture
def here(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(PNG)
    return tmp_path


def outcomes(source, piece_rows: int = 7) -> list[dict | Rejected]:
    """Posts with their pictures, of each file read by a reader that came from another process."""
    found = []
    reader = SourceReader()
    for piece in source_pieces(source_files(source, retries=AT_ONCE), piece_rows):
        reader = pickle.loads(pickle.dumps(reader)) if not piece.first else reader
        posts = list(reader.read(piece))
        assert len(posts) == piece.outcomes
        found += [reader.fetch(post, piece.file) if isinstance(post, dict) else post for post in posts]
    assert [post.place if isinstance(post, Rejected) else post["place"] for post in found] == list(range(len(found)))
    return found


def unplaced(posts: list[dict]) -> list[dict]:
    """Without what tells one source from another."""
    return [{**post, "image": post["image"]["bytes"]} for post in posts]


def test_a_remote_folder_gives_what_a_folder_here_gives(remote, here):
    wanted = unplaced(outcomes(here))
    assert len(wanted) == 160 and wanted[0]["image"] == PNG
    assert unplaced(outcomes(remote)) == wanted


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["a.csv"]),
        ("[ab].*", ["a.csv", "b.parquet"]),
        ("*", ["a.csv", "b.parquet", "c.jsonl", "d.tar"]),
        ("../**/*.jsonl", ["c.jsonl"]),
        ("?.tar", ["d.tar"]),
        ("c.jsonl", ["c.jsonl"]),
    ],
)
def test_globs_are_matched_in_order(here, pattern, names):
    for root in (filled("memory"), filled("flaky"), str(here)):
        pattern = pattern.replace("../", "") if "://" in root else pattern
        found = source_files(f"{root}/{pattern}")
        assert [Path(file.url).name for file in found] == names and [file.number for file in found] == [
            *range(len(names))
        ]


def test_file_urls_are_paths(here):
    assert source_files(f"file://{here}/*.csv") == source_files(here / "a.csv")


def test_splits_are_found_as_in_a_folder_here(tmp_path):
    system = fsspec.filesystem("memory")
    system.store.clear()
    for name in ("train/0.csv", "train/1.csv", "dev.csv"):
        system.pipe_file(f"/data/{name}", FILES["a.csv"])
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(FILES["a.csv"])
    for source in ("memory:///data", str(tmp_path)):
        found = source_files(source, "train")
        assert [file.url.removeprefix(source) for file in found] == ["/train/0.csv", "/train/1.csv"]
        assert {file.split for file in found} == {"train"}
        with pytest.raises(DataError, match="split must be given .* one of train, validation"):
            source_files(source)
        with pytest.raises(DataError, match="has no test part, only train, validation"):
            source_files(source, "test")
    assert [file.split for file in source_files("memory:///data/**/*.csv")] == ["validation", "train", "train"]
    assert [file.url for file in source_files("memory:///data/**/*.csv", "validation")] == ["memory:///data/dev.csv"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("memory:///nothing", "There is no file or folder memory:///nothing."),
        ("memory:///data/*.md", "matches no file that ends in one of .parquet"),
        ("memory:///data/photos", "holds no file that ends in one of .parquet"),
        ("memory:///data/photos/1.png", "must end in one of .parquet"),
        ("nobody://data", "nobody://data cannot be opened: Protocol not known: nobody."),
        ("memory:///data/**.csv", "is no pattern of files: Invalid pattern"),
        ("simplecache::memory:///data", "must be one URL"),
        ("nothing/*.csv", "matches no file"),
        ("./nothing", "There is no file or folder ./nothing."),
    ],
)
def test_a_source_that_is_none_is_told_in_one_sentence(source, sentence):
    filled("memory")
    with pytest.raises(DataError) as raised:
        source_files(source)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("root", ["memory", "flaky", "here"])
def test_a_changed_file_has_another_identity_and_secrets_are_not_shown(here, root):
    root = str(here) if root == "here" else filled(root)
    options = {"token": "secret"} if "://" in root else None
    before = source_files(root, storage_options=options)
    assert source_files(root, storage_options=options) == before
    assert "secret" not in repr(before) + json.dumps([file.as_json() for file in before])
    assert json.loads(json.dumps(before[0].as_json()))["identity"]["size"] == len(FILES["a.csv"])

    content = FILES["a.csv"].replace(b"post 0", b"POST 0")
    if root == str(here):
        (here / "a.csv").write_bytes(content)
        os.utime(here / "a.csv", ns=(1, 1))
    else:
        fsspec.filesystem(root.partition(":")[0]).pipe_file("/data/a.csv", content)
    after = source_files(root, storage_options=options)
    assert after[0].identity != before[0].identity and after[1:] == before[1:]


ERRORS = [OSError("busy"), TimeoutError(), ConnectionResetError(), RuntimeError("of a client"), EOFError()]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), piece_rows=st.integers(1, 50))
def test_errors_that_pass_change_nothing(here, data, piece_rows):
    """Up to five calls fail, then three work, in which a file is opened and read, and so on."""
    wanted = unplaced(outcomes(here))
    source = filled("flaky")
    broken = data.draw(st.lists(st.integers(0, 5), max_size=60))
    turns = iter([turn for failures in broken for turn in [True] * failures + [False] * 3])
    calls = []

    def fails(what, path):
        calls.append(what)
        if next(turns, False):
            raise ERRORS[len(calls) % len(ERRORS)]

    FailingFileSystem.fails = staticmethod(fails)
    assert unplaced(outcomes(source, piece_rows)) == wanted


def test_bytes_that_stop_too_early_are_read_again(here, monkeypatch):
    wanted = unplaced(outcomes(here))
    source, cut = filled("flaky"), []
    plain = FailingFileSystem._open

    def opened(self, path, mode="rb", **options):
        file = plain(self, path, mode, **options)
        if len(cut) % 2 == 0:
            file.truncate(file.size // 2)
        cut.append(path)
        return file

    monkeypatch.setattr(FailingFileSystem, "_open", opened)
    assert unplaced(outcomes(source)) == wanted
    assert len(cut) > 8


def test_a_connection_that_broke_is_replaced(here, monkeypatch):
    wanted = unplaced(outcomes(here))
    source, opened = filled("flaky"), []
    plain = FailingFileSystem._open

    def broken(self, path, mode="rb", **options):
        file = plain(self, path, mode, **options)
        opened.append(path)
        if len(opened) % 2:
            file.close()
        return file

    monkeypatch.setattr(FailingFileSystem, "_open", broken)
    monkeypatch.setattr(FailingFile, "seek", lambda self, *arguments: io.BytesIO.seek(alive(self), *arguments))
    assert unplaced(outcomes(source)) == wanted


def alive(file: FailingFile) -> FailingFile:
    if file.closed:
        raise ConnectionResetError("closed by the server")
    return file


def dead(*paths: str, after: int = 0):
    """Reading, opening and describing of these fails from the call on."""
    calls = []

    def fails(what, path):
        if any(path.endswith(end) for end in paths):
            calls.append(what)
            if len(calls) > after:
                raise OSError("no answer")

    FailingFileSystem.fails = staticmethod(fails)
    return calls


def test_a_file_that_stays_dead_is_one_rejection_and_the_others_are_read():
    source = filled("flaky")
    dead("b.parquet")
    found = outcomes(source)
    [refused] = [post for post in found if isinstance(post, Rejected)]
    assert len(found) == 121 and refused.place == 40 and refused.id == "flaky:///data/b.parquet"
    assert refused.reason == "flaky:///data/b.parquet cannot be read: no answer (after 6 tries)."


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_dies_when_its_rows_are_counted_has_them_all_rejected(name):
    source = filled("flaky")
    planned = list(source_pieces(source_files(source, retries=AT_ONCE), 7))
    dead(name)
    reader = PieceReader()
    found = [row for piece in planned for row in reader.read(piece)]
    refused = [row for row in found if isinstance(row, Rejected)]
    assert len(found) == 160 and len(refused) == 40
    assert all(f"{name}, row " in row.reason and "no answer" in row.reason for row in refused)


def test_a_dead_file_is_not_waited_for_at_every_piece():
    """Three times all tries, then one for each of the other pieces, of which there are 40 in all."""
    source = filled("flaky")
    planned = list(source_pieces(source_files(f"{source}/a.csv", retries=AT_ONCE), 1))
    calls = dead("a.csv")
    reader = PieceReader()
    assert len([row for piece in planned for row in reader.read(piece)]) == 40
    assert len(calls) == 3 * 6 + 37
    filled("flaky")
    assert all(isinstance(row, dict) for piece in planned for row in reader.read(piece))


def test_a_text_file_that_dies_while_it_is_counted_keeps_what_was_counted(monkeypatch):
    monkeypatch.setattr("duosent.data.source_access.CHUNK", 256)
    source = filled("flaky")
    files = source_files(f"{source}/a.csv", retries=AT_ONCE)
    reads = []

    def fails(what, path):
        reads.append(what)
        if reads.count("read") > 2:
            raise OSError("no answer")

    FailingFileSystem.fails = staticmethod(fails)
    planned = list(source_pieces(files, 5))
    filled("flaky")
    found = [row for piece in planned for row in PieceReader().read(piece)]
    assert [row["text"] for row in found[:-1]] == [row["text"] for row in ROWS[: len(found) - 1]] and len(found) > 10
    assert found[-1].reason.startswith(f"{source}/a.csv cannot be read behind row {len(found)}: no answer")


def test_a_listing_that_stays_dead_is_one_rejection():
    source = filled("flaky")
    fsspec.filesystem("flaky").pipe_file("/data/more/e.csv", FILES["a.csv"])
    assert len(outcomes(source)) == 200
    dead("data/more")
    found = outcomes(source)
    assert len(found) == 161 and found[-1].id == "flaky:///data/more"
    assert found[-1].reason == "flaky:///data/more cannot be listed: no answer (after 6 tries)."
    dead("data")
    for whole in (source, f"{source}/*.csv"):
        [refused] = outcomes(whole)
        assert refused.id == whole and "no answer" in refused.reason


def test_what_is_not_there_or_not_allowed_is_not_tried_again():
    source = filled("flaky")
    calls = []

    def fails(what, path):
        if path.endswith("1.png"):
            calls.append(what)
            raise PermissionError("not yours")

    FailingFileSystem.fails = staticmethod(fails)
    post, *_ = outcomes(f"{source}/a.csv")
    assert post.reason == "flaky:///data/photos/1.png cannot be read: not yours." and len(calls) == 40


def test_a_disk_that_fails_for_a_while_is_tried_again(here, monkeypatch):
    failures = iter([errno.EIO, errno.ETIMEDOUT, errno.EIO])
    plain = open

    def opened(*arguments, **options):
        if number := next(failures, None):
            raise OSError(number, "of the disk")
        return plain(*arguments, **options)

    monkeypatch.setattr("builtins.open", opened)
    assert len(outcomes(here / "a.csv")) == 40 and next(failures, None) is None


def test_pauses_grow_and_number_of_tries_is_kept(monkeypatch):
    pauses = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)

    def never():
        raise OSError("no answer")

    with pytest.raises(OSError, match=r"no answer \(after 5 tries\)"):
        Retries(4, first_pause=1)("here", lambda error: True, never)
    assert len(pauses) == 4
    assert all(2**number <= pause <= 2**number + 1 for number, pause in enumerate(pauses))
    for wrong in ({"times": -1}, {"times": 1.0}, {"first_pause": -1}):
        with pytest.raises(ValueError, match="must be"):
            Retries(**wrong)
