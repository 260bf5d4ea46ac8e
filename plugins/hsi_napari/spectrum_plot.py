"""The plot of spectra, drawn with pyqtgraph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QPolygonF, QResizeEvent
from qtpy.QtWidgets import QGraphicsPolygonItem, QSizePolicy, QWidget

from hsi_napari.band_axes import BandAxes
from hsi_napari.spectrum_model import Curve, SpectrumModel
from hsi_napari.theme import mixed

if TYPE_CHECKING:
    from hsi_napari.theme import ThemeColours

# Opacity of the band around a mean, of 255.
_BAND_ALPHA = 46
# Library spectra are told apart by their dots and dashes.
_LIBRARY_STYLES = (Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine, Qt.PenStyle.DashDotDotLine)
# From this width of the plot on its legend stands beside it, else from this height on below it.
LEGEND_BESIDE_PX, LEGEND_BELOW_PX = 640, 330
# Row and column of pyqtgraph's layout, in which the view has (2, 1) and the lower axis (3, 1).
BESIDE, BELOW = (2, 3), (4, 1)
# Letters of a legend's entry.
LONGEST_LABEL = 30
PREVIEW_WORDS = "low-rank preview"


class SpectrumPlot(BandAxes):
    """Lines over wavelength or band number, bad bands shaded, missing samples as gaps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view.setMinimumHeight(170)
        # A wide plot has its legend beside it and a tall one below it, where it hides no line.
        self._room: tuple[int, int] | None = None
        self._is_outside = False
        self.legend = self._new_legend(1)
        self._pins: list[Any] = []
        self._hover: list[Any] = []
        self._library: list[Any] = []
        self._named: tuple[list[Curve], bool, list[Curve]] = [], False, []
        self._hint = pyqtgraph.LabelItem("", size="8pt", parent=self.item.getViewBox())
        self._hint.anchor((0, 0), (0, 0), offset=(6, 2))
        self._shade = "#808080"

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Puts the legend beside the plot, or below it, where there is room."""
        super().resizeEvent(event)
        is_wide, is_tall = event.size().width() >= LEGEND_BESIDE_PX, event.size().height() >= LEGEND_BELOW_PX
        room = BESIDE if is_wide else BELOW if is_tall else None
        if room != self._room:
            self._room = room
            self._name()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        super().follow(colours)
        self._shade = mixed(colours.background, colours.text, 0.14)
        self._paint(self.legend)
        self._hint.setText(self._hint.text, color=colours.muted)
        for shade in self._shades:
            shade.setBrush(pyqtgraph.mkBrush(self._shade))

    def show_axis(self, model: SpectrumModel) -> None:
        """Title the axes and shade the bad bands."""
        self.title("bottom", model.axis_title())
        self.title("left", model.shown_title())
        self.shade(model.bad_spans(), self._shade)

    def show_pins(self, model: SpectrumModel) -> None:
        """Draw the pinned spectra and name them in the legend."""
        self.show_lines(model.curves(), model.second is not None)

    def show_lines(self, curves: Sequence[Curve], is_pair: bool = False, *, is_named: bool = True) -> None:
        """Draw these spectra instead of those before, and name them in the legend unless their colours say enough."""
        self._named = list(curves) if is_named else [], is_pair, self._named[2]
        self._drop(self._pins)
        self._pins = self._drawn(curves, is_pair, width=1.8)
        self._name()

    def show_library(self, curves: Sequence[Curve]) -> None:
        """Draw spectra of a library, dotted, instead of those before, and name them in the legend."""
        if not curves and not self._library:
            return
        self._named = *self._named[:2], list(curves)
        self._drop(self._library)
        self._library = []
        for k, curve in enumerate(curves):
            style = _LIBRARY_STYLES[k % len(_LIBRARY_STYLES)]
            self._library.append(self._line(curve, pyqtgraph.mkPen(curve.colour, width=1.6, style=style)))
        self._name()

    def show_hover(self, curves: Sequence[Curve]) -> None:
        """Draw the spectrum under the mouse, thin and without a legend entry, and say where it is a preview."""
        self._drop(self._hover)
        self._hover = self._drawn(curves, len(curves) > 1, width=1.0)
        self._hint.setText(PREVIEW_WORDS if any(curve.is_preview for curve in curves) else "")

    @property
    def hint(self) -> str:
        """What the plot says of the spectrum under the mouse."""
        return str(self._hint.text)

    def lines(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(x, y) of every pinned line as drawn."""
        return [line.getOriginalDataset() for line in self._pins if isinstance(line, pyqtgraph.PlotDataItem)]

    def library_lines(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(x, y) of every library spectrum as drawn."""
        return [line.getOriginalDataset() for line in self._library]

    def _name(self) -> None:
        """Fill the legend. A new one each time: pyqtgraph's own keeps the rows of entries that were removed and puts
        later ones outside."""
        curves, is_pair, library = self._named
        lines = [line for line in self._pins if isinstance(line, pyqtgraph.PlotDataItem)]
        if self._is_outside:
            self.item.layout.removeItem(self.legend)
        self.item.scene().removeItem(self.legend)
        self.item.legend = None
        self._is_outside = self._room is not None and bool(curves or library)
        # Before and after of a pin side by side.
        self.legend = self._new_legend(2 if is_pair or (self._is_outside and self._room == BELOW) else 1)
        self._paint(self.legend)
        for curve, line in zip([*curves, *library], [*lines[: len(curves)], *self._library], strict=True):
            self.legend.addItem(line, shortened(curve.label))

    def _new_legend(self, columns: int) -> Any:
        if self._is_outside and self._room is not None:
            legend = pyqtgraph.LegendItem(offset=None, labelTextSize="8pt", verSpacing=-4, colCount=columns)
            legend.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Maximum)
            self.item.layout.addItem(legend, *self._room)
            self.item.layout.setAlignment(legend, Qt.AlignmentFlag.AlignTop)
            return legend
        return self.item.addLegend(offset=(-8, 8), labelTextSize="8pt", verSpacing=-4, colCount=columns)

    def _drop(self, lines: list[Any]) -> None:
        for line in lines:
            self.item.removeItem(line)

    def _drawn(self, curves: Sequence[Curve], is_pair: bool, *, width: float) -> list[Any]:
        """The lines in the order of the curves, and after them the bands around some of them."""
        drawn, bands = [], []
        for curve in curves:
            style = Qt.PenStyle.DashLine if is_pair and not curve.is_after else Qt.PenStyle.SolidLine
            if curve.is_preview:
                style = Qt.PenStyle.DotLine
            thickness = width if curve.is_after or not is_pair else max(width - 0.6, 0.8)
            drawn.append(self._line(curve, pyqtgraph.mkPen(curve.colour, width=thickness, style=style)))
            bands += [self._band(polygon, curve.colour) for polygon in band_polygons(curve)]
        return [*drawn, *bands]

    def _line(self, curve: Curve, pen: Any) -> Any:
        # connect='finite' leaves gaps where a sample is missing or its band is bad.
        line = pyqtgraph.PlotDataItem(curve.x, curve.y, pen=pen, connect="finite")
        self.item.addItem(line)
        return line

    def _band(self, corners: np.ndarray, colour: str) -> Any:
        ground = pyqtgraph.mkColor(colour)
        ground.setAlpha(_BAND_ALPHA)
        band = QGraphicsPolygonItem(QPolygonF([QPointF(float(x), float(y)) for x, y in corners]))
        band.setPen(pyqtgraph.mkPen(None))
        band.setBrush(pyqtgraph.mkBrush(ground))
        band.setZValue(-5)
        self.item.addItem(band)
        return band


def shortened(label: str) -> str:
    """A label that leaves room for the plot: the middle of a long one is left out."""
    if len(label) <= LONGEST_LABEL:
        return label
    half = LONGEST_LABEL // 2
    return f"{label[:half].rstrip()}…{label[-half + 1 :].lstrip()}"


def band_polygons(curve: Curve) -> Iterator[np.ndarray]:
    """Outlines (n, 2) of the band around a curve, one for each stretch of two bands or more where both edges are known.

    The bands of a stretch are taken in ascending x.
    """
    if curve.low is None or curve.high is None:
        return
    order = np.argsort(curve.x, kind="stable")
    x, low, high = curve.x[order], curve.low[order], curve.high[order]
    known = np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    for first, stop in edges.reshape(-1, 2):
        if stop - first > 1:
            part = slice(first, stop)
            yield np.concatenate([np.column_stack([x[part], low[part]]), np.column_stack([x[part], high[part]])[::-1]])
