"""``hsi-app score``: compare a result with a reference."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from hsi_app.files import to_json

# Key of ``metrics.score``, what people call it, unit, digits, and which way is better.
MEASURES = (
    ("psnr", "PSNR", "dB", 2, "higher"),
    ("ssim", "SSIM", "", 4, "higher"),
    ("sam", "SAM", "degrees", 3, "lower"),
    ("ergas", "ERGAS", "", 3, "lower"),
    ("rmse", "RMSE", "data units", 6, "lower"),
)


@click.command(short_help="Compare a result with a reference.")
@click.argument("result", type=click.Path())
@click.argument("reference", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--bands", "per_band", is_flag=True, help="Add the measures of each band.")
def score(result: str, reference: str, as_json: bool, per_band: bool) -> None:
    """Compare RESULT with REFERENCE: PSNR, SSIM, SAM, ERGAS, RMSE.

    PSNR and SSIM are means over the bands, after scaling by the reference's maximum; only samples valid in both
    count, and bands marked bad in the reference do not.

    Folders made by 'hsi-app unmix' are compared by spectral angle (SAD) and error of the abundances, materials paired
    by their spectra; the reference is such a folder too, or an .npz with 'endmembers' and 'abundances'.
    """
    from hsi_app.unmixing.scoring import is_unmixing

    if is_unmixing(result):
        _score_unmixing(result, reference, as_json)
        return
    from hsi_app.io import open_cube
    from hsi_app.metrics import score as measure

    found = measure(open_cube(result), open_cube(reference), per_band=per_band)
    if as_json:
        click.echo(to_json(found))
        return
    for key, title, unit, digits, better in MEASURES:
        click.echo(f"{title:<6} {found[key]:>12.{digits}f} {unit:<11} {better} is better")
    if per_band:
        bands = found["bands"]
        columns = list(bands[0])
        click.echo("\n" + "  ".join(f"{column:>12}" for column in columns))
        for band in bands:
            click.echo("  ".join(f"{_cell(band[column]):>12}" for column in columns))


def _score_unmixing(result: str, reference: str, as_json: bool) -> None:
    from hsi_app.unmixing.scoring import score_unmixing

    found = score_unmixing(result, reference)
    if as_json:
        click.echo(to_json(found))
        return
    for key, title, unit in (
        ("sad_rad", "SAD", "rad"), ("sad_deg", "SAD", "degrees"), ("rmse", "RMSE", "all abundances"),
        ("mean_material_rmse", "RMSE", "mean of the materials"),
    ):  # fmt: skip
        click.echo(f"{title:<6} {found[key]:>12.4f} {unit:<22} lower is better")
    click.echo()
    for pair in found["materials"]:
        click.echo(f"{pair['known']} = {pair['found']}: SAD {pair['sad_rad']:.4f} rad, RMSE {pair['rmse']:.4f}")


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, (float, np.floating)) else str(value)
