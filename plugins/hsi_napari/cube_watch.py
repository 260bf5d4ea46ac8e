"""Tells a part of the plugin that the facts of a cube were edited: its bad bands, for one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hsi_napari.layers import is_cube

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_napari.links import Links


def watch_cubes(links: Links, viewer: ViewerModel, changed: Callable[..., None]) -> None:
    """Call a method whenever the metadata of any cube in the viewer were set anew, for as long as the links last.

    Parameters
    ----------
    changed : takes napari's event; its ``source`` is the layer. Kept weakly, as all methods connected to napari are.
    """
    watch = CubeWatch(viewer, changed)
    links.connect(viewer.layers.events.inserted, watch.inserted)
    links.connect(viewer.layers.events.removed, watch.removed)
    links.finally_(watch.stop)


class CubeWatch:
    """Connects a method to the layers that there are and to those that come.

    Parameters
    ----------
    events : names of the layers' events that it is called for
    """

    def __init__(
        self, viewer: ViewerModel, changed: Callable[..., None], events: Sequence[str] = ("metadata",)
    ) -> None:
        self._viewer, self._changed, self._events = weakref.ref(viewer), weakref.WeakMethod(changed), tuple(events)
        for layer in viewer.layers:
            self._follow(layer)

    def inserted(self, event: Any) -> None:
        """A layer came."""
        self._follow(event.value)

    def removed(self, event: Any) -> None:
        """A layer went."""
        self._leave(event.value)

    def stop(self) -> None:
        """Leave all layers."""
        viewer = self._viewer()
        for layer in () if viewer is None else viewer.layers:
            self._leave(layer)

    def _follow(self, layer: Layer) -> None:
        changed = self._changed()
        if changed is not None and is_cube(layer):
            for name in self._events:
                layer.events[name].connect(changed)

    def _leave(self, layer: Layer) -> None:
        changed = self._changed()
        if changed is not None:
            for name in self._events:
                layer.events[name].disconnect(changed)
