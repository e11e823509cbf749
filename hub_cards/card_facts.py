"""What no run knows about a checkpoint, and a person has to say."""

import re
from dataclasses import asdict, dataclass, fields

# The Hub's names of licences and tags are made of these.
WORD = re.compile(r"[a-z0-9][a-z0-9.+_-]*", re.IGNORECASE)
LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]+)*|multilingual|code", re.IGNORECASE)
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


@dataclass(frozen=True)
class CardFacts:
    """Facts of a card; None for one that nobody stated.

    Args:
        name: of the model: `owner/name` on the Hub, or its folder.
        license: of the weights, by the Hub's name for it, such as `apache-2.0`, or in words.
        languages: of the words in the posts, by their codes (`en`), or `multilingual`.
        data_license: of the training data, in words.
        data_name: what the training data are called.
        datasets: Hub names of the training data.
        base_models: Hub names of what the training started from.
        tags: further tags.
        examples: `{"text", "scores"}`, made-up words and what the model gave each label.

    Raises:
        ValueError: for a language, tag or Hub name that cannot be one.
    """

    name: str | None = None
    license: str | None = None
    languages: list[str] | None = None
    data_license: str | None = None
    data_name: str | None = None
    datasets: list[str] | None = None
    base_models: list[str] | None = None
    tags: list[str] | None = None
    examples: list[dict] | None = None

    def __post_init__(self) -> None:
        for name, rule, kind in (
            ("languages", LANGUAGE, "ISO 639 codes such as en, or multilingual"),
            ("datasets", HUB_NAME, "Hub names"),
            ("base_models", HUB_NAME, "Hub names"),
            ("tags", WORD, "words of letters, digits and hyphens"),
        ):
            for value in getattr(self, name) or ():
                if not rule.fullmatch(value):
                    raise ValueError(f"{name} must be {kind}, got {value!r}.")
        for name in ("name", "license", "data_license", "data_name"):
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise ValueError(f"{name} must hold a character that can be seen, got {value!r}.")

    def stated(self) -> dict:
        """The facts that are known, by their names."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def over(self, earlier: "CardFacts") -> "CardFacts":
        """These facts, and where nothing is stated those of an earlier time."""
        return CardFacts(**{**earlier.stated(), **self.stated()})


def facts_of(content: dict) -> CardFacts:
    """
    Raises:
        ValueError: for a name that is no fact's, or a fact that cannot be.
    """
    known = [field.name for field in fields(CardFacts)]
    for name in content:
        if name not in known:
            raise ValueError(f"{name} is no fact of a card, only {', '.join(known)}.")
    return CardFacts(**content)


__all__ = ["HUB_NAME", "WORD", "CardFacts", "facts_of"]
