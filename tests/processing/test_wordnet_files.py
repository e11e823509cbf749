"""Synonyms of a made-up WordNet, and where its files are looked for."""

import os
import shutil
import sys
import zipfile

import nltk.data
import pytest

from duosent.processing import wordnet_files
from duosent.processing.wordnet_files import LEXICOGRAPHER_FILES, find_wordnet, open_wordnet, synonyms


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dog", ("domestic dog",)),  # not Canis familiaris, a name
        ("dogs", ()),  # "domestic dog" would break the sentence
        ("mice", ()),  # found through noun.exc
        ("look", ("gaze",)),
        ("looking", ()),  # the verb's 30 against the adjective's 1
        ("sounding", ("looking",)),
        ("mouse", ("pointing device",)),
        ("metropolis", ("city", "urban center")),
        ("film", ("movie", "moving picture")),  # 5 counts against 2
        ("run", ("scat",)),  # the verb's 20 against the noun's 3
        ("love", ()),  # the verb's 10, alone in its sense, against the noun's 4
        ("calm", ("composure",)),  # no counts: the noun
        ("paris", ()),
        ("happy", ("cheerful", "well-chosen")),  # a satellite, whose key names its head
        ("well-being", ("welfare",)),
        ("fast", ("quickly",)),
        ("unheard", ()),
        ("", ()),
    ],
)
def test_synonyms_are_the_other_words_of_the_most_frequent_sense(wordnet_dir, word, expected):
    assert synonyms(word, wordnet_dir) == expected


def test_the_files_are_in_memory_so_that_no_forked_process_moves_anothers_place(wordnet_dir, tmp_path):
    folder = shutil.copytree(wordnet_dir, tmp_path / "longer")
    with open(folder / "data.noun", "a") as file:
        file.write("  more than a buffer holds\n" * 5000)
    stream = open_wordnet(str(folder)).open("data.noun")
    stream.seek(100)
    child = os.fork()
    if child == 0:
        stream.seek(0)
        stream.read()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert stream.read() == (folder / "data.noun").read_text()[100:]


def test_lexicographer_files_have_their_published_numbers():
    """lexnames(5WN): 45 files, of which these are known by number in every sense key."""
    assert len(LEXICOGRAPHER_FILES) == 45
    known = {0: "adj.all", 2: "adv.all", 3: "noun.Tops", 12: "noun.feeling", 29: "verb.body", 44: "adj.ppl"}
    assert {number: LEXICOGRAPHER_FILES[number] for number in known} == known


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without WordNet."""
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk_data")])
    monkeypatch.setattr(wordnet_files, "DEBIAN_FOLDER", str(tmp_path / "debian"))
    return tmp_path


def test_the_order_in_which_places_are_looked_at(nowhere, wordnet_dir, monkeypatch):
    def place(name: str) -> str:
        shutil.copytree(wordnet_dir, nowhere / name)
        return str(nowhere / name)

    debian = place("debian")
    assert str(find_wordnet()) == debian
    data = place("nltk_data/corpora/wordnet")
    assert str(find_wordnet()) == data
    variable = place("variable")
    monkeypatch.setenv("WNSEARCHDIR", variable)
    assert str(find_wordnet()) == variable
    option = place("option")
    assert str(find_wordnet(option)) == option


def test_nltk_leaves_its_download_zipped(nowhere, wordnet_dir):
    corpora = nowhere / "nltk_data" / "corpora"
    corpora.mkdir(parents=True)
    with zipfile.ZipFile(corpora / "wordnet.zip", "w") as archive:
        for name in os.listdir(wordnet_dir):
            archive.write(f"{wordnet_dir}/{name}", f"wordnet/{name}")
    assert "wordnet.zip" in repr(find_wordnet())
    assert open_wordnet.__wrapped__().synsets("dog")[0].lemma_names()[1] == "domestic_dog"


def test_what_is_missing_is_one_sentence_that_says_how_to_get_it(nowhere, wordnet_dir, monkeypatch):
    with pytest.raises(ValueError) as error:
        find_wordnet()
    for way in ("apt install wordnet-base", "python -m nltk.downloader wordnet", "wordnet_dir", "augment_synonyms"):
        assert way in str(error.value)
    assert "\n" not in str(error.value)

    part = shutil.copytree(wordnet_dir, nowhere / "part")
    (part / "index.verb").unlink()
    message = f"wordnet_dir must be a folder with WordNet's files, got {part}, without index.verb."
    with pytest.raises(ValueError) as error:
        find_wordnet(str(part))
    assert str(error.value) == message
    monkeypatch.setenv("WNSEARCHDIR", str(part))
    with pytest.raises(ValueError) as error:
        find_wordnet()
    assert str(error.value) == message.replace("wordnet_dir", "WNSEARCHDIR")

    monkeypatch.setitem(sys.modules, "nltk", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "nltk.data")
    with pytest.raises(ImportError, match=r'need nltk, which is not installed: pip install "duosent\[augment\]"'):
        find_wordnet(wordnet_dir)
