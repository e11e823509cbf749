"""What is known of one answer to one post: maps, shares and scores, as arrays that any program can read."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from duosent.inference.map_colours import colour_picture
from duosent.inference.picture_maps import Box, over_picture
from duosent.inference.word_maps import Word
from duosent.training.checkpoints import CallError, read_json, write_json

FACTS, ARRAYS, PICTURE = "explanation.json", "maps.safetensors", "picture.png"
# Of a `PostMap`.
PARTS = ("words", "patches", "word_regions", "region_words")


@dataclass
class PostMap:
    """One way to say which words and which regions of a post matter; `W` words, `R` x `C` patches.

    Args:
        meaning: what it shows, in one plain sentence.
        words: `(W,)`; None where the post, or the model, has no words.
        patches: `(R, C)`, over the part of the picture that the model saw; None without a picture.
        signed: whether a value may be below 0, and then speaks against the label.
        rest: what tokens of no word have, the special ones: `words.sum() + rest` is the whole of that side. None
            where the words are no parts of a whole.
        word_regions: of an alignment, `(W, R, C)`: how each word's attention lies over the patches, which sums to 1.
        region_words: of an alignment, `(R, C, W)`: how each patch's attention lies over the words, which sums to 1.
    """

    meaning: str
    words: np.ndarray | None = None
    patches: np.ndarray | None = None
    signed: bool = False
    rest: float | None = None
    word_regions: np.ndarray | None = None
    region_words: np.ndarray | None = None


class Completeness(NamedTuple):
    """How far attributions sum to what they explain.

    Args:
        difference: log-odds of the post less those of its baseline.
        attributed: the sum of all attributions.
        steps: points on the path between the two.
    """

    difference: float
    attributed: float
    steps: int

    @property
    def gap(self) -> float:
        return self.attributed - self.difference


@dataclass
class Answer:
    """What a model says to a post, or to one of several tasks, and how far each side moved it.

    Args:
        task: its name; `label` of a model with a single one.
        label: the label that is explained.
        answered: whether it is the model's own answer.
        scores: label -> score, calibrated where the checkpoint is.
        values: log-odds of the label, with `both` sides, `words` alone, `picture` alone, and `neither`.
        shares: `words` and `picture`: Shapley values, which sum to `both - neither`. A side that the post lacks has 0.
        completeness: of the attributions; None without them.
    """

    task: str
    label: str
    answered: bool
    scores: dict[str, float]
    values: dict[str, float]
    shares: dict[str, float]
    completeness: Completeness | None = None

    @property
    def score(self) -> float:
        return self.scores[self.label]


@dataclass
class Explanation:
    """One post, one model, and what the model used.

    Args:
        model: name of the checkpoint.
        model_type: such as `mdse`.
        answers: one for each task, in order.
        id: of a post of a table.
        text, target: as the model read them, cleaned; None where the post has none, or the model reads none.
        words: `W` of them, in the order of the maps.
        token_words: `(T,)`, number of the word of each token of the row without padding, -1 for special tokens.
        picture: `(height, width, 3)` of whole numbers from 0 to 255, upright; None likewise.
        box: the part of the picture that the model saw.
        reads_text, reads_image: whether the model reads that side at all.
        calibrated: whether the scores are calibrated.
        maps: name -> `PostMap`. MDSE `importance` and `kept`, RADM `alignment`, all models `attributions`, or with
            several tasks `attributions_<task>`.
        private_scores: of MDSE, label -> score under `full`, `without_text_private` and `without_image_private`.
        ablations: name of another run -> label -> score.
    """

    model: str
    model_type: str
    answers: list[Answer]
    id: str | None = None
    text: str | None = None
    target: str | None = None
    words: list[Word] = field(default_factory=list)
    token_words: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    picture: np.ndarray | None = None
    box: Box | None = None
    reads_text: bool = True
    reads_image: bool = True
    calibrated: bool = False
    maps: dict[str, PostMap] = field(default_factory=dict)
    private_scores: dict[str, dict[str, float]] = field(default_factory=dict)
    ablations: dict[str, dict[str, float]] = field(default_factory=dict)

    def over_picture(self, name: str) -> np.ndarray:
        """A map at the picture's own size, `(height, width)`; NaN where the model saw nothing.

        Raises:
            KeyError: if there is no such map.
            ValueError: if it has no patches.
        """
        return self.laid_over(self.maps[name].patches)

    def laid_over(self, patches: np.ndarray | None) -> np.ndarray:
        """Any `(R, C)` of this post, such as one word's regions, as `over_picture`."""
        if patches is None or self.picture is None:
            raise ValueError("The map must have patches to be laid over a picture, got none.")
        height, width = self.picture.shape[:2]
        return over_picture(patches, self.box, width, height)

    def pictures(self) -> dict[str, Image.Image]:
        """Each map that has patches, drawn over the picture at its own size."""
        return {
            name: colour_picture(Image.fromarray(self.picture), self.over_picture(name), of.signed)
            for name, of in self.maps.items()
            if of.patches is not None
        }

    def save(self, folder: str | Path) -> None:
        """Write `explanation.json`, `maps.safetensors` (arrays `<map>.words`, `<map>.patches`, ... and
        `token_words`), `picture.png` and each picture map as `<map>.png`. Files of these names are replaced.

        Raises:
            CallError: if the folder is a file.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise CallError(f"The folder for maps must not be a file, got {folder}.")
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"{name}.{part}": getattr(of, part) for name, of in self.maps.items() for part in PARTS}
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
        save_file({"token_words": self.token_words, **arrays}, folder / ARRAYS)
        facts = {name: value for name, value in vars(self).items() if name not in ("maps", "picture", "token_words")}
        facts["answers"] = [asdict(answer) for answer in self.answers]
        facts["words"] = [word._asdict() for word in self.words]
        facts["maps"] = {
            name: {"meaning": of.meaning, "signed": of.signed, "rest": of.rest} for name, of in self.maps.items()
        }
        write_json(folder / FACTS, json.loads(json.dumps(facts)))
        if self.picture is not None:
            Image.fromarray(self.picture).save(folder / PICTURE)
        for name, picture in self.pictures().items():
            picture.save(folder / f"{file_name(name)}.png")

    @classmethod
    def load(cls, folder: str | Path) -> "Explanation":
        """What `save` wrote.

        Raises:
            CallError: if the folder holds none.
        """
        folder = Path(folder)
        facts = read_json(folder / FACTS)
        if not facts:
            raise CallError(f"{folder} must hold an explanation, but it has no {FACTS}.")
        arrays = load_file(folder / ARRAYS)
        facts["maps"] = {
            name: PostMap(**of, **{part: arrays.get(f"{name}.{part}") for part in PARTS})
            for name, of in facts["maps"].items()
        }
        facts["words"] = [Word(**{**word, "tokens": tuple(word["tokens"])}) for word in facts["words"]]
        facts["answers"] = [
            Answer(**{**answer, "completeness": answer["completeness"] and Completeness(*answer["completeness"])})
            for answer in facts["answers"]
        ]
        facts["box"] = facts["box"] and Box(*facts["box"])
        if (folder / PICTURE).is_file():
            with Image.open(folder / PICTURE) as picture:
                facts["picture"] = np.asarray(picture)
        return cls(token_words=arrays["token_words"], **facts)


def file_name(name: str) -> str:
    """A name as a file may have it: other characters than letters, digits, dot, hyphen become underscores."""
    return re.sub(r"[^\w.-]", "_", name)[:80]


__all__ = ["Answer", "Completeness", "Explanation", "PostMap", "file_name"]
