"""`pipeline("image-text-classification", model=...)`: posts in any form -> labels and their scores."""

import difflib
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import fields
from pathlib import Path

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from transformers.pipelines import Pipeline

from duosent.inference.answer_options import (
    ANSWER_OPTIONS,
    check_answer_options,
    check_model_answers,
    is_withheld,
    set_threshold,
)
from duosent.inference.post_logits import post_logits, readable_posts
from duosent.modeling.fitted_calibration import task_fits
from duosent.modeling.label_scores import best_labels, label_names, label_scores, softmax_by_task
from duosent.processing.collator import ImageTextCollator
from duosent.processing.picture_sources import PictureSources
from duosent.processing.processing_image_text import as_pictures

TASK = "image-text-classification"
PARTS = ("text", "image", "target")
# Columns of a data set's rows that say nothing to a model.
UNREAD = ("id", "label", "text_label", "image_label")
SOURCE_OPTIONS = tuple(field.name for field in fields(PictureSources))


class ImageTextClassificationPipeline(Pipeline):
    """Say what the author of a post feels.

    >>> classify = pipeline("image-text-classification", model="out/mdse")
    >>> classify({"text": "What a day", "image": "photo.jpg"})
    [{"label": "positive", "score": 0.93}]
    >>> classify(text="What a day", top_k=None)
    [{"label": "positive", "score": 0.88}, {"label": "neutral", "score": 0.09}, {"label": "negative", "score": 0.03}]

    A post is a dict with `text`, `image` and, for models of targets, `target`, which takes the place of `$T$` in the
    text. A side may be None or left out; the words alone may be given as a string, a picture alone as it is. A picture
    is a path, bytes, a PIL image, an array, `{"bytes", "path"}` as `datasets` gives it, base64, a data: URI of it, or
    an address on the web, which is fetched with `allow_urls=True` only.

    The options may be given when the pipeline is made and in each call, which goes first:

    Args:
        top_k: how many labels of a post; None for all. The default is 1, as in text classification, but the answer is
            always a list; with a threshold it is None.
        threshold: leave labels out whose score is lower. Of a model with several labels a post, `threshold=0.5`
            gives the labels of `duosent predict`.
        consistent: of a model with several tasks, take of the combinations that occurred in training the most
            probable one: each task's label of it stands first, the others follow by score.
        function_to_apply: "sigmoid", "softmax" or "none" (logits); default: sigmoid of a model with several labels a
            post, else softmax, over each task's labels of a model with several tasks. Only the default takes the
            temperature of a calibrated model.
        confidence: of a calibrated model, the set of labels that holds the true one with this probability, from 0.5
            to 0.99; it may be empty.
        abstain: of a model calibrated for an accuracy, `[{"label": None, "score": ...}]` where the best score is too
            low for it.
        allow_paths, allow_urls, allow_private, max_bytes, max_pixels, timeout: what a picture may be; see
            `PictureSources`.
        batch_size: posts at once (1). Answers do not depend on it.
        num_workers: processes that read pictures; 0 reads them in this one.

    Raises:
        ValueError: for a model that does not classify posts, an option out of its range, and a post that cannot be
            read; of many posts the sentence begins with its number, `Row 3: `, and what follows it is not answered.
        TypeError: for an option that nobody knows.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(self, model, processor=None, **kwargs):
        check_classifies_posts(model)
        if processor is None:
            raise ValueError("processor must be given beside a model that is no name or folder, got None.")
        super().__init__(model, processor=processor, **kwargs)

    def __call__(self, inputs=None, *, text=None, image=None, target=None, **kwargs):
        """
        Args:
            inputs: a post; or many, as a list, a generator, a `datasets.Dataset` with columns of these names, one of
                its columns, or a data set of torch.
            text, image, target: in place of `inputs`, a post's, or of many posts lists or columns of one length.
            kwargs: see the class.

        Returns: of a post `[{"label": name, "score": float}, ...]`, best first; of a model with several tasks
            `{task: [...]}`. Of a list a list, of a generator a generator, of a data set an iterable that
            answers as it is read; all in order.
        """
        given = {"text": text, "image": image, "target": target}
        given = {name: value for name, value in given.items() if value is not None}
        if (inputs is None) == (not given):
            raise ValueError("Posts must be given as inputs, or by text, image and target, and not by both.")
        posts = from_keywords(given) if inputs is None else as_posts(inputs)
        if isinstance(posts, list) and not posts:
            return []
        answers = super().__call__(posts, **kwargs)
        return (answer for answer in answers) if isinstance(posts, Iterator) else answers

    def save_pretrained(self, save_directory: str, **kwargs) -> None:
        """Model and processor, in one folder that `pipeline` loads again.

        Args:
            kwargs: those of the model's `save_pretrained`, such as `push_to_hub=True`.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)

    def _sanitize_parameters(self, **options):
        for name in options:
            if name not in ANSWER_OPTIONS + SOURCE_OPTIONS:
                hint = did_you_mean(name, (*PARTS, *ANSWER_OPTIONS, *SOURCE_OPTIONS, "batch_size", "num_workers"))
                raise TypeError(f"{type(self).__name__} takes no {name}{hint}")
        sources = {name: value for name, value in options.items() if name in SOURCE_OPTIONS}
        PictureSources(**sources)
        answers = {name: value for name, value in options.items() if name in ANSWER_OPTIONS}
        check_answer_options({**getattr(self, "_postprocess_params", {}), **answers})
        check_model_answers(self.model.config, answers)
        return sources, {}, answers

    def get_iterator(self, inputs, *args, **kwargs):
        """As in transformers; the posts get numbers, by which an error names its row."""
        if not isinstance(inputs, Numbered):
            inputs = Numbered(inputs) if isinstance(inputs, Sized) else enumerate(inputs)
        return super().get_iterator(inputs, *args, **kwargs)

    def read(self, post, **sources) -> dict:
        """A post's text, picture and target, as the model gets them: the picture is PIL, in RGB and upright.

        Args:
            post: what `__call__` takes as one.
            sources: what a picture may be, see the class.

        Raises:
            ValueError: in one sentence, for what is no post or no picture.
        """
        row = read_post(post)
        row["image"] = PictureSources(**{**self._preprocess_params, **sources}).open(row["image"])
        return row

    def preprocess(self, inputs, **sources) -> dict[str, Tensor]:
        """A post, or its number and the post, to a batch of one with both sides."""
        index, post = inputs if isinstance(inputs, tuple) else (None, inputs)
        try:
            row = self.read(post, **sources)
            batch = ImageTextCollator(self.processor, pad_to_multiple_of=None)([row])
            if not readable_posts(self.model, batch).all():
                raise ValueError("The post must have a text or a picture that the model reads, got neither.")
        except ValueError as error:
            raise ValueError(in_row(index, error)) from error
        return batch

    def _forward(self, model_inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": post_logits(self.model, model_inputs)}

    def postprocess(self, model_outputs: dict[str, Tensor], **options) -> list[dict] | dict[str, list[dict]]:
        config, logits = self.model.config, model_outputs["logits"]  # (1, L)
        scores = self._scores(logits, options.get("function_to_apply"))[0]  # (L,)
        fits = task_fits(config)
        if config.tasks is None:
            return answered(label_names(config), scores.tolist(), options, fits[0])
        spans = [span.tolist() for span in scores.split(config.task_sizes())]
        firsts = [None] * len(spans)
        if options.get("consistent"):
            firsts = best_labels(logits, config, consistent=True)[0].tolist()
        return {
            task: answered(names, span, options, fit, first)
            for (task, names), span, fit, first in zip(config.tasks.items(), spans, fits, firsts, strict=True)
        }

    def _scores(self, logits: Tensor, function: str | None) -> Tensor:
        """`(1, L)`"""
        if function is None:
            return label_scores(logits, self.model.config)
        if function == "none":
            return logits
        return logits.sigmoid() if function == "sigmoid" else softmax_by_task(logits, self.model.config)


class Numbered(Dataset):
    """Each post of a data set with its number."""

    def __init__(self, posts):
        self.posts = posts

    def __len__(self) -> int:
        return len(self.posts)

    def __getitem__(self, index: int) -> tuple:
        try:
            return index, self.posts[index]
        except (ValueError, OSError) as error:  # `datasets` opens pictures here
            raise ValueError(in_row(index, error)) from error


class Columns(Dataset):
    """Columns of one length as posts; a row is read when it is asked for."""

    def __init__(self, columns: dict[str, Sequence]):
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict:
        return {name: column[index] for name, column in self.columns.items()}


def check_classifies_posts(model) -> None:
    """
    Raises:
        ValueError: for a model that answers questions, and one of another package.
    """
    kind = type(model).__name__
    if any("ForVisualQuestionAnswering" in name for name in (kind, *(model.config.architectures or []))):
        raise ValueError(
            f"{model.name_or_path or kind} answers questions about pictures and classifies no posts: ask it by "
            "duosent predict; a classifier made from it is known as one when it has been saved."
        )
    if not kind.endswith("ForImageTextClassification"):
        raise ValueError(f"The model must be one ForImageTextClassification, got {kind}.")


def answered(names: list[str], scores: list[float], options: dict, fit: dict, first: int | None = None) -> list[dict]:
    """As `ranked`; by what was fitted for the task, the set of a confidence, or no answer.

    Args:
        fit: of the task, see `task_fits`.
    """
    if options.get("confidence") is not None:
        return ranked(names, scores, {"threshold": set_threshold(fit, options["confidence"])})
    if options.get("abstain") and is_withheld(scores, fit):
        return [{"label": None, "score": max(scores)}]
    return ranked(names, scores, options, first)


def ranked(names: list[str], scores: list[float], options: dict, first: int | None = None) -> list[dict]:
    """Labels with their scores, best first, as far as they are asked for.

    Args:
        options: `top_k` and `threshold` as far as they are given.
        first: index of the label that goes in front of all others, whatever its score.
    """
    order = sorted(range(len(names)), key=lambda index: (index != first, -scores[index]))
    threshold = options.get("threshold")
    kept = [index for index in order if threshold is None or scores[index] >= threshold]
    top_k = options.get("top_k", 1 if threshold is None else None)
    return [{"label": names[index], "score": scores[index]} for index in kept[:top_k]]


def read_post(post) -> dict:
    """A post in any form as a row with `text`, `image` and `target`, each None if it is not there.

    Raises:
        ValueError: for a key that is none of a post's, and words that are no string.
    """
    if isinstance(post, str):
        post = {"text": post}
    elif is_picture(post):
        post = {"image": post}
    if not isinstance(post, dict):
        raise ValueError(f"A post must be a dict with text and image, words, or a picture, got {type(post).__name__}.")
    for name in post:
        if name not in PARTS + UNREAD:
            raise ValueError(f"A post has text, image and target, got {name!r}{did_you_mean(str(name), PARTS)}")
    for name in ("text", "target"):
        if not isinstance(post.get(name), str | None):
            raise ValueError(f"{name} must be a string or None, got {type(post[name]).__name__}.")
    return {name: post.get(name) for name in PARTS}


def is_picture(value) -> bool:
    """Whether a value can be nothing but a picture."""
    if isinstance(value, dict):
        return bool(value) and set(value) <= {"bytes", "path"}
    return isinstance(value, bytes | bytearray | memoryview | Path | Image.Image) or hasattr(value, "__array__")


def as_posts(inputs):
    """One post as it is; many as a list, a data set of torch, or a generator, which `Pipeline` knows apart."""
    posts = values_of(with_known_columns(inputs))
    if posts is None or isinstance(posts, list):
        return inputs if posts is None else posts
    return Numbered(posts) if isinstance(posts, Sized) else (post for post in posts)


def from_keywords(given: dict):
    """As `as_posts`, of each side apart.

    Raises:
        ValueError: for one side of a single post beside another of many, and for lengths that differ.
    """
    columns = {name: values_of(value) for name, value in given.items()}
    if all(column is None for column in columns.values()):
        return given
    if not all(isinstance(column, Sized) for column in columns.values()):
        kinds = ", ".join(f"{name} {type(value).__name__}" for name, value in given.items())
        raise ValueError(f"{' and '.join(given)} must be all of one post, or all lists or columns, got {kinds}.")
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{len(column)} of {name}" for name, column in columns.items())
        raise ValueError(f"{' and '.join(given)} must be of one length, got {lengths}.")
    posts = Columns(columns)
    in_memory = all(isinstance(column, list) for column in columns.values())
    return [posts[index] for index in range(len(posts))] if in_memory else Numbered(posts)


def values_of(value) -> list | Sized | Iterator | None:
    """Many values as a list, as what has a length and numbers, or else as an iterator; None for a single value."""
    if isinstance(value, str | dict | bytes | bytearray | memoryview | Path | Image.Image):
        return None
    if isinstance(value, list | tuple):
        return list(value)
    if hasattr(value, "__array__"):  # one picture, or a batch of them, or a column of a table
        return as_pictures(value) if value.ndim in (1, 4) else None
    if isinstance(value, Sized) and hasattr(value, "__getitem__"):
        return value
    return iter(value) if isinstance(value, Iterable) else None


def with_known_columns(inputs):
    """Of a data set of `datasets` only what a post has, so that nothing else is read from its file.

    Raises:
        ValueError: if it has neither side.
    """
    names = getattr(inputs, "column_names", None)
    if not names or not hasattr(inputs, "select_columns"):
        return inputs
    if not {"text", "image"} & set(names):
        raise ValueError(f"A data set of posts must have a column text or image, got {', '.join(names)}.")
    return inputs.select_columns([name for name in PARTS if name in names])


def did_you_mean(name: str, known: tuple[str, ...]) -> str:
    """How a sentence on a wrong name ends."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else "."


def in_row(index: int | None, error: Exception) -> str:
    return str(error) if index is None else f"Row {index}: {error}"


__all__ = ["ImageTextClassificationPipeline"]
