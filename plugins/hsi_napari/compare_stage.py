"""Which layers show while two are compared, and how the canvas is divided; everything is put back afterwards."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hsi_napari.viewer_parts import camera, grid_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_GRID = ("enabled", "stride", "shape", "spacing")
# Between two images that a person compares: screen pixels.
_SPACING_PX = 4.0


class Stage:
    """Sets the viewer up for a comparison and back.

    Only what it set itself, and nobody changed since, is set back: what a person does meanwhile stays.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        # Of each layer that was changed: whether it was visible at first, and what was set last.
        self._found: weakref.WeakKeyDictionary[Layer, tuple[bool, bool]] = weakref.WeakKeyDictionary()
        self._named: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._grid: dict[str, Any] | None = None
        # Centre and zoom, as found and as set.
        self._view: tuple[Any, Any] | None = None

    @property
    def is_set(self) -> bool:
        """True between a change and ``restore``."""
        return bool(self._found) or self._grid is not None

    def show(self, shown: Iterable[Layer], *, named: bool = False) -> None:
        """Show these images and no others, with their names on the canvas if asked; marks and regions stay."""
        from napari.layers import Image

        self._undivide()
        wanted = set(shown)
        self._name(wanted if named else ())
        self._set(lambda layer: layer in wanted if isinstance(layer, Image) or layer in wanted else None)

    def divide(self, left: Layer, right: Layer) -> None:
        """Show two layers side by side, under one camera, each with its name; hide all others.

        Anything else that is visible, a mark or a region, would take a box of its own.
        """
        self._set(lambda layer: layer in (left, right))
        self._name((left, right))
        layers = list(self._viewer.layers)
        grid = grid_of(self._viewer)
        if self._grid is None:
            self._grid = {name: getattr(grid, name) for name in _GRID}
        # napari fills the boxes in the order of the layer list, with a negative stride backwards.
        grid.stride = 1 if layers.index(left) < layers.index(right) else -1
        grid.shape, grid.spacing = (1, 2), _SPACING_PX
        grid.enabled = True
        found = self._look()
        self._viewer.reset_view()
        self._view = (found, self._look())

    def _look(self) -> tuple[tuple[float, ...], float]:
        view = camera(self._viewer)
        return tuple(view.center), float(view.zoom)

    def restore(self) -> None:
        """Put back what was found."""
        self._undivide()
        self._name(())
        alive = list(self._viewer.layers)
        for layer, (found, set_to) in list(self._found.items()):
            if layer in alive and layer.visible == set_to:
                layer.visible = found
        self._found.clear()

    def forget(self, layer: Layer) -> None:
        """Leave a layer as it is; it is going away."""
        self._found.pop(layer, None)

    def _set(self, rule: Callable[[Layer], bool | None]) -> None:
        # First away with the old, then the new: of two images in one place none shows through the other.
        changes = [(layer, rule(layer)) for layer in self._viewer.layers]
        for layer, wanted in sorted(changes, key=lambda change: bool(change[1])):
            if wanted is None:
                self._put_back(layer)
            elif layer.visible != wanted:
                found, _ = self._found.get(layer, (layer.visible, False))
                self._found[layer] = (found, wanted)
                layer.visible = wanted

    def _put_back(self, layer: Layer) -> None:
        found, set_to = self._found.pop(layer, (layer.visible, layer.visible))
        if layer.visible == set_to:
            layer.visible = found

    def _undivide(self) -> None:
        grid, before = grid_of(self._viewer), self._grid
        self._grid = None
        if before is None:
            return
        # The boxes go first: others would be laid out only to go.
        for name in _GRID:
            setattr(grid, name, before[name])
        if self._view is not None and self._look() == self._view[1]:
            view = camera(self._viewer)
            view.center, view.zoom = self._view[0]
        self._view = None

    def _name(self, layers: Iterable[Layer]) -> None:
        """Show the names of these layers and hide those shown before, where napari can (from 0.9)."""
        wanted = set(layers)
        for layer in [*self._named, *wanted]:
            overlay = getattr(layer, "name_overlay", None)
            if overlay is None or (layer in self._named) == (layer in wanted):
                continue
            if layer in self._named:
                overlay.visible = False
                self._named.discard(layer)
            elif not overlay.visible:
                overlay.visible = True
                self._named.add(layer)
