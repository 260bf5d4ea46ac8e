"""The preview as a layer: over its region, or beside it with a frame around both."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_napari.placing import LayerData, plane_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.tiling import Window
    from hsi_napari.links import Links
    from hsi_napari.worker import Restored

FRAME_COLOUR = "#e8871e"
# Space between a region and its preview, as a share of the region's width.
_GAP = 0.06


class PreviewLayers:
    """One preview for each cube; a new one takes the place of the one before, and its frame goes with it.

    Parameters
    ----------
    add : adds a layer without disturbing what a person looks at
    """

    def __init__(self, viewer: ViewerModel, links: Links, add: Callable[[LayerData], Layer]) -> None:
        self._viewer, self._add = viewer, add
        self._frame_of: weakref.WeakKeyDictionary[Layer, weakref.ref[Layer]] = weakref.WeakKeyDictionary()
        # Both are brought into view once; then a person may look closer without being disturbed.
        self._looked_at: tuple[str, Window] | None = None
        links.connect(viewer.layers.events.removed, self._removed)

    def show(self, made: Restored, source: Layer, window: Window, *, beside: bool) -> Iterator[Layer]:
        """Add the preview of a window of the source, and its frame in a step of its own; gives the preview's layer."""
        name = f"{source.name} · preview"
        for old in self._named(name):
            self._viewer.layers.remove(old)
        data, options, kind = made.layers[-1]
        shift = window.width + max(round(_GAP * window.width), 1)
        if beside:
            options = moved(options, source, shift)
        layer = self._add((data, {**options, "name": name}, kind))
        yield layer
        if layer not in self._viewer.layers:
            return
        if beside:
            frame = self._add(frame_data(source, window, shift, f"{name} frame"))
            self._frame_of[layer] = weakref.ref(frame)
            if (name, window) != self._looked_at:
                self._looked_at = name, window
                self._viewer.reset_view(layers=[layer, frame])
        else:
            layer.bounding_box.visible = True
            layer.bounding_box.points = False
            layer.bounding_box.line_color = FRAME_COLOUR
        yield layer

    def hide(self, source: str) -> None:
        """The whole cube is there: previews of it would lie over it."""
        for layer in self._named(f"{source} · preview"):
            layer.visible = False
            frame = self._frame_of.get(layer)
            if frame is not None and frame() is not None:
                frame().visible = False  # type: ignore[union-attr]

    def _named(self, name: str) -> list[Layer]:
        return [layer for layer in self._viewer.layers if layer.name == name]

    def _removed(self, event: Any) -> None:
        held = self._frame_of.pop(event.value, None)
        frame = None if held is None else held()
        if frame is not None and frame in self._viewer.layers:
            self._viewer.layers.remove(frame)


def moved(options: dict[str, Any], source: Layer, cols: float) -> dict[str, Any]:
    """The place of a layer, moved by so many columns of the source."""
    turn, _ = plane_of(source)
    step = turn @ np.array([0.0, cols])
    if "affine" in options:
        affine = np.array(options["affine"], dtype=float)
        affine[-3:-1, -1] += step
        return {**options, "affine": affine}
    translate = np.array(options["translate"], dtype=float)
    translate[-2:] += step
    return {**options, "translate": tuple(translate.tolist())}


def frame_data(source: Layer, window: Window, shift: float, name: str) -> LayerData:
    """Two outlines: of a window of the source, and of the same one so many columns to the right."""
    turn, origin = plane_of(source)
    ends = np.array([[0, 0], [0, window.width], [window.height, window.width], [window.height, 0]], dtype=float)
    first = np.array([window.row - 0.5, window.col - 0.5])
    outlines = [origin + (ends + first + np.array([0.0, move])) @ turn.T for move in (0.0, shift)]
    width = 0.006 * float(np.linalg.norm(turn @ [0, window.width])) or 0.6
    options = {
        "name": name, "ndim": 2, "shape_type": "polygon", "edge_color": FRAME_COLOUR, "face_color": "transparent",
        "edge_width": width,
    }  # fmt: skip
    return outlines, options, "shapes"
