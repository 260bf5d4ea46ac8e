"""The divider follows the mouse: near it a press takes hold of it instead of moving the view."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_napari.compare_frame import Place
from hsi_napari.compare_swipe import Swipe
from hsi_napari.links import Links
from hsi_napari.viewer_parts import camera

if TYPE_CHECKING:
    from napari.components import ViewerModel

# A press this near the line takes hold of it.
REACH_PX = 8.0


class Divider:
    """Turns drags of the line into shares of the picture.

    Parameters
    ----------
    moved : called with the new share, in [0, 1]
    """

    def __init__(self, viewer: ViewerModel, links: Links, moved: Callable[[float], None]) -> None:
        self._viewer, self._moved = viewer, weakref.WeakMethod(moved)
        self._followed: tuple[Swipe, Place] | None = None
        self._cursor: Any = None
        links.mouse(viewer.mouse_move_callbacks, _on_move(self))
        links.mouse(viewer.mouse_drag_callbacks, _on_drag(self))

    def follow(self, swipe: Swipe | None, frame: Place | None) -> None:
        """Watch the divider of this picture; of none, leave the mouse alone."""
        self._followed = None if swipe is None or frame is None else (swipe, frame)
        if swipe is None:
            self.point(False)

    def share_at(self, y: float, x: float) -> float:
        """The share at which the divider would lie under a place of the world, in [0, 1]."""
        along, length, _ = self._along(y, x)
        return min(max(along / length, 0.0), 1.0)

    def is_near(self, y: float, x: float) -> bool:
        """True where a press takes hold of the divider."""
        if self._followed is None or self._viewer.dims.ndisplay != 2:
            return False
        active = self._viewer.layers.selection.active
        if active is not None and str(active.mode) != "pan_zoom":
            # Painting and drawing keep their mouse.
            return False
        along, _, pixel = self._along(y, x)
        apart = abs(along - self._followed[0].split) * pixel * camera(self._viewer).zoom
        return bool(apart <= REACH_PX)

    def move_to(self, y: float, x: float) -> None:
        """Lay the divider under a place of the world."""
        moved = self._moved()
        if moved is not None and self._followed is not None:
            moved(self.share_at(y, x))

    def point(self, is_near: bool) -> None:
        """Show a pointing hand near the line, and elsewhere the cursor there was."""
        cursor = self._viewer.cursor
        if is_near and self._cursor is None and str(cursor.style) == "standard":
            self._cursor, cursor.style = cursor.style, "pointing"
        elif not is_near and self._cursor is not None:
            cursor.style, self._cursor = self._cursor, None

    def _along(self, y: float, x: float) -> tuple[float, int, float]:
        """Pixels from the picture's edge across the divider, the picture's length so, and the side of a pixel."""
        assert self._followed is not None, "only while a picture is followed"
        swipe, frame = self._followed
        axis = 1 if swipe.is_upright else 0
        return float(frame.to_pixel(np.array([y, x]))[axis]) + 0.5, frame.shape[axis], frame.pixel


def _on_move(divider: Divider) -> Callable[[Any, Any], None]:
    # The viewer keeps its callbacks alive; a weak reference keeps it from keeping the dock alive too.
    held = weakref.ref(divider)

    def moved(viewer: ViewerModel, event: Any) -> None:
        divider = held()
        if divider is not None:
            divider.point(divider.is_near(*event.position[-2:]))

    return moved


def _on_drag(divider: Divider) -> Callable[[Any, Any], Iterator[None]]:
    held = weakref.ref(divider)

    def dragged(viewer: ViewerModel, event: Any) -> Iterator[None]:
        divider = held()
        if divider is None or event.button != 1 or not divider.is_near(*event.position[-2:]):
            return
        view = camera(viewer)
        could_pan, view.mouse_pan = view.mouse_pan, False
        del divider
        yield
        while event.type == "mouse_move":
            divider = held()
            if divider is None:
                break
            divider.move_to(*event.position[-2:])
            del divider
            yield
        view.mouse_pan = could_pan

    return dragged
