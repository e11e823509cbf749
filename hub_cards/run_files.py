"""What a run left in its folder, as far as a card tells of it."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pyarrow.parquet as pq

from duosent.hub_cards.card_facts import CardFacts, facts_of

# What a person stated, so that the next card says it too.
FACTS_FILE = "card.json"
MODEL_TYPES = ("mdse", "radm", "image_text_baseline", "tfn", "lmf", "clmlf", "tombert")
# Options of a run that may be names on the Hub.
STARTS = ("init_from", "text_encoder", "image_encoder")
# The prefixes of evaluations in a trainer's log, and the parts that they are of.
LOGGED = {"eval": "validation", "test": "test"}
ABSOLUTE = re.compile(r"[/~]|[A-Za-z]:[\\/]")
HIDDEN = re.compile(r"\.[\w.-]*[\\/]")
SECRET = re.compile(r"token|password|secret|api.?key", re.IGNORECASE)


class CardError(ValueError):
    """A folder that no card can be written of, or a fact that cannot be."""


@dataclass(frozen=True)
class RunFiles:
    """
    Args:
        folder: of the checkpoint.
        config: `config.json`.
        run: `run.json`, options and outcome of `duosent train`; empty where something else trained.
        arguments: `arguments.json`, all arguments of the trainer.
        state: `trainer_state.json`.
        adapter: `adapters/adapter_config.json`; empty for a whole checkpoint.
        evaluations: every `metrics*.json`; without any, what the trainer logged of its last or best model.
        facts: `card.json`.
    """

    folder: Path
    config: dict
    run: dict
    arguments: dict
    state: dict
    adapter: dict
    evaluations: list[dict]
    facts: CardFacts

    @property
    def labels(self) -> list[str]:
        """Names in the order of the logits."""
        return [name for _, name in sorted(self.config.get("id2label", {}).items(), key=lambda pair: int(pair[0]))]

    @property
    def tasks(self) -> dict[str, list[str]]:
        return self.config.get("tasks") or {}

    @property
    def answers_questions(self) -> bool:
        return "RadmForVisualQuestionAnswering" in (self.config.get("architectures") or [])

    @property
    def several_labels(self) -> bool:
        return self.config.get("problem_type") == "multi_label_classification"

    @property
    def reads_text(self) -> bool:
        return self.config.get("text_config") is not None

    @property
    def reads_image(self) -> bool:
        return self.config.get("vision_config") is not None

    @property
    def takes_target(self) -> bool:
        return self.config["model_type"] == "tombert" or "target_column" in self.run.get("columns", {})

    @property
    def base_models(self) -> list[str]:
        """Hub names of what the training started from, as stated or recorded."""
        from_hub, unread = self.run.get("from_hub", []), set()
        if not self.reads_text:
            unread.add("text_encoder")
        if not self.reads_image:
            unread.add("image_encoder")
        return self.facts.base_models or [
            self.run[option] for option in STARTS if option in from_hub and option not in unread
        ]

    @property
    def datasets(self) -> list[str]:
        """Hub names of the training data."""
        return self.facts.datasets or ([self.run["data"]] if "data" in self.run.get("from_hub", []) else [])

    def data_name(self, data: str | None = None) -> str | None:
        """What data are called: that which was stated for those of the run, else the last part of their path."""
        own = self.run.get("data")
        if self.facts.data_name is not None and data in (None, own):
            return self.facts.data_name
        data = data or own
        if data is None or (data == own and self.datasets):
            return ", ".join(self.datasets) or None
        return PurePosixPath(PureWindowsPath(data).as_posix()).name or None

    def posts(self, part: str) -> tuple[np.ndarray, np.ndarray] | None:
        """True labels and answers, `(N, L)` bool, of a part whose posts may have several labels; None if the answers
        are not there."""
        file = self.folder / f"predictions_{part}.parquet"
        if not file.is_file():
            return None
        table = pq.read_table(file, columns=["true_label", "label"])
        rows = [row for row in zip(*(column.to_pylist() for column in table.columns), strict=True) if None not in row]
        truth, answers = (
            np.array([[label in row[side] for label in self.labels] for row in rows], bool) for side in (0, 1)
        )
        return truth, answers


def read_run_files(checkpoint: str | Path) -> RunFiles:
    """
    Raises:
        CardError: if the folder holds no model of this package, or a file that cannot be read.
    """
    folder = Path(checkpoint)
    config = read_object(folder / "config.json")
    if not config:
        raise CardError(f"{checkpoint} is not a folder with a checkpoint: it holds no config.json.")
    if config.get("model_type") not in MODEL_TYPES:
        raise CardError(
            f"{checkpoint} holds a model of type {config.get('model_type')}, which is not one of duosent's."
        )
    state = read_object(folder / "trainer_state.json")
    evaluations = [read_object(file) for file in sorted(folder.glob("metrics*.json"))]
    try:
        facts = facts_of(read_object(folder / FACTS_FILE))
    except (ValueError, TypeError) as error:
        raise CardError(f"{folder / FACTS_FILE}: {error}") from error
    return RunFiles(
        folder,
        config,
        read_object(folder / "run.json"),
        read_object(folder / "arguments.json"),
        state,
        read_object(folder / "adapters" / "adapter_config.json"),
        [figures for figures in evaluations if {"accuracy", "n"} <= figures.keys()] or logged_evaluations(state),
        facts,
    )


def read_object(file: Path) -> dict:
    """What a JSON file holds; empty where there is none.

    Raises:
        CardError: if it cannot be read, or is no object.
    """
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CardError(f"{file} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise CardError(f"{file} must hold an object, got {type(content).__name__}.")
    return content


def logged_evaluations(state: dict) -> list[dict]:
    """The figures that a trainer logged of its best model, or else of its last one, by part."""
    found = []
    for prefix, part in LOGGED.items():
        logs = [log for log in state.get("log_history", []) if f"{prefix}_accuracy" in log]
        best = [log for log in logs if log.get("step") == state.get("best_global_step")]
        for log in (best or logs)[-1:]:
            figures = {name.removeprefix(f"{prefix}_"): value for name, value in log.items()}
            found.append({**figures, "split": part})
    return found


def shown_path(value: str) -> str:
    """A path of the machine without its folders, which mean nothing elsewhere; other text, Hub names too, as it is."""
    if not ABSOLUTE.match(value) and not HIDDEN.match(value):
        return value
    return _last_part(value)


def _last_part(value: str) -> str:
    return PurePosixPath(PureWindowsPath(value).as_posix()).name or value


def shown_command(command: str) -> str:
    """A command without the folders of the machine and without secrets."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    shown, hide = [], False
    for word in words:
        flag, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        if (hide and not flag) or (equals and SECRET.search(flag)):
            value = "..."
        shown.append(flag + equals + (_last_part(value) if ABSOLUTE.match(value) else value))
        hide = bool(flag) and not equals and SECRET.search(flag) is not None
    return shlex.join(shown)


__all__ = [
    "FACTS_FILE",
    "CardError",
    "RunFiles",
    "logged_evaluations",
    "read_object",
    "read_run_files",
    "shown_command",
    "shown_path",
]
