"""What stands in `dataset.json` on the Hub, and which facts a card takes from it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.hub_cards.dataset_facts import DatasetFacts, dataset_facts, published_record, without_folders
from duosent.hub_cards.run_files import CardError

RECORD = {
    "name": "mvsa-single",
    "options": {"split_files": ["/home/anna/my lists/train.json", "C:\\lists\\dev.json"], "fold": 1},
    "published_files": {"/home/anna/raw/labelResultAll.txt": [100, 17]},
    "source": "MVSA, see https://example.org/a/b/c",
    "rule": "positive/negative, read from /home/anna/raw/lists/x.txt",
    "split": "published lists",
    "parts": {"train": {"rows": 2, "rejected": 1, "files": ["train-00000-of-00001.parquet"]}},
    "files": ["rejected.parquet", "train-00000-of-00001.parquet"],
}


def test_the_record_on_the_hub():
    before = json.dumps(RECORD)
    assert published_record(RECORD, {"train": ["data/t.parquet"]}, ["answers.json"]) == {
        "name": "mvsa-single",
        "options": {"split_files": ["train.json", "dev.json"], "fold": 1},
        "source": "MVSA, see https://example.org/a/b/c",
        "rule": "positive/negative, read from x.txt",
        "split": "published lists",
        "parts": {"train": {"rows": 2, "rejected": 1, "files": ["data/t.parquet"]}},
        "files": ["data/t.parquet", "answers.json"],
    }
    assert json.dumps(RECORD) == before
    assert published_record({"license": "mit"}, {"train": ["data/t.parquet"]}, []) == {"license": "mit"}


words = st.from_regex(r"[a-z][a-z0-9_-]{2,8}", fullmatch=True)


@given(st.lists(words, min_size=2, max_size=5), st.sampled_from(["/", "~/", "C:\\", "../", "./.cache/"]), st.data())
def test_no_folder_of_the_machine_stays(folders, root, data):
    """However deep the path stands, as a whole text, a key or inside a sentence."""
    sign = "\\" if root.endswith("\\") else "/"
    path = root + sign.join([*(f"q{folder}" for folder in folders), "file.json"])
    value = data.draw(st.sampled_from([path, {path: 1}, [[path]], {"a": [path]}]))
    texts = json.dumps(without_folders(value))
    if not root.startswith("."):  # inside a sentence a path from nowhere is like any two words
        texts += without_folders(f"read from {path}, line 7") + without_folders(f"'{path}'")
    assert "file.json" in texts and not [folder for folder in folders if f"q{folder}" in texts]


@pytest.mark.parametrize(
    "text", ["text/image", "a / b / c", "https://example.org/a/b", "1/2", "MSED (NAACL 2022)", ""]
)
def test_what_is_no_path_stays(text):
    assert without_folders({"a": [text, 1, None, True]}) == {"a": [text, 1, None, True]}


def test_facts_are_stated_or_recorded():
    recorded = RECORD | {"license": "cc-by-4.0", "language": "en", "pretty_name": "Posts", "citation": "A, B"}
    assert dataset_facts("anna/posts", recorded, None, None) == DatasetFacts(
        name="anna/posts",
        license="cc-by-4.0",
        languages=["en"],
        pretty_name="Posts",
        source=RECORD["source"],
        rule="positive/negative, read from x.txt",
        split="published lists",
        citation="A, B",
    )
    stated = dataset_facts("anna/posts", recorded, "mit", ["de", "pt-br"])
    assert (stated.license, stated.languages) == ("mit", ["de", "pt-br"])
    assert dataset_facts("anna/posts", {}, None, None) == DatasetFacts("anna/posts")
    assert dataset_facts("anna/posts", {"language": ["en", "de"]}, None, None).languages == ["en", "de"]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"license": " "}, "license must be text with a character that can be seen, got ' '."),
        ({"source": 7}, "source must be text with a character that can be seen, got 7."),
        ({"language": ["en", None, 5]}, "languages must be text with a character that can be seen, got None."),
        ({"language": 5}, "languages must be a list, got 5."),
        ({"language": "English"}, "languages must be ISO 639 codes such as en, or multilingual, got 'English'."),
    ],
)
def test_facts_that_cannot_be(record, sentence):
    with pytest.raises(CardError) as caught:
        dataset_facts("anna/posts", record, None, None)
    assert str(caught.value) == sentence
