"""Cards of made descriptions: what stands in them, and that no text from data changes their shape."""

import ast
import shlex

import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from made_runs import code_blocks, page, words
from test_plain_text import hostile_text

from duosent.hub_cards.card_page import is_ours
from duosent.hub_cards.dataset_card import write_dataset_card
from duosent.hub_cards.dataset_facts import DatasetFacts
from duosent.hub_cards.plain_text import NOTHING, cleaned

SPREAD = {"min": 3, "median": 10.5, "mean": 12.0, "p95": 20.25, "max": 40}
PART = {"files": ["/home/anna/train.parquet"], "rows": 1000, "texts": 990, "pictures": 750}
PART |= dict.fromkeys(("characters", "words", "width", "height"), SPREAD)
EVERY_FACT = DatasetFacts(
    name="anna/posts",
    license="cc-by-4.0",
    languages=["en", "pt-br"],
    pretty_name="Posts of Anna",
    source="gathered by hand",
    rule="three annotators, majority",
    split="by hand too",
    citation="Anna, Posts, 2026",
)


def described(**changes) -> dict:
    """What `describe` gives of posts in two parts."""
    return {
        "folder": "/home/anna/posts",
        "record": {
            "name": "anna-posts",
            "parts": {"train": {"rejected": 3, "fingerprint": "0123456789abcdef"}, "test": {"rejected": 0}},
            "dropped": {"no majority": 17},
        },
        "columns": {"id": "string", "text": "string", "image": "picture", "label": "string", "likes": "int64"},
        "sides": {"id": "id", "text": "text", "image": "image"},
        "splits": {"train": PART, "test": PART | {"rows": 200, "texts": 200, "pictures": 0, "width": None}},
        "labels": {
            "label": {
                "counts": {"train": {"glad": 900, "sad": 60}, "test": {"glad": 180, "sad": 20}},
                "unlabelled": {"train": 40, "test": 0},
            }
        },
        "doubles": {
            "text": {"train": {"test": 5}, "test": {"train": 4}},
            "image": {"train": {"test": 1}, "test": {"train": 2}},
        },
        **changes,
    }


def metadata(card: str, tmp_path) -> dict:
    """Read as the Hub's own library does, from a file."""
    (tmp_path / "read.md").write_text(card, encoding="utf-8")
    return DatasetCard.load(tmp_path / "read.md").data.to_dict()


def test_a_card_with_everything(tmp_path):
    card = write_dataset_card(described(), EVERY_FACT)
    assert is_ours(card) and not is_ours(card.replace("900", "901"))
    assert metadata(card, tmp_path) == {
        "language": ["en", "pt-br"],
        "license": "cc-by-4.0",
        "size_categories": ["1K<n<10K"],
        "task_categories": ["text-classification", "image-classification"],
        "pretty_name": "Posts of Anna",
        "tags": ["image-text-classification", "multimodal", "duosent"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "data/train-*"},
                    {"split": "test", "path": "data/test-*"},
                ],
            }
        ],
    }
    text = words(card)
    for line in (
        "1,200 posts in 2 parts, words and pictures, labelled. The pictures lie in the files.",
        "Name of the data: anna-posts",
        "Source: gathered by hand",
        "How the labels came about: three annotators, majority",
        "How the parts came about: by hand too",
        "Language of the words: en, pt-br",
        "License: cc-by-4.0",
        "“no majority”: 17",
        "Cite as: Anna, Posts, 2026",
    ):
        assert line in text.split("\n"), line
    for row in (
        "| of the rows | train | test |",
        "| all | 1,000 | 200 |",
        "| without words | 10 (1.00 %) | 0 (0.00 %) |",
        "| without a picture | 250 (25.00 %) | 200 (100.00 %) |",
        "| words | 3 / 10.5 / 20.25 / 40 | 3 / 10.5 / 20.25 / 40 |",
        "| width of the pictures, pixels | 3 / 10.5 / 20.25 / 40 | none |",
        "| could not be read, and are left out | 3 | 0 |",
        "| fingerprint | 0123456789abcdef | not recorded |",
        "| label | label of the post | string |",
        "| likes | not stated | int64 |",
        "| glad | 900 | 180 |",
        "| (none) | 40 | 0 |",
        "| train | test | 5 | 1 |",
        "| test | train | 4 | 2 |",
    ):
        assert f"\n{row}\n" in card, row
    assert "/home/anna" not in card
    assert code_blocks(card, "bash") == [
        "duosent audit anna/posts\n",
        "duosent train --model mdse --data anna/posts --label label \\\n    --text-encoder roberta-base "
        "--image-encoder google/vit-base-patch16-224-in21k --output-dir out/posts\n",
    ]
    plain, own = code_blocks(card, "python")
    assert 'load_dataset("anna/posts")' in plain and 'load_pairs("anna/posts")' in own


def test_a_card_with_nothing_says_so(tmp_path):
    description = described(
        record={},
        columns={"text": "string"},
        sides={"text": "text"},
        splits={"test": PART},
        labels={},
        doubles={"text": {"test": {}}},
    )
    card = write_dataset_card(description, DatasetFacts(name="posts"))
    assert metadata(card, tmp_path) == {
        "license": "other",
        "license_name": "not-stated",
        "size_categories": ["1K<n<10K"],
        "pretty_name": "posts",
        "tags": ["duosent"],
        "configs": [{"config_name": "default", "data_files": [{"split": "test", "path": "data/test-*"}]}],
    }
    text = words(card).split("\n")
    assert "1,000 posts in 1 part, words alone." in text
    for line in ("Name of the data", "Source", "How the labels came about", "Language of the words", "License"):
        assert f"{line}: not stated" in text, line
    assert "License: not stated. Without one nobody may pass the data on" in text
    assert "There is no part for training, or no column that is known to hold labels." in text
    assert text[-1] == "Not stated." and "picture |" not in card and "other part" not in card
    assert 'load_pairs("posts", label_column=None)' in card


def test_columns_of_other_names():
    description = described(
        columns={"id": "string", "my words": "string", "photo": "picture", "mood": "string"},
        sides={"text": "my words", "image": "photo"},
        labels={"mood": described()["labels"]["label"]},
    )
    card = write_dataset_card(description, EVERY_FACT)
    assert "| my words | words of the post | string |" in card and "| mood | label | string |" in card
    arguments = '"anna/posts", text_column="my words", image_column="photo", label_column="mood"'
    assert f"load_pairs({arguments})" in card
    audit, train = code_blocks(card, "bash")
    assert shlex.split(audit)[3:] == ["--text-column", "my words", "--image-column", "photo"]
    assert shlex.split(train)[6:12] == ["--label", "mood", *shlex.split(audit)[3:]]


@pytest.mark.parametrize(
    ("side", "model", "task"), [("text", "text", "text-classification"), ("image", "image", "image-classification")]
)
def test_one_side_alone(side, model, task, tmp_path):
    card = write_dataset_card(described(sides={side: side}), EVERY_FACT)
    train = shlex.split(code_blocks(card, "bash")[1])
    other = {"text": "image", "image": "text"}[side]
    assert train[:4] == ["duosent", "train", "--model", model]
    assert f"--{side}-encoder" in train and f"--{other}-encoder" not in train
    assert metadata(card, tmp_path)["task_categories"] == [task] and "multimodal" not in card


def test_questions_about_pictures(tmp_path):
    columns = dict.fromkeys(["id", "text", "image", "answers", "answer_ids", "answer_scores", "answer_type"], "string")
    labels = {"answer_type": described()["labels"]["label"]}
    card = write_dataset_card(described(columns=columns, labels=labels), EVERY_FACT)
    data = metadata(card, tmp_path)
    assert data["task_categories"] == ["visual-question-answering"]
    assert data["tags"] == ["visual-question-answering", "multimodal", "duosent"]
    fetch, train = code_blocks(card, "bash")[1].replace("\\\n", "").splitlines()
    assert shlex.split(fetch) == ["hf", "download", "anna/posts", "--repo-type", "dataset", "--local-dir", "posts"]
    assert shlex.split(train)[:8] == ["duosent", "train", "--model", "radm", "--task", "vqa", "--data", "posts"]
    assert 'load_pairs("anna/posts", label_column=None)' in card


def test_of_many_labels_the_commonest_are_shown():
    counts = {f"label {number:02}": number for number in range(60)}
    found = {"counts": {"train": counts, "test": dict.fromkeys(counts, 0)}, "unlabelled": {"train": 0, "test": 0}}
    card = write_dataset_card(described(labels={"label": found}), EVERY_FACT)
    assert [f"| label {number:02} | {number} | 0 |" in card for number in range(60)] == [False] * 10 + [True] * 50
    assert "The commonest; 10 more labels of label are not shown." in card and "(none)" not in card


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        *((1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**9 - 1, "100M<n<1B")),
        *((10**9, "1B<n<10B"), (10**10, "10B<n<100B")),
    ],
)
def test_classes_of_size(rows, size, tmp_path):
    splits = {"train": PART | {"rows": rows}}
    card = write_dataset_card(described(splits=splits, doubles={"text": {"train": {}}}), EVERY_FACT)
    assert metadata(card, tmp_path)["size_categories"] == [size]


def hostile_card(text: str, column: str, labels: list[str]) -> str:
    counts = {"counts": {"train": dict.fromkeys(labels, 5), "test": dict.fromkeys(labels, 6)}}
    description = described(
        record={"name": text, "parts": {"train": {"rejected": text, "fingerprint": text}}, "dropped": {text: text}},
        columns={"id": "string", "my text": "string", column: "string", "image": text},
        sides={"text": "my text", "image": "image"},
        labels={column: counts | {"unlabelled": {"train": 1, "test": 0}}},
    )
    facts = {name: text for name in ("license", "pretty_name", "source", "rule", "split", "citation") if text.strip()}
    return write_dataset_card(description, DatasetFacts(name="anna/posts", **facts))


def shape(card: str) -> list[tuple]:
    """Kinds and nesting of everything on the page, and the texts left out."""
    return [
        (token.type, token.tag, token.level, token.info, [(child.type, child.tag) for child in token.children or ()])
        for token in page(card)
    ]


@pytest.fixture(scope="module")
def plain_shape():
    return shape(hostile_card("plain", "mood", ["one", "two"]))


@given(
    text=hostile_text.filter(str.strip),
    column=hostile_text.filter(lambda name: name not in ("id", "my text", "image")),
    labels=st.lists(hostile_text, min_size=2, max_size=2, unique=True),
)
def test_no_text_from_data_changes_the_page_or_the_metadata(plain_shape, tmp_path_factory, text, column, labels):
    card = hostile_card(text, column, labels)
    assert shape(card) == plain_shape
    for shown in [column, *labels]:
        assert (cleaned(shown) or NOTHING) in words(card)
    for block in code_blocks(card, "python"):
        ast.parse(block)
    train = shlex.split(code_blocks(card, "bash")[1])
    assert train[train.index("--label") + 1] == cleaned(column)
    data = metadata(card, tmp_path_factory.mktemp("hostile"))
    assert set(data) - {"license_name"} == {
        *("license", "size_categories", "task_categories", "pretty_name", "tags", "configs")
    }
    assert data["pretty_name"] == cleaned(text) and is_ours(card)
