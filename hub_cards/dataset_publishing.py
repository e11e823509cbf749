"""`duosent publish --dataset`: prepared posts to the Hub, a data card with them, in one commit."""

import json
import re
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetCard, HfApi

from duosent.hub_cards.card_page import CARD_FILE, is_ours
from duosent.hub_cards.dataset_card import asks_questions, write_dataset_card
from duosent.hub_cards.dataset_facts import dataset_facts, published_record
from duosent.hub_cards.publishable import PICKLES, fits
from duosent.hub_cards.run_files import CardError, read_object
from duosent.hub_cards.sending import PublishError, check_repo_id, on_the_hub

RECORD, ANSWERS = "dataset.json", "answers.json"
# What prepare and audit leave beside the parts.
BESIDE = ("rejected.parquet", "dropped.parquet", "removed.parquet")
# What an earlier publication may have left on the Hub, and would be read with the new parts or beside them.
EARLIER = re.compile(rf"data/(train|validation|test)-\d{{5}}-of-\d{{5}}\.parquet|{RECORD}|{ANSWERS}")


def publish_dataset(
    description: dict,
    repo_id: str,
    private: bool | None = None,
    message: str | None = None,
    dry_run: bool = False,
    license: str | None = None,
    languages: list[str] | None = None,
) -> dict:
    """Send prepared posts to a data-set repository on the Hub, which is made if it is not there.

    Large files go first, then one commit makes all of them visible, and takes away what an earlier call left there and
    this one does not bring. Where the connection breaks, the same call goes on: large files that arrived are not
    sent again.

    Args:
        description: what `duosent.data.description.describe` says of the folder.
        repo_id: `owner/name`, or a name under one's own account.
        private: whether a new repository is hidden; None takes the account's habit.
        message: of the commit.
        dry_run: say what would go, and send nothing.
        license: of the data, by the Hub's name for it or in words; None for that in `dataset.json`.
        languages: of the words, by their codes; None for those in `dataset.json`.

    Returns: `repo_id`, `files` (name -> bytes), `kept` (name -> why it stays), and once sent `url`, `commit` and
        `removed` (names of what an earlier call had left on the Hub).

    Raises:
        CardError: for a name or a fact that cannot be, or data without a license that would be public.
        PublishError: if the Hub or the way to it failed, or the repository is public already and was to be private.
    """
    folder, record = Path(description["folder"]), description["record"]
    check_dataset(folder, repo_id, private, license, languages)
    if not dry_run and "/" not in repo_id:
        with on_the_hub(repo_id):  # the card names it whole
            repo_id = f"{HfApi().whoami()['name']}/{repo_id}"
    facts, own_card = dataset_facts(repo_id, record, license, languages), _own_card(folder)
    parts = _names_on_the_hub(description)
    files = {name: file for names in parts.values() for name, file in names.items()}
    if asks_questions(description) and (folder / ANSWERS).is_file() and not (folder / ANSWERS).is_symlink():
        files[ANSWERS] = folder / ANSWERS
    texts = {CARD_FILE: write_dataset_card(description, facts) if own_card is None else own_card}
    if record:
        names = {split: list(of_part) for split, of_part in parts.items()}
        published = published_record(record, names, [ANSWERS] if ANSWERS in files else [])
        texts[RECORD] = json.dumps(published, indent=2, ensure_ascii=False) + "\n"
    written = {name: text.encode("utf-8", errors="replace") for name, text in texts.items()}
    sizes = {name: file.stat().st_size for name, file in files.items()}
    sizes |= {name: len(content) for name, content in written.items()}
    result = {
        "repo_id": repo_id,
        "files": dict(sorted(sizes.items())),
        "kept": _kept(folder, {*files.values(), *(folder / name for name in texts)}),
    }
    if dry_run:
        return result
    return result | _send(repo_id, files | written, private, message or f"Publish {folder.resolve().name}")


def check_dataset(
    folder: str | Path,
    repo_id: str,
    private: bool | None = None,
    license: str | None = None,
    languages: list[str] | None = None,
) -> None:
    """See to what can be seen to before the rows are read; the arguments are those of `publish_dataset`.

    Raises:
        CardError: as `publish_dataset`.
    """
    folder = Path(folder)
    check_repo_id(repo_id)
    if not folder.is_dir():
        raise CardError(f"There is no folder {folder}.")
    facts = dataset_facts(repo_id, read_object(folder / RECORD), license, languages)
    own_card = _own_card(folder)
    if own_card is not None and (license is not None or languages is not None):
        raise CardError(f"{folder / CARD_FILE} was written by a person and is kept: say license and language there.")
    if not private and facts.license is None and _license_in(folder, own_card) is None:
        raise CardError(
            f"The license of {folder} must be said, for posts are people's: give --license, or --private to publish "
            "them for yourself alone."
        )


def _own_card(folder: Path) -> str | None:
    """The card that a person wrote; None where there is none."""
    file = folder / CARD_FILE
    there = file.is_file() and not file.is_symlink()
    card = file.read_text(encoding="utf-8", errors="replace") if there else None
    return None if card is None or is_ours(card) else card


def _license_in(folder: Path, card: str | None) -> str | None:
    try:
        return None if card is None else DatasetCard(card, ignore_metadata_errors=True).data.license
    except Exception as error:  # of whatever library huggingface_hub reads YAML by
        reason = " ".join(str(error).split())
        raise CardError(
            f"{folder / CARD_FILE}: its metadata must be YAML between two lines of ---: {reason}"
        ) from error


def _names_on_the_hub(description: dict) -> dict[str, dict[str, Path]]:
    """Part -> name -> file, in their order; names by which every reader of the Hub knows the parts."""
    names = {}
    for split, part in description["splits"].items():
        count = len(part["files"])
        names[split] = {
            f"data/{split}-{number:05d}-of-{count:05d}.parquet": Path(file)
            for number, file in enumerate(part["files"])
        }
    return names


def _kept(folder: Path, sent: set[Path]) -> dict[str, str]:
    """The files that stay, and why."""
    kept = {}
    for file in sorted(file for file in folder.rglob("*") if not file.is_dir()):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink():
            kept[name] = "a link, which may lead to anything"
        elif file in sent:
            continue
        elif name in BESIDE:
            kept[name] = "of prepare or audit, rows that are not of the data"
        elif fits(name, PICKLES):
            kept[name] = "a pickle, which can run code when it is read"
        else:
            kept[name] = "not on the list of what is published"
    return kept


def _send(repo_id: str, contents: dict[str, Path | bytes], private: bool | None, message: str) -> dict:
    api, kind = HfApi(), {"repo_type": "dataset"}
    with on_the_hub(repo_id):
        repo = api.create_repo(repo_id, private=private, exist_ok=True, **kind)
        if private and not api.repo_info(repo_id, **kind).private:
            raise PublishError(
                f"{repo_id} is public on the Hub already: make it private in its settings first, or publish under "
                "another name."
            )
        there = api.list_repo_files(repo_id, **kind)
        removed = sorted(name for name in there if EARLIER.fullmatch(name) and name not in contents)
        operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
        operations += [CommitOperationDelete(name) for name in removed]
        commit = api.create_commit(repo_id, operations, commit_message=message, **kind)
    return {"url": repo.url, "commit": commit.oid, "removed": removed}


__all__ = ["check_dataset", "publish_dataset"]
