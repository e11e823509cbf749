"""WordNet's dictionary files, read through nltk: where they lie, and which words mean the same."""

import io
import os
import warnings
from functools import cache, lru_cache
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
FILES = (
    *(f"data.{part}" for part in PARTS),
    *(f"index.{part}" for part in PARTS),
    *(f"{part}.exc" for part in PARTS),
    "cntlist.rev",
)
# WordNet's own environment variable for the folder of its files.
SEARCH_VARIABLE = "WNSEARCHDIR"
DEBIAN_FOLDER = "/usr/share/wordnet"
# The lexicographer files of WordNet 3.0 in the order of their numbers (manual page lexnames(5WN)).
LEXICOGRAPHER_FILES = """
adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition
noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person
noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state
noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption
verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative
verb.weather adj.ppl
""".split()  # noqa: SIM905  (a list of them would be a page)


def find_wordnet(folder: str | None = None):
    """Where WordNet's files lie: `folder`, else the folder that the environment variable WNSEARCHDIR names, else
    `corpora/wordnet` in nltk's data, else /usr/share/wordnet, where Debian's package wordnet-base has them.

    Returns: a path pointer of nltk, to a folder or into a zip file.

    Raises:
        ImportError: without nltk.
        ValueError: if the files are nowhere, or a folder that was named lacks one.
    """
    try:
        import nltk.data
    except ImportError as error:
        raise ImportError(
            'Synonyms need nltk, which is not installed: pip install "duosent[augment]", or set augment_synonyms to 0.'
        ) from error
    for name, named in (("wordnet_dir", folder), (SEARCH_VARIABLE, os.environ.get(SEARCH_VARIABLE))):
        if named:
            missing = missing_files(named)
            if missing:
                raise ValueError(f"{name} must be a folder with WordNet's files, got {named}, without {missing[0]}.")
            return nltk.data.FileSystemPathPointer(named)
    for place in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        try:
            return nltk.data.find(place)
        except LookupError:
            continue
    if missing_files(DEBIAN_FOLDER):
        raise ValueError(
            f"Synonyms need WordNet's files, which are neither in nltk's data nor in {DEBIAN_FOLDER}: "
            "apt install wordnet-base, or python -m nltk.downloader wordnet, or name their folder by wordnet_dir, or "
            "set augment_synonyms to 0."
        )
    return nltk.data.FileSystemPathPointer(DEBIAN_FOLDER)


def missing_files(folder: str) -> list[str]:
    """Files of WordNet that are not in a folder."""
    return [file for file in FILES if not (Path(folder) / file).is_file()]


@lru_cache(maxsize=2**16)
def synonyms(word: str, folder: str | None = None) -> tuple[str, ...]:
    """What may stand for a word: the other lemmas of its most frequent sense, over all parts of speech, as WordNet
    counted senses in texts (`cntlist.rev`); between equals the noun's, then the first in WordNet.

    A word whose most frequent sense is that of another form has none, so that a sentence keeps its grammar: "dogs" is
    "dog", and "looking" sooner "look" than the adjective. Names, which WordNet writes with a capital, are neither
    replaced nor put in.

    Args:
        word: in lower case.
        folder: see `find_wordnet`.

    Returns: in lower case, blanks where WordNet has underscores, in WordNet's order; empty for a word without any.
    """
    reader = open_wordnet(folder)
    forms = {word, *(reader.morphy(word, part) for part in "nvar")}
    senses = [lemma for synset in reader.synsets(word) for lemma in synset.lemmas() if lemma.name().lower() in forms]
    if not senses:
        return ()
    meant = max(senses, key=lambda lemma: lemma.count())  # the first of the largest
    if meant.name() != word:
        return ()
    names = (lemma.name() for lemma in meant.synset().lemmas())
    return tuple(name.replace("_", " ") for name in names if name != word and name.islower())


@cache
def open_wordnet(folder: str | None = None):
    """nltk's reader over the files that `find_wordnet` finds, read once in a process and those forked from it.

    Raises: as `find_wordnet`.
    """
    root = find_wordnet(folder)
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    # nltk opens nothing outside its data path.
    if isinstance(root, nltk.data.FileSystemPathPointer) and str(root) not in nltk.data.path:
        nltk.data.path.append(str(root))

    def content_of(file: str) -> bytes:
        with root.join(file).open() as stream:
            return stream.read()

    counts = {key: int(count) for key, _, count in map(str.split, content_of("cntlist.rev").decode().splitlines())}

    class Reader(WordNetCorpusReader):
        def open(self, file):
            """From memory: processes forked from this one would otherwise share a file's position, and each move
            the others'. `lexnames` is ours, since Debian leaves it out."""
            content = lexnames() if file == "lexnames" else content_of(file)
            return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")

        def map_wn(self, version="wordnet"):
            """Maps to other versions and languages need `index.sense`, which Debian leaves out; none is used here."""

        def lemma_count(self, lemma):
            """From a table: nltk searches the file anew for each lemma, which took nine tenths of a look-up."""
            return counts.get(lemma.key(), 0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no other languages
        return Reader(root, None)


def lexnames() -> bytes:
    """The file `lexnames`: number, name and part of speech of each lexicographer file."""
    lines = []
    for number, name in enumerate(LEXICOGRAPHER_FILES):
        part = PARTS.index(name.partition(".")[0]) + 1
        lines.append(f"{number:02d}\t{name}\t{part}\n")
    return "".join(lines).encode()


__all__ = ["find_wordnet", "open_wordnet", "synonyms"]
