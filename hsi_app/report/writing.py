"""The two files of every report: the page, and beside it its figures as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hsi_app.files import check_target, to_json, write_text


def check_report(path: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Paths of the page and of the JSON file; OutputError if one is taken and must not be replaced."""
    page = Path(path)
    beside = page.with_suffix(".json")
    for file in (page, beside):
        check_target(file, overwrite=overwrite)
    return page, beside


def write_report_files(
    path: str | Path, facts: Mapping[str, Any], draw: Callable[[], str], *, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write the facts and the page that ``draw`` gives; each appears whole or not at all.

    Returns the paths of the page and of the JSON file. Raises OutputError as ``check_report`` does, and if the disk
    refuses.
    """
    page, beside = check_report(path, overwrite=overwrite)
    write_text(beside, to_json(facts), overwrite=overwrite)
    # The page last: where it lies, its figures lie too.
    return write_text(page, draw(), overwrite=overwrite), beside
