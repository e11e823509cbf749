"""VQA v2: questions about pictures, each answered by ten people; what RADM is pre-trained on."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import ijson
from datasets import Features, Image, List, Value

from duosent.data.answers import answer_scores, answer_vocabulary, normalise_answer
from duosent.data.published import PublishedData, PublishedRow, find_published
from duosent.data.reading import DataError
from duosent.processing.reasons import reason_of

# Part of the published names -> part of the table.
PARTS = {"train2014": "train", "val2014": "validation"}
QUESTIONS, ANNOTATIONS = "v2_OpenEnded_mscoco_{}_questions.json", "v2_mscoco_{}_annotations.json"
VOCABULARY = "answers.json"
MIN_COUNT = 9
TABLES = """
CREATE TABLE questions (part TEXT, id INTEGER, picture INTEGER, question TEXT, PRIMARY KEY (part, id)) WITHOUT ROWID;
CREATE TABLE annotations (part TEXT, id INTEGER, question_type TEXT, answer_type TEXT, answers TEXT,
                          PRIMARY KEY (part, id)) WITHOUT ROWID;
"""


def read_vqa(raw_dir: Path, min_answer_count: int = MIN_COUNT) -> PublishedData:
    """Read the questions, annotations and pictures of `train2014` and, where it is there, `val2014`.

    The rows are in the order of their pictures: a picture has about five questions, and they stand side by side.
    `answers` are the annotators' answers, normalised; `answer_ids` and `answer_scores` are those of them that are in
    the vocabulary, which is built from train alone and stands beside the table as `answers.json`.

    Args:
        raw_dir: the published folder.
        min_answer_count: how many questions of train must have an answer as their most common one, for it to be in
            the vocabulary; >= 1.

    Raises:
        DataError: if files are missing or damaged; the sentence names file and entry.
    """
    if min_answer_count < 1:
        raise ValueError(f"min_answer_count must be >= 1, got {min_answer_count}.")
    find_published(raw_dir, [QUESTIONS.format("train2014")], "VQA v2")
    published = [part for part in PARTS if (raw_dir / QUESTIONS.format(part)).is_file()]
    files = [raw_dir / name.format(part) for part in published for name in (QUESTIONS, ANNOTATIONS)]
    # A file of SQLite's own, gone with the connection: neither questions nor answers need fit into memory.
    index = sqlite3.connect("")
    index.executescript(TABLES)
    counts: Counter[str] = Counter()
    for part in published:
        find_published(raw_dir, [ANNOTATIONS.format(part)], f"answers of {part}")
        _fill_questions(index, part, raw_dir / QUESTIONS.format(part))
        common = _fill_annotations(index, part, raw_dir / ANNOTATIONS.format(part))
        counts += common if part == "train2014" else Counter()
        _check_annotations(index, part, raw_dir)
    vocabulary = answer_vocabulary(counts, min_answer_count)
    if not vocabulary:
        raise DataError(f"{files[1]} has no answer that is the most common one {min_answer_count} times.")
    return PublishedData(
        source="VQA v2 (Goyal et al., Making the V in VQA Matter, CVPR 2017), pictures of COCO 2014",
        rule=f"answers normalised; the vocabulary holds those that are the most common one of at least "
        f"{min_answer_count} questions of train; a score is min(1, matches / 3), averaged over the ways to leave one "
        "annotator out",
        split="as published: train2014 (train), val2014 (validation)",
        labels=("question_type", "answer_type"),
        features=Features(
            {
                "id": Value("string"),
                "text": Value("string"),
                "image": Image(),
                "answers": List(Value("string")),
                "answer_ids": List(Value("int32")),
                "answer_scores": List(Value("float32")),
                "question_type": Value("string"),
                "answer_type": Value("string"),
            }
        ),
        parts={PARTS[part]: partial(_rows, index, part, raw_dir, vocabulary) for part in published},
        files=files,
        beside={VOCABULARY: vocabulary},
        facts={"answers": len(vocabulary)},
    )


def _fill_questions(index: sqlite3.Connection, part: str, path: Path) -> None:
    for number, entry in _entries(path, "questions"):
        row = (_whole(entry, "question_id"), _whole(entry, "image_id"), entry.get("question"))
        if None in row or not isinstance(row[2], str):
            raise DataError(
                f"{path}, question {number}, must have the whole numbers question_id and image_id, and a question."
            )
        _insert(index, "questions", (part, *row), f"{path}, question {number}")


def _fill_annotations(index: sqlite3.Connection, part: str, path: Path) -> Counter[str]:
    """Returns: how often each answer is the most common one, normalised."""
    common: Counter[str] = Counter()
    for number, entry in _entries(path, "annotations"):
        where = f"{path}, annotation {number}"
        row, answers = _whole(entry, "question_id"), entry.get("answers")
        answers = [answer.get("answer") if isinstance(answer, dict) else None for answer in answers or ()]
        words = [entry.get(name) for name in ("question_type", "answer_type", "multiple_choice_answer")]
        if row is None or not answers or not all(isinstance(word, str) for word in [*answers, *words]):
            raise DataError(
                f"{where}, must have question_id, question_type, answer_type, multiple_choice_answer and answers."
            )
        answers = [normalise_answer(answer) for answer in answers]
        common[normalise_answer(words[2])] += 1
        _insert(index, "annotations", (part, row, *words[:2], json.dumps(answers)), where)
    return common


def _entries(path: Path, name: str) -> Iterator[tuple[int, dict]]:
    """The objects of a published file's list with their numbers, from 1, one at a time."""
    number = 0
    try:
        with path.open("rb") as file:
            for number, entry in enumerate(ijson.items(file, f"{name}.item", use_float=True), start=1):
                if not isinstance(entry, dict):
                    raise DataError(f"{path}, {name} entry {number}, must be an object, got {type(entry).__name__}.")
                yield number, entry
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged after entry {number} of {name}: {reason_of(error)[:200]}.") from error
    if number == 0:
        raise DataError(f"{path} has no list of {name}.")


def _whole(entry: dict, name: str) -> int | None:
    value = entry.get(name)
    return value if type(value) is int and 0 <= value < 2**63 else None


def _insert(index: sqlite3.Connection, table: str, row: tuple, where: str) -> None:
    try:
        index.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    except sqlite3.IntegrityError as error:
        raise DataError(f"{where}: the question_id {row[1]} stands there already.") from error


def _check_annotations(index: sqlite3.Connection, part: str, raw_dir: Path) -> None:
    lost = index.execute(
        "SELECT id FROM annotations WHERE part = ? AND id NOT IN (SELECT id FROM questions WHERE part = ?) LIMIT 1",
        (part, part),
    ).fetchone()
    if lost:
        raise DataError(f"{raw_dir / QUESTIONS.format(part)} has no question {lost[0]}, which is answered.")


def _rows(index: sqlite3.Connection, part: str, raw_dir: Path, vocabulary: list[str]) -> Iterator[PublishedRow]:
    ids = {answer: number for number, answer in enumerate(vocabulary)}
    query = (
        "SELECT q.id, q.picture, q.question, a.question_type, a.answer_type, a.answers FROM questions q "
        "LEFT JOIN annotations a ON a.part = q.part AND a.id = q.id WHERE q.part = ? ORDER BY q.picture, q.id"
    )
    with closing(index.execute(query, (part,))) as found:
        for row, picture, question, question_type, answer_type, answers in found:
            given = [] if answers is None else json.loads(answers)
            scores = (
                {ids[answer]: score for answer, score in answer_scores(given).items() if answer in ids}
                if given
                else {}
            )
            values = {
                "id": str(row),
                "text": question,
                "answers": given,
                "answer_ids": list(scores),
                "answer_scores": list(scores.values()),
                "question_type": question_type,
                "answer_type": answer_type,
            }
            problem = "nobody answered it" if answers is None else None
            yield PublishedRow(values, raw_dir / part / f"COCO_{part}_{picture:012d}.jpg", problem)


__all__ = ["read_vqa"]
