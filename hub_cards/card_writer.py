"""`duosent card`: a model card, from what a run left beside its checkpoint."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from duosent.hub_cards.card_calibration import BINS, calibration_lines
from duosent.hub_cards.card_facts import CardFacts
from duosent.hub_cards.card_page import CARD_FILE, Known, environment, is_ours, signed
from duosent.hub_cards.card_results import results_of
from duosent.hub_cards.intervals import LEVEL, RESAMPLES, SEED
from duosent.hub_cards.metadata import model_card_data
from duosent.hub_cards.papers import PAPERS
from duosent.hub_cards.run_files import FACTS_FILE, CardError, RunFiles, read_run_files

TEMPLATE = "card.md.jinja"
# Arguments of the trainer that every card names where it knows them, changed or not.
ALWAYS_NAMED = (
    *("learning_rate", "text_learning_rate", "image_learning_rate", "lr_scheduler_type", "warmup_steps"),
    *("weight_decay", "optim", "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs"),
    *("metric_for_best_model", "early_stopping_patience", "bf16", "fp16", "seed"),
)
# Larger confusion matrices are left out.
MOST_LABELS = 20


class KeptCardError(CardError):
    """The card that is there was written or changed by a person."""


@dataclass(frozen=True)
class Published:
    """What a paper reports for one data set; figures in percent, as printed, None for one that is not known.

    Args:
        recipe: that follows the row.
        row: of which table.
        notes: where the paper is silent or contradicts itself.
    """

    data_set: str
    recipe: str
    row: str
    figures: dict[str, float | None]
    notes: list[str]


def write_card(checkpoint: str | Path, facts: CardFacts | None = None) -> str:
    """The model card of a checkpoint, Markdown with the Hub's metadata in front.

    Everything in it is what the run's files say, or what a person stated; what is not known says so.

    Args:
        checkpoint: folder with `config.json` and, as far as they are there, `run.json`, `metrics*.json`,
            `predictions_*.parquet`, `arguments.json`, `trainer_state.json`, `adapters/`, `card.json`.
        facts: what no run knows; what is not stated now is taken from `card.json`.

    Raises:
        CardError: for a folder without a checkpoint of this package, or a file that cannot be read.
    """
    return render(_with_facts(read_run_files(checkpoint), facts))


def save_card(
    checkpoint: str | Path, facts: CardFacts | None = None, file: str | Path | None = None, overwrite: bool = False
) -> Path:
    """Write the card into a file, and what a person stated into `card.json` of the checkpoint.

    Args:
        checkpoint, facts: as in `write_card`.
        file: to write; None for `README.md` of the checkpoint.
        overwrite: take the place of a card that a person wrote or changed.

    Raises:
        CardError: as `write_card`.
        KeptCardError: if the file is there, is not as this function wrote it, and was not to be replaced.
    """
    run = _with_facts(read_run_files(checkpoint), facts)
    target = Path(file) if file is not None else run.folder / CARD_FILE
    if not overwrite and target.is_file() and not is_ours(target.read_text(encoding="utf-8", errors="replace")):
        raise KeptCardError(f"{target} was written or changed by a person, and is kept.")
    card = render(run)
    stated = run.facts.stated()
    if stated:
        text = json.dumps(stated, indent=2, ensure_ascii=False) + "\n"
        (run.folder / FACTS_FILE).write_text(text, encoding="utf-8", errors="replace")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(card, encoding="utf-8")
    return target


def render(run: RunFiles, published: list[Published] | None = None) -> str:
    """The card of a run; with `published` that of a configuration without weights, and these as its figures."""
    name = run.facts.name or run.folder.resolve().name
    title = name.rstrip("/").rpartition("/")[2]
    body = (
        environment()
        .get_template(TEMPLATE)
        .render(
            metadata=Markup(model_card_data(run, title).to_yaml(line_break="\n")),
            title=title,
            name=name,
            run=run,
            config=Known(run.config),
            record=Known(run.run),
            arguments=Known(run.arguments),
            state=Known(run.state),
            adapter=Known(run.adapter),
            facts=run.facts,
            paper=PAPERS.get(run.config["model_type"]),
            options=_options(run),
            results=[(Known(figures), results_of(figures, run)) for figures in run.evaluations],
            calibration=[] if published is not None else calibration_lines(run),
            calibration_bins=BINS,
            published=published,
            notes=_notes(published or []),
            most_labels=MOST_LABELS,
            level=LEVEL,
            resamples=RESAMPLES,
            seed=SEED,
        )
    )
    return signed(body, "A card that is not as it was written is kept; --overwrite replaces it.")


def _with_facts(run: RunFiles, facts: CardFacts | None) -> RunFiles:
    return run if facts is None else replace(run, facts=facts.over(run.facts))


def _options(run: RunFiles) -> list[tuple[str, object]]:
    """Options of the run: the usual ones of the trainer, all others that are not their defaults, those of config and
    processor."""
    named = {name: run.arguments[name] for name in ALWAYS_NAMED if name in run.arguments}
    changed = {name: value for name, value in run.run.get("training", {}).items() if not name.endswith("token")}
    return list({**named, **changed, **run.run.get("config", {}), **run.run.get("processing", {})}.items())


def _notes(published: list[Published]) -> list[tuple[str | None, str]]:
    """Each note once, with the recipe that it is about; None for all of them."""
    every = [(row.recipe, note) for row in published for note in row.notes]
    shared = {note for _, note in every if all(note in row.notes for row in published)}
    return list(dict.fromkeys((None if note in shared else recipe, note) for recipe, note in every))


__all__ = ["CARD_FILE", "CardError", "KeptCardError", "Published", "is_ours", "render", "save_card", "write_card"]
