"""A data card, from what `duosent.data.description.describe` found and what is stated of the data.

It holds counts and names of labels and columns, and no words of any post.
"""

import shlex

from huggingface_hub import DatasetCardData
from markupsafe import Markup

from duosent.hub_cards.card_page import Known, environment, signed
from duosent.hub_cards.dataset_facts import DatasetFacts, without_folders
from duosent.hub_cards.metadata import license_of
from duosent.hub_cards.plain_text import cleaned

TEMPLATE = "dataset_card.md.jinja"
# Of a column with more labels the commonest are shown.
MOST_LABELS = 50
# What columns hold that every prepared data set names alike.
KNOWN_COLUMNS = {
    "id": "name of the row",
    "text": "words of the post",
    "image": "picture of the post, the content of its file",
    "label": "label of the post",
    "text_label": "label of the words alone",
    "image_label": "label of the picture alone",
    "target": "what the label is about; its place in the words is $T$",
    "title": "title of the picture",
    "caption": "caption of the picture",
    "answers": "answers of the annotators, normalised",
    "answer_ids": "those of them that answers.json names, by their places there",
    "answer_scores": "the scores of these answers, from 0 to 1",
}
SIDES = {"text": "words of the post", "image": KNOWN_COLUMNS["image"], "id": KNOWN_COLUMNS["id"]}
ENCODERS = {"text": "roberta-base", "image": "google/vit-base-patch16-224-in21k"}
# The Hub's classes of size, each up to ten times the one before.
SIZES = (
    "n<1K",
    "1K<n<10K",
    "10K<n<100K",
    "100K<n<1M",
    "1M<n<10M",
    "10M<n<100M",
    "100M<n<1B",
    "1B<n<10B",
    "10B<n<100B",
)


def write_dataset_card(description: dict, facts: DatasetFacts) -> str:
    """The data card, Markdown with the Hub's metadata in front.

    Args:
        description: what `describe` gives.
        facts: what else is known; what is not says "not stated".
    """
    record, splits = without_folders(description["record"]), description["splits"]
    columns, sides, labels = description["columns"], description["sides"], description["labels"]
    title = facts.name.rpartition("/")[2]
    body = (
        environment()
        .get_template(TEMPLATE)
        .render(
            metadata=Markup(dataset_card_data(description, facts).to_yaml(line_break="\n")),
            title=facts.pretty_name or title,
            facts=facts,
            record=Known(record),
            recorded=[Known(record.get("parts", {}).get(split, {})) for split in splits],
            splits=splits,
            sides=sides,
            columns={name: (kind, _content(name, sides, labels)) for name, kind in columns.items()},
            labels={column: _label_rows(found) for column, found in labels.items()},
            doubles=description["doubles"],
            asks_questions=asks_questions(description),
            load_arguments=_load_arguments(description),
            audit=shlex.join(["duosent", "audit", facts.name, *_column_flags(sides)]),
            training=_training(description, facts.name),
        )
    )
    return signed(body, "A card that is not as it was written is kept.")


def asks_questions(description: dict) -> bool:
    """Whether the rows are questions about pictures, as duosent prepare makes them of VQA v2."""
    return {"answers", "answer_ids", "answer_scores"} <= description["columns"].keys()


def dataset_card_data(description: dict, facts: DatasetFacts) -> DatasetCardData:
    """The card's YAML."""
    sides, labels = description["sides"], description["labels"]
    both = {"text", "image"} <= sides.keys()
    rows = sum(part["rows"] for part in description["splits"].values())
    if asks_questions(description):
        tasks, kind = ["visual-question-answering"], ["visual-question-answering"]
    else:
        # The Hub has no name for reading words and picture together.
        tasks = [f"{side}-classification" for side in ("text", "image") if side in sides and labels]
        kind = ["image-text-classification"] if both and labels else []
    return DatasetCardData(
        **license_of(facts.license),
        language=facts.languages or None,
        pretty_name=cleaned(facts.pretty_name or facts.name.rpartition("/")[2]),
        task_categories=tasks or None,
        size_categories=[SIZES[max(0, len(str(rows)) - 3)]],
        tags=[*kind, *(["multimodal"] if both else []), "duosent"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in description["splits"]],
            }
        ],
    )


def _content(column: str, sides: dict[str, str], labels: dict[str, dict]) -> str:
    """What a column holds."""
    for side, content in SIDES.items():
        if sides.get(side) == column:
            return content
    if column in KNOWN_COLUMNS:
        return KNOWN_COLUMNS[column]
    return "label" if column in labels else "not stated"


def _label_rows(found: dict[str, dict]) -> dict:
    """The commonest labels in their order, each with its rows by part, and how many more labels there are."""
    parts = list(found["counts"].values())
    totals = {label: sum(part[label] for part in parts) for label in parts[0]}
    commonest = set(sorted(totals, key=lambda label: -totals[label])[:MOST_LABELS])
    return {
        "rows": [(label, [part[label] for part in parts]) for label in totals if label in commonest],
        "more": len(totals) - len(commonest),
        "unlabelled": list(found["unlabelled"].values()),
    }


def _main_label(description: dict) -> str | None:
    """The column that a user most likely wants as the label."""
    if asks_questions(description):
        return None
    return "label" if "label" in description["labels"] else next(iter(description["labels"]), None)


def _load_arguments(description: dict) -> list[tuple[str, str | None]]:
    """What `load_pairs` must be told of columns that are not called text, image and label."""
    label = _main_label(description)
    named = [(side, description["sides"].get(side, side)) for side in ("text", "image")] + [("label", label)]
    return [(f"{name}_column", column) for name, column in named if column != name]


def _training(description: dict, name: str) -> str | None:
    """The command that trains a model on the data; None where nothing can be trained."""
    if "train" not in description["splits"]:
        return None
    sides, folder = description["sides"], name.rpartition("/")[2]
    reads = [side for side in ("text", "image") if side in sides]
    encoders = [word for side in reads for word in (f"--{side}-encoder", ENCODERS[side])]
    if asks_questions(description):
        # The vocabulary beside the table is read from a folder.
        fetch = ["hf", "download", name, "--repo-type", "dataset", "--local-dir", folder]
        train = ["duosent", "train", "--model", "radm", "--task", "vqa", "--data", folder]
        return f"{shlex.join(fetch)}\n{_in_two_lines(train, [*encoders, '--output-dir', 'out/vqa'])}"
    label = _main_label(description)
    if label is None:
        return None
    model = "mdse" if len(reads) == 2 else reads[0]
    train = ["duosent", "train", "--model", model, "--data", name, "--label", cleaned(label), *_column_flags(sides)]
    return _in_two_lines(train, [*encoders, "--output-dir", f"out/{folder}"])


def _column_flags(sides: dict[str, str]) -> list[str]:
    named = [(side, sides[side]) for side in ("text", "image") if side in sides and sides[side] != side]
    return [word for side, column in named for word in (f"--{side}-column", cleaned(column))]


def _in_two_lines(first: list[str], rest: list[str]) -> str:
    return f"{shlex.join(first)} \\\n    {shlex.join(rest)}"


__all__ = ["asks_questions", "write_dataset_card"]
