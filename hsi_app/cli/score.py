"""``hsi-app score``: compare a result with a reference."""

from __future__ import annotations

import json
from typing import Any

import click
import numpy as np

# Key of ``metrics.score``, what people call it, unit, digits, and which way is better.
MEASURES = (
    ("psnr", "PSNR", "dB", 2, "higher"),
    ("ssim", "SSIM", "", 4, "higher"),
    ("sam", "SAM", "degrees", 3, "lower"),
    ("ergas", "ERGAS", "", 3, "lower"),
    ("rmse", "RMSE", "data units", 6, "lower"),
)


@click.command()
@click.argument("result")
@click.argument("reference")
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
        click.echo(json.dumps(plain(found), indent=2))
        return
    for key, title, unit, digits, better in MEASURES:
        click.echo(f"{title:<6} {found[key]:>12.{digits}f} {unit:<11} {better} is better")
    if per_band:
        bands = found["bands"]
        columns = list(bands[0])
        click.echo("\n" + "  ".join(f"{column:>12}" for column in columns))
        for band in bands:
            click.echo("  ".join(f"{_cell(band[column]):>12}" for column in columns))


def plain(value: Any) -> Any:
    """Numbers, lists and dicts that JSON can hold; NaN and infinities become null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value if value is None or isinstance(value, str) else str(value)


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, (float, np.floating)) else str(value)
