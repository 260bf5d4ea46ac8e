"""The plot of spectra, drawn with pyqtgraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from hsi_napari.spectrum_model import Curve, SpectrumModel
from hsi_napari.theme import mixed

if TYPE_CHECKING:
    from hsi_napari.theme import ThemeColours


class SpectrumPlot(QWidget):
    """Lines over wavelength or band number, bad bands shaded, missing samples as gaps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = pyqtgraph.PlotWidget(self)
        self.item = self.view.getPlotItem()
        self.item.setMenuEnabled(False)
        self.item.hideButtons()
        self.item.showGrid(x=True, y=True, alpha=0.15)
        for name in ("bottom", "left"):
            # 'Wavelength (knm)' is what the automatic prefix makes of nanometres.
            self.item.getAxis(name).enableAutoSIPrefix(False)
        # Room at the edges: pyqtgraph cuts the descenders of the title and half of the last number.
        self.item.setContentsMargins(2, 4, 12, 6)
        self.view.setMinimumHeight(170)
        self.legend = self._new_legend(1)
        self._colours: ThemeColours | None = None
        self._shades: list[Any] = []
        self._pins: list[Any] = []
        self._hover: list[Any] = []
        self._shade = "#808080"
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self._shade = mixed(colours.background, colours.text, 0.14)
        self.view.setBackground(colours.background)
        for name in ("bottom", "left"):
            axis = self.item.getAxis(name)
            axis.setPen(mixed(colours.background, colours.text, 0.4))
            axis.setTextPen(colours.text)
        self._paint_legend()
        for shade in self._shades:
            shade.setBrush(pyqtgraph.mkBrush(self._shade))

    def show_axis(self, model: SpectrumModel) -> None:
        """Title the axes and shade the bad bands."""
        self.item.setLabel("bottom", model.axis_title())
        self.item.setLabel("left", model.value_title())
        for shade in self._shades:
            self.item.removeItem(shade)
        self._shades = []
        for span in model.bad_spans():
            shade = pyqtgraph.LinearRegionItem(
                span, movable=False, brush=pyqtgraph.mkBrush(self._shade), pen=pyqtgraph.mkPen(None)
            )
            shade.setZValue(-10)
            self.item.addItem(shade, ignoreBounds=True)
            self._shades.append(shade)

    def show_pins(self, model: SpectrumModel) -> None:
        """Draw the pinned spectra and name them in the legend."""
        self.show_lines(model.curves(), model.second is not None)

    def show_lines(self, curves: Sequence[Curve], is_pair: bool = False, *, is_named: bool = True) -> None:
        """Draw these spectra instead of those before, and name them in the legend unless their colours say enough."""
        self._drop(self._pins)
        # Before and after of a pin side by side. A new legend each time: pyqtgraph's own keeps the rows of entries
        # that were removed and puts later ones outside.
        self.item.scene().removeItem(self.legend)
        self.item.legend = None
        self.legend = self._new_legend(2 if is_pair else 1)
        self._paint_legend()
        self._pins = self._drawn(curves, is_pair, width=1.8, is_named=is_named)

    def show_hover(self, curves: Sequence[Curve]) -> None:
        """Draw the spectrum under the mouse, thin and without a legend entry."""
        self._drop(self._hover)
        self._hover = self._drawn(curves, len(curves) > 1, width=1.0, is_named=False)

    def lines(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(x, y) of every pinned line as drawn."""
        return [line.getOriginalDataset() for line in self._pins]

    def _new_legend(self, columns: int) -> Any:
        return self.item.addLegend(offset=(-8, 8), labelTextSize="8pt", verSpacing=-4, colCount=columns)

    def _paint_legend(self) -> None:
        if self._colours is not None:
            self.legend.setLabelTextColor(self._colours.text)
            self.legend.setBrush(pyqtgraph.mkBrush(self._colours.background + "c0"))

    def _drop(self, lines: list[Any]) -> None:
        for line in lines:
            self.item.removeItem(line)

    def _drawn(self, curves: Sequence[Curve], is_pair: bool, *, width: float, is_named: bool = True) -> list[Any]:
        drawn = []
        for curve in curves:
            style = Qt.PenStyle.DashLine if is_pair and not curve.is_after else Qt.PenStyle.SolidLine
            thickness = width if curve.is_after or not is_pair else max(width - 0.6, 0.8)
            # connect='finite' leaves gaps where a sample is missing or its band is bad.
            drawn.append(
                self.item.plot(
                    curve.x,
                    curve.y,
                    pen=pyqtgraph.mkPen(curve.colour, width=thickness, style=style),
                    connect="finite",
                    name=curve.label if is_named else None,
                )
            )
        return drawn
