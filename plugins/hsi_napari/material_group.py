"""The layers of one unmixing as a group: shown, hidden, renamed and removed together. Knows no window."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hsi_napari.facts import FACTS
from hsi_napari.material_layers import Material

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class MaterialGroup:
    """Layers of the materials of a run, and what lay under them.

    Pictures that were visible are hidden at first: materials add to what is below, and would drown in it.

    Parameters
    ----------
    layers : one for each of ``materials``
    others : further layers of the run (error, maps)
    stem : what the layers' names begin with
    changed : called when a layer was renamed, hidden, shown or removed by hand; held weakly
    """

    def __init__(
        self,
        viewer: ViewerModel,
        materials: Sequence[Material],
        layers: Sequence[Layer],
        others: Sequence[Layer],
        stem: str,
        changed: Callable[[], None],
    ) -> None:
        self.materials = tuple(materials)
        self.names = [material.name for material in materials]
        self._viewer, self._stem = viewer, stem
        self._changed = weakref.WeakMethod(changed)
        self._layers = [weakref.ref(layer) for layer in layers]
        self._others = [weakref.ref(layer) for layer in others]
        self._shown_before: list[weakref.ref[Layer]] = []
        self._is_ours = False
        own = {*layers, *others}
        pictures = [layer for layer in viewer.layers if layer.visible and _is_picture(layer) and layer not in own]
        self._covered = [weakref.ref(layer) for layer in pictures]
        self._set_visible(self._covered, False)
        for layer in layers:
            layer.events.name.connect(self._renamed)
            layer.events.visible.connect(self._tell)
        viewer.layers.events.removed.connect(self._tell)

    def layer(self, place: int) -> Layer | None:
        """The layer of the material at a place of ``materials``, unless it was removed."""
        layer = self._layers[place]()
        return layer if layer is not None and layer in self._viewer.layers else None

    def all_names(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names of all materials of a result, those of this group as they are called now."""
        mine = {material.index: name for material, name in zip(self.materials, self.names, strict=True)}
        return tuple(mine.get(k, name) for k, name in enumerate(names))

    def rename(self, place: int, name: str) -> None:
        """Call a material, its layer and the band it is saved as by another name; an empty one changes nothing."""
        name = " ".join(name.split())
        if name:
            self.names[place] = name
            layer = self.layer(place)
            if layer is not None:
                self._quietly(lambda: setattr(layer, "name", f"{self._stem}{name}"))
                _name_band(layer, name)
        self._tell()

    def show(self, place: int, is_shown: bool) -> None:
        """Show or hide one material."""
        layer = self.layer(place)
        if layer is not None:
            layer.visible = is_shown

    def show_scene(self, is_scene: bool) -> None:
        """Show what lay under the materials instead of them, or the materials again."""
        if is_scene:
            own = [*self._layers, *self._others]
            self._shown_before = [ref for ref in own if (layer := ref()) is not None and layer.visible]
        self._set_visible(self._shown_before, not is_scene)
        self._set_visible(self._covered, is_scene)
        self._tell()

    def remove(self) -> None:
        """Take all layers of the run away and show again what lay under them."""

        def take_away() -> None:
            for ref in (*self._layers, *self._others):
                layer = ref()
                if layer is not None and layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)

        self._quietly(take_away)
        self._set_visible(self._covered, True)

    def _renamed(self, event: Any) -> None:
        if self._is_ours:
            return
        for place in range(len(self._layers)):
            layer = self.layer(place)
            if layer is not None and layer is event.source:
                self.names[place] = layer.name.removeprefix(self._stem).strip() or self.names[place]
                _name_band(layer, self.names[place])
        self._tell()

    def _set_visible(self, refs: Sequence[weakref.ref[Layer]], is_visible: bool) -> None:
        def change() -> None:
            for ref in refs:
                layer = ref()
                if layer is not None:
                    layer.visible = is_visible

        self._quietly(change)

    def _quietly(self, change: Callable[[], None]) -> None:
        before, self._is_ours = self._is_ours, True
        try:
            change()
        finally:
            self._is_ours = before

    def _tell(self, event: Any = None) -> None:
        changed = self._changed()
        if changed is not None and not self._is_ours:
            changed()


def _is_picture(layer: Layer) -> bool:
    from napari.layers import Image

    return isinstance(layer, Image)


def _name_band(layer: Layer, name: str) -> None:
    layer.metadata[FACTS]["band_names"] = [name]
