"""`duosent publish`: a checkpoint to the Hub, its card, code, processor and figures with it, in one commit."""

import json
import shutil
import tempfile
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from transformers import AutoConfig

from duosent.hub_cards.card_facts import HUB_NAME, CardFacts
from duosent.hub_cards.card_writer import CARD_FILE, is_ours, write_card
from duosent.hub_cards.publishable import publishable
from duosent.hub_cards.run_files import CardError, RunFiles, read_run_files, shown_path
from duosent.hub_cards.sending import PublishError, check_repo_id, on_the_hub

# Code that an Inference Endpoint takes up by this name.
HANDLER = Path(__file__).with_name("handler.py")
# What a file of figures says of the machine that it was made on.
OF_THE_MACHINE = ("command", "checkpoint", "against")


def publish(
    checkpoint: str | Path,
    repo_id: str,
    private: bool | None = None,
    message: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
    revision: str | None = None,
) -> dict:
    """Send a checkpoint to a model repository on the Hub, which is made if it is not there.

    Large files go first, then one commit makes all of them visible. Where the connection breaks, the same call goes
    on: large files that arrived are not sent again.

    Args:
        checkpoint: folder with a model, its processor, and what its run left.
        repo_id: `owner/name`, or a name under one's own account.
        private: whether a new repository is hidden; None takes the account's habit.
        message: of the commit.
        dry_run: say what would go, and send nothing.
        token: of who sends; None takes that of `hf auth login` or HF_TOKEN.
        revision: branch that the commit goes to; None for the main one.

    Returns: `repo_id`, `files` (name -> bytes), `kept` (name -> why it stays), and once sent `url` and `commit`.

    Raises:
        CardError: for a folder or a name that cannot be published.
        PublishError: if the Hub or the way to it failed.
    """
    run = read_run_files(checkpoint)
    _check(run, repo_id)
    sorted_files = publishable(run.folder)
    with tempfile.TemporaryDirectory() as staging:
        _rewrite(run, repo_id, Path(staging))
        written = {file.name: file for file in sorted(Path(staging).iterdir())}
        files = dict(sorted((sorted_files.files | written).items()))
        result = {
            "repo_id": repo_id,
            "files": {name: file.stat().st_size for name, file in files.items()},
            "kept": sorted_files.kept,
        }
        if dry_run:
            return result
        message = message or f"Publish {run.folder.name}"
        return result | _send(HfApi(token=token), repo_id, files, private, message, revision)


def _check(run: RunFiles, repo_id: str) -> None:
    check_repo_id(repo_id)
    towers = run.folder / "towers.json"
    if towers.is_file():
        for name in json.loads(towers.read_text(encoding="utf-8")).values():
            if name is not None and (Path(name).exists() or not HUB_NAME.fullmatch(name)):
                raise CardError(
                    f"{run.folder} holds adapters of {name}, a folder here, without which nobody else can load them: "
                    "publish a run with lora_save merged, or train on encoders from the Hub."
                )


def _rewrite(run: RunFiles, repo_id: str, folder: Path) -> None:
    """Config and code, figures and card, as they are on the Hub."""
    AutoConfig.from_pretrained(run.folder).save_pretrained(folder)
    if not run.answers_questions:
        shutil.copyfile(HANDLER, folder / HANDLER.name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for tower in ("text_config", "vision_config"):
        if isinstance(config.get(tower), dict) and config[tower].get("_name_or_path") not in run.base_models:
            config[tower].pop("_name_or_path", None)
    _write(folder / "config.json", config)
    for file in sorted(run.folder.glob("metrics*.json")):
        figures = json.loads(file.read_text(encoding="utf-8"))
        kept = {name: value for name, value in figures.items() if name not in OF_THE_MACHINE}
        _write(folder / file.name, {n: shown_path(v) if isinstance(v, str) else v for n, v in kept.items()})
    own = run.folder / CARD_FILE
    card = own.read_text(encoding="utf-8") if own.is_file() else None
    if card is None or is_ours(card):
        card = write_card(run.folder, CardFacts(name=repo_id))
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def _write(file: Path, content: dict) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _send(
    api: HfApi, repo_id: str, files: dict[str, Path], private: bool | None, message: str, revision: str | None
) -> dict:
    with on_the_hub(repo_id):
        repo = api.create_repo(repo_id, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, file) for name, file in files.items()]
        commit = api.create_commit(repo.repo_id, operations, commit_message=message, revision=revision)
    return {"url": repo.url, "commit": commit.oid}


__all__ = ["PublishError", "publish"]
