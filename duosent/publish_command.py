"""The flags of `duosent publish`, and what it says of what went."""

import argparse

from duosent.parsing import CommandParser


def declare_publish_flags(parser: CommandParser) -> None:
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="output folder of train, or any checkpoint of duosent"
    )
    parser.add_argument("repo_id", metavar="REPO_ID", help="owner/name on the Hub, or a name under your own account")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and send nothing")
    note = "hide the repository from others, if it is a new one"
    parser.add_argument("--private", action="store_true", default=None, help=note)
    parser.add_argument("--message", help="of the commit")
    parser.epilog = (
        "Weights (safetensors), processor, code, figures and card go, in one commit, and nothing else. What a person "
        "has to say in the card is said before, by duosent card --write. Where the connection breaks, the same "
        "command goes on. The token is that of `hf auth login` or HF_TOKEN."
    )


def run_publish(options: argparse.Namespace, parser: CommandParser) -> tuple[dict, str]:
    """The result for programs, and the text for people."""
    from duosent.hub_cards.publishing import publish
    from duosent.hub_cards.run_files import CardError

    try:
        result = publish(options.checkpoint, options.repo_id, options.private, options.message, options.dry_run)
    except CardError as error:
        parser.error(str(error))
    width = max(map(len, [*result["files"], *result["kept"]]))
    lines = [f"{name:{width}} {size / 1e6:12,.3f} MB" for name, size in result["files"].items()]
    lines += [f"{name:{width}} stays here: {reason}" for name, reason in result["kept"].items()]
    end = f"It is at {result['url']}." if "url" in result else f"Nothing was sent to {options.repo_id}: a dry run."
    return result, "\n".join([*lines, end])


__all__ = ["declare_publish_flags", "run_publish"]
