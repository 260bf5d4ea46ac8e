"""What keys and the command palette do. Each function takes the viewer, or finds the one that is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.errors import HsiError
from hsi_napari.cube_slider import band_at, show_band
from hsi_napari.layers import cube_of
from hsi_napari.settings import PLUGIN
from hsi_napari.viewer_parts import real_viewer

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from hsi_app.bands import BandAxis
    from hsi_napari.restore_dock import RestoreDock
    from hsi_napari.spectrum_dock import SpectrumDock

# The parameters are declared as 'Any' because napari itself fills those that ask for a viewer, with a proxy at that.


def next_band(viewer: Any = None) -> None:
    """Show the next band that is not marked bad."""
    _step(viewer, 1)


def previous_band(viewer: Any = None) -> None:
    """Show the band before that is not marked bad."""
    _step(viewer, -1)


def pin_spectrum(viewer: Any = None) -> None:
    """Pin the spectrum of the place under the pointer; opens the Spectrum dock where it is closed."""
    from hsi_napari.spectrum_dock import SpectrumDock

    viewer = _viewer(viewer)
    dock: SpectrumDock | None = _dock(viewer, SpectrumDock, "Spectrum")
    if viewer is not None and dock is not None and viewer.dims.ndisplay == 2:
        place = viewer.cursor.position
        dock.pin(float(place[-2]), float(place[-1]))


def run_restore(viewer: Any = None) -> None:
    """Run what the Restore dock shows; where it is closed it opens, and nothing runs before it was looked at."""
    _restore(viewer, "run")


def preview_restore(viewer: Any = None) -> None:
    """Try what the Restore dock shows on the visible part or the drawn region; opens the dock where it is closed."""
    _restore(viewer, "preview")


def open_dock(viewer: Any, name: str) -> None:
    """Show a dock by the name it has in the menus, before others that lie in the same place."""
    window = getattr(_viewer(viewer), "window", None)
    if window is not None:
        place, _ = window.add_plugin_dock_widget(PLUGIN, name)
        place.show()
        place.raise_()


def good_band(axis: BandAxis, band: int, step: int) -> int:
    """The nearest band beyond ``band`` that is not bad, before it (step -1) or after it (1); ``band`` if none is."""
    good = np.asarray(axis.good)
    beyond = good[good > band][:1] if step > 0 else good[good < band][-1:]
    return int(beyond[0]) if beyond.size else band


def _step(viewer: Any, step: int) -> None:
    from hsi_napari.readout import shown_cube

    viewer = _viewer(viewer)
    layer = None if viewer is None else shown_cube(viewer)
    band = None if layer is None else band_at(viewer, layer)
    if layer is None or band is None:
        return
    try:
        show_band(viewer, layer, good_band(cube_of(layer).axis, band, step))
    except HsiError:
        return  # its facts say what does not fit; the docks tell


def _restore(viewer: Any, what: str) -> None:
    from hsi_napari.restore_dock import RestoreDock

    viewer = _viewer(viewer)
    if viewer is None:
        return
    was_open = _open(viewer, RestoreDock) is not None
    dock: RestoreDock | None = _dock(viewer, RestoreDock, "Restore")
    button = None if dock is None else getattr(dock.run_panel, what)
    # As a click would: a button that is switched off says that nothing can run now.
    if was_open and button is not None and button.isEnabled():
        button.click()


def _open(viewer: ViewerModel, kind: Any) -> Any:
    from hsi_napari.links import dock_of

    return dock_of(viewer, kind)


def _dock(viewer: ViewerModel | None, kind: Any, name: str) -> Any:
    """The dock of a kind, brought to the front; opened where the viewer has a window."""
    if viewer is None:
        return None
    dock = _open(viewer, kind)
    if dock is None or not dock.isVisible():
        open_dock(viewer, name)
    return dock or _open(viewer, kind)


def _viewer(given: Any) -> Any:
    if given is not None:
        return real_viewer(given)
    from napari import current_viewer

    viewer = current_viewer()
    return None if viewer is None else real_viewer(viewer)
