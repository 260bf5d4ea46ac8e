"""A cube's facts as plain values in ``layer.metadata['hsi']``, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef
from hsi_napari.planes import stored

if TYPE_CHECKING:
    from napari.layers import Layer

# The one key of layer.metadata that makes an image layer a cube, and the one that records how it was made.
FACTS, RUN = "hsi", "hsi_run"


def facts_of(cube: Cube) -> dict[str, Any]:
    """Everything but the values, as numbers, strings, lists and dicts (the mask stays an array)."""
    axis = cube.axis
    return {
        "name": cube.name,
        "wavelengths_nm": _plain(axis.centres_nm),
        "fwhm_nm": _plain(axis.fwhm_nm),
        "bad_bands": np.flatnonzero(axis.is_bad).tolist(),
        "band_names": None if axis.names is None else list(axis.names),
        "nodata": cube.nodata,
        "transform": None if cube.georef is None else list(cube.georef.transform),
        "crs": None if cube.georef is None else cube.georef.crs,
        "gain": _plain(cube.gain),
        "offset": _plain(cube.offset),
        "unit": cube.unit,
        "source": cube.source,
        "facts": dict(cube.facts),
        "history": list(cube.history),
        "valid": cube.valid,
    }


def cube_from(data: Any, metadata: Mapping[str, Any], name: str) -> Cube:
    """The cube that a layer's data and metadata describe; lazy data stay lazy.

    Parameters
    ----------
    data : (B, H, W), or (H, W) for a single band
    metadata : of the layer; without an entry 'hsi' nothing is known but the numbers
    name : used where the facts have none

    Raises
    ------
    CubeError
        If the data have another shape than the facts, or are no cube.
    """
    values = stored(data)
    if values.ndim == 2:
        values = np.asarray(values)[None]
    facts = metadata.get(FACTS)
    if facts is None:
        return Cube(values, name=name)
    count = int(values.shape[0])
    bad = np.zeros(count, bool)
    listed = np.asarray(facts.get("bad_bands", []), dtype=int)
    if listed.size and listed.max() >= count:
        raise CubeError(
            f"layer '{name}' has {count} bands, its facts mark band {listed.max() + 1} as bad;"
            " open the file again instead of replacing the layer's data."
        )
    bad[listed] = True
    names, transform = facts.get("band_names"), facts.get("transform")
    return Cube(
        values,
        bands=BandAxis(
            count, facts.get("wavelengths_nm"), facts.get("fwhm_nm"), bad, None if names is None else tuple(names)
        ),
        valid=facts.get("valid"),
        nodata=facts.get("nodata"),
        georef=None if transform is None else GeoRef(tuple(transform), facts.get("crs")),
        gain=_column(facts.get("gain", 1.0)),
        offset=_column(facts.get("offset", 0.0)),
        unit=facts.get("unit", ""),
        name=facts.get("name") or name,
        source=facts.get("source"),
        facts=dict(facts.get("facts", {})),
        history=tuple(facts.get("history", ())),
    )


def _plain(column: float | np.ndarray | None) -> Any:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _column(plain: float | list[float]) -> float | np.ndarray:
    return np.asarray(plain, dtype=np.float64) if isinstance(plain, list) else float(plain)


def change_facts(layer: Layer, **changed: Any) -> None:
    """Give some facts of a cube layer new values and tell everyone who asked by ``cube_watch``.

    Parameters
    ----------
    changed : entries as ``facts_of`` makes them: plain values, band numbers from 0
    """
    facts = layer.metadata.get(FACTS)
    if facts is None:
        facts = facts_of(cube_from(layer.data, layer.metadata, layer.name))
    # A new dict: the setter empties the old one, and who holds the old facts keeps them whole.
    layer.metadata = {**layer.metadata, FACTS: {**facts, **changed}}


def facts_line(cube: Cube) -> str:
    """'90 bands, 405-2436 nm, 7 bad · 96 × 80 px · int16 · EPSG:32633'."""
    bands, height, width = cube.shape
    spectral = f"{bands} bands"
    if cube.axis.centres_nm is not None:
        spectral += f", {cube.axis.centres_nm.min():.0f}–{cube.axis.centres_nm.max():.0f} nm"
    if cube.axis.is_bad.any():
        spectral += f", {int(cube.axis.is_bad.sum())} bad"
    parts = [spectral, f"{height} × {width} px", str(cube.dtype)]
    if cube.georef is not None:
        parts.append(cube.georef.crs_name())
    return " · ".join(parts)
