"""`load_questions`: a prepared table of questions about pictures -> rows with soft answer scores."""

import json
from pathlib import Path

import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, List, Value, concatenate_datasets

from duosent.data.answers import answer_scores
from duosent.data.pairs import load_pairs
from duosent.data.reading import ORIGIN, DataError, read_splits
from duosent.processing.vqa_collator import why_no_soft_label

ANSWERS_FILE = "answers.json"
COLUMNS = {
    "answers": pa.list_(pa.string()),
    "answer_ids": pa.list_(pa.int64()),
    "answer_scores": pa.list_(pa.float32()),
    "question_type": pa.string(),
    "answer_type": pa.string(),
}


def load_questions(source: str, vocabulary: list[str] | None = None, base_image_dir: str | None = None) -> DatasetDict:
    """Load the table that `duosent prepare` makes of VQA v2.

    Args:
        source: the folder, its parts named `train`, `validation`, `test`, with `answers.json` beside them; or one of
            its parts. Columns: `id`, `text` (the question), `image`, `answers` (one an annotator, normalised; empty
            where unknown), `answer_ids` and `answer_scores` (the answers among them that are in the vocabulary, with
            their scores), `question_type`, `answer_type`.
        vocabulary: the answers that a trained model knows, in their order. Ids and scores are made anew for it where
            `answers.json` says otherwise, or is not there. None takes those of `answers.json`.
        base_image_dir: what picture paths start from, in place of the folder of their file.

    Returns: a `DatasetDict` with these columns. `answer_ids` is a list of `ClassLabel`, which names the answers;
        `image` is a `datasets.Image` that is not decoded.

    Raises:
        DataError: in one sentence that names file, row and reason.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(f"There is no file or folder {source}.")
    own = _read_vocabulary((path if path.is_dir() else path.parent) / ANSWERS_FILE, needed=vocabulary is None)
    names = own if vocabulary is None else list(vocabulary)
    pairs = load_pairs(source, label_column=None, base_image_dir=base_image_dir)
    raw = read_splits(source)
    return DatasetDict(
        {
            # Both are the rows of the same files, in their order.
            split: concatenate_datasets([rows, _answers_of(raw[split], source, names, names != own)], axis=1)
            for split, rows in pairs.items()
        }
    )


def answered(rows: Dataset) -> Dataset:
    """The questions that annotators answered, whatever they said."""
    return _with_any(rows, "answers")


def answerable(rows: Dataset) -> Dataset:
    """The questions with at least one answer that is in the vocabulary."""
    return _with_any(rows, "answer_ids")


def _with_any(rows: Dataset, column: str) -> Dataset:
    kept = [position for position, cell in enumerate(rows[column][:]) if cell]
    return rows if len(kept) == len(rows) else rows.select(kept)


def _read_vocabulary(file: Path, needed: bool) -> list[str] | None:
    if not file.is_file():
        if needed:
            raise DataError(f"There is no {file}, which names the answers: `duosent prepare` writes it.")
        return None
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} cannot be read: {error}.") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file} must hold a JSON list of answers.")
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise DataError(f"{file} must hold each answer once, got {twice!r} twice.")
    return names


def _answers_of(raw: Dataset, source, names: list[str], anew: bool) -> Dataset:
    """The columns that a table of questions has besides those of any pairs."""
    columns = {}
    for name, kind in COLUMNS.items():
        if name not in raw.column_names:
            raise DataError(
                f"{source} has no column {name}: it is no table of questions that `duosent prepare` wrote."
            )
        try:
            columns[name] = raw.data.column(name).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"{source}: {name} must hold {kind}, got {raw.data.column(name).type}.") from error
    if anew:
        columns["answer_ids"], columns["answer_scores"] = _score_anew(columns["answers"], names)
    pairs = zip(columns["answer_ids"].to_pylist(), columns["answer_scores"].to_pylist(), strict=True)
    for position, (ids, scores) in enumerate(pairs):
        if wrong := why_no_soft_label(ids or [], scores or [], len(names)):
            raise DataError(f"{raw[position][ORIGIN]}: {wrong}")
    words = Value("string")
    features = {
        "answers": List(words),
        "answer_ids": List(ClassLabel(names=names)),
        "answer_scores": List(Value("float32")),
        "question_type": words,
        "answer_type": words,
    }
    return Dataset(pa.table(columns), info=DatasetInfo(features=Features(features)))


def _score_anew(answers: pa.ChunkedArray, names: list[str]) -> tuple[pa.Array, pa.Array]:
    """Ids and scores of the answers that are in this vocabulary."""
    index_of = {name: index for index, name in enumerate(names)}
    ids, scores = [], []
    for given in answers.to_pylist():
        known = (
            {index_of[name]: score for name, score in answer_scores(given).items() if name in index_of}
            if given
            else {}
        )
        ids.append(list(known))
        scores.append(list(known.values()))
    return pa.array(ids, COLUMNS["answer_ids"]), pa.array(scores, COLUMNS["answer_scores"])


__all__ = ["answerable", "answered", "load_questions"]
