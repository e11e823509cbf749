"""What is known of a data set besides its rows: what a person states now, or `dataset.json` says."""

import re
from dataclasses import dataclass

from duosent.hub_cards.card_facts import LANGUAGE
from duosent.hub_cards.run_files import CardError, shown_path

# The folders of a path from a root or a home, anywhere in a text; an address on the web is none.
FOLDERS = re.compile(r"(?<![\w:/\\.~])(?:~|[A-Za-z]:)?[/\\](?:[^/\\\s,;:'\"<>|]+[/\\])+")
# What duosent prepare writes of published files to know them again on this machine.
OF_THE_MACHINE = ("published_files",)


@dataclass(frozen=True)
class DatasetFacts:
    """Facts of a data card; None for one that nobody stated.

    Args:
        name: of the repository: `owner/name`.
        license: by the Hub's name for it, such as `cc-by-4.0`, or in words.
        languages: of the words in the posts, by their codes (`en`), or `multilingual`.
        pretty_name: what people call the data.
        source: who published them, and where.
        rule: how the labels came about.
        split: how the parts came about.
        citation: how to cite them.

    Raises:
        CardError: for a fact that is no text, holds no character that can be seen, or is no language.
    """

    name: str
    license: str | None = None
    languages: list[str] | None = None
    pretty_name: str | None = None
    source: str | None = None
    rule: str | None = None
    split: str | None = None
    citation: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.languages, list | None):
            raise CardError(f"languages must be a list, got {self.languages!r}.")
        texts = [(name, text) for name, text in vars(self).items() if name != "languages" and text is not None]
        for name, text in [*texts, *(("languages", language) for language in self.languages or ())]:
            if not isinstance(text, str) or not text.strip():
                raise CardError(f"{name} must be text with a character that can be seen, got {text!r}.")
        for language in self.languages or ():
            if not LANGUAGE.fullmatch(language):
                raise CardError(f"languages must be ISO 639 codes such as en, or multilingual, got {language!r}.")


def dataset_facts(name: str, record: dict, license: str | None, languages: list[str] | None) -> DatasetFacts:
    """
    Args:
        name: of the repository.
        record: `dataset.json`, in which a person may have written `license`, `language`, `pretty_name`, `citation`.
        license, languages: as stated now; None for what the record says.
    """
    said = without_folders(record)
    language = said.get("language")
    said["languages"] = [language] if isinstance(language, str) else language
    stated = {"license": license, "languages": languages}
    known = {key: said[key] for key in DatasetFacts.__dataclass_fields__ if said.get(key) is not None}
    return DatasetFacts(
        **{**known, **{key: value for key, value in stated.items() if value is not None}, "name": name}
    )


def published_record(record: dict, files: dict[str, list[str]], beside: list[str]) -> dict:
    """`dataset.json` as it is on the Hub: without the folders of this machine, its files under their names there.

    Args:
        files: part -> its files.
        beside: what else of the data goes.
    """
    kept = without_folders({key: value for key, value in record.items() if key not in OF_THE_MACHINE})
    for split, part in kept.get("parts", {}).items():
        part["files"] = files[split]
    if "files" in kept:
        kept["files"] = [*(name for names in files.values() for name in names), *beside]
    return kept


def without_folders(value):
    """Any JSON, in which a path of this machine is the name of its file alone."""
    if isinstance(value, dict):
        return {without_folders(key): without_folders(content) for key, content in value.items()}
    if isinstance(value, list):
        return [without_folders(content) for content in value]
    return FOLDERS.sub("", shown_path(value)) if isinstance(value, str) else value


__all__ = ["DatasetFacts", "dataset_facts", "published_record", "without_folders"]
