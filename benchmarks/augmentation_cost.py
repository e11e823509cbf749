"""What each augmentation costs beside the processor, on a batch of 32 made-up posts with pictures of 224 pixels.

    python benchmarks/augmentation_cost.py
    WNSEARCHDIR=/usr/share/wordnet python benchmarks/augmentation_cost.py --rounds 50

Each round takes the processor's time of the plain collator and of the collator with each augmentation, one after the
other, on the same posts; the table gives the median over the rounds of each time, and of its ratio to the plain one of
the same round. Each augmentation is at its default. Each round is an epoch: the words drawn differ, and what WordNet
was asked before is remembered, as in training.
"""

import argparse
import io
import statistics
import time

import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

from duosent import ImageTextCollator, ImageTextProcessor
from duosent.processing.augmentation import AugmentingCollator, PictureAugmentation
from duosent.processing.synonyms import SynonymReplacement

WORDS = """
city street summer picture movie family happy beautiful terrible awful funny great old little girl boy woman kid dog
house garden morning party music game dinner coffee trip beach walk begin buy stop laugh cry believe surely really now
the a this that my your with in on at and but of to is was are it they we you not so very
""".split()  # noqa: SIM905


def made_up_posts(rows: int, words: int, side: int) -> list[dict]:
    """Smooth coloured pictures as JPEG files, and words in no order."""
    draws = torch.Generator().manual_seed(0)
    posts = []
    for number in range(rows):
        coarse = torch.randint(0, 256, (side // 32, side // 24, 3), generator=draws, dtype=torch.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse.numpy()).resize((side * 4 // 3, side), Image.Resampling.BICUBIC).save(file, "JPEG")
        chosen = torch.randint(0, len(WORDS), (words,), generator=draws).tolist()
        text = " ".join(WORDS[index] for index in chosen)
        posts.append({"id": str(number), "text": text, "image": {"bytes": file.getvalue(), "path": None}, "label": 0})
    return posts


def made_up_processor() -> ImageTextProcessor:
    vocabulary = {token: index for index, token in enumerate(["[PAD]", "[UNK]", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    return ImageTextProcessor(ViTImageProcessor(), tokenizer, max_length=128)


def collators(plain: ImageTextCollator) -> dict[str, AugmentingCollator]:
    usual = PictureAugmentation()
    pictures = {
        "flip": PictureAugmentation(usual.flip, 0, 0),
        "crop with padding": PictureAugmentation(0, usual.crop, 0),
        "erasing": PictureAugmentation(0, 0, usual.erasing),
        "all three": usual,
    }
    made = {name: AugmentingCollator(plain, augmentation) for name, augmentation in pictures.items()}
    try:
        words = SynonymReplacement()
    except (ValueError, ImportError) as error:
        print(f"Without synonyms: {error}\n")
        return made
    return made | {
        "synonyms": AugmentingCollator(plain, words=words),
        "all four": AugmentingCollator(plain, usual, words),
    }


def seconds(collate, rows: list[dict]) -> float:
    start = time.process_time()  # a busy machine falls on the clock, not on this
    collate(rows)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="(%(default)s)")
    parser.add_argument("--rows", type=int, default=32, help="posts in a batch (%(default)s)")
    parser.add_argument("--words", type=int, default=16, help="words of a post (%(default)s)")
    parser.add_argument("--side", type=int, default=384, help="height of the pictures' files (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker process of a data loader
    rows = made_up_posts(options.rows, options.words, options.side)
    plain = ImageTextCollator(made_up_processor())
    measured = {"processor alone": plain, **collators(plain)}
    times: dict[str, list[float]] = {name: [] for name in measured}
    for epoch in range(options.rounds + 1):
        for name, collate in measured.items():
            if isinstance(collate, AugmentingCollator):
                collate.set_epoch(epoch)
            times[name].append(seconds(collate, rows))
    print("| | ms a batch | ratio |\n|---|---|---|")
    base = times["processor alone"][1:]  # the first round warms up
    for name, taken in times.items():
        ratio = statistics.median(t / b for t, b in zip(taken[1:], base, strict=True))
        print(f"| {name} | {1000 * statistics.median(taken[1:]):.1f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
