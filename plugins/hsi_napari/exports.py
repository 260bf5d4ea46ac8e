"""Files that come out of a run: the cube, the recipe that repeats it, the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsi_app.fusion.result import Fusion
    from hsi_app.runner import Result
    from hsi_app.unmixing.result import Unmixing


def save_result(result: Result | Fusion, path: Path) -> Path:
    """Write the restored or sharpened cube; an existing file was agreed to in the dialog. Raises OutputError."""
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


def save_unmixing(result: Unmixing, folder: Path) -> Path:
    """Write abundances, spectra, maps and report: into the folder where it is empty or new, else into a new one in it.

    Returns the folder that was written. Raises OutputError.
    """
    from hsi_app.unmixing.result import write_unmixing

    return write_unmixing(result, _free(folder, f"{result.observed.name}_unmixed"))


def save_unmixing_report(result: Unmixing, path: Path) -> Path:
    """Write the report of an unmixing: one HTML page and its numbers as JSON beside it. Raises OutputError."""
    from hsi_app.report.unmixing import write_unmixing_report

    page, _ = write_unmixing_report(result, path, overwrite=True)
    return page


def save_fusion_report(result: Fusion, path: Path) -> Path:
    """Write the report of a fusion: one HTML page and its numbers as JSON beside it. Raises OutputError."""
    from hsi_app.report.fusion import write_fusion_report

    page, _ = write_fusion_report(result, path, overwrite=True)
    return page


def with_names(result: Unmixing, names: Sequence[str]) -> Unmixing:
    """The result with its materials called by other names, in spectra, abundances and record."""
    cube, record = result.abundances, result.record
    listed = record.get("trace", {}).get("materials", ())
    materials = [{**facts, "name": name} for facts, name in zip(listed, names, strict=False)]
    trace: Mapping[str, Any] = {**record.get("trace", {}), "materials": materials}
    return replace(
        result, abundances=replace(cube, bands=replace(cube.axis, names=tuple(names))),
        endmembers=result.endmembers.renamed(names), record={**record, "trace": trace},
    )  # fmt: skip


def _free(folder: Path, name: str) -> Path:
    """The folder if nothing is in it, else one of that name in it that does not exist yet."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return folder
    stem = re.sub(r"[^\w.-]+", "_", name)
    tried = (folder / (stem if n == 1 else f"{stem}_{n}") for n in range(1, 10_000))
    return next((path for path in tried if not path.exists()), folder)


def with_extension(path: str, kind: str) -> Path:
    """Give a path the extension of the chosen file kind ('ENVI (*.hdr)') where the person typed none."""
    typed, offered = Path(path), re.search(r"\*(\.\w+)", kind)
    return typed if typed.suffix or offered is None else typed.with_name(typed.name + offered[1])
