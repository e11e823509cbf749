"""A JPEG is decoded with no more pixels than are wanted, and never with fewer."""

import io

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter
from transformers import ViTImageProcessor
from transformers.image_utils import PILImageResampling

from duosent import ImageTextProcessor
from duosent.processing import pictures
from duosent.processing.pictures import Resizing, open_picture
from duosent.processing.processing_image_text import resizing_of

BILINEAR, BICUBIC = PILImageResampling.BILINEAR, PILImageResampling.BICUBIC
ORIENTATION = 0x0112


def encode(image: Image.Image, file_format="JPEG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def scene(width: int, height: int, mode="RGB") -> Image.Image:
    """Shapes and soft noise, red in the upper left corner."""
    noise = np.random.default_rng(0).integers(96, 161, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).filter(ImageFilter.BoxBlur(2))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((width // 3, height // 3, width, height), fill=(20, 90, 200), outline=(255, 255, 255), width=5)
    draw.rectangle((0, 0, width // 3, height // 3), fill=(250, 10, 10))
    return picture.convert(mode)


def with_orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return exif


@pytest.fixture
def decoded(monkeypatch) -> list[tuple[int, int]]:
    """The sizes that pictures were decoded at."""
    sizes, to_rgb = [], pictures._to_rgb

    def remember(picture):
        sizes.append(picture.size)
        return to_rgb(picture)

    monkeypatch.setattr(pictures, "_to_rgb", remember)
    return sizes


def apart(picture, other) -> np.ndarray:
    return abs(np.asarray(picture, int) - np.asarray(other, int))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    wanted=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    orientation=st.integers(1, 8),
)
@example(size=(800, 640), wanted=(160, 200), orientation=1)
@example(size=(799, 640), wanted=(160, 200), orientation=1)
@example(size=(640, 800), wanted=(160, 200), orientation=6)
def test_no_side_is_decoded_with_less_than_twice_what_is_wanted(decoded, size, wanted, orientation):
    file = encode(Image.new("L", size), exif=with_orientation(orientation))
    reduced = open_picture(file, Resizing(*wanted, BILINEAR))
    least = wanted if orientation in (5, 6, 7, 8) else wanted[::-1]  # Pillow says the width first
    allowed = [
        scale
        for scale in (2, 4, 8)
        if all(side >= 2 * scale * pixels for side, pixels in zip(size, least, strict=True))
    ]
    upright = size[::-1] if orientation in (5, 6, 7, 8) else size
    if not allowed:
        assert decoded[-1] == size and reduced.size == upright
        return
    assert decoded[-1] == tuple(-(-side // max(allowed)) for side in size)
    assert all(side >= 2 * pixels for side, pixels in zip(decoded[-1], least, strict=True))
    assert reduced.size == wanted[::-1]


@pytest.mark.parametrize("way", [BILINEAR, BICUBIC])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=["", "progressive", "4:4:4"])
def test_what_the_model_reads_hardly_changes(decoded, way, mode, options):
    # Sides that no scale divides: what is behind the edge must not become part of the picture.
    file = encode(scene(901, 1207, mode), quality=90, **options)
    reduced = open_picture(file, Resizing(72, 64, way))
    assert decoded == [(226, 302)] and reduced.mode == "RGB"
    whole = open_picture(file).resize((64, 72), way)
    assert apart(whole, reduced).mean() < 0.25
    assert apart(whole, reduced)[:-1, :-1].max() < 10  # at the edges half a pixel more or less is seen


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_of_exif_is_carried_out(decoded, orientation):
    file = encode(scene(640, 401), quality=95, exif=with_orientation(orientation))
    wanted = (50, 80) if orientation < 5 else (80, 50)
    reduced = open_picture(file, Resizing(*wanted, BILINEAR))
    assert decoded == [(160, 101)]
    assert apart(open_picture(file).resize(wanted[::-1], BILINEAR), reduced).mean() < 1


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_other_formats_come_as_they_are(file_format):
    for options in ({}, {"exif": with_orientation(6)}):
        file = encode(scene(300, 200), file_format, **options)
        whole, again = open_picture(file), open_picture(file, Resizing(10, 10, BILINEAR))
        assert again.size == whole.size and again.tobytes() == whole.tobytes()


def test_a_jpeg_without_pixels_to_spare_comes_as_it_is(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(scene(119, 121)))
    assert open_picture(path, Resizing(30, 30, BILINEAR)).tobytes() == open_picture(path).tobytes()
    assert open_picture(path, Resizing(30, 29, BILINEAR)).size == (29, 30)


def test_of_several_pictures_in_a_file_the_first_is_reduced(decoded):
    first = scene(400, 400)
    file = encode(first, "MPO", save_all=True, append_images=[Image.new("RGB", (400, 400))])
    reduced = open_picture(file, Resizing(50, 50, BILINEAR))
    assert decoded == [(100, 100)]
    assert reduced.getpixel((5, 5))[0] > 200


def test_a_picture_that_is_handed_over_is_not_reduced():
    picture = Image.open(io.BytesIO(encode(scene(400, 400))))
    assert open_picture(picture, Resizing(10, 10, BILINEAR)).size == picture.size == (400, 400)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["", "progressive"])
def test_a_file_that_is_cut_is_refused_as_ever(options):
    file = encode(scene(400, 300), **options)
    for length in range(0, len(file), len(file) // 12):
        with pytest.raises(ValueError) as whole:
            open_picture(file[:length])
        with pytest.raises(ValueError) as reduced:
            open_picture(file[:length], Resizing(20, 20, BILINEAR))
        assert str(reduced.value) == str(whole.value)


# The processor


def test_the_processor_reduces_files_unless_it_is_told_otherwise(tokenizer, decoded, tmp_path):
    file = encode(scene(520, 393), quality=95)
    resize = ViTImageProcessor(size={"height": 48, "width": 64})
    usual = ImageTextProcessor(resize, tokenizer)
    plain = ImageTextProcessor(resize, tokenizer, reduced_decoding=False)
    whole = resize(open_picture(file), return_tensors="pt")["pixel_values"]
    small = resize(open_picture(file, Resizing(48, 64, BILINEAR)), return_tensors="pt")["pixel_values"]
    assert decoded == [(520, 393), (130, 99)]
    assert 0 < (small - whole).abs().mean() < 0.02
    assert torch.equal(usual(images=file)["pixel_values"], small)
    assert torch.equal(plain(images=file)["pixel_values"], whole)
    assert torch.equal(usual(images=open_picture(file))["pixel_values"], whole)
    plain.save_pretrained(tmp_path)
    assert ImageTextProcessor.from_pretrained(tmp_path).reduced_decoding is False


def test_a_call_that_resizes_otherwise_gets_every_pixel(processor):
    file = encode(scene(520, 392))
    for options in ({"size": {"height": 30, "width": 30}}, {"do_resize": False}, {"resample": BICUBIC}):
        whole = processor.image_processor(open_picture(file), return_tensors="pt", **options)["pixel_values"]
        assert torch.equal(processor(images=file, **options)["pixel_values"], whole)


@pytest.mark.parametrize(
    ("options", "resizing"),
    [
        ({"size": {"height": 48, "width": 64}}, Resizing(48, 64, BILINEAR)),
        ({"size": {"height": 48, "width": 64}, "resample": BICUBIC}, Resizing(48, 64, BICUBIC)),
        ({"size": {"shortest_edge": 50}}, None),
        ({"size": {"height": 48, "width": 64}, "do_resize": False}, None),
        ({"size": {"height": 48, "width": 64}, "resample": PILImageResampling.NEAREST}, None),
    ],
)
def test_what_an_image_processor_does_first(options, resizing):
    assert resizing_of(ViTImageProcessor(**options)) == resizing
