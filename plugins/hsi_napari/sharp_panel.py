"""The sharp image of a pair: which layer it is, what it holds, and whether it lies over the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from hsi_app.cube import Cube
from hsi_app.errors import CubeError, HsiError
from hsi_napari.facts import facts_line
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import cube_of
from hsi_napari.pairs import lay_over, lie_apart, may_sharpen, sharpest
from hsi_napari.sections import GAP, Heading, Note

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_napari.links import Links
    from hsi_napari.theme import ThemeColours


class SharpPanel(QWidget):
    """Choice of the multispectral image.

    Parameters
    ----------
    source : gives the hyperspectral layer
    """

    chosen = Signal()
    told = Signal(str)
    failed = Signal(str)

    def __init__(
        self, viewer: ViewerModel, links: Links, source: Callable[[], Layer | None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._source = source
        self.choice = LayerChoice(viewer, links, lambda layer: may_sharpen(layer, source()), self, prefers=sharpest)
        self.facts = Note()
        self.over = QPushButton("Lay over")
        self.over.setToolTip(
            "Move this layer to where it lies on the hyperspectral one: by the map frames, else corner on corner.\n"
            "For the eye and the pins; a run reads the files' own map frames."
        )
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.choice, 1)
        line.addWidget(self.over)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GAP)
        rows.addWidget(Heading("Multispectral image"))
        rows.addLayout(line)
        rows.addWidget(self.facts)
        self.choice.chosen.connect(self.chosen)
        self.over.clicked.connect(self.lay_over)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.facts.paint(colours.muted)

    def cube(self) -> Cube:
        """The chosen image. Raises CubeError."""
        layer = self.choice.layer()
        if layer is None:
            raise CubeError("no multispectral image is chosen; open one of the same ground.")
        return cube_of(layer)

    def refresh(self) -> bool:
        """Bring the list and the facts into step with the hyperspectral layer; False without a usable image."""
        self.choice.refresh()
        self._show_place()
        if self.choice.layer() is None:
            self.facts.say("Open a sharper image of the same ground with fewer bands.")
            return False
        try:
            self.facts.say(facts_line(self.cube()))
        except HsiError as error:
            self.facts.say(str(error))
            return False
        return True

    def lay_over(self, *_: Any) -> None:
        """Move the layer over the hyperspectral one."""
        hsi, msi = self._source(), self.choice.layer()
        if hsi is None or msi is None:
            return
        try:
            lay_over(hsi, msi)
        except HsiError as error:
            self.failed.emit(str(error))
            return
        self._show_place()
        self.told.emit(f"'{msi.name}' lies over '{hsi.name}'.")

    def _show_place(self) -> None:
        hsi, msi = self._source(), self.choice.layer()
        try:
            self.over.setVisible(hsi is not None and msi is not None and lie_apart(hsi, msi))
        except HsiError:
            self.over.setVisible(False)
