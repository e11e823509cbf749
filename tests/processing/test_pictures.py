"""Every kind of picture becomes RGB as a person would see it."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from duosent.processing.pictures import open_picture


def pixel(picture, at=(0, 0)):
    return open_picture(picture).getpixel(at)


def encode(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def deep(values, mode):
    return Image.fromarray(np.array([[values]], dtype={"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))


# Expectations by hand: alpha over white is a * colour + (1 - a) * 255.
MODES = {
    "RGB": (Image.new("RGB", (2, 2), (10, 20, 30)), (10, 20, 30)),
    "L": (Image.new("L", (2, 2), 77), (77, 77, 77)),
    "1": (Image.new("1", (2, 2), 1), (255, 255, 255)),
    "RGBA transparent": (Image.new("RGBA", (2, 2), (10, 20, 30, 0)), (255, 255, 255)),
    "RGBA half": (Image.new("RGBA", (2, 2), (0, 100, 255, 51)), (204, 224, 255)),
    "LA": (Image.new("LA", (2, 2), (0, 0)), (255, 255, 255)),
    "La": (Image.new("La", (2, 2), (10, 128)), (137, 137, 137)),  # premultiplied: 10 + 255 - 128
    "RGBa": (Image.new("RGBa", (2, 2), (10, 20, 30, 128)), (137, 147, 157)),
    "PA": (Image.new("RGBA", (2, 2), (0, 100, 255, 0)).convert("PA"), (255, 255, 255)),
    "RGBX": (Image.new("RGBX", (2, 2), (10, 20, 30, 0)), (10, 20, 30)),
    "P": (Image.new("RGB", (2, 2), (10, 20, 30)).quantize(2), (10, 20, 30)),
    "HSV": (Image.new("HSV", (2, 2), (0, 255, 200)), (200, 0, 0)),
    "LAB": (Image.new("LAB", (2, 2), (255, 128, 128)), (255, 255, 255)),
    "CMYK": (Image.new("CMYK", (2, 2), (255, 0, 0, 0)), (0, 255, 255)),
    "YCbCr": (Image.new("YCbCr", (2, 2), (128, 128, 128)), (128, 128, 128)),
    "I;16": (deep(65535, "I;16"), (255, 255, 255)),
    "I;16 middle": (deep(128 * 257, "I;16"), (128, 128, 128)),
    "I small": (deep(200, "I"), (200, 200, 200)),
    "I deep": (deep(65535, "I"), (255, 255, 255)),
    "I deepest": (deep(2**30, "I"), (128, 128, 128)),
    "F share": (deep(0.5, "F"), (128, 128, 128)),
    "F level": (deep(90.0, "F"), (90, 90, 90)),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_becomes_rgb(name):
    picture, expected = MODES[name]
    result = open_picture(picture)
    assert result.mode == "RGB"
    assert all(abs(a - b) <= 1 for a, b in zip(result.getpixel((0, 0)), expected, strict=True))


def test_a_palette_with_a_transparent_colour_shows_white():
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    content = encode(picture, "PNG", transparency=1)
    assert (pixel(content, (0, 0)), pixel(content, (1, 0))) == ((255, 0, 0), (255, 255, 255))


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (1, 0)), (3, (1, 2)), (4, (0, 2)), (5, (0, 0)), (6, (2, 0)), (7, (2, 1)), (8, (0, 1))],
)
def test_rotation_of_exif_is_carried_out(orientation, corner):
    """A red pixel at the stored upper left, in a picture 2 wide and 3 high, lands where the EXIF standard says."""
    picture = Image.new("RGB", (2, 3), (0, 0, 255))
    picture.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = open_picture(encode(picture, "PNG", exif=exif))
    assert result.size == ((2, 3) if orientation <= 4 else (3, 2))
    assert result.getpixel(corner) == (255, 0, 0)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    picture = Image.open(io.BytesIO(content))
    picture.seek(1)
    for source in (content, picture):
        red, green, _ = pixel(source)
        assert red > 200 and green < 50


def test_every_way_to_hand_over_a_picture(tmp_path):
    array = np.zeros((4, 6, 3), np.uint8)
    array[..., 1] = 200
    image = Image.fromarray(array)
    file = tmp_path / "a.png"
    image.save(file)
    ways = [
        str(file),
        file,
        file.read_bytes(),
        bytearray(file.read_bytes()),
        {"bytes": file.read_bytes(), "path": None},
        {"bytes": None, "path": str(file)},
        image,
        array,
        np.moveaxis(array, -1, 0),
        torch.from_numpy(array),
        array / 255.0,
    ]
    for way in ways:
        result = open_picture(way)
        assert result.size == (6, 4)
        assert np.array_equal(np.asarray(result), array)
    assert pixel(array[..., 1]) == (200, 200, 200)
    assert pixel(array[..., 1:2]) == (200, 200, 200)
    assert pixel(np.ones((2, 2), bool)) == (255, 255, 255)
    assert pixel(np.full((2, 2), 100 * 257, np.uint16)) == (100, 100, 100)
    assert pixel(torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16, requires_grad=True)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"no picture", r"10 bytes cannot be read as a picture: .*\."),
        ("no/such/file.jpg", "There is no file no/such/file.jpg"),
        ("https://example.org/a.jpg", "https://example.org/a.jpg is an address on the web, which is not fetched"),
        ("HTTP://example.org/a.jpg", "HTTP://example.org/a.jpg is an address on the web"),
        ("data:image/png;base64,iVBORw0KGgo=", "is an address on the web"),
        ({"path": "https://example.org/a.jpg"}, "https://example.org/a.jpg is an address on the web"),
        ({"url": "a.jpg"}, "A picture given as a dict must have bytes or path, got url"),
        ("x" * 5000, "There is no file xxx"),
        ("", "There is no file ''"),
        (b"", "0 bytes cannot be read as a picture"),
        (Image.new("RGB", (0, 5)), "The picture must have pixels, got 0 x 5"),
        (np.array([["a"]]), "An array must hold whole numbers or floats, got <U1"),
        (np.full((2, 2), np.nan), r"must lie in \[0, 1\], got nan"),
        (3.5, "A picture must be a path, bytes, a PIL image or an array, got float"),
        (np.zeros((2, 2, 7)), r"An array must be \(height, width\) with 1, 3 or 4 channels, got shape \(2, 2, 7\)"),
        (np.full((2, 2), 300), r"must lie in \[0, 255\], got 300 to 300"),
        (np.full((2, 2), 1.5), r"must lie in \[0, 1\], got 1.5 to 1.5"),
        (np.zeros((0, 2, 3)), "An array must be"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(picture, message):
    with pytest.raises(ValueError, match=message) as raised:
        open_picture(picture)
    assert "\n" not in str(raised.value)
    assert "object at 0x" not in str(raised.value)


def test_a_truncated_picture_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    content = encode(Image.fromarray(noise), "JPEG")
    with pytest.raises(ValueError, match=r"^\d+ bytes is damaged: .*truncated"):
        open_picture(content[: len(content) // 2])
    file = tmp_path / "half.jpg"
    file.write_bytes(content[: len(content) // 2])
    for source in (file, {"path": str(file)}, {"bytes": content[: len(content) // 2], "path": str(file)}):
        with pytest.raises(ValueError, match="half.jpg is damaged: .*truncated"):
            open_picture(source)


@settings(max_examples=60)
@given(
    file_format=st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]),
    places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    length=st.integers(1, 2000),
)
@pytest.mark.filterwarnings("ignore")
def test_broken_bytes_are_a_picture_or_one_sentence(file_format, places, length):
    content = bytearray(encode(Image.radial_gradient("L").resize((16, 16)).convert("RGB"), file_format))
    for at, value in places:
        content[at % len(content)] = value
    try:
        assert open_picture(bytes(content[:length])).mode == "RGB"
    except ValueError as error:
        assert "\n" not in str(error) and "object at 0x" not in str(error)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_read_although_its_exif_data_are_broken(file_format):
    content = encode(Image.new("RGB", (4, 2)), file_format, exif=b"Exif\0\0no TIFF header")
    assert open_picture(content).size == (4, 2)


def test_floats_that_are_no_number_are_black_and_harm_no_other():
    picture = Image.fromarray(np.array([[np.nan, 0.5]], np.float32))
    assert (pixel(picture, (0, 0)), pixel(picture, (1, 0))) == ((0, 0, 0), (128, 128, 128))


def test_rotation_of_a_tiff_is_carried_out_once():
    picture = Image.new("RGB", (2, 3), (0, 0, 255))
    picture.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    result = open_picture(encode(picture, "TIFF", exif=exif))
    assert result.size == (3, 2) and result.getpixel((2, 0)) == (255, 0, 0)


def test_what_is_handed_over_is_not_changed():
    frames = [Image.new("L", (4, 4), level) for level in (0, 128, 255)]
    picture = Image.open(io.BytesIO(encode(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    picture.seek(2)
    assert open_picture(picture).getpixel((0, 0)) == (0, 0, 0)
    assert picture.tell() == 2
    array = np.full((2, 2, 3), 9, np.uint8)
    open_picture(array).putpixel((0, 0), (1, 1, 1))
    assert (array == 9).all()


@given(level=st.integers(0, 65535))
def test_sixteen_bits_become_eight_by_division(level):
    """65535 is white: a level is its share of it, whether the 16 bits come as PIL image, PNG file or array."""
    expected = round(level * 255 / 65535)
    array = np.full((1, 2), level, np.uint16)
    picture = Image.fromarray(array)
    assert picture.mode == "I;16"
    for source in (picture, encode(picture, "PNG"), array):
        assert pixel(source) == (expected,) * 3


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_every_order_of_sixteen_bits(mode):
    picture = Image.new(mode, (2, 2), 100 * 257)
    assert pixel(picture) == (100, 100, 100)


def test_a_transparent_level_of_sixteen_bits_shows_white():
    picture = Image.fromarray(np.array([[5000, 10000]], np.uint16))
    content = encode(picture, "PNG", transparency=5000)
    assert (pixel(content, (0, 0)), pixel(content, (1, 0))) == ((255,) * 3, (39,) * 3)  # 10000 / 257 = 38.9


@given(colour=st.tuples(*[st.integers(0, 255)] * 3), alpha=st.integers(0, 255))
def test_alpha_is_laid_over_white(colour, alpha):
    expected = [level * alpha / 255 + 255 - alpha for level in colour]
    result = pixel(Image.new("RGBA", (1, 1), (*colour, alpha)))
    assert all(abs(a - b) <= 1 for a, b in zip(result, expected, strict=True))


@given(ink=st.tuples(*[st.integers(0, 255)] * 3), black=st.integers(0, 255))
def test_ink_takes_light_away(ink, black):
    expected = [(255 - level) * (255 - black) / 255 for level in ink]
    result = pixel(Image.new("CMYK", (1, 1), (*ink, black)))
    assert all(abs(a - b) <= 1 for a, b in zip(result, expected, strict=True))
