"""Files that come out of a run: the cube, the recipe that repeats it, the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hsi_app.runner import Result


def save_result(result: Result, path: Path) -> Path:
    """Write the restored cube; an existing file was agreed to in the dialog. Raises OutputError."""
    from hsi_app.io import save_cube

    return save_cube(result.cube, path, overwrite=True)


def save_recipe(result: Result, path: Path) -> Path:
    """Write the run as a recipe that the command line repeats. Raises OutputError."""
    from hsi_app.recipe import Recipe, write_recipe

    return write_recipe(Recipe.from_record(result.record), path, overwrite=True)


def save_report(result: Result, path: Path) -> Path:
    """Write the report: one HTML page and its numbers as JSON beside it. Raises OutputError."""
    from hsi_app.report import write_report

    page, _ = write_report(result, path, overwrite=True)
    return page


def with_extension(path: str, kind: str) -> Path:
    """Give a path the extension of the chosen file kind ('ENVI (*.hdr)') where the person typed none."""
    typed, offered = Path(path), re.search(r"\*(\.\w+)", kind)
    return typed if typed.suffix or offered is None else typed.with_name(typed.name + offered[1])
