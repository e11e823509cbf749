"""The files of an error report: `index.html`, a page that is whole in itself, and `report.json` with every number."""

import importlib.util
from pathlib import Path

from datasets import Dataset

from duosent.inference.report_page import places_shown, report_page
from duosent.inference.thumbnails import thumbnail
from duosent.training.checkpoints import CallError, write_json

PAGE_FILE, REPORT_FILE = "index.html", "report.json"


def check_report(folder: str) -> None:
    """Say what is missing or in the way before anything is computed.

    Raises:
        CallError: for a file, for a folder with something else in it than an earlier report, and without the packages
            that a report needs.
    """
    missing = [name for name in ("matplotlib", "cleanlab") if importlib.util.find_spec(name) is None]
    if missing:
        raise CallError(f'report needs {" and ".join(missing)}, not installed here: pip install "duosent[report]".')
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise CallError(f"report must be a folder, got the file {folder}.")
    if path.is_dir() and any(path.iterdir()) and not (path / REPORT_FILE).is_file():
        raise CallError(f"report {folder} is not empty and holds no earlier report: take another folder.")


def write_report(folder: str, report: dict, rows: Dataset, maps: dict[int, dict]) -> None:
    """
    Args:
        folder: where the two files go; those of an earlier report are replaced.
        report: what `error_report` gave.
        rows: the posts, for their pictures.
        maps: what `mistake_maps` gave.
    """
    with_pictures = "image" in rows.column_names
    pictures = {place: thumbnail(rows[place]["image"]) if with_pictures else None for place in places_shown(report)}
    page = report_page(report, pictures, maps)
    write_json(Path(folder) / REPORT_FILE, report)
    (Path(folder) / PAGE_FILE).write_text(page, encoding="utf-8")


__all__ = ["PAGE_FILE", "REPORT_FILE", "check_report", "write_report"]
