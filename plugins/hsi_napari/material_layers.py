"""What an unmixing leaves as layers: one a material, coloured and added up, with its error and its maps under them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.report.abundance_pictures import COLOURS, largest
from hsi_app.unmixing.result import ERROR_BANDS
from hsi_napari.facts import FACTS, RUN, facts_of
from hsi_napari.layers import AXES, plain_record
from hsi_napari.placing import LayerData, placed
from hsi_napari.theme import ramp

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_app.unmixing.result import Unmixing

# Maps are stretched to this quantile: a few pixels that nothing explains would leave the others dark.
MAP_PERCENT = 99.0


@dataclass(frozen=True)
class Material:
    """One material of a result.

    index : from 0, in the result; name : as the method gave it; colour : '#rrggbb'
    mean : share of the scene; prevails_px : pixels in which no other has more
    """

    index: int
    name: str
    colour: str
    mean: float
    prevails_px: int


def materials_of(result: Unmixing) -> list[Material]:
    """The materials to show: all, or of many the twelve of the largest mean abundance, largest first."""
    facts = result.record["trace"]["materials"]
    return [
        Material(k, result.names[k], colour, facts[k]["mean_abundance"], facts[k]["prevails_in_pixels"])
        for k, colour in zip(largest(result), COLOURS, strict=False)
    ]


def material_layer(result: Unmixing, material: Material, source: Layer | None, stem: str) -> LayerData:
    """The abundance of a material from black (none of it) to its colour (nothing else).

    Parameters
    ----------
    source : layer that was unmixed; gives the place
    stem : first part of the layer's name
    """
    look = {"contrast_limits": (0.0, 1.0), "colormap": ramp(material.colour), "blending": "additive"}
    return _flat(result, result.abundances, material.index, material.name, source, stem, look)


def map_layers(result: Unmixing, source: Layer | None, stem: str) -> list[LayerData]:
    """The relative error and the method's own maps, bottom to top, hidden."""
    bands = [("error", result.error, ERROR_BANDS.index("relative error"))]
    bands += [(name, cube, 0) for name, cube in reversed(list(result.maps.items()))]
    made = []
    for name, cube, band in bands:
        values = np.asarray(cube.values[band])
        finite = values[np.isfinite(values)]
        top = float(np.percentile(finite, MAP_PERCENT)) if finite.size else 1.0
        look = {"contrast_limits": (0.0, top if top > 0 else 1.0), "colormap": "viridis", "visible": False}
        made.append(_flat(result, cube, band, name, source, stem, look))
    return made


def stem_of(layer: Layer) -> str:
    """What the names of a layer's materials begin with."""
    return f"{layer.name}: "


def _flat(
    result: Unmixing, cube: Cube, band: int, name: str, source: Layer | None, stem: str, look: Mapping[str, object]
) -> LayerData:
    """One band as a layer that lies over every band of the cube, with the facts to save it as a cube."""
    values = np.asarray(cube.values[band])
    alone = Cube(
        values[None], BandAxis(1, names=(name,)), georef=cube.georef, unit=cube.unit,
        name=f"{result.observed.name} {name}", history=cube.history,
    )  # fmt: skip
    metadata = {FACTS: facts_of(alone), RUN: plain_record(result.record)}
    options = {"name": f"{stem}{name}", "rgb": False, "axis_labels": AXES[1:], "metadata": metadata, **look}
    return placed((values, options, "image"), source)
