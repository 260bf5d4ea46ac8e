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
    """
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


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, (float, np.floating)) else str(value)
