"""The report of a restoration: one self-contained HTML page, and the same facts as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hsi_app.cube import Cube
    from hsi_app.runner import Result

__all__ = ["write_report"]


def write_report(
    result: Result, path: str | Path, *, reference: Cube | None = None, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write what a restoration did, for people and for programs.

    Scenes of any size are shown from samples and single bands, never read whole.

    Parameters
    ----------
    result : of ``runner.restore`` or ``recipe.run_recipe``
    path : of the HTML page; the JSON file has the same stem
    reference : the true scene, if it is known; adds scores, a picture and spectra
    overwrite : replace existing files

    Returns
    -------
    (path of the page, path of the JSON file); each appears whole or not at all

    Raises
    ------
    OutputError
        If a file exists and must not be replaced, or cannot be written.
    CubeError
        If the reference has another shape.
    """
    from hsi_app.recipe import Recipe
    from hsi_app.report.charts import histogram_chart, noise_chart, removed_chart, spectrum_chart, structure_chart
    from hsi_app.report.findings import examine
    from hsi_app.report.page import Content, page
    from hsi_app.report.pictures import gallery
    from hsi_app.report.writing import check_report, write_report_files

    check_report(path, overwrite=overwrite)
    findings = examine(result, reference)
    content = Content(
        result=result,
        findings=findings,
        gallery=gallery(result, findings.most_changed_band, reference),
        spectra=tuple(spectrum_chart(result, p, n, reference) for n, p in enumerate(findings.places, 1)),
        charts=(
            noise_chart(result, findings), removed_chart(result, findings),
            structure_chart(result, findings), histogram_chart(findings),
        ),
        recipe=Recipe.from_record(result.record).to_toml(),
    )  # fmt: skip
    facts = {"format": "hsi-app report 1", "record": dict(result.record), "findings": findings.plain()}
    return write_report_files(path, facts, lambda: page(content), overwrite=overwrite)
