"""A button that adds colour pictures of the chosen cube."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QPushButton, QWidget

from hsi_app.errors import HsiError
from hsi_napari.composite_adding import add_beside
from hsi_napari.composite_model import PRESETS, Preset

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class ColourButton(QPushButton):
    """Offers the presets that have wavelengths; ``failed`` carries one line.

    Parameters
    ----------
    source : gives the cube layer to show
    """

    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, source: Callable[[], Layer | None], parent: QWidget | None = None) -> None:
        super().__init__("Colour", parent)
        self._viewer, self._source = viewer, source
        self.setToolTip("Add a colour picture of the cube as a layer")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for preset in PRESETS:
            if preset.targets_nm:
                action = menu.addAction(preset.title)
                action.setToolTip(preset.explains)
                action.triggered.connect(partial(self.add, preset))
        self.setMenu(menu)

    def add(self, preset: Preset, checked: bool = False) -> None:
        """Add the picture of a preset."""
        layer = self._source()
        if layer is None:
            return
        try:
            add_beside(self._viewer, layer, preset.targets_nm, preset.name, self.failed.emit)
        except HsiError as error:
            self.failed.emit(str(error))
