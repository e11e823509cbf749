"""`duosent explain`: flags, call and table."""

import argparse
import os

from duosent.check_command import declare_check_flags, run_check
from duosent.parsing import CommandParser
from duosent.tables import text_table


def declare_explain_flags(parser: CommandParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder or Hub name of a classifier")
    parser.add_argument("--output", metavar="FILE", help="the page to write, such as page.html")
    post = parser.add_argument_group("one post")
    post.add_argument("--text", help="the words")
    post.add_argument("--image", metavar="FILE", help="the picture")
    post.add_argument("--target", help="what the label is about; takes the place of $T$ in the words")
    table = parser.add_argument_group("or posts of a table, a section of the page each")
    table.add_argument("--data", help="file or folder of Parquet, CSV or JSON Lines, or a Hub name")
    table.add_argument("--split", help="which part of the data; needed where there are several")
    table.add_argument("--ids", nargs="+", metavar="ID", help="which posts; default: the first ones")
    table.add_argument("--limit", type=int, metavar="N", help="posts at most (20, or as many as --ids names)")
    note = "folder for each post's maps: arrays (safetensors), JSON, and PNGs over the picture"
    parser.add_argument("--maps", metavar="DIR", help=note)
    note = "explain this label, and not the answer; of a model with several tasks TASK:NAME"
    parser.add_argument("--label", metavar="NAME", help=note)
    note = "other checkpoints with the same labels, such as MDSE without private features: shows their scores too"
    parser.add_argument("--ablations", nargs="+", default=[], metavar="RUN", help=note)
    note = "leave out the attributions, which need duosent[explain] and most of the time"
    parser.add_argument("--no-attributions", dest="attributions", action="store_false", help=note)
    note = "share by which the attributions' sum may miss what it should be (0.01); a larger one takes less time"
    parser.add_argument("--attribution-tolerance", type=float, metavar="SHARE", help=note)
    parser.add_argument("--device", help="cpu, cuda, ...; default: the accelerator where there is one")
    declare_check_flags(parser)
    parser.epilog = (
        "The page needs no network. It shows how far words and picture each moved the answer, which words and regions "
        "did (integrated gradients), of MDSE what is shared and what is private, of RADM which words look at which "
        "regions. Maps show what the model used, not what is true. docs/explain.md says how each is computed."
    )


def run_explain(options: argparse.Namespace, columns: dict, parser: CommandParser) -> tuple[dict, str]:
    """The result, and its table."""
    from pathlib import Path

    if options.attribution_tolerance is not None and not options.attributions:
        parser.error("--attribution-tolerance has no meaning beside --no-attributions.")
    if options.check is not None:
        return run_check(options, columns, parser)
    check_call(options, parser)
    from duosent.inference.explaining import Explainer, explain_table
    from duosent.inference.explanation import Explanation, file_name
    from duosent.inference.explanation_page import explanation_page

    explainer = Explainer(
        options.checkpoint,
        label=options.label,
        attributions=options.attributions,
        attribution_tolerance=options.attribution_tolerance,
        ablations=options.ablations,
        device=options.device,
    )
    if options.data is None:
        posts = [(None, explainer(options.text, options.image, options.target))]
    else:
        posts = explain_table(
            explainer, options.data, split=options.split, ids=options.ids, limit=options.limit, columns=columns
        )
    results, left_out = [], {}

    def explained():
        for name, found in posts:
            if not isinstance(found, Explanation):
                left_out[name] = found
                continue
            results.append(post_result(found))
            if options.maps is not None:
                # Two ids may be one file name.
                found.save(Path(options.maps) if name is None else f"{options.maps}/{len(results)}-{file_name(name)}")
            yield found

    content = explanation_page(explained(), left_out)
    page = Path(options.output)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(content, encoding="utf-8")
    result = {"page": options.output, "maps": options.maps, "posts": results, "left_out": left_out}
    return result, explain_table_text(result)


def check_call(options: argparse.Namespace, parser: CommandParser) -> None:
    """End a wrong call with one sentence."""
    if options.output is None:
        parser.error("--output is needed: the page to write.")
    for flag in ("seed", "random_orders"):
        if getattr(options, flag) is not None:
            parser.error(f"--{flag.replace('_', '-')} belongs to --check.")
    if (options.text is not None or options.image is not None) == (options.data is not None):
        parser.error("give either --text and --image (or one of the two) or --data.")
    for flag in ("split", "ids", "limit"):
        if options.data is None and getattr(options, flag) is not None:
            parser.error(f"--{flag} belongs to a table: it needs --data.")
    if options.data is not None and options.target is not None:
        parser.error("--target belongs to one post; a table has a column of targets (--target-column).")
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit must be >= 1, got {options.limit}.")
    if options.image is not None and not os.path.isfile(options.image):
        parser.error(f"--image {options.image} is not a file.")
    if not options.output.lower().endswith((".html", ".htm")):
        parser.error(f"--output must be a file that ends in .html, got {options.output}.")
    if os.path.isdir(options.output):
        parser.error(f"--output {options.output} is a folder.")
    if options.maps is not None and os.path.exists(options.maps) and not os.path.isdir(options.maps):
        parser.error(f"--maps {options.maps} is a file.")


def post_result(found) -> dict:
    """What a program reads of one `Explanation`; the maps are in `--maps`."""
    answers = []
    for answer in found.answers:
        row = {"task": answer.task, "label": answer.label, "answered": answer.answered, "scores": answer.scores}
        row |= {"values": answer.values, "shares": answer.shares}
        if answer.completeness is not None:
            row["attributions"] = {**answer.completeness._asdict(), "gap": answer.completeness.gap}
        answers.append(row)
    return {
        "id": found.id,
        "answers": answers,
        "private_scores": found.private_scores,
        "ablations": found.ablations,
    }


def explain_table_text(result: dict) -> str:
    """A line a post (and task): label, score, and how far words and picture moved it."""
    rows = [
        [post["id"] or "the post", answer["label"], answer["scores"][answer["label"]], *answer["shares"].values()]
        for post in result["posts"]
        for answer in post["answers"]
    ]
    lines = [text_table(["post", "label", "score", "words", "picture"], rows), f"\nThe page is {result['page']}."]
    if result["left_out"]:
        lines.append(f"{len(result['left_out'])} posts could not be read: the page says why.")
    return "\n".join(lines)


__all__ = ["declare_explain_flags", "run_explain"]
