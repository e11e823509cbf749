"""Readers of the published files against tables worked out by hand."""

import json
from collections import Counter
from pathlib import Path

import pytest
import trees
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duosent.data.msed import read_msed
from duosent.data.mvsa import majority, merge, read_mvsa
from duosent.data.published import read_lines
from duosent.data.reading import DataError
from duosent.data.splits import stratified_folds
from duosent.data.twitter import read_twitter
from duosent.data.vqa import read_vqa


def table(data) -> dict[str, list[dict]]:
    """All rows by part; the picture as its path."""
    return {
        part: [row.values | {"picture": str(row.picture), "problem": row.problem} for row in read()]
        for part, read in data.parts.items()
    }


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufeffa\r\n\nb\rc\x85\u2028d\x0b\n \ne\r\n\r\n\n".encode())
    assert list(read_lines(path)) == [(1, "a"), (2, ""), (3, "b\rc\x85\u2028d\x0b"), (4, " "), (5, "e")]
    path.write_bytes(b"")
    assert list(read_lines(path)) == []


# MSED


def test_msed(tmp_path):
    data = read_msed(trees.write_msed(tmp_path))
    rows = table(data)
    assert {part: len(posts) for part, posts in rows.items()} == {"train": 3, "validation": 1, "test": 2}
    assert rows["train"][1] == {
        "id": "train-2",
        "text": 'Rain, rain again She said "no" and left',
        "title": "Rain, rain again",
        "caption": 'She said "no" and left',
        "sentiment": "negative",
        "emotion": "sad",
        "desire": "none",
        "picture": str(tmp_path / "train" / "images" / "2.jpg"),
        "problem": None,
    }
    assert [row["text"] for row in rows["train"]][::2] == ["A dog by the sea", "Desk Desk with a lamp"]
    assert [row["id"] for row in rows["validation"] + rows["test"]] == ["dev-1", "test-1", "test-2"]


def test_msed_takes_any_order_of_columns_and_any_letters(tmp_path):
    header = "Emotion,DESIRE,Sentiment,Caption,Title"
    trees.write_msed(tmp_path, {"train": ["Happiness,NONE,Positive ,b,a"]}, header=header)
    [row] = table(read_msed(tmp_path))["train"]
    assert (row["text"], row["sentiment"], row["emotion"], row["desire"]) == ("a b", "positive", "happiness", "none")


def test_msed_with_a_byte_order_mark_and_windows_line_ends(tmp_path):
    plain = table(read_msed(trees.write_msed(tmp_path)))
    trees.write_msed(tmp_path, header=f"\ufeff{trees.MSED_HEADER}", end="\r\n")
    assert table(read_msed(tmp_path)) == plain


def test_msed_keeps_a_text_of_any_length(tmp_path):
    text = "long " * 20_000
    trees.write_msed(tmp_path, {"train": [f"{text},{text},positive,happiness,none,x"]})
    assert table(read_msed(tmp_path))["train"][0]["text"] == text


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["a,b,positive,happiness"], None, r"train.csv, line 2, must have 6 cells, got 4\."),
        (["a,b,positive,happiness,none,x,y"], None, "line 2, must have 6 cells, got 7"),
        (
            ["a,b,good,happiness,none,x"],
            None,
            "line 2: sentiment must be one of positive, neutral, negative, got 'good'",
        ),
        (['"a,b,positive,happiness,none,x', "c,c,positive,happiness,none,x"], None, "line 2, has a quote"),
        (["a,b,positive,happiness,none,x", "", "c,c,positive,happiness,none,x"], None, "line 3, must have 6 cells"),
        ([], "Title,Sentiment,Emotion,Desire", "line 1, has no column Caption, only Title, Sentiment"),
        ([], "Title,Caption,Caption,Sentiment,Emotion,Desire", "line 1, has more than one column Caption"),
        ([], "", "line 1, has no column Title"),
    ],
)
def test_what_is_wrong_in_msed_is_said_with_its_line(tmp_path, lines, header, message):
    trees.write_msed(tmp_path, {"train": lines}, header=trees.MSED_HEADER if header is None else header)
    with pytest.raises(DataError, match=message) as raised:
        table(read_msed(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_wrong_encoding_is_said_with_its_line(tmp_path):
    trees.write_msed(tmp_path)
    path = tmp_path / "train" / "train.csv"
    path.write_bytes(path.read_bytes().replace(b"Desk,", "Bühne,".encode("latin-1"), 1))
    with pytest.raises(DataError, match=r"train.csv, line 4, is not UTF-8: byte 0xfc at 1\."):
        table(read_msed(tmp_path))


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (read_msed, "holds no MSED: train/train.csv is missing"),
        (
            lambda folder: read_twitter(folder, 2017),
            "holds no Twitter-2017: train.tsv or twitter2017/train.tsv is missing",
        ),
        (
            lambda folder: read_mvsa(folder, 1),
            "holds no MVSA: labelResultAll.txt or MVSA_Single/labelResultAll.txt is missing",
        ),
        (read_vqa, "holds no VQA v2: v2_OpenEnded_mscoco_train2014_questions.json is missing"),
    ],
)
def test_a_wrong_folder(tmp_path, reader, message):
    with pytest.raises(DataError, match=message):
        reader(tmp_path)
    with pytest.raises(DataError, match="There is no folder"):
        reader(tmp_path / "nowhere")


# Twitter


def test_twitter(tmp_path):
    rows = table(read_twitter(trees.write_twitter(tmp_path), 2015))
    assert rows["train"] == [
        {
            "id": "train-1",
            "text": 'RT @ anna : $T$ said " yes # win',
            "label": "positive",
            "target": "Bob Lee",
            "picture": str(tmp_path / "twitter2015_images" / "7.jpg"),
            "problem": None,
        },
        {
            "id": "train-2",
            "text": 'RT @ anna : Bob Lee said " yes # $T$',
            "label": "negative",
            "target": "win",
            "picture": str(tmp_path / "twitter2015_images" / "7.jpg"),
            "problem": None,
        },
        {
            "id": "train-3",
            "text": "Off to $T$ 💙",
            "label": "neutral",
            "target": "St Ives",
            "picture": str(tmp_path / "twitter2015_images" / "8.jpg"),
            "problem": None,
        },
    ]
    assert [row["id"] for row in rows["validation"] + rows["test"]] == ["dev-1", "test-1"]


def test_twitter_one_folder_up_and_without_a_test_part(tmp_path):
    parts = {part: trees.TWITTER[part] for part in ("train", "dev")}
    trees.write_twitter(tmp_path / "twitter2017", parts, 2017, end="\r\n")
    (tmp_path / "twitter2017" / "twitter2017_images").rename(tmp_path / "twitter2017_images")
    rows = table(read_twitter(tmp_path, 2017))
    assert list(rows) == ["train", "validation"]
    assert rows["train"][0]["picture"] == str(tmp_path / "twitter2017_images" / "7.jpg")
    assert rows["train"][2]["target"] == "St Ives"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4\t2\t7.jpg\t$T$ x", r"must have 5 cells \(index, label, picture, text, target\), got 4"),
        ("4\t2\t7.jpg\t$T$ x\ty\tz", "got 6"),
        ("four\t2\t7.jpg\t$T$ x\ty", "the index must be a whole number, got 'four'"),
        ("2\t2\t7.jpg\t$T$ x\ty", "the index 2 stands on line 3 already"),
        ("4\tpositive\t7.jpg\t$T$ x\ty", "the label must be 0, 1 or 2, got 'positive'"),
        ("4\t2\t../7.jpg\t$T$ x\ty", "the picture must be the name of a file, got '../7.jpg'"),
        ("4\t2\t7.jpg\tno target\ty", r"the text must hold \$T\$ once, got 0 times"),
        ("4\t2\t7.jpg\t$T$ or $T$\ty", r"the text must hold \$T\$ once, got 2 times"),
        ("4\t2\t7.jpg\t$T$ x\t ", "the target must not be empty"),
    ],
)
def test_what_is_wrong_in_twitter_is_said_with_its_line(tmp_path, line, message):
    trees.write_twitter(tmp_path)
    path = tmp_path / "train.tsv"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=f"train.tsv, line 5.*{message}"):
        table(read_twitter(tmp_path, 2015))


def test_twitter_without_its_header_loses_no_row(tmp_path):
    trees.write(tmp_path / "train.tsv", "\n".join(trees.TWITTER["train"]))
    with pytest.raises(DataError, match="line 1, must be a header that begins with index"):
        table(read_twitter(tmp_path, 2015))


@pytest.mark.parametrize(
    ("year", "part", "labels"),
    [
        (2015, "train", {"negative": 368, "neutral": 1883, "positive": 928}),
        (2015, "validation", {"negative": 149, "neutral": 670, "positive": 303}),
        (2017, "train", {"negative": 416, "neutral": 1638, "positive": 1508}),
        (2017, "validation", {"negative": 144, "neutral": 517, "positive": 515}),
    ],
)
def test_real_tweets(year, part, labels):
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "twitter" / f"twitter{year}"
    if not folder.is_dir():
        pytest.skip(f"the real tweets of {year} are not here")
    rows = list(read_twitter(folder, year).parts[part]())
    assert Counter(row.values["label"] for row in rows) == labels
    assert [row.values["id"].split("-")[1] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]


# MVSA


@pytest.mark.parametrize(
    ("text", "image", "label"),
    [
        ("positive", "positive", "positive"),
        ("neutral", "neutral", "neutral"),
        ("negative", "negative", "negative"),
        ("neutral", "positive", "positive"),
        ("positive", "neutral", "positive"),
        ("neutral", "negative", "negative"),
        ("negative", "neutral", "negative"),
        ("positive", "negative", None),
        ("negative", "positive", None),
        (None, "positive", None),
        ("neutral", None, None),
    ],
)
def test_rule_for_two_sides(text, image, label):
    assert merge(text, image) == label


@pytest.mark.parametrize(
    ("votes", "label"),
    [("ppp", "p"), ("ppn", "p"), ("npp", "p"), ("pno", None), ("onn", "n"), ("o", "o"), ("ooo", "o")],
)
def test_rule_for_three_annotators(votes, label):
    assert majority(list(votes)) == label


def test_mvsa_single(tmp_path):
    data = read_mvsa(trees.write_mvsa(tmp_path, trees.MVSA_SINGLE), 1)
    rows = {row["id"]: row for part in table(data).values() for row in part}
    assert {row: (post["label"], post["text_label"], post["image_label"]) for row, post in rows.items()} == {
        "1": ("positive", "neutral", "positive"),
        "2": ("positive", "positive", "positive"),
        "3": ("negative", "negative", "neutral"),
        "5": ("neutral", "neutral", "neutral"),
        "6": ("negative", "negative", "negative"),
    }
    assert data.dropped == [{"id": "4", "reason": "positive against negative"}]
    assert rows["1"]["text"] == "tweet 1 好" and rows["1"]["picture"] == str(tmp_path / "data" / "1.jpg")


def test_mvsa_multiple(tmp_path):
    header = "\\ID\ttext,image\ttext,image\ttext,image"
    data = read_mvsa(trees.write_mvsa(tmp_path / "MVSA", trees.MVSA_MULTIPLE, header), 3)
    rows = {row["id"]: row for part in table(data).values() for row in part}
    assert {row: (post["label"], post["text_label"], post["image_label"]) for row, post in rows.items()} == {
        "2499": ("positive", "positive", "positive"),
        "2500": ("negative", "neutral", "negative"),
        "2505": ("neutral", "neutral", "neutral"),
    }
    assert data.dropped == [
        {"id": "2501", "reason": "no majority for the text"},
        {"id": "2503", "reason": "no majority for the image"},
        {"id": "2504", "reason": "positive against negative"},
    ]


def test_mvsa_as_published_work_read_it(tmp_path):
    texts = {"1": "so 好 good".encode("gb18030"), "2": b"caf\xe9", "3": "\ufeff plain".encode()}
    folder = trees.write_mvsa(tmp_path, trees.MVSA_SINGLE, texts=texts)

    def words(**options):
        return {row["id"]: row for part in table(read_mvsa(folder, 1, **options)).values() for row in part}

    assert words()["1"]["text"] == "so 好 good"
    assert words()["2"]["text"] is None and words()["2"]["problem"].startswith("2.txt is not GB18030")
    ignoring = words(text_encoding="utf-8-ignore")
    assert ignoring["1"]["text"] == texts["1"].decode("utf-8", "ignore") != "so 好 good"
    assert ignoring["2"]["text"] == "caf" and ignoring["2"]["problem"] is None


def test_mvsa_with_published_lists(tmp_path):
    folder = trees.write_mvsa(tmp_path / "raw", trees.MVSA_SINGLE)
    lists = trees.write_lists(
        tmp_path / "lists", train=[("6", 2), ("1", 0)], dev=[("5", 0)], test=[("99", 1), ("3", 2)]
    )
    data = read_mvsa(folder, 1, [lists])
    rows = table(data)
    assert {part: [(row["id"], row["label"]) for row in posts] for part, posts in rows.items()} == {
        "train": [("6", "negative"), ("1", "positive")],
        "validation": [("5", "positive")],
        "test": [("99", "neutral"), ("3", "negative")],
    }
    assert rows["test"][0]["problem"] == "the published list names it, labelResultAll.txt does not"
    assert rows["validation"][0]["text_label"] == "neutral"
    assert data.facts["labels_that_differ_from_the_rule"] == 2
    assert [row["id"] for row in data.dropped] == ["2", "4"]
    assert table(read_mvsa(folder, 1, sorted(lists.glob("*.json")))) == rows


def test_mvsa_from_lists_and_pictures_alone(tmp_path):
    trees.write_lists(tmp_path, train=[("1", 0), ("2", 2)], test=[("3", 1)])
    trees.write(tmp_path / "dataset_image" / "1.jpg", trees.jpeg())
    rows = table(read_mvsa(tmp_path, 1, [tmp_path]))
    picture = str(tmp_path / "dataset_image" / "1.jpg")
    first = {"id": "1", "text": "listed 1", "label": "positive", "picture": picture, "problem": None}
    assert rows["train"][0] == first and [row["label"] for row in rows["test"]] == ["neutral"]


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["x\tneutral,neutral"], None, "line 2: the ID must be a whole number, got 'x'"),
        (["1\tneutral,neutral", "1\tneutral,neutral"], None, "line 3: the ID 1 stands on line 2 already"),
        (["1\tneutral"], None, "line 2, must have the ID and one pair of labels text,image, got '1\\\\tneutral'"),
        (["1\tneutral,neutral\tneutral,neutral"], None, "line 2, must have the ID and one pair"),
        (
            ["1\tneutral,good"],
            None,
            "line 2: the picture's label must be one of positive, neutral, negative, got 'good'",
        ),
        (["1\tneutral,neutral"], "1\tneutral,neutral", "line 1, must be the header"),
        (["1\tneutral,neutral"], "ID\timage,text", "line 1, must be the header"),
        ([], None, "labelResultAll.txt holds no rows"),
    ],
)
def test_what_is_wrong_in_mvsa_is_said_with_its_line(tmp_path, lines, header, message):
    trees.write(tmp_path / "labelResultAll.txt", "\n".join([header or "ID\ttext,image", *lines]))
    with pytest.raises(DataError, match=message):
        read_mvsa(tmp_path, 1)


def test_labels_of_mvsa_in_any_letters(tmp_path):
    data = read_mvsa(trees.write_mvsa(tmp_path, ["1\tNeutral, POSITIVE \t", "2\tneutral,neutral"]), 1)
    labels = {row["id"]: row["label"] for part in table(data).values() for row in part}
    assert labels == {"1": "positive", "2": "neutral"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train", "[", "train.json cannot be read"),
        ("train", "{}", "train.json must be a JSON list of posts"),
        ("train", '[{"id": "1"}]', "train.json, entry 1, must have id and emotion_label"),
        ("train", '[{"id": "1", "emotion_label": 3}]', "entry 1: emotion_label must be 0, 1 or 2, got 3"),
        ("train", '[{"id": "1", "emotion_label": 1.0}]', "entry 1: emotion_label must be 0, 1 or 2, got 1.0"),
        ("train", '[{"id": 1, "emotion_label": 1}, {"id": "1", "emotion_label": 1}]', "entry 2: the id 1 stands in"),
        ("test", '[{"id": "1", "emotion_label": 1}]', "must hold a train.json"),
    ],
)
def test_what_is_wrong_in_a_published_list(tmp_path, name, content, message):
    folder = trees.write_mvsa(tmp_path, trees.MVSA_SINGLE)
    trees.write(tmp_path / "lists" / f"{name}.json", content)
    with pytest.raises(DataError, match=message):
        read_mvsa(folder, 1, [tmp_path / "lists"])


# Folds


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    seed=st.integers(0, 5),
)
def test_folds_are_stratified_and_test_each_row_once(counts, seed):
    labels = {f"{label}-{number}": str(label) for label, count in enumerate(counts) for number in range(count)}
    tested = Counter()
    for fold in range(1, 11):
        parts = stratified_folds(labels, fold, seed)
        assert list(parts) == list(labels)
        for part, share in {"train": 8, "validation": 1, "test": 1}.items():
            for label, count in enumerate(counts):
                there = sum(1 for row, where in parts.items() if where == part and labels[row] == str(label))
                assert abs(there - share * count / 10) < share + 1
            assert abs(Counter(parts.values())[part] - share * len(labels) / 10) < share
        tested.update(row for row, part in parts.items() if part == "test")
        after = stratified_folds(labels, fold % 10 + 1, seed)
        assert [row for row, part in after.items() if part == "test"] == [
            row for row, part in parts.items() if part == "validation"
        ]
    assert tested == Counter(labels.keys())


def test_folds_know_neither_the_order_of_the_rows_nor_each_others_seed():
    labels = {str(number): "ab"[number % 2] for number in range(60)}
    parts = stratified_folds(labels, 3, 0)
    assert stratified_folds(dict(reversed(labels.items())), 3, 0) == parts
    assert stratified_folds(labels, 3, 1) != parts
    with pytest.raises(ValueError, match="fold must be from 1 to 10, got 11"):
        stratified_folds(labels, 11, 0)


def test_a_fold_is_the_same_for_ever():
    """A change of the rule would make figures of the same fold incomparable."""
    labels = {str(number): "a" for number in range(20)}
    parts = stratified_folds(labels, 1, 0)
    # The first and the eleventh number in the order of sha256("0:number").
    assert [row for row, part in parts.items() if part == "test"] == ["8", "15"]


# VQA v2

ANSWERED = {
    "train2014": {
        (7, 2): ["The cat!"] * 4 + ["dog"] * 3 + ["two dogs", "Dog.", "bird"],
        (5, 1): ["dog"] * 10,
        (6, 2): ["cat"] * 10,
        (8, 1): ["fish"] * 10,
    },
    "val2014": {(9, 3): ["dog"] + ["horse"] * 9},
}


def test_vqa(tmp_path):
    data = read_vqa(trees.write_vqa(tmp_path, ANSWERED), min_answer_count=2)
    assert data.beside == {"answers.json": ["cat"]}
    data = read_vqa(tmp_path, min_answer_count=1)
    assert data.beside == {"answers.json": ["cat", "dog", "fish"]}
    rows = table(data)
    assert [row["id"] for row in rows["train"]] == ["5", "8", "6", "7"]
    assert rows["train"][3] == {
        "id": "7",
        "text": "What is in picture 2, take 7?",
        "answers": ["cat"] * 4 + ["dog"] * 3 + ["2 dogs", "dog", "bird"],
        "answer_ids": [0, 1],
        "answer_scores": pytest.approx([1.0, 1.0]),
        "question_type": "what is",
        "answer_type": "other",
        "picture": str(tmp_path / "train2014" / "COCO_train2014_000000000002.jpg"),
        "problem": None,
    }
    assert rows["validation"][0]["answer_ids"] == [1]
    assert rows["validation"][0]["answer_scores"] == pytest.approx([0.3])


def change(path: Path, edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("questions", lambda c: c["questions"][1].pop("question"), "questions.json, question 2, must have"),
        ("questions", lambda c: c["questions"][1].update(image_id="x"), "question 2, must have the whole numbers"),
        (
            "questions",
            lambda c: c["questions"].append(c["questions"][0]),
            "question 5: the question_id 7 stands there",
        ),
        ("questions", lambda c: c["questions"].insert(2, 4), "questions entry 3, must be an object, got int"),
        ("questions", lambda c: c.pop("questions"), "questions.json has no list of questions"),
        ("questions", lambda c: c["questions"].pop(), "questions.json has no question 8, which is answered"),
        ("annotations", lambda c: c["annotations"][0].pop("answers"), "annotation 1, must have question_id"),
        ("annotations", lambda c: c["annotations"][0]["answers"].append(3), "annotation 1, must have question_id"),
        ("annotations", lambda c: c["annotations"].clear(), "annotations.json has no list of annotations"),
    ],
)
def test_what_is_wrong_in_vqa_is_said_with_its_entry(tmp_path, file, edit, message):
    trees.write_vqa(tmp_path, ANSWERED)
    [path] = tmp_path.glob(f"*train2014_{file}.json")
    change(path, edit)
    with pytest.raises(DataError, match=message):
        read_vqa(tmp_path, min_answer_count=1)


def test_a_question_that_nobody_answered_is_not_lost(tmp_path):
    trees.write_vqa(tmp_path, ANSWERED)
    [path] = tmp_path.glob("*train2014_annotations.json")
    change(path, lambda content: content["annotations"].pop())
    rows = table(read_vqa(tmp_path, min_answer_count=1))["train"]
    assert [(row["id"], row["problem"]) for row in rows] == [
        ("5", None),
        ("8", None),
        ("6", None),
        ("7", "nobody answered it"),
    ]


def test_a_vocabulary_of_nothing(tmp_path):
    trees.write_vqa(tmp_path, ANSWERED)
    with pytest.raises(DataError, match="has no answer that is the most common one 9 times"):
        read_vqa(tmp_path)
    (tmp_path / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(DataError, match="holds no answers of val2014: v2_mscoco_val2014_annotations.json is missing"):
        read_vqa(tmp_path, min_answer_count=1)


# Damage


READERS = {
    "msed": (trees.write_msed, read_msed, ["train/train.csv", "dev/dev.csv", "test/test.csv"]),
    "twitter": (trees.write_twitter, lambda folder: read_twitter(folder, 2015), ["train.tsv", "dev.tsv", "test.tsv"]),
    "mvsa": (
        lambda folder: trees.write_mvsa(folder, trees.MVSA_SINGLE),
        lambda folder: read_mvsa(folder, 1),
        ["labelResultAll.txt", "data/1.txt"],
    ),
    "vqa": (
        lambda folder: trees.write_vqa(folder, ANSWERED),
        lambda folder: read_vqa(folder, 1),
        ["v2_OpenEnded_mscoco_train2014_questions.json", "v2_mscoco_train2014_annotations.json"],
    ),
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_read_or_named(tmp_path, name, data):
    """A reader gives as many rows as lines are left, or says in one sentence where the damage is."""
    writer, reader, files = READERS[name]
    writer(tmp_path)
    path = tmp_path / data.draw(st.sampled_from(files))
    before = path.read_bytes()
    after = damaged(data.draw, before)
    path.write_bytes(after)
    try:
        read = reader(tmp_path)
        rows = table(read)
    except DataError as error:
        assert path.name in str(error) and "\n" not in str(error)
        assert len(str(error)) < 700
        return
    finally:
        path.write_bytes(before)
    if path.suffix in (".csv", ".tsv"):
        part = {"train": "train", "dev": "validation", "test": "test"}[path.stem]
        lines = [line for line in after.split(b"\n") if line.strip(b"\r")]
        assert len(rows[part]) == len(lines) - 1
    elif path.name == "labelResultAll.txt":
        lines = [line for line in after.split(b"\n") if line.strip(b"\r\t ")]
        assert sum(map(len, rows.values())) + len(read.dropped) == len(lines) - 1
    elif path.suffix == ".json":
        assert len(rows["train"]) == len(
            json.loads(after.decode())["questions" if "questions" in path.name else "annotations"]
        )
    else:
        assert sum(map(len, rows.values())) == 5
