"""What the mouse over the canvas tells the Spectrum dock: where it is, and clicks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from hsi_napari.spectrum_dock import SpectrumDock

# A press and release this near each other is a click, not a drag of the view.
CLICK_PX = 4


def on_move(dock: SpectrumDock) -> Callable[[Any, Any], None]:
    """Hovering, while the dock is seen."""
    # The viewer keeps its callbacks alive; a weak reference keeps it from keeping the dock alive too.
    held = weakref.ref(dock)

    def moved(viewer: ViewerModel, event: Any) -> None:
        dock = held()
        if dock is not None and dock.isVisible() and viewer.dims.ndisplay == 2:
            dock.hover(float(event.position[-2]), float(event.position[-1]))

    return moved


def on_click(dock: SpectrumDock) -> Callable[[Any, Any], Iterator[None]]:
    """Clicks of the left button that nothing else wants."""
    held = weakref.ref(dock)

    def clicked(viewer: ViewerModel, event: Any) -> Iterator[None]:
        start, place = event.pos, event.position
        yield
        while event.type == "mouse_move":
            yield
        dock = held()
        if dock is None or not dock.isVisible() or viewer.dims.ndisplay != 2 or event.button != 1:
            return
        active = viewer.layers.selection.active
        # Only while the view is being moved: painting and drawing keep their clicks.
        is_free = active is None or str(active.mode) == "pan_zoom"
        if is_free and abs(event.pos - start).max() <= CLICK_PX:
            dock.pin(float(place[-2]), float(place[-1]))

    return clicked
