"""A button that adds colour pictures of the chosen cube."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QPushButton, QWidget

from hsi_app.bands import INFRARED_NM, TRUE_COLOUR_NM
from hsi_app.errors import HsiError
from hsi_napari.commands import add_composite

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class ColourButton(QPushButton):
    """Offers true colour and colour infrared; ``failed`` carries one line.

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
        menu.addAction("True colour").triggered.connect(self.add_true_colour)
        menu.addAction("Infrared (vegetation red)").triggered.connect(self.add_infrared)
        self.setMenu(menu)

    def add_true_colour(self) -> None:
        """Add the picture from the bands nearest to red, green and blue."""
        self._add(TRUE_COLOUR_NM, "colour")

    def add_infrared(self) -> None:
        """Add the picture from near infrared, red and green."""
        self._add(INFRARED_NM, "infrared")

    def _add(self, targets_nm: Sequence[float], kind: str) -> None:
        layer = self._source()
        if layer is None:
            return
        try:
            add_composite(self._viewer, layer, targets_nm, kind)
        except HsiError as error:
            self.failed.emit(str(error))
