"""`duosent.explain`: what a model used for its answer to a post, or to every post of a table."""

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from duosent.inference.alignment import alignment
from duosent.inference.attributions import TOLERANCE, check_attributions, integrated_gradients
from duosent.inference.backends import default_device
from duosent.inference.explanation import Answer, Completeness, Explanation, PostMap
from duosent.inference.left_as_it_was import left_as_it_was
from duosent.inference.picture_maps import patch_grid, seen_box, sum_over_patches
from duosent.inference.post_logits import post_logits, readable_posts
from duosent.inference.private_shares import private_logits, shared_parts
from duosent.inference.side_shares import shapley_shares, side_values
from duosent.inference.unlabelled_posts import unlabelled_posts
from duosent.inference.word_maps import ReadText, mean_over_words, read_words, sum_over_words, token_words
from duosent.modeling.fitted_calibration import task_fits, task_widths
from duosent.modeling.label_scores import label_names, label_scores
from duosent.modeling.modeling_mdse import MdseForImageTextClassification
from duosent.modeling.modeling_radm import RadmForImageTextClassification
from duosent.processing.collator import ImageTextCollator
from duosent.processing.pictures import open_picture
from duosent.processing.processing_image_text import ImageTextProcessor, is_missing
from duosent.training.checkpoints import CallError, answers_questions, load_checkpoint

logger = logging.getLogger(__name__)

# Posts of a table, where a caller does not say how many.
LIMIT = 20
IMPORTANCE = (
    "How much of what is shared each part holds: much where it is like what the other side drew from its side."
)
KEPT = "The share of each part that is left as private when what is shared has been taken away."
ALIGNMENT = (
    "Where in the picture each word looks, and which words each region looks at, by the model's cross-attention."
)
ATTRIBUTIONS = (
    "What each part adds to the log-odds of the label, or takes from them, on the way from a post without content."
)


class Explainer:
    """A loaded model that explains post after post. The model stays as it was.

    Args:
        model: folder or Hub name of a classifier, or a model.
        processor: of a model that is no folder or name.
        label: explain this label (with several tasks `task:label`), and not the answer.
        attributions: integrated gradients too, by captum.
        attribution_tolerance: share of the difference between post and baseline by which the attributions' sum may
            miss it, in (0, 1]; a larger one takes less time. None for 0.01.
        ablations: folders or Hub names of other classifiers with the same labels, whose scores stand beside.
        device: "cpu", "cuda", ...; None takes the accelerator where there is one, of a model its own.

    Raises:
        CallError: for a model, a label or an ablation that cannot be explained, and without captum.
    """

    def __init__(
        self,
        model,
        processor=None,
        *,
        label=None,
        attributions=True,
        attribution_tolerance=None,
        ablations=(),
        device=None,
    ):
        self.attribution_tolerance = TOLERANCE if attribution_tolerance is None else attribution_tolerance
        if not 0 < self.attribution_tolerance <= 1:
            raise CallError(f"attribution_tolerance must be > 0 and <= 1, got {attribution_tolerance}.")
        if isinstance(model, PreTrainedModel):
            if processor is None:
                raise CallError("processor must be given beside a model that is no folder or name, got None.")
            self.model = model if device is None else model.to(device)
            self.name = model.name_or_path or type(model).__name__
        else:
            self.model, own = load_checkpoint(str(model))
            self.model.to(device or default_device())
            processor = processor or own
            self.name = str(model)
        check_classifier(self.model, self.name)
        if attributions:
            check_attributions(self.model)
        self.processor, self.attributions = processor, attributions
        self.collator = ImageTextCollator(processor, pad_to_multiple_of=None)
        self.labels = label_names(self.model.config)
        if label is not None and label not in self.labels:
            raise CallError(f"label must be one of {', '.join(self.labels)}, got {label!r}.")
        self.asked = [] if label is None else [label]
        self.ablations = {str(run): self._load_ablation(str(run)) for run in ablations}

    def __call__(
        self, text: str | None = None, image=None, target: str | None = None, labels: Iterable[str] = ()
    ) -> Explanation:
        """
        Args:
            text, image, target: as the processor takes them of one post; either side may be None.
            labels: explain these, of each task one at most, and not the explainer's own label, or the answers.

        Raises:
            ValueError: for a picture that cannot be read, and for what is no label of the model.
            CallError: if nothing is there that the model reads.
        """
        picture = None if is_missing(image) else open_picture(image)
        row = {"text": text, "image": picture, "target": target}
        batch = self.collator([row])
        config = self.model.config
        if not readable_posts(self.model, batch).all():
            raise CallError("The post must have a text or a picture that the model reads, got neither.")
        reads_text, reads_image = config.text_config is not None, config.vision_config is not None
        read = read_words(self.processor, text, target) if reads_text else ReadText(None, None, [], 0)
        if not reads_image:
            picture = None

        found = Explanation(
            self.name,
            config.model_type,
            [],
            text=read.text,
            target=read.target,
            words=read.words,
            token_words=token_words(read),
            picture=None if picture is None else np.asarray(picture),
            box=None if picture is None else seen_box(self.processor.image_processor, *picture.size),
            reads_text=reads_text,
            reads_image=reads_image,
            calibrated=any("temperature" in fit for fit in task_fits(config)),
        )
        grid = None if picture is None else self._grid(batch)
        if isinstance(self.model, MdseForImageTextClassification):
            found.maps |= self._shared_maps(batch, read, grid)
            found.private_scores = {
                name: self._scores(of, config) for name, of in private_logits(self.model, batch).items()
            }
        if isinstance(self.model, RadmForImageTextClassification) and read.words and grid is not None:
            found.maps |= self._alignment_map(batch, read, grid)
        logits = _logits(self.model, batch)
        asked = [self.labels.index(label) for label in labels or self.asked]
        for task, chosen, answered in self._labels_to_explain(logits, asked):
            found.answers.append(self._answer(batch, logits, task, chosen, answered))
            if self.attributions:
                name = "attributions" if config.tasks is None else f"attributions_{task}"
                found.maps[name], found.answers[-1].completeness = self._attributed(batch, chosen, read, grid)
        found.ablations = {name: self._scores_of_run(run, row) for name, run in self.ablations.items()}
        return found

    def _load_ablation(self, run: str) -> tuple[PreTrainedModel, ImageTextProcessor]:
        model, processor = load_checkpoint(run)
        check_classifier(model, run)
        if sorted(label_names(model.config)) != sorted(self.labels):
            raise CallError(
                f"ablations must have the labels of the model, {', '.join(self.labels)}, which {run} has not: "
                f"{', '.join(label_names(model.config))}."
            )
        return model.to(self.model.device), processor

    def _scores_of_run(self, run: tuple[PreTrainedModel, ImageTextProcessor], row: dict) -> dict[str, float]:
        model, processor = run
        batch = ImageTextCollator(processor, pad_to_multiple_of=None)([row])
        return self._scores(_logits(model, batch), model.config)

    @staticmethod
    def _scores(logits: Tensor, config) -> dict[str, float]:
        return dict(zip(label_names(config), label_scores(logits, config)[0].tolist(), strict=True))

    def _labels_to_explain(self, logits: Tensor, asked: list[int]) -> Iterator[tuple[str, Tensor, bool]]:
        """Of each task its name, the index of the label `(1,)`, and whether that is the answer.

        Args:
            logits: `(1, L)`.
            asked: labels to explain in place of the answers.
        """
        first = 0
        for task, width in task_widths(self.model.config).items():
            best = first + int(logits[0, first : first + width].argmax())
            chosen = next((label for label in asked if first <= label < first + width), best)
            yield task, torch.tensor([chosen]), chosen == best
            first += width

    def _answer(self, batch: dict[str, Tensor], logits: Tensor, task: str, chosen: Tensor, answered: bool) -> Answer:
        values = side_values(self.model, batch, chosen)
        shares = shapley_shares(values)
        scores = self._scores(logits, self.model.config)
        if self.model.config.tasks is not None:
            scores = {name: score for name, score in scores.items() if name.startswith(f"{task}:")}
        return Answer(
            task,
            self.labels[int(chosen)],
            answered,
            scores,
            {name: float(value) for name, value in values._asdict().items()},
            {name: float(share) for name, share in shares._asdict().items()},
        )

    @torch.inference_mode()
    def _grid(self, batch: dict[str, Tensor]) -> tuple[int, int]:
        base = self.model.base_model
        with left_as_it_was(self.model):  # a batch norm in training would learn from the picture
            tokens, _, _ = base.run_image_tower(batch["pixel_values"].to(self.model.device))
        return patch_grid(tokens.shape[1] - base.num_prefix_tokens, *batch["pixel_values"].shape[-2:])

    def _shared_maps(self, batch: dict[str, Tensor], read: ReadText, grid: tuple | None) -> dict[str, PostMap]:
        importance, kept = PostMap(IMPORTANCE), PostMap(KEPT)
        parts = shared_parts(self.model, batch)
        if "text" in parts and read.text is not None:
            of_tokens, kept_of_tokens = (part[0].double().numpy() for part in parts["text"])
            importance.words = sum_over_words(of_tokens, read.words)
            importance.rest = float(of_tokens.sum() - importance.words.sum())
            kept.words = mean_over_words(kept_of_tokens, read.words)
        if "image" in parts and grid is not None:
            importance.patches, kept.patches = (part[0].double().numpy().reshape(grid) for part in parts["image"])
        return {
            name: of
            for name, of in (("importance", importance), ("kept", kept))
            if of.words is not None or of.patches is not None
        }

    def _alignment_map(self, batch: dict[str, Tensor], read: ReadText, grid: tuple) -> dict[str, PostMap]:
        found = alignment(self.model, batch, torch.from_numpy(token_words(read) >= 0)[None])
        if found is None:
            return {}
        regions = mean_over_words(found.to_regions[0].numpy(), read.words).reshape(-1, *grid)  # (W, R, C)
        words = sum_over_words(found.to_words[0].numpy(), read.words).reshape(*grid, -1)  # (R, C, W)
        return {
            "alignment": PostMap(
                ALIGNMENT,
                words=words.mean(axis=(0, 1)),
                patches=regions.mean(axis=0),
                word_regions=regions,
                region_words=words,
            )
        }

    def _attributed(self, batch, chosen, read: ReadText, grid: tuple | None) -> tuple[PostMap, Completeness]:
        is_word = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        if read.text is not None:
            is_word[0] = torch.from_numpy(token_words(read) >= 0)
        found = integrated_gradients(
            self.model, batch, chosen, is_word, self.processor.tokenizer.pad_token_id, self.attribution_tolerance
        )
        of = PostMap(ATTRIBUTIONS, signed=True)
        if read.text is not None:
            of.words = sum_over_words(found.tokens[0].numpy(), read.words)
        if grid is not None:
            of.patches = sum_over_patches(found.pixels[0].numpy(), grid)
        difference = float(found.value - found.baseline_value)
        return of, Completeness(difference, difference + float(found.gap), int(found.steps))


def explain(
    model,
    text: str | None = None,
    image=None,
    target: str | None = None,
    *,
    data: str | None = None,
    split: str | None = None,
    ids: Iterable[str] | None = None,
    limit: int | None = None,
    columns: dict | None = None,
    **options,
) -> Explanation | list[Explanation]:
    """What a model used for its answer to one post, or to the posts of a table.

    Args:
        model: folder or Hub name of a classifier, or a model (with `processor=`).
        text, image, target: a post; either side may be None. The picture is a path, bytes, a PIL image or an array.
        data, split, ids, limit, columns: in place of a post a table, see `explain_table`.
        options: see `Explainer`: `processor`, `label`, `attributions`, `attribution_tolerance`, `ablations`, `device`.

    Returns: of a post an `Explanation`, of a table a list of them; rows that cannot be read are logged and left out.

    Raises:
        ValueError: in one sentence, for what cannot be explained.
    """
    if (data is None) == (text is None and image is None):
        raise CallError("text or image must be given, or data, and not both.")
    of_table = {"split": split, "ids": ids, "limit": limit, "columns": columns}
    for name, given in (of_table if data is None else {"target": target}).items():
        if given is not None:
            raise CallError(f"{name} has no meaning {'without' if data is None else 'beside'} data, got {given!r}.")
    explainer = Explainer(model, **options)
    if data is None:
        return explainer(text, image, target)
    found = []
    for name, of in explain_table(explainer, data, split=split, ids=ids, limit=limit, columns=columns):
        if isinstance(of, Explanation):
            found.append(of)
        else:
            logger.warning("Row %s is left out: %s", name, of)
    return found


def explain_table(
    explainer: Explainer,
    data: str,
    *,
    split: str | None = None,
    ids: Iterable[str] | None = None,
    limit: int | None = None,
    columns: dict | None = None,
) -> Iterator[tuple[str, Explanation | str]]:
    """The posts of a table, one after the other, with a progress bar.

    Args:
        data: what `load_pairs` takes.
        split: which part; None where there is only one.
        ids: those of the posts that are wanted; None for all.
        limit: posts at most, from the first on; `LIMIT` where neither it nor `ids` says how many.
        columns: keywords of `load_pairs`; a column that is not given is the one that the checkpoint was trained with.

    Returns: id and explanation of each, or the reason why a row cannot be read.

    Raises:
        CallError: for an option that cannot be followed.
    """
    if limit is not None and limit < 1:
        raise CallError(f"limit must be >= 1, got {limit}.")
    _, rows = unlabelled_posts(explainer.name, data, split, columns)
    numbers = range(len(rows))
    if ids is not None:
        places = {str(name): number for number, name in enumerate(rows["id"])}
        missing = [name for name in map(str, ids) if name not in places]
        if missing:
            raise CallError(f"ids must be ids of posts of {data}, which {', '.join(missing)} is not.")
        numbers = [places[str(name)] for name in ids]
    if limit is not None or ids is None:
        numbers = numbers[: limit or LIMIT]
    return _explain_rows(explainer, rows, numbers)


def _explain_rows(explainer: Explainer, rows, numbers) -> Iterator[tuple[str, Explanation | str]]:
    for number in tqdm(numbers, unit="post", desc="explain"):
        row = rows[number]
        try:
            found = explainer(row.get("text"), row.get("image"), row.get("target"))
        except (ValueError, OSError) as error:
            yield str(row["id"]), str(error)
        else:
            found.id = str(row["id"])
            yield found.id, found


def check_classifier(model: PreTrainedModel, name: str) -> None:
    """
    Raises:
        CallError: for a model that answers questions, and one that gives a single number.
    """
    if answers_questions(model):
        raise CallError(
            f"{name} answers questions about pictures and classifies no posts: there is no label to explain."
        )
    if model.config.num_labels < 2 and model.config.problem_type != "multi_label_classification":
        raise CallError(f"{name} must have two labels or more to be explained, got {model.config.num_labels}.")


def _logits(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    with left_as_it_was(model):
        return post_logits(model, batch)


__all__ = ["LIMIT", "Explainer", "explain", "explain_table"]
