"""A few made-up entries in WordNet's published file format (manual pages wndb(5WN), senseidx(5WN), cntlist(5WN))."""

from dataclasses import dataclass, field
from pathlib import Path

NUMBERS = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}
SUFFIXES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv", "s": "adj"}
LEXICOGRAPHER_NUMBERS = {"n": 6, "v": 29, "a": 0, "r": 2, "s": 0}
HEADER = "  1 These lines stand for the licence at the head of WordNet's own files,  \n  2 which is no entry.  \n"


@dataclass
class Entry:
    """One sense: its words, how often each was counted, and for an `s` the first word of the `a` that it is like."""

    part: str
    words: str
    counts: dict[str, int] = field(default_factory=dict)
    like: str | None = None


# Of one word's senses the first written here is the first in the index.
ENTRIES = [
    Entry("n", "dog domestic_dog Canis_familiaris", {"dog": 42}),
    Entry("n", "city metropolis urban_center", {"city": 10}),
    Entry("n", "film coating", {"film": 2}),
    Entry("n", "movie film moving_picture", {"film": 5}),  # counted more often than the sense before it
    Entry("n", "run tally", {"run": 3}),
    Entry("v", "run scat", {"run": 20}),  # the verb more often than the noun
    Entry("n", "love passion", {"love": 4}),
    Entry("v", "love", {"love": 10}),  # the most frequent sense has one word only
    Entry("n", "calm composure"),
    Entry("a", "calm unagitated"),  # counted as seldom as the noun
    Entry("n", "Paris City_of_Light", {"paris": 7}),
    Entry("n", "mouse pointing_device", {"mouse": 1}),
    Entry("a", "looking sounding", {"looking": 1}),
    Entry("v", "look gaze", {"look": 30}),
    Entry("a", "glad", {"glad": 8}),
    Entry("s", "happy cheerful well-chosen", {"happy": 9}, like="glad"),
    Entry("n", "well-being welfare", {"well-being": 2}),
    Entry("r", "fast quickly", {"fast": 3}),
    # None of these may ever be put in, but for the test's own mistakes.
    Entry("r", "not wrong"),
    Entry("r", "never wrong"),
    Entry("n", "hardly wrong"),
    Entry("n", "the wrong"),
    Entry("n", "cant wrong"),
    Entry("n", "amp wrong"),
    Entry("v", "don wrong"),
    Entry("v", "need wrong"),
    Entry("n", "im wrong"),
    Entry("n", "http wrong"),
    Entry("n", "iphone wrong"),
    Entry("n", "t wrong"),
]


def write_wordnet(folder: Path, entries: list[Entry] = ENTRIES) -> Path:
    """Write `data`, `index` and `exc` files of four parts of speech, and `cntlist.rev`; like Debian no `lexnames`."""
    folder.mkdir(parents=True, exist_ok=True)
    offsets = {}  # a line has the same length whatever offset stands in it
    for suffix in dict.fromkeys(SUFFIXES.values()):
        place = len(HEADER)
        for number, entry in enumerate(entries):
            if SUFFIXES[entry.part] == suffix:
                offsets[number] = place
                place += len(data_line(entries, number, 0, 0))
    for suffix in dict.fromkeys(SUFFIXES.values()):
        lines, index = [], {}
        for number, entry in enumerate(entries):
            if SUFFIXES[entry.part] != suffix:
                continue
            lines.append(data_line(entries, number, offsets[number], offsets.get(head_of(entries, entry))))
            for word in entry.words.split():
                index.setdefault(word.lower(), []).append(offsets[number])
        (folder / f"data.{suffix}").write_text(HEADER + "".join(lines))
        part = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}[suffix]
        # lemma, part, senses, kinds of pointers, senses, senses that were counted, offsets
        lines = [
            f"{word} {part} {len(at)} 0 {len(at)} 0 {' '.join(f'{offset:08d}' for offset in at)}  \n"
            for word, at in sorted(index.items())
        ]
        (folder / f"index.{suffix}").write_text(HEADER + "".join(lines))
        (folder / f"{suffix}.exc").write_text("mice mouse\n" if suffix == "noun" else "")
    counts = sorted(
        f"{sense_key(entries, number, word)} 1 {count}\n"
        for number, entry in enumerate(entries)
        for word, count in entry.counts.items()
    )
    (folder / "cntlist.rev").write_text("".join(counts))
    return folder


def head_of(entries: list[Entry], entry: Entry) -> int | None:
    heads = [n for n, other in enumerate(entries) if other.part == "a" and other.words.split()[0] == entry.like]
    return heads[0] if heads else None


def lex_id(number: int) -> int:
    """Tells the senses of a word in one lexicographer file apart."""
    return number % 16


def data_line(entries: list[Entry], number: int, offset: int, head: int | None) -> str:
    entry = entries[number]
    words = " ".join(f"{word} {lex_id(number):x}" for word in entry.words.split())
    pointers = "000" if entry.like is None else f"001 & {head:08d} a 0000"
    frames = " 01 + 08 00" if entry.part == "v" else ""
    file = LEXICOGRAPHER_NUMBERS[entry.part]
    count = len(entry.words.split())
    return f'{offset:08d} {file:02d} {entry.part} {count:02x} {words} {pointers}{frames} | made up; "as this is"  \n'


def sense_key(entries: list[Entry], number: int, word: str) -> str:
    entry = entries[number]
    head = ":" if entry.like is None else f"{entry.like}:{lex_id(head_of(entries, entry)):02d}"
    return f"{word}%{NUMBERS[entry.part]}:{LEXICOGRAPHER_NUMBERS[entry.part]:02d}:{lex_id(number):02d}:{head}"
