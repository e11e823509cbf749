"""Small trees in the published formats, with made-up content."""

import io
import json
from pathlib import Path

from PIL import Image

MSED_HEADER = "Title,Caption,Sentiment,Emotion,Desire,Inference Sequence"
MSED = {
    "train": [
        "A dog by the sea,A dog by the sea,positive,happiness,tranquility,D-S-E",
        '"Rain, rain again","She said ""no"" and left",negative,sad,none,S-E-D',
        "Desk,Desk with a lamp,neutral,neutral,curiosity,D-S-E",
    ],
    "dev": ["Two friends,Two friends,positive,happiness,family,D-S-E"],
    "test": ["Fog,Fog,neutral,neutral,none,D-S-E", "A wall,A grey wall,negative,anger,vengeance,E-S-D"],
}
TWITTER_HEADER = "index\t#1 Label\t#2 ImageID\t#3 String\t#3 String"
TWITTER = {
    "train": [
        '1\t2\t7.jpg\tRT @ anna : $T$ said " yes # win\tBob Lee',
        '2\t0\t7.jpg\tRT @ anna : Bob Lee said " yes # $T$\twin',
        "3\t1\t8.jpg\tOff to $T$ 💙\tSt Ives",
    ],
    "dev": ["1\t1\t9.jpg\t$T$ opens\tThe Fair"],
    "test": ["1\t0\t9.jpg\tNo $T$ today\tbread"],
}
MVSA_SINGLE = [
    "1\tneutral,positive",
    "2\tpositive,positive",
    "3\tnegative,neutral",
    "4\tpositive,negative",
    "5\tneutral,neutral",
    "6\tnegative,negative",
]
MVSA_MULTIPLE = [
    "2499\tpositive,positive\tneutral,neutral\tpositive,positive",
    "2500\tneutral,negative\tneutral,negative\tpositive,neutral",
    "2501\tpositive,positive\tneutral,neutral\tnegative,positive",
    "2503\tpositive,neutral\tpositive,negative\tpositive,positive",
    "2504\tpositive,negative\tpositive,negative\tneutral,negative",
    "2505\tneutral,neutral\tneutral,neutral\tneutral,neutral",
]


def jpeg(number: int = 0, size: tuple[int, int] = (8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number * 40 % 256, number * 90 % 256, 120)).save(buffer, format="jpeg")
    return buffer.getvalue()


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_msed(folder: Path, rows: dict[str, list[str]] = MSED, header: str = MSED_HEADER, end: str = "\n") -> Path:
    for part, lines in rows.items():
        write(folder / part / f"{part}.csv", end.join([header, *lines]) + end)
        for number in range(1, len(lines) + 1):
            write(folder / part / "images" / f"{number}.jpg", jpeg(number))
    return folder


def write_twitter(folder: Path, rows: dict[str, list[str]] = TWITTER, year: int = 2015, end: str = "\n") -> Path:
    for part, lines in rows.items():
        write(folder / f"{part}.tsv", end.join([TWITTER_HEADER, *lines]) + end)
        for line in lines:
            name = line.split("\t")[2]
            write(folder / f"twitter{year}_images" / name, jpeg(int(name[0])))
    return folder


def write_mvsa(folder: Path, lines: list[str], header: str = "ID\ttext,image", texts: dict | None = None) -> Path:
    """`texts` are bytes by id; a row without one says "tweet ID" in GB18030."""
    write(folder / "labelResultAll.txt", "\n".join([header, *lines]) + "\n")
    for line in lines:
        row = line.split("\t")[0]
        write(folder / "data" / f"{row}.txt", (texts or {}).get(row, f"tweet {row} 好\n".encode("gb18030")))
        write(folder / "data" / f"{row}.jpg", jpeg(int(row) % 7))
    return folder


def write_lists(folder: Path, **parts: list[tuple[str, int]]) -> Path:
    for part, entries in parts.items():
        posts = [{"id": row, "text": f"listed {row}", "emotion_label": label} for row, label in entries]
        write(folder / f"{part}.json", json.dumps(posts))
    return folder


def vqa_question(number: int, picture: int) -> dict:
    return {"image_id": picture, "question": f"What is in picture {picture}, take {number}?", "question_id": number}


def vqa_annotation(number: int, picture: int, answers: list[str]) -> dict:
    return {
        "question_id": number,
        "image_id": picture,
        "question_type": "what is",
        "answer_type": "other",
        "multiple_choice_answer": max(answers, key=answers.count),
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": place}
            for place, answer in enumerate(answers, start=1)
        ],
    }


def write_vqa(folder: Path, answers: dict[str, dict[tuple[int, int], list[str]]]) -> Path:
    """`answers` by part, question and picture."""
    for part, asked in answers.items():
        questions = [vqa_question(number, picture) for number, picture in asked]
        annotations = [vqa_annotation(*key, given) for key, given in reversed(asked.items())]
        write(folder / f"v2_OpenEnded_mscoco_{part}_questions.json", json.dumps({"questions": questions}))
        write(folder / f"v2_mscoco_{part}_annotations.json", json.dumps({"annotations": annotations}))
        for _, picture in asked:
            write(folder / part / f"COCO_{part}_{picture:012d}.jpg", jpeg(picture))
    return folder
