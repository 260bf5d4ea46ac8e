"""A layer as it was when work on it began: what a result needs of it, also when the layer is gone by then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from hsi_napari.placing import plane_of

if TYPE_CHECKING:
    from napari.layers import Layer


class Ground:
    """Name, place, contrast and colours of a layer, without its data; may be read in any thread.

    Has what ``placing`` and the makers of layers read of a source layer, under the same names.
    """

    def __init__(self, layer: Layer) -> None:
        self.name, self.ndim = str(layer.name), int(layer.ndim)
        self.scale = np.array(layer.scale, dtype=float)
        self.translate = np.array(layer.translate, dtype=float)
        self.contrast_limits = tuple(getattr(layer, "contrast_limits", (0.0, 1.0)))
        self.colormap = getattr(layer, "colormap", "gray")
        self._turn, self._origin = plane_of(layer)

    def data_to_world(self, position: Sequence[float]) -> tuple[float, ...]:
        """World coordinates of a place in the layer; of the last two axes only, the others are left as they are."""
        lead = tuple(float(p) for p in position[:-2])
        place = self._origin + self._turn @ np.asarray(position[-2:], dtype=float)
        return (*lead, *place.tolist())


def ground_of(layer: Layer) -> Layer:
    """The ground of a layer, typed as the layer that it stands in for."""
    return cast("Layer", Ground(layer))
