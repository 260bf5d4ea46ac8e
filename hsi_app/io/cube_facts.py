"""All facts of a cube as plain JSON types, for formats with room for any attribute (Zarr, HDF5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import ArrayLike, Cube
from hsi_app.georef import GeoRef
from hsi_app.io.envi_writing import is_plain
from hsi_app.io.map_frame import comparable_crs
from hsi_app.io.wavelengths import to_nm
from hsi_app.io.writing import Plan

AXES = ["band", "row", "col"]


def _column(value: float | np.ndarray) -> float | list[float]:
    return np.asarray(value, np.float64).tolist()  # type: ignore[no-any-return]


def facts_of(plan: Plan) -> dict[str, Any]:
    """Facts of a cube to be written; only those that are known."""
    cube, axis = plan.like, plan.like.axis
    found: dict[str, Any] = {
        "axes": AXES,
        "wavelength": None if axis.centres_nm is None else axis.centres_nm.tolist(),
        "wavelength_units": "nm",
        "fwhm": None if axis.fwhm_nm is None else axis.fwhm_nm.tolist(),
        "bbl": (~axis.is_bad).astype(int).tolist(),
        "band_names": None if axis.names is None else list(axis.names),
        # JSON has no NaN; a missing value that is NaN needs no saying.
        "nodata": plan.nodata if plan.nodata is None or np.isfinite(plan.nodata) else None,
        "gain": _column(cube.gain),
        "offset": _column(cube.offset),
        "unit": cube.unit,
        "name": cube.name,
        "facts": {key: value for key, value in cube.facts.items() if key != "format" and is_plain(value)},
        "history": list(cube.history),
    }
    if cube.georef is not None:
        found["transform"], found["crs"] = list(cube.georef.transform), cube.georef.crs
    return {key: value for key, value in found.items() if value is not None}


def cube_from_facts(values: ArrayLike, facts: Mapping[str, Any], path: Path, kind: str, wavelengths: bool) -> Cube:
    """The cube of values (B, H, W) and the facts that ``facts_of`` wrote, or those of them that are there."""
    count = int(values.shape[0])
    notes = () if wavelengths else ("opened without the file's wavelengths",)
    centres = widths = bad = None
    if wavelengths:
        unit = facts.get("wavelength_units")
        centres, factor = (None, 1.0) if facts.get("wavelength") is None else to_nm(facts["wavelength"], unit)
        widths = None if facts.get("fwhm") is None else np.asarray(facts["fwhm"], np.float64) * factor
        bad = None if facts.get("bbl") is None else np.asarray(facts["bbl"]) <= 0
    names = facts.get("band_names")
    georef = None
    if facts.get("transform") is not None:
        a, b, c, d, e, f = facts["transform"]
        crs = facts.get("crs")
        georef = GeoRef((a, b, c, d, e, f), None if crs is None else comparable_crs(crs))

    def column(key: str, default: float) -> float | np.ndarray:
        value = facts.get(key, default)
        return np.asarray(value, np.float64) if isinstance(value, list) else float(value)

    return Cube(
        values=values,
        bands=BandAxis(count, centres, widths, bad, None if names is None else tuple(names)),
        nodata=None if facts.get("nodata") is None else float(facts["nodata"]),
        georef=georef,
        gain=column("gain", 1.0),
        offset=column("offset", 0.0),
        unit=str(facts.get("unit", "")),
        name=path.stem,
        source=str(path),
        facts={"format": kind, **dict(facts.get("facts", {}))},
        history=(*map(str, facts.get("history", ())), *notes),
    )
