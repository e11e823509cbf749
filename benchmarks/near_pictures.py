"""How far apart the perceptual hashes of alike and of unlike pictures lie; what `duosent audit`'s distance rests on.

    python benchmarks/near_pictures.py --data ../shared/data/msed --seed 0

First table: pairs of different pictures of the data by the bits in which their hashes differ, and how many of them
correlate above 0.9, as grey pictures of 32 x 32. Second table: which share of 400 pictures has a hash within so many
bits of that of its own copy, made smaller, coarser, brighter or cut at the edges.
"""

import argparse
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageEnhance

from duosent.data.doubles import HASH_PIXELS, near_pairs, picture_keys
from duosent.data.pairs import load_pairs
from duosent.processing.pictures import open_picture

FARTHEST = 12
COPIES = 400


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def cut(picture: Image.Image, share: float) -> Image.Image:
    """Without `share` of its width and of its height, half of it on either side."""
    x, y = int(picture.width * share / 2), int(picture.height * share / 2)
    return picture.crop((x, y, picture.width - x, picture.height - y))


CHANGES = {
    "JPEG quality 30": lambda picture: jpeg(picture, 30),
    "JPEG quality 10": lambda picture: jpeg(picture, 10),
    "half the size": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "half the size, quality 30": lambda picture: jpeg(picture.resize((picture.width // 2, picture.height // 2)), 30),
    "squeezed to 224 x 224": lambda picture: picture.resize((224, 224)),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "brighter by 20 %": lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
    "cut by 2 %": lambda picture: cut(picture, 0.02),
    "cut by 5 %": lambda picture: cut(picture, 0.05),
    "cut by 10 %": lambda picture: cut(picture, 0.1),
}


def pictures(data: str) -> Iterator[Image.Image]:
    for rows in load_pairs(data, label_column=None, check_rows=False).values():
        for row in rows:
            yield open_picture(row["image"])


def pairs_by_distance(data: str) -> tuple[list[list], list[int]]:
    """Rows of the first table, and the places of pictures that have a hash."""
    hashes, greys, places = {}, [], []
    for place, picture in enumerate(pictures(data)):
        _, bits = picture_keys(picture)
        if bits is None:
            continue
        places.append(place)
        hashes.setdefault(bits, len(greys))  # one picture of each hash
        grey = np.asarray(picture.convert("L").resize((HASH_PIXELS, HASH_PIXELS)), float).ravel()
        greys.append((grey - grey.mean()) / np.linalg.norm(grey - grey.mean()))
    found = near_pairs(np.array(list(hashes), np.uint64), FARTHEST)
    bits, first = list(hashes), list(hashes.values())
    table = {}
    for one, other in found.tolist():
        alike = float(greys[first[one]] @ greys[first[other]])
        table.setdefault((bits[one] ^ bits[other]).bit_count(), []).append(alike > 0.9)
    return [[distance, len(alike), sum(alike)] for distance, alike in sorted(table.items())], places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=0, help="draws the pictures that are copied")
    options = parser.parse_args()

    table, places = pairs_by_distance(options.data)
    print("| bits | pairs | alike |\n|---|---|---|")
    for row in table:
        print("| " + " | ".join(map(str, row)) + " |")

    drawn = set(np.random.RandomState(options.seed).choice(places, COPIES, replace=False).tolist())
    distances = {name: [] for name in CHANGES}
    for place, picture in enumerate(pictures(options.data)):
        if place not in drawn:
            continue
        _, own = picture_keys(picture)
        for name, change in CHANGES.items():
            _, bits = picture_keys(change(picture))
            distances[name].append(64 if bits is None else (own ^ bits).bit_count())
    print("\n| copy | 2 bits | 4 | 6 | 8 |\n|---|---|---|---|---|")
    for name, bits in distances.items():
        shares = [f"{100 * np.mean(np.array(bits) <= most):.1f}" for most in (2, 4, 6, 8)]
        print(f"| {name} | " + " | ".join(shares) + " |")


if __name__ == "__main__":
    main()
