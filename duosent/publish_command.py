"""The flags of `duosent publish`, and what it says of what went."""

import argparse
from pathlib import Path

from duosent.parsing import CommandParser


def declare_publish_flags(parser: CommandParser) -> None:
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="checkpoint: output folder of train, or any checkpoint of duosent; with --dataset what prepare or audit "
        "--write-clean left",
    )
    parser.add_argument("repo_id", metavar="REPO_ID", help="owner/name on the Hub, or a name under your own account")
    parser.add_argument("--dataset", action="store_true", help="FOLDER holds posts, and REPO_ID is for a data set")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and send nothing")
    note = "hide the repository from others, if it is a new one"
    parser.add_argument("--private", action="store_true", default=None, help=note)
    parser.add_argument("--message", help="of the commit")
    data = parser.add_argument_group("of a data set")
    note = "of the posts: the Hub's name for it, such as cc-by-4.0, or words; needed unless --private"
    data.add_argument("--license", help=note)
    data.add_argument("--language", action="append", metavar="CODE", help="of the words, such as en; several times")
    note = "column of labels to count in the card, beside label and those of prepare; several times"
    data.add_argument("--label", dest="label_columns", action="append", metavar="COLUMN", help=note)
    data.add_argument("--text-column", metavar="COLUMN", help="where it is not text")
    data.add_argument("--image-column", metavar="COLUMN", help="where it is not image")
    parser.epilog = (
        "Of a checkpoint weights (safetensors), processor, code, figures and card go, in one commit, and nothing "
        "else. What a person has to say in the card is said before, by duosent card --write. Of a data set the parts "
        "(Parquet with the pictures inside), dataset.json and a data card go; language and license may stand in "
        "dataset.json too. Where the connection breaks, the same command goes on. The token is that of `hf auth "
        "login` or HF_TOKEN."
    )


def run_publish(options: argparse.Namespace, parser: CommandParser) -> tuple[dict, str]:
    """The result for programs, and the text for people."""
    from duosent.hub_cards.run_files import CardError

    _check_kind(options, parser)
    try:
        result = (_publish_dataset if options.dataset else _publish_checkpoint)(options)
    except CardError as error:
        parser.error(str(error))
    width = max(map(len, [*result["files"], *result["kept"], *result.get("removed", [])]))
    lines = [f"{name:{width}} {size / 1e6:12,.3f} MB" for name, size in result["files"].items()]
    lines += [f"{name:{width}} stays here: {reason}" for name, reason in result["kept"].items()]
    lines += [f"{name:{width}} is taken away: of an earlier time" for name in result.get("removed", [])]
    end = f"It is at {result['url']}." if "url" in result else f"Nothing was sent to {options.repo_id}: a dry run."
    return result, "\n".join([*lines, end])


def _check_kind(options: argparse.Namespace, parser: CommandParser) -> None:
    """A model and a data set are not taken for one another."""
    folder = Path(options.folder)
    if options.dataset and (folder / "config.json").is_file():
        parser.error(f"{folder} is a checkpoint (it holds config.json): leave --dataset away.")
    if options.dataset:
        return
    if not (folder / "config.json").is_file() and any(folder.rglob("*.parquet")):
        parser.error(f"{folder} holds posts, and no checkpoint: give --dataset to publish them.")
    for name in ("license", "language", "label_columns", "text_column", "image_column"):
        if getattr(options, name) is not None:
            flag = "--label" if name == "label_columns" else f"--{name.replace('_', '-')}"
            hint = "; duosent card --write says it of a model" if name in ("license", "language") else ""
            parser.error(f"{flag} has no meaning without --dataset{hint}.")


def _publish_checkpoint(options: argparse.Namespace) -> dict:
    from duosent.hub_cards.publishing import publish

    return publish(options.folder, options.repo_id, options.private, options.message, options.dry_run)


def _publish_dataset(options: argparse.Namespace) -> dict:
    from duosent.data.description import describe
    from duosent.data.reading import DataError
    from duosent.hub_cards.dataset_publishing import check_dataset, publish_dataset
    from duosent.hub_cards.run_files import CardError

    check_dataset(options.folder, options.repo_id, options.private, options.license, options.language)
    names = ("text_column", "image_column", "label_columns")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    try:
        description = describe(options.folder, **given)
    except DataError as error:
        raise CardError(str(error)) from error
    return publish_dataset(
        description,
        options.repo_id,
        options.private,
        options.message,
        options.dry_run,
        options.license,
        options.language,
    )


__all__ = ["declare_publish_flags", "run_publish"]
