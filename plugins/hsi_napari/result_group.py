"""The layers of one restoration as a group: shown one at a time, moved together, gone together. Knows no window."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_napari.placing import placing_of, plane_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

RESTORED, BEFORE = "restored", "before"
# What the images that methods leave beside their result are called where a person chooses among them.
WORDS: Mapping[str, str] = {"spread": "uncertainty"}
_PLACE = ("translate", "scale", "rotate", "shear", "affine")


class ResultGroup:
    """The restored layer leads: where it is moved, the others follow.

    Parameters
    ----------
    layers : by name, bottom to top; one is called 'restored'
    source : the layer it was made from, which shows where none of these does
    """

    def __init__(self, viewer: ViewerModel, layers: Mapping[str, Layer], source: Layer) -> None:
        self._viewer = viewer
        self._layers = {name: weakref.ref(layer) for name, layer in layers.items()}
        self._source = weakref.ref(source)
        self._listener: weakref.WeakMethod[Callable[[], None]] | None = None
        lead = layers[RESTORED]
        for name in _PLACE:
            getattr(lead.events, name).connect(self._follow_lead)
        for layer in (*layers.values(), source):
            if hasattr(layer, "events"):
                layer.events.visible.connect(self._tell)
        viewer.layers.events.removed.connect(self._tell)

    def listen(self, method: Callable[[], None] | None) -> None:
        """Call a bound method (held weakly) when a layer of the group was shown, hidden or removed."""
        self._listener = None if method is None else weakref.WeakMethod(method)

    def layer(self, name: str) -> Layer | None:
        """A layer by name, unless it was removed."""
        held = self._source if name == BEFORE else self._layers.get(name)
        layer = None if held is None else held()
        return layer if layer is not None and layer in self._viewer.layers else None

    @property
    def lives(self) -> bool:
        """False once the restored layer was removed."""
        return self.layer(RESTORED) is not None

    def names(self) -> list[str]:
        """What can be shown: restored, removed, the method's further images, before."""
        there = [name for name in self._layers if self.layer(name) is not None]
        return [*sorted(there, key=lambda name: (name != RESTORED, name != "removed")), BEFORE]

    def shown(self) -> str:
        """The name of the topmost visible layer of the group; 'before' where there is none."""
        for name in reversed(self._layers):
            layer = self.layer(name)
            if layer is not None and layer.visible:
                return name
        return BEFORE

    def show(self, name: str) -> None:
        """Show one and hide the others; the observed cube lies under all of them."""
        for other in self._layers:
            layer = self.layer(other)
            if layer is not None:
                layer.visible = other == name
        before = self.layer(BEFORE)
        if before is not None:
            before.visible = True

    def hide(self) -> None:
        """Hide all of them; what lies under them stays as it is."""
        for name in self._layers:
            layer = self.layer(name)
            if layer is not None:
                layer.visible = False

    def is_of_same(self, other: ResultGroup) -> bool:
        """True where both were made from one layer."""
        source = self._source()
        return source is not None and source is other._source()

    def _follow_lead(self, event: Any = None) -> None:
        lead = self.layer(RESTORED)
        if lead is None:
            return
        step, start = plane_of(lead)
        for name in self._layers:
            layer = self.layer(name)
            if layer is None or layer is lead:
                continue
            options = {"affine": np.eye(layer.ndim + 1), **placing_of(step, start, layer.ndim - 2)}
            for key, value in options.items():
                setattr(layer, key, value)

    def _tell(self, event: Any = None) -> None:
        method = None if self._listener is None else self._listener()
        if method is not None:
            method()
