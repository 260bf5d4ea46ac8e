"""What a cube is, in words and plain values: size, wavelengths, bad bands, map frame, scale, gaps, noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.band_lists import format_bands
from hsi_app.cube import Cube
from hsi_app.device import format_bytes
from hsi_app.jobs import Job
from hsi_app.tiling import Window

if TYPE_CHECKING:
    from hsi_app.noise import NoiseReport

# Missing samples are counted exactly up to this many stored bytes, beyond it on a grid of windows.
_COUNT_ALL_BYTES = 64 * 2**20
_NOISIEST = 8


@dataclass(frozen=True)
class Gaps:
    """Share of samples that are missing, in [0, 1], and whether every sample was looked at."""

    share: float
    is_exact: bool


def count_missing(cube: Cube, job: Job | None = None) -> Gaps:
    """Missing share: exact for small cubes, else from up to 16 windows spread over the scene.

    Raises Cancelled if the job was asked to stop.
    """
    job = job or Job()
    bands, height, width = cube.shape
    if bands * height * width * cube.dtype.itemsize <= _COUNT_ALL_BYTES:
        _, valid = cube.block()
        return Gaps(float(1 - valid.mean()), True)
    side_rows = max(min(height, 64), 1)
    side_cols = max(min(width, 64), 1)
    shares = []
    # Windows on a 4 x 4 grid, edges included: gaps gather where a swath ends.
    for row in np.unique(np.linspace(0, height - side_rows, 4).astype(int)):
        for col in np.unique(np.linspace(0, width - side_cols, 4).astype(int)):
            job.step(0.0, "counting missing samples")
            picked = np.unique(np.linspace(0, bands - 1, 16).astype(int))
            stored = cube.read(Window(int(row), int(col), side_rows, side_cols), picked.tolist())
            valid = cube.valid_of(stored, Window(int(row), int(col), side_rows, side_cols), picked.tolist())
            shares.append(1 - float(valid.mean()))
    return Gaps(float(np.mean(shares)), False)


def describe(
    cube: Cube, noise: NoiseReport | None, arrays: list[dict[str, Any]], gaps: Gaps | None = None
) -> dict[str, Any]:
    """The facts of a cube as plain values; ``gaps`` where they have been counted before."""
    bands, height, width = cube.shape
    axis, gaps = cube.axis, gaps or count_missing(cube)
    centres = axis.centres_nm
    facts: dict[str, Any] = {
        "path": cube.source,
        "name": cube.name,
        "shape": {"bands": bands, "rows": height, "cols": width},
        "dtype": str(cube.dtype),
        "bytes": bands * height * width * cube.dtype.itemsize,
        "wavelengths_nm": None if centres is None else [float(np.nanmin(centres)), float(np.nanmax(centres))],
        "fwhm_nm": None if axis.fwhm_nm is None else [float(np.nanmin(axis.fwhm_nm)), float(np.nanmax(axis.fwhm_nm))],
        "bad_bands": [int(b) + 1 for b in np.flatnonzero(axis.is_bad)],
        "map_frame": None if cube.georef is None else _map_frame(cube),
        "unit": cube.unit or None,
        "gain": np.asarray(cube.gain, float).tolist(),
        "offset": np.asarray(cube.offset, float).tolist(),
        "nodata": cube.nodata,
        "missing_share": gaps.share,
        "missing_share_is_exact": gaps.is_exact,
        "arrays": arrays,
        "facts": dict(cube.facts),
        "history": list(cube.history),
    }
    if noise is not None:
        worst = [b for b in noise.noisiest(_NOISIEST) if np.isfinite(noise.snr_db[b])]
        facts["noisiest_bands"] = [
            {"band": b + 1, "snr_db": round(float(noise.snr_db[b]), 1), "noise_std": float(noise.std[b])} for b in worst
        ]
        from hsi_app.diagnose import striped_bands

        facts["striped_bands"] = [b + 1 for b in striped_bands(cube, noise)]
    return facts


def _map_frame(cube: Cube) -> dict[str, Any]:
    assert cube.georef is not None
    width, height = cube.georef.pixel_size
    transform = cube.georef.transform
    return {
        "crs": cube.georef.crs_name(),
        "pixel_size": [width, height],
        "origin": [transform[2], transform[5]],
        "transform": list(transform),
    }


def text_lines(cube: Cube, facts: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, value) pairs for people; what is unknown says so."""
    shape = facts["shape"]
    lines = [
        ("file", str(facts["path"])),
        ("size", f"{shape['bands']} bands x {shape['rows']} rows x {shape['cols']} columns,"
                 f" {facts['dtype']}, {format_bytes(facts['bytes'])}"),
    ]  # fmt: skip
    span, width = facts["wavelengths_nm"], facts["fwhm_nm"]
    text = "unknown" if span is None else f"{span[0]:.1f} - {span[1]:.1f} nm"
    lines.append(("wavelengths", text + ("" if width is None else f", width {width[0]:.1f} - {width[1]:.1f} nm")))
    bad = facts["bad_bands"]
    lines.append(("bad bands", f"{len(bad)}: {format_bands(b - 1 for b in bad)}" if bad else "none marked"))
    lines.append(("map frame", "none" if cube.georef is None else cube.georef.describe()))
    gain, offset = np.asarray(cube.gain), np.asarray(cube.offset)
    unit = cube.unit or "units unknown"
    plain = gain.ndim == 0 and offset.ndim == 0 and gain == 1 and offset == 0
    lines.append(("scale", unit if plain else f"{unit} = {_span(gain)} x stored + {_span(offset)}"))
    nodata = "" if cube.nodata is None else f", nodata {cube.nodata:g}"
    about = "" if facts["missing_share_is_exact"] else "about "
    lines.append(("missing", f"{about}{facts['missing_share']:.2%} of the samples{nodata}"))
    if "noisiest_bands" in facts:
        worst = ", ".join(f"{cube.axis.label(n['band'] - 1)} {n['snr_db']} dB" for n in facts["noisiest_bands"][:5])
        lines.append(("noisiest", worst or "could not be measured"))
        striped = facts["striped_bands"]
        lines.append(("striped", f"{len(striped)}: {format_bands(b - 1 for b in striped)}" if striped else "no bands"))
    if len(facts["arrays"]) > 1:
        listed = ", ".join(f"{a['name']} {'x'.join(map(str, a['shape']))}" for a in facts["arrays"][:12])
        lines.append(("arrays", listed + (" ..." if len(facts["arrays"]) > 12 else "")))
    return lines


def _span(column: np.ndarray) -> str:
    return f"{column:g}" if column.ndim == 0 else f"[{column.min():g} ... {column.max():g}]"
