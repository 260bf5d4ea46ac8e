"""A drop-down list of the viewer's layers that fit a purpose."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from hsi_napari.links import Links

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class LayerChoice(QComboBox):
    """Keeps up with the layer list: added, removed and renamed layers; keeps the choice where it can.

    Parameters
    ----------
    fits : which layers to list
    nothing : words for choosing none; without it the topmost layer is chosen at first
    follows : choose the layer that a person clicks in the layer list
    prefers : picks from the listed layers, of which the first is the one chosen before, until a person chooses
    """

    chosen = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        links: Links,
        fits: Callable[[Layer], bool],
        parent: QWidget | None = None,
        *,
        nothing: str = "",
        follows: bool = False,
        prefers: Callable[[Sequence[Layer]], Layer | None] | None = None,
    ) -> None:
        super().__init__(parent)
        self._prefers, self._is_asked_for = prefers, False
        self._viewer, self._fits, self._nothing = viewer, fits, nothing
        # Weak: the list must not keep a removed layer's data in memory.
        self._layers: list[weakref.ref[Layer] | None] = []
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(12)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered):
            links.connect(emitter, self.refresh)
        links.connect(viewer.layers.events.renamed, self.refresh)
        if follows:
            links.connect(viewer.layers.selection.events.active, self._follow)
        self.currentIndexChanged.connect(self._tell)
        self.activated.connect(self._was_asked_for)
        self.refresh()
        if follows:
            self._follow()

    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.currentIndex()
        held = self._layers[index] if 0 <= index < len(self._layers) else None
        return None if held is None else held()

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer that is in the list, as a person would."""
        for index, held in enumerate(self._layers):
            if (None if held is None else held()) is layer:
                self._is_asked_for = True
                self.setCurrentIndex(index)

    def refresh(self, event: Any = None) -> None:
        """Read the layer list again, topmost layer first."""
        before = self.layer()
        found = [layer for layer in reversed(self._viewer.layers) if self._fits(layer)]
        self.blockSignals(True)
        self.clear()
        self._layers = [None] if self._nothing else []
        self.addItems([self._nothing] if self._nothing else [])
        for layer in found:
            self._layers.append(weakref.ref(layer))
            self.addItem(layer.name)
        wanted = before
        if self._prefers is not None and found and not (self._is_asked_for and before in found):
            self._is_asked_for = False
            wanted = self._prefers(sorted(found, key=lambda layer: layer is not before))
        at = next((i for i, held in enumerate(self._layers) if held is not None and held() is wanted), 0)
        self.setCurrentIndex(at if before is not None or self._layers else -1)
        self.blockSignals(False)
        if self.layer() is not before:
            self.chosen.emit()

    def _follow(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if active is not None and self._fits(active):
            self.choose(active)

    def _was_asked_for(self, index: int) -> None:
        self._is_asked_for = True

    def _tell(self, index: int) -> None:
        self.chosen.emit()
