"""Every source of a picture gives the same picture, and what is not allowed is refused in one sentence."""

import base64
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from duosent.processing.picture_sources import PictureSources

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
OUTSIDERS = PictureSources(allow_paths=False)


def png(pixels=PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture
def photo(tmp_path) -> str:
    (tmp_path / "photo.png").write_bytes(png())
    return str(tmp_path / "photo.png")


@pytest.fixture
def url():
    class Answer(BaseHTTPRequestHandler):
        def log_message(self, *words) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"no picture" if self.path == "/no-picture" else png())

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_source_gives_the_same_picture(photo, url):
    encoded = base64_of(png())
    in_lines = "\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76)) + "\n"
    local = [photo, Path(photo), png(), Image.fromarray(PIXELS), PIXELS, {"bytes": png(), "path": "no/such/file"}]
    texts = [encoded, in_lines, f"data:image/png;base64,{encoded}", f"DATA:;BASE64,{in_lines}"]
    for picture in [*local, {"bytes": None, "path": photo}, *texts]:
        assert np.array_equal(np.asarray(PictureSources().open(picture)), PIXELS)
    web = PictureSources(allow_urls=True, allow_private=True)
    for picture in (f"{url}/a.png", {"bytes": None, "path": f"{url}/a.png"}):
        assert np.array_equal(np.asarray(web.open(picture)), PIXELS)
    for picture in texts:
        assert np.array_equal(np.asarray(OUTSIDERS.open(picture)), PIXELS)


@pytest.mark.parametrize("nothing", [None, {"bytes": None, "path": None}])
def test_no_picture_is_none(nothing):
    assert PictureSources().open(nothing) is None


def test_what_is_not_allowed_is_not_done(photo, url, monkeypatch):
    for sources, picture, message in [
        (PictureSources(), f"{url}/a.png", "is fetched only with allow_urls=True, got http://127"),
        (PictureSources(), {"path": f"{url}/a.png"}, "is fetched only with allow_urls=True"),
        (PictureSources(allow_urls=True), f"{url}/a.png", "must lead to a public address"),
        (PictureSources(allow_urls=True), "file:///etc/passwd", "must begin with http:// or https://"),
        (OUTSIDERS, photo, "A picture must be base64 or an address on the web, got "),
        (OUTSIDERS, {"path": photo}, "A picture must be base64 or an address on the web, got "),
        (OUTSIDERS, Path(photo), "A picture must be base64 or an address on the web, got "),
        (PictureSources(), f"{photo}.jpg", "There is no file /"),
        (PictureSources(), "", "There is no file ''."),
    ]:
        with pytest.raises(ValueError, match=message):
            sources.open(picture)


def test_a_file_is_no_secret_that_outsiders_can_try(photo):
    """A path gets the same answer whether or not there is a file."""
    answers = []
    for path in (photo, photo.replace("photo", "other")):
        with pytest.raises(ValueError) as error:
            OUTSIDERS.open(path)
        answers.append(str(error.value).replace("photo", "other"))
    assert answers[0] == answers[1]


def test_the_limit_of_bytes_is_exact(url):
    size = len(png())
    for picture in (base64_of(png()), f"data:image/png;base64,{base64_of(png())}", f"{url}/a.png"):
        fits = PictureSources(allow_urls=True, allow_private=True, max_bytes=size)
        assert fits.open(picture).size == (12, 9)
        with pytest.raises(ValueError, match=f"must (have|give) {size - 1} bytes at most"):
            PictureSources(allow_urls=True, allow_private=True, max_bytes=size - 1).open(picture)


def test_the_limit_of_pixels_is_told_from_the_head_of_the_file():
    picture = base64_of(png())
    assert PictureSources(max_pixels=12 * 9).open(picture).size == (12, 9)
    with pytest.raises(ValueError, match="must have 107 pixels at most, got 12 x 9"):
        PictureSources(max_pixels=107).open(picture)
    bomb = io.BytesIO()
    Image.new("1", (10_000, 9_000)).save(bomb, "PNG")  # 90 million pixels in some kilobytes, and no more than its head
    with pytest.raises(ValueError, match="must have 50000000 pixels at most, got 10000 x 9000"):
        PictureSources().open(base64_of(bomb.getvalue()[:1000]))


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n" + b" " * 100


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (base64_of(b"no picture at all, but long enough for one"), "must be a picture (AVIF, BMP, GIF, JPEG, "),
        (base64_of(POSTSCRIPT), "got none of these."),
        (base64_of(png()[:60]), "is damaged"),
        (base64_of(png())[:-1], "must be whole base64, got "),
        (f"data:image/png;base64,{base64_of(png())[:-2]}!", "must be whole base64, got "),
        (f"data:image/png;base64,{base64_of(png())[:40]}-_!.{base64_of(png())[40:]}", "must be whole base64, got "),
        ("data:image/png,abc", "A data: URI must begin with data:image/...;base64, got data:image/png,abc."),
        ("data:text/html;base64,PGEvPg==", "A data: URI must begin with data:image/...;base64"),
        ("data:", "A data: URI must begin with"),
        ("a\n?" * 100, "There is no file a\\n?a\\n?"),
        (f"https://example.org/{'a' * 5000}", "…"),
        ([1, 2], "A picture must be a path, bytes, a PIL image or an array, got list."),
    ],
)
def test_what_is_no_picture_is_one_short_sentence(picture, message):
    with pytest.raises(ValueError) as error:
        PictureSources().open(picture)
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 250


def test_an_address_without_a_picture_is_named(url):
    with pytest.raises(ValueError, match=f"{url}/no-picture must be a picture"):
        PictureSources(allow_urls=True, allow_private=True).open(f"{url}/no-picture")


@given(
    st.one_of(
        st.text(alphabet="ad:/;,.\0\n\x7fé\ud83d"),
        st.text(alphabet="AB+/= \n", min_size=40),
        st.binary().map(base64_of),
    )
)
@example("data:image/png;base64," + "A" * 50)
@example("\0" * 50)
@example("A" * 100_000 + "!")
@example(" " * 100_000 + "!")
def test_no_text_of_an_outsider_does_more_than_one_sentence(text):
    with pytest.raises(ValueError) as error:
        OUTSIDERS.open(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout must be a number > 0, got 0."),
        ({"timeout": float("nan")}, "timeout must be a number > 0, got nan."),
        ({"max_bytes": 1.5}, "max_bytes must be a whole number > 0, got 1.5."),
        ({"max_pixels": -1}, "max_pixels must be a whole number > 0, got -1."),
        ({"allow_urls": "yes"}, "allow_urls must be True or False, got 'yes'."),
    ],
)
def test_wrong_limits_are_one_sentence(options, message):
    with pytest.raises(ValueError) as error:
        PictureSources(**options)
    assert str(error.value) == message
