"""Posts to try, drawn here."""

from pathlib import Path

from PIL import Image, ImageDraw


def example_posts(folder: Path) -> list[tuple[str, str | None]]:
    """Words and the path of a picture, each of which may be missing; the pictures are written to the folder."""
    sun, rain = folder / "sun.png", folder / "rain.png"
    draw_sun().save(sun)
    draw_rain().save(rain)
    return [
        ("What a wonderful day at the sea", str(sun)),
        ("What a wonderful day, no bus and no umbrella", str(rain)),
        ("I miss you so much", None),
        ("", str(rain)),
    ]


def draw_sun() -> Image.Image:
    picture = Image.new("RGB", (320, 240), (148, 204, 240))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((200, 30, 270, 100), fill=(255, 208, 56))
    draw.rectangle((0, 150, 320, 240), fill=(38, 110, 168))
    draw.polygon([(60, 165), (150, 165), (130, 190), (80, 190)], fill=(120, 72, 40))
    draw.polygon([(104, 60), (104, 158), (160, 158)], fill=(250, 250, 246))
    return picture


def draw_rain() -> Image.Image:
    picture = Image.new("RGB", (320, 240), (108, 116, 128))
    draw = ImageDraw.Draw(picture)
    for left in (50, 100, 150):
        draw.ellipse((left, 30, left + 100, 100), fill=(66, 72, 84))
    for number in range(24):
        x, y = 40 + 47 * number % 240, 110 + 31 * number % 100
        draw.line((x, y, x - 6, y + 20), fill=(170, 194, 226), width=3)
    return picture
