"""Damaged inputs: every row is scored or rejected with a reason, and the counts add up."""

import errno
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from scored import made_up_posts, make_checkpoint, manifest, picture, union, write_parquet

from duosent.data import source_access
from duosent.inference.score_table import predict_table

ROWS = made_up_posts(100)
GOOD = [{"id": f"good {n}", "text": f"sun {n}", "image": {"bytes": picture(n), "path": None}} for n in range(100)]


@pytest.fixture(scope="module")
def checkpoint(text_encoder_dir, image_encoder_dir, processor, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    return make_checkpoint(folder, (text_encoder_dir, image_encoder_dir), processor)


def scored(checkpoint, source, folder: Path, **options) -> tuple[list[str], dict[str, str]]:
    """Ids answered, and of those rejected the reason."""
    options = {"shard_rows": 30, "batch_size": 8, **options}
    result = predict_table(checkpoint, str(source), str(folder), device="cpu", progress="none", **options)
    answered, rejected = union(folder)
    told = manifest(folder)
    assert (result["n"], result["rejected"]) == (len(answered), len(rejected)) == (told["rows"], told["rejected"])
    assert all(row["reason"] for row in rejected)
    assert len({row["id"] for row in answered + rejected}) == len(answered) + len(rejected)
    return [row["id"] for row in answered], {row["id"]: row["reason"] for row in rejected}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_two_of_a_hundred_pictures_are_none(checkpoint, tmp_path, num_workers):
    rows = [dict(row) for row in GOOD]
    rows[17]["image"] = {"bytes": picture(17)[:45], "path": None}
    rows[64]["image"] = {"bytes": b"\xff\xd8\xff\xe0 not really", "path": None}
    posts = write_parquet(tmp_path / "posts.parquet", rows)
    answered, rejected = scored(checkpoint, posts, tmp_path / "out", num_workers=num_workers)
    assert answered == [f"good {n}" for n in range(100) if n not in (17, 64)]
    assert set(rejected) == {"good 17", "good 64"}
    assert "is damaged: " in rejected["good 17"] and "cannot be read as a picture" in rejected["good 64"]


def test_a_folder_of_everything_that_can_go_wrong(checkpoint, tmp_path):
    """A truncated Parquet file, a CSV with broken lines, a line that is no JSON, a tar that is cut, a missing file."""
    folder = tmp_path / "posts"
    folder.mkdir()
    write_parquet(folder / "a.parquet", GOOD[:20])
    write_parquet(folder / "b.parquet", GOOD[20:40])
    whole = (folder / "b.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(whole[: len(whole) // 2])
    lines = ["id,text", *(f"csv {n},a dog" for n in range(10))]
    lines[4], lines[8] = "csv 3,a dog,a cat,a bird", "csv 7,\xff a dog"
    (folder / "c.csv").write_bytes("\n".join(lines).encode("latin-1"))
    posts = [
        json.dumps({"id": f"json {n}", "text": "the sea", "image": "gone.png" if n == 5 else None}) for n in range(9)
    ]
    posts[2] = '{"id": "json 2", "text": '
    (folder / "d.jsonl").write_text("\n".join(posts) + "\n")
    with tarfile.open(folder / "e.tar", "w") as tar:
        for n in range(4):
            for ending, content in (("txt", b"the city"), ("png", picture(n))):
                member = tarfile.TarInfo(f"tar{n}.{ending}")
                member.size = len(content)
                source = folder / "member"
                source.write_bytes(content)
                with source.open("rb") as file:
                    tar.addfile(member, file)
    (folder / "member").unlink()
    answered, rejected = scored(checkpoint, folder, tmp_path / "out")
    expected = [f"good {n}" for n in range(20)]
    expected += [f"csv {n}" for n in range(10) if n not in (3, 7)]
    expected += [f"json {n}" for n in range(9) if n not in (2, 5)]
    assert answered == expected + [f"tar{n}" for n in range(4)]
    assert len(rejected) == 1 + 2 + 2
    assert "cannot be read" in rejected[str(folder / "b.parquet")]
    assert "gone.png" in rejected["json 5"]
    for place in ("c.csv, row 5: ", "c.csv, row 9: ", "d.jsonl, row 3: "):
        assert len([reason for reason in rejected.values() if place in reason]) == 1, place
    whole = {name: (tmp_path / "out" / name).read_bytes() for name in ("predictions-00000.parquet",)}
    again = scored(checkpoint, folder, tmp_path / "again", num_workers=1)
    assert again == (answered, rejected)
    assert whole == {name: (tmp_path / "again" / name).read_bytes() for name in whole}


@pytest.fixture
def failing_reads(monkeypatch):
    """Makes a share of all reads from files fail with EIO, or all of them."""
    count, plain = iter(range(10**9)), source_access.RetriedFile._read_once

    def start(every: int) -> None:
        def read(self, size):
            if next(count) % every == 0:
                raise OSError(errno.EIO, "the drive is away")
            return plain(self, size)

        monkeypatch.setattr(source_access.RetriedFile, "_read_once", read)
        monkeypatch.setattr(source_access.Retries.__init__, "__defaults__", (5, 0.0))

    return start


def test_a_source_that_answers_with_errors_for_a_while(checkpoint, tmp_path, failing_reads):
    posts = write_parquet(tmp_path / "posts.parquet", ROWS, row_group_size=20)
    expected = scored(checkpoint, posts, tmp_path / "calm")
    failing_reads(every=3)
    assert scored(checkpoint, posts, tmp_path / "stormy") == expected


def test_a_source_that_dies_rejects_its_rows(checkpoint, tmp_path, failing_reads, monkeypatch):
    lines = [json.dumps({"id": f"{n}", "text": "a dog", "image": f"{n}.png" if n % 2 else None}) for n in range(20)]
    (tmp_path / "posts.jsonl").write_text("\n".join(lines) + "\n")
    for n in range(20):
        (tmp_path / f"{n}.png").write_bytes(picture(n))
    plain = source_access.SourceAccess.read

    def read(self, url, *limits):
        if url.endswith(".png"):
            raise source_access.DeadSourceError("the drive is away (after 6 tries)")
        return plain(self, url, *limits)

    monkeypatch.setattr(source_access.SourceAccess, "read", read)
    answered, rejected = scored(checkpoint, tmp_path / "posts.jsonl", tmp_path / "out")
    assert answered == [f"{n}" for n in range(0, 20, 2)]
    assert set(rejected) == {f"{n}" for n in range(1, 20, 2)}
    assert all("the drive is away (after 6 tries)" in reason for reason in rejected.values())


def test_a_row_that_an_image_processor_cannot_take(checkpoint, tmp_path, monkeypatch):
    """Whatever it raises, and in a batch with others."""
    from duosent.processing.processing_image_text import ImageTextProcessor

    plain = ImageTextProcessor._process_pictures

    def choke(self, pictures, options):
        if any(picture is not None and picture.width == 1 for picture in pictures):
            raise ZeroDivisionError("division by zero")
        return plain(self, pictures, options)

    monkeypatch.setattr(ImageTextProcessor, "_process_pictures", choke)
    rows = [dict(row) for row in GOOD[:10]]
    file = io.BytesIO()
    Image.new("RGB", (1, 4)).save(file, "PNG")
    rows[6]["image"] = {"bytes": file.getvalue(), "path": None}
    posts = write_parquet(tmp_path / "posts.parquet", rows)
    answered, rejected = scored(checkpoint, posts, tmp_path / "out")
    assert answered == [f"good {n}" for n in range(10) if n != 6]
    assert rejected == {"good 6": "division by zero."}
