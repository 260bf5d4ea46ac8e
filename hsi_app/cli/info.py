"""``hsi-app info``: what a file holds, and how noisy its bands are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import numpy as np

from hsi_app.files import to_json
from hsi_app.overview import describe, text_lines

if TYPE_CHECKING:
    from hsi_app.cube import Cube
    from hsi_app.noise import NoiseReport

_SHOWN_FACTS = 10


@click.command(short_help="Show what a file holds and how noisy it is.")
@click.argument("path", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--bands", "per_band", is_flag=True, help="Add a line for each band.")
@click.option("--noise/--no-noise", default=True, show_default=True, help="Measure noise on a central sample.")
@click.option("--no-wavelengths", is_flag=True, help="Open without the file's wavelengths, where they are damaged.")
def info(path: str, as_json: bool, per_band: bool, noise: bool, no_wavelengths: bool) -> None:
    """Show what a file holds: size, wavelengths, bad bands, map frame, scale, gaps, noise.

    PATH may end in '::name' to pick one array of a file that holds several.
    """
    from hsi_app.io import list_arrays, open_cube

    cube = open_cube(path, wavelengths=not no_wavelengths)
    measured = None
    if noise and cube.shape[0] > 1 and min(cube.shape[1:]) >= 8:
        from hsi_app.noise import measure_noise

        measured = measure_noise(cube)
    arrays = [
        {"name": name, "shape": [int(n) for n in shape], "dtype": str(dtype)}
        for name, shape, dtype in list_arrays(path.split("::")[0])
    ]
    facts = describe(cube, measured, arrays)
    if as_json:
        if per_band:
            facts["per_band"] = _per_band(cube, measured)
        click.echo(to_json(facts))
        return
    _print(cube, facts, measured if noise else None, per_band)


def _per_band(cube: Cube, noise: NoiseReport | None) -> list[dict[str, Any]]:
    axis, rows = cube.axis, []
    for b in range(cube.shape[0]):
        row: dict[str, Any] = {"band": b + 1, "is_bad": bool(axis.is_bad[b])}
        if axis.names is not None:
            row["name"] = axis.names[b]
        if axis.centres_nm is not None:
            row["centre_nm"] = _number(axis.centres_nm[b])
        if axis.fwhm_nm is not None:
            row["fwhm_nm"] = _number(axis.fwhm_nm[b])
        if noise is not None:
            row |= {"snr_db": _number(noise.snr_db[b]), "noise_std": _number(noise.std[b]),
                    "stripe_rows": _number(noise.stripe_rows[b]), "stripe_cols": _number(noise.stripe_cols[b]),
                    "missing_share": _number(noise.missing_share[b])}  # fmt: skip
        rows.append(row)
    return rows


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return round(float(value), 6) if np.isfinite(value) else None


def _print(cube: Cube, facts: dict[str, Any], noise: NoiseReport | None, per_band: bool) -> None:
    for label, value in text_lines(cube, facts):
        click.echo(f"{label:<13} {value}")
    for number, (key, value) in enumerate(cube.facts.items()):
        if number == _SHOWN_FACTS and len(cube.facts) > _SHOWN_FACTS + 1:
            click.echo(f"              and {len(cube.facts) - number} more header entries; see --json")
            break
        click.echo(f"{'header' if number == 0 else '':<13} {key}: {_short(value)}")
    if not per_band:
        return
    rows = _per_band(cube, noise)
    columns = list(rows[0])
    click.echo("\n" + "  ".join(f"{column:>13}" for column in columns))
    for row in rows:
        cells = ("-" if row[c] is None else f"{row[c]:.6g}" if isinstance(row[c], float) else row[c] for c in columns)
        click.echo("  ".join(f"{cell!s:>13}" for cell in cells))


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
