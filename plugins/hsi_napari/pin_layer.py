"""Marks of pinned spectra on the image: a Points layer, numbered and coloured like the lines."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_napari.links import Links
from hsi_napari.spectrum_model import Pin
from hsi_napari.viewer_parts import camera

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Points

NAME = "pinned spectra"
# By this entry of their metadata the marks are known, whatever a person calls the layer.
MARKS = "hsi_pins"
# Screen size with room for the number; in data pixels it follows from the zoom when a pin is set.
_SCREEN_PX = 17.0


class PinLayer:
    """Keeps a Points layer and a list of pins the same, whichever changes.

    Parameters
    ----------
    moved : called with {number: (y, x)} when a person drags or deletes points, or removes the layer
    """

    def __init__(
        self, viewer: ViewerModel, links: Links, moved: Callable[[dict[int, tuple[float, float]]], None]
    ) -> None:
        self._viewer = viewer
        # The dock owns this object and this method belongs to the dock: a weak hold avoids the circle.
        self._moved = weakref.WeakMethod(moved)
        self._layer: weakref.ref[Points] | None = None
        self._is_ours = False
        links.connect(viewer.layers.events.removed, self._removed)
        links.connect(viewer.layers.events.inserted, self._raise)

    def layer(self) -> Points | None:
        """The Points layer while it exists."""
        return None if self._layer is None else self._layer()

    def show(self, pins: Sequence[Pin]) -> None:
        """Mark these pins and no others; the layer appears with the first."""
        layer = self.layer()
        if layer is None and not pins:
            return
        self._is_ours = True
        try:
            layer = layer or self._make()
            layer.data = np.array([[pin.y, pin.x] for pin in pins], dtype=float).reshape(-1, 2)
            layer.features = {"number": [pin.number for pin in pins]}
            if pins:
                layer.face_color = [pin.colour for pin in pins]
                layer.size = _SCREEN_PX / max(camera(self._viewer).zoom, 1e-6)
                layer.refresh_text()
        finally:
            self._is_ours = False

    def _make(self) -> Points:
        active = self._viewer.layers.selection.active
        layer = self._viewer.add_points(
            np.empty((0, 2)),
            ndim=2,
            name=NAME,
            features={"number": np.empty(0, int)},
            metadata={MARKS: True},
            border_color="white",
            border_width=0.1,
            symbol="disc",
            text={"string": "{number}", "color": "white", "size": 8, "anchor": "center"},
        )
        # Choosing the cube again: the new layer must not take the clicks that pin.
        self._viewer.layers.selection.active = active
        layer.events.data.connect(self._edited)
        self._layer = weakref.ref(layer)
        return layer

    def _edited(self, event: Any = None) -> None:
        layer = self.layer()
        if self._is_ours or layer is None:
            return
        numbers = [int(n) for n in layer.features["number"]]
        places = np.asarray(layer.data, dtype=float)
        if len(numbers) == len(places):
            self._tell({n: (float(y), float(x)) for n, (y, x) in zip(numbers, places, strict=True)})

    def _raise(self, event: Any = None) -> None:
        """Back on top when another layer was added: marks under a picture are no marks."""
        layer, layers = self.layer(), self._viewer.layers
        if layer is not None and layer in layers and layers[-1] is not layer:
            layers.move(layers.index(layer), len(layers))

    def _removed(self, event: Any) -> None:
        if event.value is self.layer():
            self._layer = None
            self._tell({})

    def _tell(self, places: dict[int, tuple[float, float]]) -> None:
        moved = self._moved()
        if moved is not None:
            moved(places)


def pinned_pixels(viewer: ViewerModel, layer: Layer) -> tuple[list[tuple[int, int]], int]:
    """The (row, col) of a cube's layer that are pinned, each once, by the numbers of their pins; and how many lie
    outside it."""
    height, width = (int(n) for n in layer.data.shape[-2:])
    lead = (0.0,) * (layer.ndim - 2)
    found: dict[tuple[int, int], None] = {}
    outside = 0
    for marks in (marks for marks in viewer.layers if MARKS in marks.metadata):
        for place in np.asarray(marks.data, dtype=float):
            position = np.asarray(layer.world_to_data((*lead, *marks.data_to_world(place)[-2:])))[-2:]
            row, col = (int(n) for n in np.floor(position + 0.5))
            if 0 <= row < height and 0 <= col < width:
                found[row, col] = None
            else:
                outside += 1
    return list(found), outside
