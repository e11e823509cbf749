"""The audit of tables whose doubles, conflicts and bad rows are known one by one."""

import json
import struct
import tracemalloc
import weakref
import zlib
from pathlib import Path

import numpy as np
import pytest
from commands import call
from datasets import ClassLabel, Dataset, Features, Image, Value, disable_progress_bars, enable_progress_bars
from drawn import blocks, encoded, near_copy
from PIL import Image as Pictures

import duosent.data.survey as survey_module
from duosent.data.audit import audit
from duosent.data.pairs import load_pairs
from duosent.data.reading import read_splits
from duosent.data.survey import survey_posts
from duosent.data_tables import audit_table

RED, BLUE = (Pictures.new("RGB", (64, 64), colour) for colour in ((200, 30, 30), (20, 40, 200)))
# id, text, picture, mood, feeling. What is the same is said where it comes again.
TRAIN = [
    ("t1", "A fine day", encoded(blocks(1)), "glad", "joy"),
    ("t2", "a FINE day!!", encoded(blocks(2)), "glad", "calm"),  # nearly the text of t1
    ("t3", "Rain again", encoded(blocks(3)), "sad", "grief"),
    ("t4", "Rain again", encoded(blocks(3)), "glad", "joy"),  # t3, with another label
    ("t5", "Rain again", encoded(blocks(4)), "sad", "grief"),  # the text of t3
    ("t6", "  Rain again ", None, "sad", "grief"),  # the text of t3
    ("t7", None, encoded(blocks(5)), None, None),
    ("t8", " ", None, "sad", "grief"),  # neither side
    ("t9", "Broken", b"", "glad", "joy"),
    ("t10", "Wow", encoded(blocks(6)), "glad", "calm"),
    ("t11", "https://t.co/x", None, "sad", "grief"),
    ("t12", "@anna https://t.co/y", None, "sad", "grief"),
]
VALIDATION = [
    ("v1", "A fine day", near_copy(blocks(1)), "sad", "grief"),  # the text of t1, nearly its picture
    ("v2", "New words here", encoded(blocks(5), "BMP"), "glad", "joy"),  # the picture of t7 in another format
    ("v3", "rain, AGAIN http://t.co/z", None, "sad", "grief"),  # nearly the text of t3
    ("v4", "Red all over", encoded(RED), "glad", "calm"),
    ("v5", "Blue all over", encoded(BLUE), "sad", "grief"),
]
TEST = [
    ("s1", "New words here", encoded(blocks(7)), "glad", "joy"),  # the text of v2
    ("s2", "A fine day", encoded(RED), "glad", "joy"),  # the text of t1 and v1, the picture of v4
]
PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
FEATURES = Features(
    {name: Value("string") for name in ("id", "text", "mood", "feeling")} | {"image": Image(decode=False)}
)


def write_parquet(folder, parts=PARTS):
    for split, posts in parts.items():
        rows = [
            {
                "id": id,
                "text": text,
                "image": image and {"bytes": image, "path": None},
                "mood": mood,
                "feeling": feeling,
            }
            | ({"image": {"bytes": b"", "path": None}} if image == b"" else {})
            for id, text, image, mood, feeling in posts
        ]
        Dataset.from_list(rows, features=FEATURES).to_parquet(folder / f"{split}.parquet")
    return str(folder)


@pytest.fixture(autouse=True, scope="module")
def quiet_library():
    """The command silences `datasets` before it is imported; in this process it is there already."""
    disable_progress_bars()
    yield
    enable_progress_bars()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return audit(write_parquet(tmp_path_factory.mktemp("posts")))


def ids(posts):
    return [post["id"] for post in posts]


def counts(report, side, level):
    """`train-validation` -> posts, those that are not 0."""
    found = report["doubles"][side][level]["posts"]
    return {f"{split}-{other}": n for split, others in found.items() for other, n in others.items() if n}


@pytest.mark.parametrize(
    ("side", "level", "expected", "groups"),
    [
        (
            "text",
            "exact",
            {
                "train-train": 4,  # t3 to t6
                "train-validation": 1,  # t1
                "train-test": 1,  # t1
                "validation-train": 1,  # v1
                "validation-test": 2,  # v1, v2
                "test-train": 1,  # s2
                "test-validation": 2,  # s1, s2
            },
            [["t1", "v1", "s2"], ["t3", "t4", "t5", "t6"], ["v2", "s1"]],
        ),
        (
            "text",
            "near",
            {
                "train-train": 6,  # t1 to t6
                "train-validation": 6,  # t1, t2 by v1, t3 to t6 by v3
                "train-test": 2,  # t1, t2
                "validation-train": 2,  # v1, v3
                "validation-test": 2,
                "test-train": 1,
                "test-validation": 2,
            },
            [["t1", "t2", "v1", "s2"], ["t3", "t4", "t5", "t6", "v3"], ["v2", "s1"]],
        ),
        (
            "image",
            "exact",
            {
                "train-train": 2,  # t3, t4
                "train-validation": 1,  # t7
                "validation-train": 1,  # v2
                "validation-test": 1,  # v4
                "test-validation": 1,  # s2
            },
            [["t3", "t4"], ["t7", "v2"], ["v4", "s2"]],
        ),
        (
            "image",
            "near",
            {
                "train-train": 2,
                "train-validation": 2,  # t7, t1
                "validation-train": 2,  # v2, v1
                "validation-test": 1,
                "test-validation": 1,
            },
            [["t1", "v1"], ["t3", "t4"], ["t7", "v2"], ["v4", "s2"]],
        ),
        ("post", "exact", {"train-train": 2}, [["t3", "t4"]]),
        (
            "post",
            "near",
            # t1 and v1; t6 and v3, which have both no picture.
            {"train-train": 2, "train-validation": 2, "validation-train": 2},
            [["t1", "v1"], ["t3", "t4"], ["t6", "v3"]],
        ),
    ],
)
def test_doubles_within_parts_and_across(report, side, level, expected, groups):
    assert counts(report, side, level) == expected
    assert [ids(group) for group in report["doubles"][side][level]["groups"]] == groups


def test_leaks_are_doubles_of_any_kind(report):
    assert report["leaks"] == {
        "train": {"validation": 7, "test": 2},  # t1 to t7; t1, t2
        "validation": {"train": 3, "test": 3},  # v1, v2, v3; v1, v2, v4
        "test": {"train": 1, "validation": 2},  # s2; s1, s2
    }


def test_doubles_with_several_labels(report):
    found = {
        (side, level): [ids(group) for group in report["conflicts"][side][level]["mood"]]
        for side in ("text", "image", "post")
        for level in ("exact", "near")
    }
    fine, rain = ["t1", "v1", "s2"], ["t3", "t4", "t5", "t6"]
    assert found == {
        ("text", "exact"): [fine, rain],
        ("text", "near"): [["t1", "t2", "v1", "s2"], [*rain, "v3"]],
        ("image", "exact"): [["t3", "t4"]],  # t7 has no label to disagree with that of v2
        ("image", "near"): [["t1", "v1"], ["t3", "t4"]],
        ("post", "exact"): [["t3", "t4"]],
        ("post", "near"): [["t1", "v1"], ["t3", "t4"]],
    }
    assert report["conflicts"]["post"]["exact"]["mood"][0] == [
        {"split": "train", "row": 3, "id": "t3", "labels": ["sad"]},
        {"split": "train", "row": 4, "id": "t4", "labels": ["glad"]},
    ]
    # v4 (calm) and s2 (joy) share a picture and the mood, not the feeling.
    assert ["v4", "s2"] in [ids(group) for group in report["conflicts"]["image"]["exact"]["feeling"]]


def test_counts_lengths_and_sizes(report):
    train = report["splits"]["train"]
    assert {name: train[name] for name in ("posts", "texts", "pictures", "bad_rows")} == {
        "posts": 12,
        "texts": 10,
        "pictures": 7,
        "bad_rows": 2,
    }
    # Words of t1 to t6, t9 to t12: 3 3 2 2 2 2 1 1 1 2
    assert {name: train["words"][name] for name in ("min", "median", "mean", "max")} == {
        "min": 1,
        "median": 2,
        "mean": 1.9,
        "max": 3,
    }
    assert train["characters"]["min"] == 3 and train["characters"]["max"] == len("@anna https://t.co/y")
    assert report["splits"]["validation"]["width"] == {"min": 32, "median": 64, "mean": 56, "p95": 64, "max": 64}
    assert report["splits"]["test"]["height"]["max"] == 64
    assert {name: ids(posts) for name, posts in report["texts"].items()} == {
        "empty": ["t7", "t8"],
        "one_word": ["t9", "t10", "t11"],
        "bare": ["t11", "t12"],
    }
    assert ids(report["plain_pictures"]) == ["v4", "v5", "s2"]


def test_labels_and_what_they_say_of_one_another(report):
    assert report["labels"]["mood"] == {
        "counts": {
            "train": {"glad": 5, "sad": 6},
            "validation": {"glad": 2, "sad": 3},
            "test": {"glad": 2, "sad": 0},
        },
        "unlabelled": {"train": 1, "validation": 0, "test": 0},
        "spelt_alike": [],
    }
    assert report["determines"] == [
        {"column": "feeling", "other": "mood", "labels": {"calm": "glad", "grief": "sad", "joy": "glad"}}
    ]


def test_the_bad_rows_are_named(report):
    assert report["bad_rows"] == [
        {"split": "train", "row": 8, "id": "t8", "reason": "a post must have a text or a picture, got neither"},
        {
            "split": "train",
            "row": 9,
            "id": "t9",
            "reason": "the picture cannot be read: 0 bytes cannot be read as a picture: no format that is known",
        },
    ]


# Sources of other kinds, and bad ones.


def bomb():
    """A PNG of a few bytes that says it is 60000 x 60000."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


def test_every_bad_row_is_named_and_stops_nothing(tmp_path):
    whole = encoded(blocks(0), "JPEG")
    for name, content in {
        "good.jpg": whole,
        "half.jpg": whole[:-200],
        "bomb.png": bomb(),
        "zero.png": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    lines = [
        "text,image,label",
        "fine,good.jpg,x",
        "a,half.jpg,x",
        "b,bomb.png,x",
        "c,zero.png,y",
        "d,gone.png,y",
        "e,https://a.b/c.png,y",
        " ,,y",
        "f,,y",
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    (tmp_path / "validation.csv").write_text("text,label\ng,x\nh,q\ni,\n")
    report = audit(str(tmp_path))
    reasons = {(post["split"], post["row"]): post["reason"] for post in report["bad_rows"]}
    assert list(reasons) == [("train", row) for row in range(2, 8)] + [("validation", 2)]
    words = ["half.jpg is damaged", "decompression bomb", "zero.png cannot be read as a picture", "There is no file"]
    words += ["is an address on the web, which is not fetched", "a post must have a text or a picture, got neither"]
    words += ["label 'q' is not one of the labels x, y"]
    for reason, part in zip(reasons.values(), words, strict=True):
        assert part in reason and "\n" not in reason and not reason.endswith(".")
    assert report["splits"]["train"]["pictures"] == 1
    assert report["labels"]["label"]["counts"]["validation"] == {"q": 1, "x": 1, "y": 0}


def test_missing_and_unreadable_sides_are_like_nothing(tmp_path):
    rows = [
        ("1", None, None),
        ("2", None, None),
        ("3", "same", b"broken"),
        ("4", "same", b"broken"),
        ("5", "same", None),
    ]
    write_parquet(tmp_path, {"train": [(*row, "x", "y") for row in rows]})
    report = audit(str(tmp_path))
    assert counts(report, "image", "near") == counts(report, "post", "near") == {}
    assert counts(report, "text", "exact") == {"train-train": 3}


def test_windows_line_ends_byte_order_mark_and_a_long_text(tmp_path):
    long = "word, " * 20_000
    content = f'text,label\r\n"a ""quoted"" day",glad\r\n"{long}",sad\r\n"{long.upper()}",glad\r\n'
    (tmp_path / "posts.csv").write_bytes(b"\xef\xbb\xbf" + content.encode())
    report = audit(str(tmp_path / "posts.csv"))
    assert report["splits"]["train"]["posts"] == 3 and report["splits"]["train"]["pictures"] == 0
    assert report["splits"]["train"]["characters"]["max"] == 119_999  # without the last blank
    assert counts(report, "text", "near") == counts(report, "post", "near") == {"train-train": 2}
    assert counts(report, "text", "exact") == {}
    assert len(report["conflicts"]["post"]["near"]["label"]) == 1
    assert report["leaks"] == {"train": {}}


def test_pictures_alone_beside_a_metadata_file(tmp_path):
    for split, names in {"train": ("a", "b"), "test": ("c",)}.items():
        (tmp_path / split).mkdir()
        for name in names:
            (tmp_path / split / f"{name}.png").write_bytes(encoded(blocks(ord("a" if name == "c" else name))))
        lines = ["file_name,label", *(f"{name}.png,{name}" for name in names)]
        (tmp_path / split / "metadata.csv").write_text("\n".join(lines))
    report = audit(str(tmp_path))
    assert counts(report, "image", "exact") == {"train-test": 1, "test-train": 1}
    assert counts(report, "post", "exact") == {"train-test": 1, "test-train": 1}
    assert len(report["conflicts"]["post"]["exact"]["label"]) == 1
    assert ids(report["bad_rows"]) == ["test-1"]  # label c
    assert report["texts"]["empty"] == []  # of a column that is not there nothing is missing


def test_another_target_makes_another_post(tmp_path):
    lines = ["text,who,label", "$T$ wins,Ann,x", "$T$ wins,Bob,y", "$T$ wins,Ann,y"]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    report = audit(str(tmp_path), target_column="who")
    assert [ids(group) for group in report["doubles"]["post"]["near"]["groups"]] == [["train-1", "train-3"]]
    assert counts(audit(str(tmp_path)), "text", "exact") == {"train-train": 3}


def test_columns_of_labels_by_name_and_several_labels_a_cell(tmp_path):
    lines = ["text,a,b,c", "one,x|y,p,1", "two,y,p,1", "three,y|x,q,2", "ONE,x,q,2"]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    (tmp_path / "test.csv").write_text("text,a\nfour,y|z\n")
    report = audit(str(tmp_path), label_columns=["a"], label_separator="|")
    assert list(report["labels"]) == ["a"]
    assert report["labels"]["a"]["counts"] == {"train": {"x": 3, "y": 3, "z": 0}, "test": {"x": 0, "y": 1, "z": 1}}
    assert [post["reason"] for post in report["bad_rows"]] == ["a 'z' is not one of the labels x, y"]
    assert report["conflicts"]["text"]["near"]["a"][0][0]["labels"] == ["x", "y"]
    report = audit(str(tmp_path), label_columns=["b", "c"])
    assert [(found["column"], found["other"]) for found in report["determines"]] == [("b", "c"), ("c", "b")]
    assert report["labels"]["b"]["unlabelled"] == {"train": 0, "test": 1} and not report["bad_rows"]


def test_labels_that_only_look_like_one(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\none,sad\ntwo,Glad\nthree,glad\nfour,glad \n")
    report = audit(str(tmp_path))
    assert report["labels"]["label"]["spelt_alike"] == [["Glad", "glad", "glad "]]
    assert "label: 'Glad' and 'glad' and 'glad ' differ in case or white space alone." in audit_table(report)


def test_labels_of_the_sides_are_read_by_the_names_of_the_posts_label(tmp_path):
    lines = ["text,label,text_label,image_label", "a,x,x,", "b,y,,z", "c,y,x,y"]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    report = audit(str(tmp_path))
    assert list(report["labels"]) == ["label", "text_label", "image_label"]
    assert [post["reason"] for post in report["bad_rows"]] == ["image_label 'z' is not one of the labels x, y"]
    with pytest.raises(ValueError, match="row 3: image_label 'z' is not one of the labels"):
        load_pairs(str(tmp_path))


def test_names_of_a_class_label_need_not_occur(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["sad", "glad"])})
    for split, label in (("train", 0), ("test", 1)):
        Dataset.from_dict({"text": [split], "label": [label]}, features=features).to_parquet(
            tmp_path / f"{split}.parquet"
        )
    report = audit(str(tmp_path))
    assert report["bad_rows"] == [] and report["labels"]["label"]["counts"]["test"] == {"glad": 1, "sad": 0}


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["text,label"], {}, "train.csv holds no rows"),
        (["text,label", "a,x"], {"label_columns": ["lable"]}, r"no column lable \(label\), .*did you mean label\?"),
        (["text,label", "a,x"], {"image_label_column": "pic"}, r"has no column pic \(label\), only text, label"),
        (["words,label", "a,x"], {}, r"has no column text \(text\), only words, label"),
        (["text,label", "a,x"], {"image_distance": 17}, "image_distance must be from 0 to 16 bits, got 17"),
    ],
)
def test_what_cannot_be_audited_is_said_in_one_sentence(tmp_path, lines, options, message):
    (tmp_path / "train.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        audit(str(tmp_path), **options)


def test_a_wrong_distance_is_told_before_the_first_picture_is_opened(source, monkeypatch):
    monkeypatch.setattr(survey_module, "open_picture", None)
    with pytest.raises(ValueError, match="image_distance"):
        audit(source, image_distance=-1)


def test_the_distance_of_near_pictures_can_be_chosen(tmp_path):
    # In these two copies the hash turns 2 and 6 bits (by the plain loop of `imagehash`).
    import imagehash

    picture = blocks(8)
    copies = {}
    for strength in range(5, 120, 5):
        changed = np.asarray(picture).astype(int)
        changed[:16, :16] += strength
        copy = Pictures.fromarray(changed.clip(0, 255).astype(np.uint8))
        copies.setdefault(imagehash.phash(picture) - imagehash.phash(copy), copy)
    bits, copy = max(copies.items())
    assert 4 < bits <= 16
    posts = [("1", "a", encoded(picture), "x", "y"), ("2", "b", encoded(copy), "x", "y")]
    write_parquet(tmp_path, {"train": posts})
    for distance, expected in ((0, {}), (bits - 1, {}), (bits, {"train-train": 2})):
        assert counts(audit(str(tmp_path), image_distance=int(distance)), "image", "near") == expected


# Large tables.


def test_pictures_are_decoded_one_at_a_time_and_not_kept(tmp_path, monkeypatch):
    noise = np.random.RandomState(0).randint(0, 256, (60, 100, 100, 3), np.uint8)
    posts = [(f"{i}", f"text {i}", encoded(Pictures.fromarray(picture)), "x", "y") for i, picture in enumerate(noise)]
    source = write_parquet(tmp_path, {"train": posts})
    del posts
    decoded, most = [], 0
    really_open = survey_module.open_picture

    def open_and_count(picture):
        nonlocal most
        opened = really_open(picture)
        decoded.append(weakref.ref(opened))
        most = max(most, sum(picture() is not None for picture in decoded))
        return opened

    monkeypatch.setattr(survey_module, "open_picture", open_and_count)
    splits = read_splits(source)
    tracemalloc.start()
    try:
        survey_posts(source, splits)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most <= 2
    assert peak < 900_000  # 1.8 MB of pictures, half of which are never in memory together


# The command.


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp("posts"))


def test_the_command_prints_a_table(capsys, source):
    code, out, err = call(capsys, "audit", source)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "posts 12 5 2" in lines
    assert "rows that cannot be read 2 0 0" in lines
    assert "glad 5 (41.7 %) 2 (40.0 %) 2 (100.0 %)" in lines
    assert "feeling fixes mood: calm is glad, grief is sad, joy is glad." in lines
    assert "posts with a double same text near text same picture near picture same post near post" in lines
    assert "train, also in validation 1 6 1 2 0 2" in lines
    assert "train, more than once 4 6 2 2 2 2" in lines
    assert "mood 2 2 1 2 1 2" in lines
    assert "train row 8 (t8): a post must have a text or a picture, got neither." in lines
    assert any(line.startswith("3 of 5 posts of validation have a text or picture") for line in lines)


def test_the_command_gives_json_to_programs(capsys, source, tmp_path):
    file = tmp_path / "new" / "audit.json"
    code, out, err = call(capsys, "audit", source, "--json", "--output", file, "--label", "mood", "--label", "feeling")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report == json.loads(file.read_text())
    assert list(report["labels"]) == ["mood", "feeling"] and report["columns"]["train"]["image"] == "image"
    assert report == json.loads(json.dumps(audit(source, label_columns=["mood", "feeling"])))


def test_a_table_without_pictures_shows_no_pictures(capsys, tmp_path):
    (tmp_path / "posts.csv").write_text("text\nhello\nhello\n")
    code, out, _ = call(capsys, "audit", tmp_path / "posts.csv")
    assert code == 0
    assert "posts with a double    same text  near text\ntrain, more than once          2          2\n" in out
    assert "several labels" not in out and "have a text or picture" not in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["audit"], "duosent audit: the following arguments are required: DATA."),
        (["audit", "./nowhere"], "duosent audit: There is no file or folder ./nowhere."),
        (["audit", "POSTS", "--lable", "x"], "there is no argument --lable; did you mean --label?"),
        (
            ["audit", "POSTS", "--label", "mod"],
            "has no column mod (label), only id, text, image, mood, feeling; did you mean mood?",
        ),
        (["audit", "POSTS", "--image-distance", "17"], "image_distance must be from 0 to 16 bits, got 17."),
        (["audit", "POSTS", "--output", "POSTS"], "is a folder."),
        (["audit", "POSTS", "--write-clean", "POSTS"], "is not empty: take another one, or say overwrite."),
        (["audit", "POSTS", "--write-clean", "POSTS", "--overwrite"], "must be a folder apart from the data"),
    ],
)
def test_a_wrong_call_is_one_sentence(capsys, source, words, sentence):
    code, out, err = call(capsys, *(source if word == "POSTS" else word for word in words))
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert sentence in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "texts", "pictures", "determines"),
    [("msed", 47, 3, [("emotion", "sentiment")]), ("mvsa_single", 32, 4, [])],
)
def test_real_posts(name, texts, pictures, determines):
    """The texts against plain sets of strings, the pictures against their bytes, which pixels can only add to."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"the real posts of {name} are not here")
    splits = read_splits(folder)
    in_train = {text.strip() for text in splits["train"]["text"]}
    assert sum(text.strip() in in_train for text in splits["validation"]["text"]) == texts
    report = audit(str(folder))
    assert report["doubles"]["text"]["exact"]["posts"]["validation"]["train"] == texts
    assert report["doubles"]["image"]["exact"]["posts"]["validation"]["train"] == pictures
    assert [(found["column"], found["other"]) for found in report["determines"]] == determines
    assert report["bad_rows"] == []
