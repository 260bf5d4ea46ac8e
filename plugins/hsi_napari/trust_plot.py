"""The chart of the Trust dock: what was removed, and noise, over wavelength."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from hsi_app.bands import BandAxis
from hsi_app.report.findings import STRIPED_FROM
from hsi_app.trust.ranking import NOISY_DB
from hsi_app.trust.structure import LEAST_SCENE
from hsi_napari.band_axes import BandAxes
from hsi_napari.spectrum_model import spans_of
from hsi_napari.theme import LINE_COLOURS, mixed

if TYPE_CHECKING:
    from hsi_app.trust.assessment import Assessment
    from hsi_napari.theme import ThemeColours

REMOVED, SNR, STRIPES = "What was removed", "Signal to noise", "Stripes"
_LIMITS = {REMOVED: LEAST_SCENE, SNR: NOISY_DB, STRIPES: STRIPED_FROM}
_TITLES = {REMOVED: "Share, correlation", SNR: "dB", STRIPES: "Strength (1 = none)"}


def lines_of(found: Assessment, kind: str) -> list[tuple[str, np.ndarray]]:
    """(name, (B,) values) of a chart's lines, NaN for bands that were not judged."""
    ranking = found.ranking
    judged = ranking.judged
    if kind == REMOVED and found.removed is not None:
        check = found.removed
        lines = [("stripes", check.stripes), ("neighbours", check.structure), ("scene", check.scene)]
    elif kind == STRIPES:
        lines = [("before", ranking.stripes_before), ("after", ranking.stripes_after)]
    else:
        lines = [("before", ranking.snr_before), ("after, at least", ranking.snr_after)]
    if found.after is None:
        lines = [("measured", lines[0][1])]
    lines = [(name, np.where(judged & np.isfinite(values), values, np.nan)) for name, values in lines]
    return [(name, values) for name, values in lines if np.isfinite(values).any()]


def flagged_of(found: Assessment, kind: str) -> list[int]:
    """Bands that a chart shades."""
    if kind == REMOVED:
        return [] if found.removed is None else found.removed.bands("scene structure")
    return found.ranking.still_noisy() if kind == SNR else []


class TrustPlot(BandAxes):
    """Lines over wavelength or band number; flagged bands are shaded, the band that the slider shows is marked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view.setFixedHeight(210)
        self._drawn: list[Any] = []
        self._legend: Any = None
        self._marker = pyqtgraph.InfiniteLine(angle=90, movable=False)
        self._x = np.zeros(0)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        super().follow(colours)
        self._marker.setPen(pyqtgraph.mkPen(mixed(colours.background, colours.text, 0.6), width=1))

    def show_chart(self, found: Assessment, kind: str) -> None:
        """Draw one chart of an assessment instead of the one before."""
        for item in self._drawn:
            self.item.removeItem(item)
        if self._legend is not None:
            self.item.scene().removeItem(self._legend)
            self.item.legend = None
        self._legend = self.item.addLegend(offset=(-4, 2), labelTextSize="8pt", verSpacing=-4, colCount=3)
        self._paint(self._legend)
        axis = found.before.axis
        self._x, title = abscissa(axis)
        self.item.setLabel("bottom", title)
        self.item.setLabel("left", _TITLES[kind])
        self.shade(spans_of(flagged_of(found, kind), self._x), LINE_COLOURS[6] + "30")
        self._drawn = []
        order = np.argsort(self._x, kind="stable")
        lines = lines_of(found, kind)
        for number, (name, values) in enumerate(lines):
            pen = pyqtgraph.mkPen(LINE_COLOURS[(2, 1, 0)[number % 3] if kind == REMOVED else 1 - number], width=1.6)
            line = self.item.plot(self._x[order], values[order], pen=pen, connect="finite", name=name)
            self._drawn.append(line)
        limit = pyqtgraph.InfiniteLine(_LIMITS[kind], angle=0, pen=self._dotted())
        self.item.addItem(limit)
        self._drawn.append(limit)
        if self._marker.scene() is None:
            self.item.addItem(self._marker, ignoreBounds=True)
        self.item.enableAutoRange()
        self._make_room(lines, _LIMITS[kind])

    def _make_room(self, lines: list[tuple[str, np.ndarray]], limit: float) -> None:
        """Leave a strip for the legend over the highest line."""
        values = np.concatenate([values[np.isfinite(values)] for _, values in lines] + [np.array([0.0, limit])])
        low, high = float(values.min()), float(values.max())
        self.item.setYRange(low, high + 0.3 * (high - low), padding=0.03)

    def mark(self, band: int) -> None:
        """Mark the band that the slider shows."""
        if 0 <= band < self._x.size:
            self._marker.setValue(float(self._x[band]))

    def _dotted(self) -> Any:
        colour = "#808080" if self._colours is None else self._colours.muted
        return pyqtgraph.mkPen(colour, width=1, style=Qt.PenStyle.DotLine)


def abscissa(axis: BandAxis) -> tuple[np.ndarray, str]:
    """(B,) places of the bands and the title of the axis: nm, or band numbers from 1."""
    if axis.centres_nm is not None and np.isfinite(axis.centres_nm).all():
        return np.asarray(axis.centres_nm), "Wavelength (nm)"
    return np.arange(1, axis.count + 1, dtype=float), "Band"
