"""Says in the canvas which band the slider shows, 'band 57 of 90 · 864.3 nm · bad', and below it what is pointed at."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from hsi_app.bands import BandAxis
from hsi_app.errors import CubeError
from hsi_napari import keys
from hsi_napari.cube_pointer import pointer_text
from hsi_napari.cube_watch import CubeWatch
from hsi_napari.facts import FACTS
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.planes import is_coming
from hsi_napari.viewer_parts import text_overlay

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# Bands of more pixels take seconds and gigabytes to draw: 12000 x 12000 takes 2 s and 20 bytes a pixel on two cores.
LARGE_PX = 64_000_000

_attached: weakref.WeakKeyDictionary[ViewerModel, BandReadout] = weakref.WeakKeyDictionary()


class BandReadout:
    """Keeps the viewer's text overlay in step with the band slider and the chosen layer."""

    def __init__(self, viewer: ViewerModel) -> None:
        # Weak, for the viewer's own events keep this object's methods weakly too: neither outlives the other.
        self._viewer = weakref.ref(viewer)
        viewer.dims.events.current_step.connect(self._update)
        viewer.dims.events.ndisplay.connect(self._update)
        viewer.layers.selection.events.active.connect(self._update)
        viewer.layers.events.inserted.connect(self._update)
        viewer.layers.events.removed.connect(self._update)
        # Strong: nobody else holds it.
        # A band that comes late is drawn without a step of the slider.
        self._watch = CubeWatch(viewer, self._update, ("metadata", "set_data"))
        viewer.layers.events.inserted.connect(self._watch.inserted)
        viewer.layers.events.removed.connect(self._watch.removed)
        # Last: after the window showed napari's own line, in the same turn, so that nothing flickers.
        viewer.events.status.connect(self._point, position="last")
        self._is_telling = False
        self._update()

    def _update(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        overlay = text_overlay(viewer)
        layer = shown_cube(viewer)
        text = "" if layer is None or viewer.dims.ndisplay != 2 else band_text(layer, viewer)
        if text:
            overlay.position = "bottom_left"
            overlay.font_size = 11
        overlay.text = text
        overlay.visible = bool(text)

    def _point(self, event: Any = None) -> None:
        """Put the place in the status line, in words of maps and spectra, where napari tells array indices."""
        viewer = self._viewer()
        if viewer is None or self._is_telling or not viewer.mouse_over_canvas:
            return
        active = viewer.layers.selection.active
        if active is None or not is_cube(active) or FACTS not in active.metadata:
            return
        text = pointer_text(active, viewer)
        if text:
            self._is_telling = True
            try:
                viewer.status = text
            finally:
                self._is_telling = False


def attach(viewer: ViewerModel) -> None:
    """Show the band of the chosen cube in this viewer from now on; a second call changes nothing."""
    keys.register()
    if viewer not in _attached:
        _attached[viewer] = BandReadout(viewer)


def attach_to_current() -> None:
    """Show the band in the viewer that is being filled, if there is one (files are read without a window too)."""
    if "napari" not in sys.modules:
        return
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        attach(viewer)


def shown_cube(viewer: ViewerModel) -> Layer | None:
    """The chosen layer if it is a cube with facts, else the topmost visible one that is."""
    active = viewer.layers.selection.active
    if active is not None and is_cube(active) and FACTS in active.metadata:
        return active
    for layer in reversed(viewer.layers):
        if layer.visible and is_cube(layer) and FACTS in layer.metadata:
            return layer
    return None


def band_text(layer: Layer, viewer: ViewerModel) -> str:
    """What is said of the band that the slider shows; empty where the layer has none there."""
    try:
        axis = cube_of(layer).axis
    except CubeError:
        return ""
    band = round(float(layer.world_to_data(viewer.dims.point[-layer.ndim :])[0]))
    if not 0 <= band < axis.count:
        return ""
    pixels = int(layer.data.shape[-2]) * int(layer.data.shape[-1])
    large = f" · {pixels / 1e6:.0f} million px, slow to draw" if pixels > LARGE_PX else ""
    reading = " · reading…" if is_coming(layer, band) else ""
    return describe_band(axis, band) + large + reading


def describe_band(axis: BandAxis, band: int) -> str:
    """'band 57 of 90 · 864.3 nm · bad'; the first band is 1."""
    parts = [f"band {band + 1} of {axis.count}"]
    if axis.centres_nm is not None:
        parts.append(f"{axis.centres_nm[band]:.1f} nm")
    if axis.names is not None and axis.centres_nm is None:
        parts.append(axis.names[band])
    if axis.is_bad[band]:
        parts.append("bad")
    return " · ".join(parts)
