"""A checkpoint's answer to one post, or to a whole table of posts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedModel

from duosent.inference.backends import load_backend
from duosent.inference.length_windows import LengthWindows, in_order
from duosent.inference.post_logits import post_logits, readable_posts
from duosent.inference.unlabelled_posts import unlabelled_posts
from duosent.modeling.label_scores import best_labels, label_names, label_scores
from duosent.processing.collator import ImageTextCollator
from duosent.training.checkpoints import (
    CallError,
    answers_questions,
    check_output_dir,
)
from duosent.training.joint_labels import check_consistent

PREDICTIONS, REJECTED = "predictions.parquet", "rejected.parquet"
UNREAD = "neither a text nor a picture that the model reads"
# Column of a row's number, from 0.
PLACE = "place"
REJECTED_SCHEMA = pa.schema([("id", pa.string()), ("reason", pa.string())])
# Of thousands of answers to a question.
ANSWERS_SHOWN = 5


def predict(
    checkpoint: str,
    text: str | None = None,
    image=None,
    target: str | None = None,
    device: str | None = None,
    consistent: bool = False,
    backend: str = "torch",
) -> dict:
    """Label and scores of one post, or the answer to a question about a picture.

    Args:
        checkpoint: folder or Hub name.
        text, image: the post, or the question and its picture; either may be None. The picture is a path, bytes, a
            PIL image or an array.
        target: what `$T$` in the text stands for.
        device: "cpu", "cuda", ...; None takes the accelerator where there is one.
        consistent: of a model with several labels, take of the combinations that occurred in training the most
            probable one, so that the labels do not contradict one another.
        backend: "torch", or "onnx" for a folder that `duosent export` wrote.

    Returns: `{"label": name, "scores": {name: score}}`. Scores are in [0, 1] and sum to 1; of a model with several
        labels a post each is its own probability, and `label` is the list of those above one half.
        Of a model with several tasks `{"tasks": {task: {"label": name, "scores": {name: score}}}}`.
        Of a model that answers questions `{"answer": name, "scores": {name: score}}` with the five best answers, best
        first; a score is the expected agreement of annotators, each in [0, 1].

    Raises:
        CallError: if there is no such checkpoint, or nothing in the post that the model reads.
    """
    post = {"text": text, "image": image, "target": target}
    [answer] = _predict(checkpoint, [post], device, consistent, backend)
    return answer


def predict_targets(
    checkpoint: str,
    text: str | None,
    image,
    targets: list[str],
    device: str | None = None,
    consistent: bool = False,
    backend: str = "torch",
) -> list[dict]:
    """What one post feels about each of several targets, in one call.

    Args:
        checkpoint, text, image, device, consistent, backend: as in `predict`.
        targets: at least one. Where the text holds `$T$`, each takes its place in turn; where it does not, the text
            stands as it is. Either way the model reads the target beside it.

    Returns: for each target, in order, what `predict` returns, and `target`.

    Raises:
        CallError: as `predict`, and for no target or an empty one.
    """
    if not targets or not all(target.strip() for target in targets):
        raise CallError(f"targets must be words, at least one, got {targets}.")
    posts = [{"text": text, "image": image, "target": target} for target in targets]
    answers = _predict(checkpoint, posts, device, consistent, backend)
    return [{"target": target, **answer} for target, answer in zip(targets, answers, strict=True)]


def _predict(checkpoint: str, posts: list[dict], device: str | None, consistent: bool, backend: str) -> list[dict]:
    model, processor = load_backend(checkpoint, backend, device)
    if consistent:
        check_consistent(model.config)
    batch = ImageTextCollator(processor)(posts)
    if not readable_posts(model, batch).all():
        raise CallError("The post must have a text or a picture that the model reads, got neither.")
    names = label_names(model.config)
    if model.config.tasks is not None:
        return [{"tasks": answer} for answer in _answers_of_tasks(model, batch, consistent)]
    answers = []
    for scores in _scores(model, batch):  # (L,)
        if answers_questions(model):
            best, ids = (part.tolist() for part in scores.topk(min(ANSWERS_SHOWN, len(names))))
            shown = {names[index]: score for index, score in zip(ids, best, strict=True)}
            answers.append({"answer": names[ids[0]], "scores": shown})
        else:
            label = _label(scores.tolist(), model.config)
            answers.append({"label": label, "scores": dict(zip(names, scores.tolist(), strict=True))})
    return answers


def predict_table(
    checkpoint: str,
    data: str,
    output_dir: str,
    *,
    split: str | None = None,
    columns: dict | None = None,
    consistent: bool = False,
    batch_size: int = 32,
    num_workers: int = 0,
    device: str | None = None,
    overwrite: bool = False,
    backend: str = "torch",
) -> dict:
    """Label and scores of every post of a data set, as Parquet.

    `predictions.parquet` has `id`, `label` and `score_<label>` for each label, in the order of the rows, or `id`,
    `answer` and its `score` of a model that answers questions, or `label_<task>` and `score_<task>:<label>` of one
    with several tasks;
    `rejected.parquet` has `id` and `reason` of each row that cannot be read, so that every row is in one of the two.

    Args:
        checkpoint: folder or Hub name.
        data: what `load_pairs` takes.
        output_dir: where the two files go; it must be empty unless `overwrite`.
        split: which part; None where there is only one.
        columns: keywords of `load_pairs`; a column that is not given is the one that the checkpoint was trained with.
        consistent: as in `predict`.
        batch_size: posts a batch; those of a batch have texts of similar length.
        num_workers: processes that read pictures; 0 reads them in this one.
        device, backend: as in `predict`.

    Returns: `{"predictions": file, "n": rows answered, "rejected": rows not read, "rejected_file": file}`.

    Raises:
        CallError: for an option that cannot be followed.
    """
    check_output_dir(Path(output_dir), overwrite)
    model, processor = load_backend(checkpoint, backend, device)
    if consistent:
        check_consistent(model.config)
    _, rows = unlabelled_posts(checkpoint, data, split, columns)

    groups = LengthWindows(rows, processor, batch_size)
    batches = DataLoader(
        rows.add_column(PLACE, range(len(rows))),
        batch_sampler=groups,
        collate_fn=ReadableRows(ImageTextCollator(processor)),
        num_workers=num_workers,
    )
    schema = _schema(model)
    predictions, rejected = Path(output_dir) / PREDICTIONS, Path(output_dir) / REJECTED
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    counts = {"n": 0, "rejected": 0}
    with (
        pq.ParquetWriter(predictions, schema) as answer_writer,
        pq.ParquetWriter(rejected, REJECTED_SCHEMA) as rejected_writer,
        tqdm(total=len(rows), unit="post", desc="predict") as bar,
    ):
        outcomes = _counted(_outcomes(model, batches, consistent), bar)
        for stretch in in_order(outcomes, groups.window, len(rows)):
            answered = [row for _, row, refused in stretch if not refused]
            refused = [row for _, row, refused in stretch if refused]
            answer_writer.write_table(pa.Table.from_pylist(answered, schema))
            rejected_writer.write_table(pa.Table.from_pylist(refused, REJECTED_SCHEMA))
            counts["n"] += len(answered)
            counts["rejected"] += len(refused)
    return {"predictions": str(predictions), "rejected_file": str(rejected), **counts}


@dataclass
class ReadableRows:
    """A collator that sets unreadable rows aside, with the reason, where `collator` would stop."""

    collator: ImageTextCollator

    def __call__(self, rows: list[dict]) -> tuple[list[tuple], dict | None, list[tuple]]:
        """Returns: place and id of the rows read, their batch (None if there is none), and place, id and reason of
        the others."""
        try:
            return [(row[PLACE], str(row["id"])) for row in rows], self.collator(rows), []
        except (ValueError, OSError):
            read, rejected = [], []
        for row in rows:
            try:
                self.collator([row])
                read.append(row)
            except (ValueError, OSError) as error:
                rejected.append((row[PLACE], str(row["id"]), str(error)))
        return [(row[PLACE], str(row["id"])) for row in read], self.collator(read) if read else None, rejected


def _outcomes(model: PreTrainedModel, batches: DataLoader, consistent: bool) -> Iterator[list[tuple]]:
    """Of each post of a batch its place, its row in one of the two tables, and whether that is of those rejected."""
    for read, batch, rejected in batches:
        outcomes = [(place, {"id": post, "reason": reason}, True) for place, post, reason in rejected]
        if batch is not None:
            for (place, post), row, readable in zip(
                read, _rows(model, batch, consistent), readable_posts(model, batch), strict=True
            ):
                if readable:
                    outcomes.append((place, {"id": post, **row}, False))
                else:
                    outcomes.append((place, {"id": post, "reason": UNREAD}, True))
        yield outcomes


def _counted(batches: Iterable[list], bar: tqdm) -> Iterator[list]:
    """The batches, with a bar that shows how many posts they had."""
    for batch in batches:
        bar.update(len(batch))
        yield batch


def _rows(model: PreTrainedModel, batch: dict, consistent: bool) -> list[dict]:
    """What the table says of each post, or question, of a batch."""
    if model.config.tasks is not None:
        return [_task_row(answer) for answer in _answers_of_tasks(model, batch, consistent)]
    scores, names = _scores(model, batch), label_names(model.config)
    if answers_questions(model):
        best, ids = (part.tolist() for part in scores.max(dim=-1))  # (B,) each
        return [{"answer": names[index], "score": score} for index, score in zip(ids, best, strict=True)]
    columns = [f"score_{name}" for name in names]
    return [{"label": _label(row, model.config), **dict(zip(columns, row, strict=True))} for row in scores.tolist()]


def _scores(model: PreTrainedModel, batch: dict) -> Tensor:
    """`(B, L)` probabilities. Of answers to a question several may be right, as of several labels a post."""
    logits = post_logits(model, batch)
    return logits.sigmoid() if answers_questions(model) else label_scores(logits, model.config)


def _answers_of_tasks(model: PreTrainedModel, batch: dict, consistent: bool) -> list[dict]:
    """For each post `{task: {"label": name, "scores": {name: score}}}`."""
    config = model.config
    logits = post_logits(model, batch)  # (B, L)
    posts = [{} for _ in logits]
    best = best_labels(logits, config, consistent).T.tolist()  # (tasks, B)
    spans = label_scores(logits, config).split(config.task_sizes(), dim=-1)
    for (task, names), span, answers in zip(config.tasks.items(), spans, best, strict=True):
        for post, scores, answer in zip(posts, span.tolist(), answers, strict=True):
            post[task] = {"label": names[answer], "scores": dict(zip(names, scores, strict=True))}
    return posts


def _task_row(answer: dict) -> dict:
    """One post of `_answers_of_tasks` as a row of the table."""
    labels = {f"label_{task}": of_task["label"] for task, of_task in answer.items()}
    scores = {
        f"score_{task}:{name}": score for task, of_task in answer.items() for name, score in of_task["scores"].items()
    }
    return labels | scores


def _label(scores: list[float], config) -> str | list[str]:
    names = label_names(config)
    if config.problem_type == "multi_label_classification":
        return [name for name, score in zip(names, scores, strict=True) if score > 0.5]
    return names[max(range(len(scores)), key=scores.__getitem__)]


def _schema(model: PreTrainedModel) -> pa.Schema:
    if answers_questions(model):
        return pa.schema([("id", pa.string()), ("answer", pa.string()), ("score", pa.float32())])
    config = model.config
    several = config.problem_type == "multi_label_classification"
    labels = [("label", pa.list_(pa.string()) if several else pa.string())]
    if config.tasks is not None:
        labels = [(f"label_{task}", pa.string()) for task in config.tasks]
    scores = [(f"score_{name}", pa.float32()) for name in label_names(config)]
    return pa.schema([("id", pa.string()), *labels, *scores])


__all__ = ["predict", "predict_table", "predict_targets"]
