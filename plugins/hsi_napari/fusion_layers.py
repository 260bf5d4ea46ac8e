"""What a fusion leaves as layers: the sharp cube, and over it the map of doubt, hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hsi_napari.facts import FACTS, RUN, facts_of
from hsi_napari.layers import AXES, cube_to_layer, plain_record
from hsi_napari.placing import LayerData, placed

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_app.fusion.result import Fusion

# Of the coarse image's own pixels a hundredth exceeds 1; what reaches 3 is of something that it does not hold.
DOUBT_LIMITS = (0.0, 3.0)


def fusion_layers(result: Fusion, hsi: Layer, msi: Layer) -> list[LayerData]:
    """The sharp cube, then the map of doubt (hidden) where it was kept.

    Parameters
    ----------
    hsi : layer that was sharpened; gives name, contrast and colour map
    msi : layer that it was sharpened with; gives the place
    """
    stem, record = hsi.name, plain_record(result.record)
    sharp = cube_to_layer(result.cube, f"{stem} · fused")
    sharp[1].update(contrast_limits=tuple(hsi.contrast_limits), colormap=hsi.colormap)
    sharp[1]["metadata"][RUN] = record
    layers = [placed(sharp, msi)]
    if result.doubt is not None:
        options = {
            "name": f"{stem} · doubt",
            "contrast_limits": DOUBT_LIMITS,
            "colormap": "magma",
            "rgb": False,
            "visible": False,
            "axis_labels": AXES[1:],
            "metadata": {FACTS: facts_of(result.doubt), RUN: record},
        }
        layers.append(placed((np.asarray(result.doubt.values[0]), options, "image"), msi))
    return layers
