"""`duosent export`: flags, call and table."""

import argparse

from duosent.parsing import CommandParser
from duosent.tables import text_table

FORMATS = ("onnx", "torch-export")


def declare_export_flags(parser: CommandParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder or Hub name of a classifier")
    note = "onnx for ONNX Runtime (%(default)s; needs duosent[onnx]), torch-export for torch.export.load"
    parser.add_argument("--format", choices=FORMATS, default="onnx", help=note)
    note = "of onnx: embeddings and the weights of matrix products in eight bits; not quite the same answers"
    parser.add_argument("--int8", action="store_true", help=note)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the graph and all it needs")
    parser.add_argument("--overwrite", action="store_true", help="take an output folder that is not empty")
    posts = parser.add_argument_group("posts to compare the answers on")
    posts.add_argument("--data", help="file or folder of Parquet, CSV or JSON Lines, or a Hub name")
    posts.add_argument("--split", help="which part of the data; needed where there are several")
    posts.add_argument("--batch-size", type=int, default=32, help="posts at once (%(default)s)")
    parser.epilog = (
        "The graph takes any number of posts and any length of text. duosent predict DIR --backend onnx runs it, and "
        "so does a pipeline; export.json says what it was made from and how far it gives the same answers: on made-up "
        "posts, and on --data, with labels the accuracy too."
    )


def run_export(options: argparse.Namespace, columns: dict, command: str) -> tuple[dict, str]:
    """The result, and its table."""
    from duosent.inference.export import export

    result = export(
        options.checkpoint,
        options.output,
        options.format,
        int8=options.int8,
        data=options.data,
        split=options.split,
        columns=columns,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
        command=command,
    )
    return result, export_table(result)


def export_table(result: dict) -> str:
    """Size of each graph, and how far it gives the answers of the model."""
    of_data, made_up = result["parity"].get("data"), result["parity"]["made_up_posts"]
    header = ["", "megabytes", "logits differ by"]
    rows = [[name, f"{size / 1e6:.1f}", f"{made_up[name]:.1e}"] for name, size in result["bytes"].items()]
    parts = [text_table([f"{made_up['posts']} made-up posts", *header[1:]], rows)]
    if of_data is not None:
        header = [f"{of_data['split']}, {of_data['eager']['posts']} posts", "logits differ by", "same answers"]
        labelled = "accuracy" in of_data["eager"]
        rows = [["eager", "", ""] + ([of_data["eager"]["accuracy"], ""] if labelled else [])]
        for name in result["bytes"]:
            its = of_data[name]
            row = [name, f"{its['largest_logit_difference']:.1e}", its["label_agreement"]]
            rows.append(row + ([its["accuracy"], its["accuracy_lost"]] if labelled else []))
        parts.append(text_table(header + (["accuracy", "accuracy lost"] if labelled else []), rows))
    parts.append(f"The {result['format']} graph in {result['precision']} is in {result['output_dir']}.")
    return "\n\n".join(parts)


__all__ = ["declare_export_flags", "export_table", "run_export"]
