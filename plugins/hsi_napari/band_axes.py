"""What the plots over wavelength or band number have in common, drawn with pyqtgraph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyqtgraph
from qtpy.QtWidgets import QVBoxLayout, QWidget

from hsi_napari.theme import mixed

if TYPE_CHECKING:
    from hsi_napari.theme import ThemeColours

SIDES = ("bottom", "left")
# Small: a dock at the bottom is no higher than the words of the longest title.
TITLE_SIZE = "8pt"


class BandAxes(QWidget):
    """Axes without buttons and menu, in the colours of a theme; stretches of the lower one are shaded."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = pyqtgraph.PlotWidget(self)
        self.item = self.view.getPlotItem()
        self.item.setMenuEnabled(False)
        self.item.hideButtons()
        self.item.showGrid(x=True, y=True, alpha=0.15)
        for side in SIDES:
            # 'Wavelength (knm)' is what the automatic prefix makes of nanometres.
            self.item.getAxis(side).enableAutoSIPrefix(False)
        # Room at the edges: pyqtgraph cuts the descenders of the title and half of the last number.
        self.item.setContentsMargins(2, 4, 12, 6)
        self._colours: ThemeColours | None = None
        self._shades: list[Any] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self.view.setBackground(colours.background)
        for side in SIDES:
            axis = self.item.getAxis(side)
            axis.setPen(mixed(colours.background, colours.text, 0.4))
            axis.setTextPen(colours.text)

    def title(self, side: str, text: str) -> None:
        """Title the axis 'bottom' or 'left'."""
        # With the style there is: one that is given takes the place of the whole, and so of the theme's colour.
        self.item.setLabel(side, text, **{**self.item.getAxis(side).labelStyle, "font-size": TITLE_SIZE})

    def shade(self, spans: Iterable[tuple[float, float]], colour: str) -> None:
        """Shade these stretches of the lower axis instead of those before."""
        for shade in self._shades:
            self.item.removeItem(shade)
        self._shades = []
        for span in spans:
            shade = pyqtgraph.LinearRegionItem(
                span, movable=False, brush=pyqtgraph.mkBrush(colour), pen=pyqtgraph.mkPen(None)
            )
            shade.setZValue(-10)
            self.item.addItem(shade, ignoreBounds=True)
            self._shades.append(shade)

    @property
    def shaded(self) -> int:
        """Number of shaded stretches."""
        return len(self._shades)

    def _paint(self, legend: Any) -> None:
        if self._colours is not None:
            legend.setLabelTextColor(self._colours.text)
            legend.setBrush(pyqtgraph.mkBrush(self._colours.background + "c0"))
