"""The plot of a cube's band quality: signal-to-noise ratio over wavelength, bad bands shaded, a range to drag."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from hsi_app.band_quality import BandQuality
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_napari.spectrum_model import Curve, Source, SpectrumModel
from hsi_napari.spectrum_plot import SpectrumPlot
from hsi_napari.theme import LINE_COLOURS, ThemeColours

# A press and release this near each other is a click, not a range.
CLICK_PX = 4
HEIGHT_PX = 150


class BandPlot(QWidget):
    """``picked`` carries a band that was clicked, ``dragged`` the bands of a range."""

    picked = Signal(int)
    dragged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = SpectrumPlot(self)
        self.plot.view.setMinimumHeight(HEIGHT_PX)
        self.plot.item.getViewBox().setMouseEnabled(False, False)
        self._model = SpectrumModel(LINE_COLOURS)
        self._axis: BandAxis | None = None
        self._pressed: float | None = None
        self._pressed_px = 0.0
        self._current = pyqtgraph.InfiniteLine(angle=90)
        self._chosen = pyqtgraph.LinearRegionItem(movable=False)
        self._chosen.setZValue(-8)
        self._chosen.hide()
        self._striped = pyqtgraph.ScatterPlotItem(symbol="t1", size=7)
        for part in (self._current, self._chosen):
            self.plot.item.addItem(part, ignoreBounds=True)
        self.plot.item.addItem(self._striped)
        # The viewport's own events: pyqtgraph gives drags to its view box, which would move the plot.
        self.plot.view.viewport().installEventFilter(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)

    def show_bands(self, cube: Cube | None, quality: BandQuality | None) -> None:
        """Draw what is known of a cube's bands; axis and shades without a measurement."""
        self._axis = None if cube is None else cube.axis
        self._model.first = None if cube is None else Source(cube.name, cube)
        self.plot.show_axis(self._model)
        self.plot.title("left", "SNR (dB)")
        self._striped.setData([], [])
        if cube is None or quality is None:
            self.plot.show_lines([])
            self._span()
            return
        x = self._model.abscissa(cube.axis)
        order = np.argsort(x, kind="stable")
        curve = Curve("SNR", LINE_COLOURS[1], x[order], quality.snr_db[order])
        self.plot.show_lines([curve], is_named=False)
        at = quality.is_striped & np.isfinite(quality.snr_db)
        self._striped.setData(x[at], quality.snr_db[at])
        self._span()

    def show_band(self, band: int | None) -> None:
        """Mark the band that is shown on the canvas."""
        self._current.setVisible(band is not None and self._axis is not None)
        if band is not None and self._axis is not None and band < self._axis.count:
            self._current.setValue(float(self._model.abscissa(self._axis)[band]))

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.plot.follow(colours)
        self._current.setPen(pyqtgraph.mkPen(colours.text, width=1.2))
        self._chosen.setBrush(pyqtgraph.mkBrush(colours.accent + "60"))
        for edge in self._chosen.lines:
            edge.setPen(pyqtgraph.mkPen(colours.accent))
        self._striped.setBrush(pyqtgraph.mkBrush(LINE_COLOURS[0]))
        self._striped.setPen(pyqtgraph.mkPen(None))

    def range_bands(self, first: float, last: float) -> list[int]:
        """The bands (from 0) whose place in the plot lies between two places."""
        if self._axis is None:
            return []
        x, (low, high) = self._model.abscissa(self._axis), sorted((first, last))
        return [int(band) for band in np.flatnonzero((x >= low) & (x <= high))]

    def nearest(self, place: float) -> int | None:
        """The band (from 0) nearest to a place in the plot, bad or not."""
        if self._axis is None:
            return None
        return int(np.nanargmin(np.abs(self._model.abscissa(self._axis) - place)))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A click picks a band, a drag a range of them."""
        kind = event.type()
        pressed, moved, released = (
            QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove, QEvent.Type.MouseButtonRelease
        )  # fmt: skip
        if kind == pressed and self._is_left(event) and self._axis is not None:
            self._pressed, self._pressed_px = self._place(event), event.position().x()  # type: ignore[attr-defined]
            return True
        if self._pressed is None or kind not in (moved, released):
            return bool(super().eventFilter(watched, event))
        is_range = abs(event.position().x() - self._pressed_px) > CLICK_PX  # type: ignore[attr-defined]
        place, start = self._place(event), self._pressed
        if kind == moved and is_range:
            self._show_range(start, place)
        if kind == released:
            self._pressed = None
            self._chosen.hide()
            if is_range:
                self.dragged.emit(self.range_bands(start, place))
            elif (band := self.nearest(place)) is not None:
                self.picked.emit(band)
        return True

    def _show_range(self, first: float, last: float) -> None:
        self._chosen.setRegion(sorted((first, last)))
        self._chosen.show()

    def show_chosen(self, bands: list[int]) -> None:
        """Mark the stretch from the first to the last of neighbouring bands; scattered ones are left to the table."""
        is_run = len(bands) > 1 and bands[-1] - bands[0] == len(bands) - 1
        self._chosen.setVisible(is_run and self._axis is not None)
        if is_run and self._axis is not None:
            x = self._model.abscissa(self._axis)[bands]
            self._chosen.setRegion((float(x.min()), float(x.max())))

    def _span(self) -> None:
        """Show all bands, measured or not."""
        view = self.plot.item.getViewBox()
        view.enableAutoRange(y=True)
        if self._axis is not None:
            x = self._model.abscissa(self._axis)
            view.setXRange(float(np.nanmin(x)), float(np.nanmax(x)), padding=0.02)

    def _place(self, event: Any) -> float:
        """Where in the plot the mouse is, along the abscissa."""
        scene = self.plot.view.mapToScene(event.position().toPoint())
        return float(self.plot.item.getViewBox().mapSceneToView(QPointF(scene)).x())

    @staticmethod
    def _is_left(event: Any) -> bool:
        return bool(event.button() == Qt.MouseButton.LeftButton)
