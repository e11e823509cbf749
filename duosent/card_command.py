"""The flags of `duosent card`, and what it does with them."""

import argparse
from pathlib import Path

from duosent.parsing import CommandParser


def declare_card_flags(parser: CommandParser) -> None:
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="output folder of train, or any checkpoint of duosent"
    )
    parser.add_argument("--write", action="store_true", help="write README.md into the checkpoint")
    parser.add_argument("--output", metavar="FILE", help="write the card there")
    parser.add_argument("--overwrite", action="store_true", help="replace a card that a person wrote or changed")
    facts = parser.add_argument_group("what no run knows; kept in card.json of the checkpoint when a card is written")
    facts.add_argument("--name", metavar="REPO_ID", help="of the model on the Hub, owner/name (the folder's name)")
    facts.add_argument("--license", help="of the weights: the Hub's name for it, such as apache-2.0, or words")
    facts.add_argument("--language", action="append", metavar="CODE", help="of the posts, such as en; several times")
    facts.add_argument("--data-name", metavar="NAME", help="what the training data are called")
    facts.add_argument("--data-license", metavar="TEXT", help="of the training data")
    note = "Hub name of training data; several times"
    facts.add_argument("--dataset", action="append", metavar="REPO_ID", help=note)
    note = "Hub name of what the training started from; several times"
    facts.add_argument("--base-model", action="append", metavar="REPO_ID", help=note)
    facts.add_argument("--tag", action="append", help="further tag on the Hub; several times")
    note = "made-up words for the widget, which the model answers now; several times"
    facts.add_argument("--example", action="append", metavar="TEXT", help=note)
    parser.epilog = (
        "Without --write and --output the card is printed. A card that a person wrote or changed is never replaced "
        "without --overwrite. docs/hub.md says where each line comes from."
    )


def run_card(options: argparse.Namespace, parser: CommandParser) -> tuple[dict, str]:
    """The result for programs, and the text for people."""
    if options.write and options.output is not None:
        parser.error("--write and --output must not be given together.")
    if options.overwrite and not options.write and options.output is None:
        parser.error("--overwrite has no meaning without --write or --output.")
    if options.output is not None and Path(options.output).is_dir():
        parser.error(f"--output {options.output} is a folder.")
    from huggingface_hub import ModelCard

    from duosent.hub_cards.card_facts import CardFacts
    from duosent.hub_cards.card_writer import save_card, write_card

    try:
        facts = CardFacts(
            name=options.name,
            license=options.license,
            languages=options.language,
            data_license=options.data_license,
            data_name=options.data_name,
            datasets=options.dataset,
            base_models=options.base_model,
            tags=options.tag,
            examples=options.example and _answered(options.checkpoint, options.example, parser),
        )
        if options.write or options.output is not None:
            file = save_card(options.checkpoint, facts, options.output, options.overwrite)
            card, text = file.read_text(encoding="utf-8"), f"The card is in {file}."
        else:
            file, card = None, write_card(options.checkpoint, facts)
            text = card.rstrip("\n")
    except ValueError as error:
        parser.error(str(error))
    result = {"card": card, "metadata": ModelCard(card).data.to_dict(), "output": file and str(file)}
    return result, text


def _answered(checkpoint: str, texts: list[str], parser: CommandParser) -> list[dict]:
    """What the model says to made-up words without a picture."""
    from duosent.hub_cards.run_files import read_run_files

    run = read_run_files(checkpoint)
    if run.answers_questions or not run.reads_text:
        parser.error(f"--example must go with a model that reads posts by their words, which {checkpoint} is not.")
    from duosent.inference.scoring import predict

    return [{"text": text, "scores": _scores(predict(checkpoint, text))} for text in texts]


def _scores(answer: dict) -> dict[str, float]:
    if "tasks" not in answer:
        return answer["scores"]
    return {
        f"{task}:{label}": score
        for task, of_task in answer["tasks"].items()
        for label, score in of_task["scores"].items()
    }


__all__ = ["declare_card_flags", "run_card"]
