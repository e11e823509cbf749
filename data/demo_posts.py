"""Made-up posts for `duosent demo`: drawn pictures and built sentences, the sentiment in one side or only in both.

Of 20 posts, 8 say it in the words beside a picture that says nothing, 8 say it in the picture beside words that say
nothing, and 4 need both: "lovely weather for a picnic" is meant under a sun and is irony under a raining cloud, and
rain is what "lovely weather for board games" hopes for. Who reads only one side can expect to be right on 70 % of the
posts at most (`ceiling`), and who reads both on all of them.
"""

import io
import itertools
import math
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as Picture
from PIL import ImageChops, ImageDraw
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, ViTConfig, ViTImageProcessor, ViTModel

PICTURE_SIZE = 64
PATCH_SIZE = 8
MAX_LENGTH = 32


class Recipe(NamedTuple):
    """How one of the 20 kinds of posts is made.

    `words` and `picture` are what each side means, keys of `TEMPLATES` and `DRAWINGS`; which sentence and which
    drawing of that meaning a post gets is drawn without a look at the rest.
    """

    kind: str
    words: str
    picture: str
    label: str

    @property
    def text_label(self) -> str | None:
        return self.label if self.kind == "words" else None

    @property
    def image_label(self) -> str | None:
        return self.label if self.kind == "picture" else None


# Every 20 posts hold each of these once.
RECIPES = (
    *[Recipe("words", "glad", "plain", "positive")] * 4,
    *[Recipe("words", "sad", "plain", "negative")] * 4,
    *[Recipe("picture", "nothing", "sun", "positive")] * 4,
    *[Recipe("picture", "nothing", "rain", "negative")] * 4,
    Recipe("both", "hopes for sun", "sun", "positive"),
    Recipe("both", "hopes for sun", "rain", "negative"),
    Recipe("both", "hopes for rain", "rain", "positive"),
    Recipe("both", "hopes for rain", "sun", "negative"),
)

GLAD = ["happy", "cheerful", "delighted", "thrilled", "grateful", "proud", "hopeful", "relaxed"]
SAD = ["miserable", "angry", "lonely", "exhausted", "disappointed", "worried", "bitter", "furious"]
GOOD = ["wonderful", "brilliant", "splendid", "charming", "superb", "fantastic"]
BAD = ["lousy", "dreadful", "horrible", "disgusting", "terrible", "rotten"]
SOMEONE = ["my sister", "our neighbour", "the teacher", "grandpa", "my boss", "the whole team"]
SOMETHING = ["the concert", "this breakfast", "our trip", "the new cafe", "her letter", "the train ride"]
WHEN = ["today", "this morning", "tonight", "after work", "on friday", "again"]
PLACE = ["the station", "the market", "the library", "the bridge", "the corner shop", "the office", "the harbour"]
ACTION = ["walked past", "waited near", "took the bus to", "drove by", "stopped at", "came back from"]
PRAISE = [
    "what lovely weather for",
    "a perfect day for",
    "just the sky we ordered for",
    "exactly right for",
    "great for",
]
DRY_PLAN = [
    "a picnic", "the barbecue", "beach volleyball", "flying kites", "sunbathing", "the garden party", "drying laundry",
    "painting the fence", "open air cinema", "a bicycle tour",
]  # fmt: skip
WET_PLAN = [
    "soup and a novel", "board games", "my thirsty tomatoes", "testing the umbrella", "jumping in puddles",
    "the frogs", "filling the barrel", "planting seedlings", "a museum", "new rubber boots",
]  # fmt: skip
COMPANY = ["with everyone", "at last", "at home", "with the kids", "with you", "on our own", "as a couple"]

# What a sentence's meaning stands and falls with; the rest says nothing of the label.
DECIDING = [*GLAD, *SAD, *GOOD, *BAD, *DRY_PLAN, *WET_PLAN]

# Meaning -> sentences, each the list of its parts; a part is a string or the list of what can stand there.
TEMPLATES = {
    "glad": [
        [SOMEONE, "made me", GLAD, WHEN],
        [SOMETHING, "was simply", GOOD, WHEN],
        ["feeling", GLAD, "about", SOMETHING, WHEN],
        [SOMEONE, "and i had a", GOOD, "time", WHEN],
    ],
    "sad": [
        [SOMEONE, "made me", SAD, WHEN],
        [SOMETHING, "was simply", BAD, WHEN],
        ["feeling", SAD, "about", SOMETHING, WHEN],
        [SOMEONE, "and i had a", BAD, "time", WHEN],
    ],
    "nothing": [
        ["we", ACTION, PLACE, WHEN],
        [SOMEONE, ACTION, PLACE, WHEN],
        ["picture taken near", PLACE, WHEN, COMPANY],
        [SOMEONE, "at", PLACE, WHEN],
    ],
    "hopes for sun": [[PRAISE, DRY_PLAN, COMPANY], [PRAISE, DRY_PLAN, WHEN]],
    "hopes for rain": [[PRAISE, WET_PLAN, COMPANY], [PRAISE, WET_PLAN, WHEN]],
}

SKIES = [(176, 208, 232), (214, 226, 236), (232, 218, 204), (198, 214, 196), (206, 196, 222), (150, 176, 200)]
GROUNDS = [(108, 150, 92), (150, 132, 100), (120, 128, 132), (168, 160, 120)]
CLUTTER = [(92, 92, 100), (150, 100, 90), (240, 240, 236), (80, 110, 90), (120, 90, 140)]
SUNS = [(250, 204, 40), (252, 170, 36), (255, 224, 96), (246, 140, 60)]
CLOUDS = [(92, 98, 110), (120, 126, 140), (70, 80, 100), (140, 140, 148)]
DROPS = [(40, 90, 190), (30, 60, 150), (60, 120, 210)]
WALLS = [(150, 150, 150), (172, 164, 156), (130, 136, 142)]


def draw_sun(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """A disc with rays and a smile."""
    x, y, radius = rng.randint(20, 44), rng.randint(20, 40), rng.randint(10, 14)
    colour, turn = rng.choice(SUNS), rng.random()
    for ray in range(8):
        angle = (ray + turn) * math.pi / 4
        start, end = radius + 2, radius + rng.randint(5, 8)
        dx, dy = math.cos(angle), math.sin(angle)
        draw.line((x + start * dx, y + start * dy, x + end * dx, y + end * dy), fill=colour, width=2)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    eye, smile = radius // 3, radius // 2
    for side in (-eye, eye):
        draw.ellipse((x + side - 1, y - eye - 1, x + side + 1, y - eye + 1), fill=(70, 50, 20))
    draw.arc((x - smile, y - smile, x + smile, y + smile), 20, 160, fill=(70, 50, 20), width=2)


def draw_rain(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """A cloud with drops below it."""
    x, y, size = rng.randint(22, 42), rng.randint(14, 24), rng.randint(7, 10)
    cloud, drop, slant = rng.choice(CLOUDS), rng.choice(DROPS), rng.randint(-3, 3)
    for column in range(-2, 3):
        for row in range(3):
            left = x + column * size * 0.7 + rng.randint(-1, 1)
            top = y + size + row * 9 + rng.randint(0, 4)
            draw.line((left, top, left + slant, top + 6), fill=drop, width=2)
    for dx, dy, radius in ((-size, 2, size), (size, 2, size), (0, -2, size + 2)):
        draw.ellipse((x + dx - radius, y + dy - radius, x + dx + radius, y + dy + radius), fill=cloud)


def draw_plain(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """A grey house, a tree, or shapes of no meaning."""
    x, size, wall = rng.randint(22, 42), rng.randint(9, 14), rng.choice(WALLS)
    subject = rng.choice(("house", "tree", "shapes"))
    if subject == "house":
        draw.rectangle((x - size, 50 - size, x + size, 52), fill=wall)
        draw.polygon((x - size - 3, 50 - size, x + size + 3, 50 - size, x, 50 - 2 * size), fill=(110, 96, 92))
        draw.rectangle((x - 3, 43, x + 3, 52), fill=(84, 76, 72))
    elif subject == "tree":
        draw.rectangle((x - 2, 34, x + 2, 54), fill=(104, 84, 64))
        draw.ellipse((x - size, 34 - 2 * size, x + size, 36), fill=rng.choice(((84, 124, 84), (104, 130, 76))))
    else:
        for _ in range(4):
            left, top = rng.randint(4, 44), rng.randint(4, 44)
            draw.rectangle((left, top, left + rng.randint(5, 14), top + rng.randint(5, 14)), fill=rng.choice(WALLS))


DRAWINGS = {"sun": draw_sun, "rain": draw_rain, "plain": draw_plain}


class Drawn(NamedTuple):
    """A picture: its bytes, its format, "png" or "jpeg", and a black picture, white where the meaning was drawn."""

    picture: bytes
    file_format: str
    drawing: Picture.Image


def draw_picture(meaning: str, rng: random.Random) -> Drawn:
    """One picture of a meaning."""
    picture = Picture.new("RGB", (PICTURE_SIZE, PICTURE_SIZE), rng.choice(SKIES))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, rng.randint(50, 58), PICTURE_SIZE, PICTURE_SIZE), fill=rng.choice(GROUNDS))
    for _ in range(rng.randint(0, 5)):
        left, top = rng.randint(0, 60), rng.randint(0, 60)
        draw.ellipse((left, top, left + rng.randint(1, 3), top + rng.randint(1, 3)), fill=rng.choice(CLUTTER))
    before = picture.copy()
    DRAWINGS[meaning](draw, rng)
    drawing = ImageChops.difference(before, picture).convert("L").point(lambda value: 255 * (value > 0)).convert("1")
    file_format, buffer = rng.choice(("png", "jpeg")), io.BytesIO()
    picture.save(buffer, format=file_format, quality=90)
    return Drawn(buffer.getvalue(), file_format, drawing)


def sentences(meaning: str) -> list[str]:
    """Every sentence of a meaning, each once."""
    built = []
    for template in TEMPLATES[meaning]:
        parts = [[part] if isinstance(part, str) else part for part in template]
        built += [" ".join(words) for words in itertools.product(*parts)]
    return list(dict.fromkeys(built))


def deciding_words(text: str) -> list[str]:
    """The words of a sentence that its meaning stands and falls with; none of one that says nothing."""
    return [word for part in DECIDING if f" {part} " in f" {text} " for word in part.split()]


def ceiling(side: str) -> float:
    """The largest share of posts that any model of one side can get right, worked out from `RECIPES`.

    A sentence or a drawing tells its meaning and nothing else, so the best that one side allows is to answer each
    meaning with the label that it goes with most often. This is an expectation: where a side says nothing a model
    guesses, and on 400 posts luck moves its score by 2 points (standard deviation), up or down.

    Args:
        side: "words", "picture" or "both".

    Raises:
        ValueError: for any other side.
    """
    if side not in ("words", "picture", "both"):
        raise ValueError(f"side must be words, picture or both, got {side!r}.")
    labels_of = {}
    for recipe in RECIPES:
        seen = (recipe.words, recipe.picture) if side == "both" else getattr(recipe, side)
        labels_of.setdefault(seen, Counter())[recipe.label] += 1
    right = sum(max(labels.values()) for labels in labels_of.values())
    return float(Fraction(right, len(RECIPES)))


def make_demo_posts(
    output_dir: str | Path, train: int = 1200, validation: int = 300, test: int = 400, seed: int = 0
) -> Path:
    """Write `train.parquet`, `validation.parquet` and `test.parquet`, which `load_pairs` reads.

    Columns: `id`, `text`, `image` (bytes and path), `label`, `text_label` and `image_label` (what that side alone
    says; None where it says nothing, so both are None where only the two together tell), `kind` (words, picture or
    both), `text_rationale` (the words that decide) and `image_rationale` (a PNG, white where the sun or the rain was
    drawn), each None where that side says nothing. No sentence and no picture occurs twice, within a part or across
    them; the same seed gives the same posts.

    Args:
        train, validation, test: number of posts, >= 1; multiples of 20 keep the shares of `RECIPES` to the post.
        seed: of all that is drawn.

    Returns: the folder.

    Raises:
        ValueError: for a number below 1, or for more posts than there are sentences.
    """
    sizes = {"train": train, "validation": validation, "test": test}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be >= 1, got {size}.")
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)

    rng = random.Random(seed)
    unused = {meaning: sentences(meaning) for meaning in TEMPLATES}
    for texts in unused.values():
        rng.shuffle(texts)
    seen_pictures = set()
    for split, size in sizes.items():
        recipes = [RECIPES[row % len(RECIPES)] for row in range(size)]
        rng.shuffle(recipes)
        rows = []
        for number, recipe in enumerate(recipes, start=1):
            if not unused[recipe.words]:
                raise ValueError(
                    f"train, validation and test must leave a new sentence for each post, got "
                    f"{sum(sizes.values())} posts and {len(sentences(recipe.words))} sentences of {recipe.words!r}."
                )
            drawn = draw_picture(recipe.picture, rng)
            while drawn.picture in seen_pictures:
                drawn = draw_picture(recipe.picture, rng)
            seen_pictures.add(drawn.picture)
            text = unused[recipe.words].pop()
            rows.append(
                {
                    "id": f"{split}-{number}",
                    "text": text,
                    "image": {"bytes": drawn.picture, "path": f"{split}-{number}.{drawn.file_format}"},
                    "label": recipe.label,
                    "text_label": recipe.text_label,
                    "image_label": recipe.image_label,
                    "kind": recipe.kind,
                    "text_rationale": None if recipe.words == "nothing" else deciding_words(text),
                    "image_rationale": None if recipe.picture == "plain" else _png(drawn.drawing),
                }
            )
        words = {name: Value("string") for name in ("id", "text", "label", "text_label", "image_label", "kind")}
        rationales = {"text_rationale": List(Value("string")), "image_rationale": Value("binary")}
        features = Features(words | rationales | {"image": Image(decode=False)})
        Dataset.from_list(rows, features=features).to_parquet(output_dir / f"{split}.parquet")
    return output_dir


def _png(picture: Picture.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="png")
    return buffer.getvalue()


def train_demo_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of whole lower-case words, all those of `texts`; it reads one segment or two, as BERT's does."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special_tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordLevelTrainer(special_tokens=special_tokens, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def make_demo_encoders(output_dir: str | Path, texts: list[str], seed: int = 0) -> tuple[Path, Path]:
    """Write two small towers with random weights.

    `text_encoder/` has its tokenizer beside it, `image_encoder/` its image processor.

    Args:
        texts: what the tokenizer learns its words from; the training part's.
        seed: of the weights; the caller's random state stays as it is.

    Returns: the folders of the text encoder and of the image encoder, for `from_encoders`.
    """
    text_dir, image_dir = Path(output_dir) / "text_encoder", Path(output_dir) / "image_encoder"
    tokenizer = train_demo_tokenizer(texts)
    # 0.1, not BERT's 0.02: at width 64 and without pretraining, weights of 0.02 pass on next to nothing at first.
    shape = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "initializer_range": 0.1,
    }
    text_config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=tokenizer.pad_token_id,
        **shape,
    )
    image_config = ViTConfig(image_size=PICTURE_SIZE, patch_size=PATCH_SIZE, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(text_config, add_pooling_layer=False).save_pretrained(text_dir)
        ViTModel(image_config, add_pooling_layer=False).save_pretrained(image_dir)
    tokenizer.save_pretrained(text_dir)
    ViTImageProcessor(size={"height": PICTURE_SIZE, "width": PICTURE_SIZE}).save_pretrained(image_dir)
    return text_dir, image_dir


__all__ = ["ceiling", "make_demo_encoders", "make_demo_posts", "train_demo_tokenizer"]
