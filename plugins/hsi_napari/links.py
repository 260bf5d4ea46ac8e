"""Ties between a dock and the viewer that are cut when the dock goes away."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QWidget

from hsi_napari.viewer_parts import real_viewer

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Links:
    """What must be undone once: event connections, mouse callbacks, running work."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self.is_cut = False

    def connect(self, emitter: Any, method: Callable[..., None]) -> None:
        """Connect a method to a napari event for as long as the link lasts; keeps its object weakly."""
        emitter.connect(method)
        held = weakref.WeakMethod(method)

        def undo() -> None:
            bound = held()
            if bound is not None:
                emitter.disconnect(bound)

        self._undo.append(undo)

    def mouse(self, callbacks: list[Any], callback: Callable[..., Any]) -> None:
        """Put a function on one of the viewer's lists of mouse callbacks."""
        callbacks.append(callback)
        self._undo.append(lambda: callbacks.remove(callback) if callback in callbacks else None)

    def finally_(self, action: Callable[[], None]) -> None:
        """Do this when the ties are cut."""
        self._undo.append(action)

    def cut(self) -> None:
        """Undo everything; a second call does nothing."""
        self.is_cut = True
        undo, self._undo = self._undo, []
        for action in reversed(undo):
            action()


class Dock(QWidget):
    """A widget for napari's dock area, with the viewer it belongs to and ties that end with it.

    napari takes a closed dock's widget out of the window and forgets it; the window may also go first. Either way
    ``links`` is cut.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = real_viewer(viewer)
        self.links = Links()
        _docks.setdefault(self.viewer, weakref.WeakSet()).add(self)
        self._was_docked = self._was_shown = False
        self.destroyed.connect(self.links.cut)

    def event(self, event: QEvent) -> bool:
        """Notices being docked and being taken out."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parentWidget() is not None:
                self._was_docked = True
            elif self._was_docked:
                self.links.cut()
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent) -> None:
        """Fits the picture to what the dock left of the canvas, the first time it takes room."""
        super().showEvent(event)
        if not self._was_shown:
            self._was_shown = True
            # After the layout: the canvas has its new size only then.
            QTimer.singleShot(0, self._fit_view)

    def _fit_view(self) -> None:
        if len(self.viewer.layers):
            self.viewer.reset_view()


_docks: weakref.WeakKeyDictionary[ViewerModel, weakref.WeakSet[Dock]] = weakref.WeakKeyDictionary()
AnyDock = TypeVar("AnyDock", bound=Dock)


def dock_of(viewer: ViewerModel, kind: type[AnyDock]) -> AnyDock | None:
    """The open dock of a kind in a viewer, a visible one before others; None where there is none."""
    open_ones = [dock for dock in _docks.get(viewer, ()) if isinstance(dock, kind) and not dock.links.is_cut]
    return max(open_ones, key=lambda dock: dock.isVisible(), default=None)
