"""The band slider in terms of one cube's bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def band_at(viewer: ViewerModel, layer: Layer) -> int | None:
    """The band of a cube layer (from 0) that the slider stands at; None where it has none there."""
    if viewer.dims.ndim < layer.ndim:
        return None
    band = int(np.floor(float(layer.world_to_data(viewer.dims.point[-layer.ndim :])[0]) + 0.5))
    return band if 0 <= band < int(layer.data.shape[0]) else None


def show_band(viewer: ViewerModel, layer: Layer, band: int) -> None:
    """Move the slider to a band of a cube layer; nothing where the bands are no slider, as in three dimensions."""
    slider = viewer.dims.ndim - layer.ndim
    if slider >= 0 and slider not in viewer.dims.displayed:
        viewer.dims.set_point(slider, float(layer.data_to_world((band, 0, 0))[0]))
