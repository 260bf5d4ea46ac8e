"""The figures of a comparison: histograms of the shown band, and noise, level and changes band by band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QProgressBar, QPushButton, QWidget

from hsi_app.compare import BandComparison, Histogram
from hsi_app.cube import Cube
from hsi_app.jobs import Progress
from hsi_napari.compare_planes import Shown
from hsi_napari.sections import Note, Section
from hsi_napari.spectrum_model import Curve, Source, SpectrumModel
from hsi_napari.spectrum_plot import SpectrumPlot
from hsi_napari.theme import LINE_COLOURS

if TYPE_CHECKING:
    from hsi_napari.theme import ThemeColours

BEFORE_COLOUR, AFTER_COLOUR = LINE_COLOURS[1], LINE_COLOURS[0]
HISTOGRAM, NOISE, MEAN, SPREAD, CHANGED = "histogram", "noise", "mean", "spread", "changed"
CHARTS = {
    HISTOGRAM: "Histogram of the shown band",
    NOISE: "Noise of each band",
    MEAN: "Mean of each band",
    SPREAD: "Standard deviation of each band",
    CHANGED: "Changed samples of each band",
}
_TITLES = {NOISE: "Noise", MEAN: "Mean", SPREAD: "Standard deviation"}
_PLOT_PX = 190
_STEPS = 1000


class CompareFigures(Section):
    """A chart of both cubes and the numbers that go with it.

    ``wanted`` tells that another chart was chosen or the section was folded; ``cancelled`` that a person stops the
    measuring.
    """

    wanted = Signal()
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Figures", parent)
        self.chart_choice = QComboBox()
        for key, title in CHARTS.items():
            self.chart_choice.addItem(title, key)
        self.chart_choice.setToolTip("What is drawn of both: before dashed and blue, after solid and orange")
        self.plot, self.key, self.numbers, self.note = SpectrumPlot(), Note(), Note(), Note()
        self.plot.view.setMinimumHeight(_PLOT_PX)
        self.bar, self.cancel = QProgressBar(), QPushButton("Cancel")
        self.bar.setRange(0, _STEPS)
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.bar, 1)
        line.addWidget(self.cancel)
        for widget in (self.chart_choice, self.key, self.plot, self.numbers, self.note):
            self.rows.addWidget(widget)
        self.rows.addLayout(line)
        self._shown: Shown | None = None
        self._unit = ""
        self._bands: tuple[BandComparison, Cube, Cube] | None = None
        self._here = pyqtgraph.InfiniteLine(angle=90, movable=False)
        self._band: int | None = None
        self.watch(None)
        self.chart_choice.currentIndexChanged.connect(self._chose)
        self.toggled.connect(self._folded)
        self.cancel.clicked.connect(self.cancelled)

    @property
    def chart(self) -> str:
        """Which chart is chosen."""
        return str(self.chart_choice.currentData())

    @property
    def wants_shown(self) -> bool:
        """True where the histogram of the shown band is looked at."""
        return self.is_open and self.chart == HISTOGRAM

    @property
    def wants_bands(self) -> bool:
        """True where figures of all bands are looked at that were not measured."""
        return self.is_open and self.chart != HISTOGRAM and self._bands is None

    def choose(self, chart: str) -> None:
        """Draw this chart."""
        self.chart_choice.setCurrentIndex(self.chart_choice.findData(chart))

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.plot.follow(colours)
        self.numbers.paint(colours.text)
        self.note.paint(colours.muted)
        self._here.setPen(pyqtgraph.mkPen(colours.muted, width=1))

    def watch(self, progress: Progress | None) -> None:
        """Show how far the measuring is; None when it ended."""
        for widget in (self.bar, self.cancel):
            widget.setVisible(progress is not None)
        if progress is not None:
            self.bar.setValue(round(progress.fraction * _STEPS))
            self.bar.setFormat(progress.message)

    def forget(self) -> None:
        """Drop all figures: other cubes, or other values."""
        self._shown = self._bands = None
        self._draw()

    def show_shown(self, shown: Shown, unit: str) -> None:
        """Take in what was made of the shown band."""
        if shown.histogram is not None:
            self._shown, self._unit = shown, unit
            if self.chart == HISTOGRAM:
                self._draw()

    def show_bands(self, found: BandComparison, before: Cube, after: Cube) -> None:
        """Take in the figures of all bands."""
        self._bands = (found, before, after)
        self._draw()

    def mark(self, band: int) -> None:
        """Mark the shown band of the first cube, from 0."""
        self._band = band
        self._draw_here()

    def say(self, text: str) -> None:
        """Explain an empty chart."""
        self.note.say(text)

    def _chose(self, index: int) -> None:
        self._draw()
        self.wanted.emit()

    def _folded(self, is_open: bool) -> None:
        self.wanted.emit()

    # ---- drawing ------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        for text in (self.key, self.numbers, self.note):
            text.say("")
        # Noise before and after often differs by powers of ten.
        self.plot.item.setLogMode(y=self.chart == NOISE)
        if self.chart == HISTOGRAM:
            self._draw_histogram()
        else:
            self._draw_bands()
        self._draw_here()

    def _draw_histogram(self) -> None:
        self.plot.show_axis(SpectrumModel(()))
        self.plot.title("bottom", self._unit[:1].upper() + self._unit[1:] or "Value")
        self.plot.title("left", "Samples (%)")
        shown = self._shown
        if shown is None or shown.histogram is None:
            self.plot.show_lines([])
            return
        self._draw_lines(histogram_curves(shown.histogram))
        if shown.levels is not None:
            self.numbers.say(level_text(shown.levels))
        self.note.say(histogram_note(shown))

    def _draw_bands(self) -> None:
        if self._bands is None:
            self.plot.show_axis(SpectrumModel(()))
            self.plot.show_lines([])
            return
        found, before, after = self._bands
        model = SpectrumModel((), Source(before.name, before))
        self.plot.show_axis(model)
        unit = f" ({before.unit})" if before.unit else ""
        titles = {
            NOISE: f"Noise{unit}",
            MEAN: f"Mean{unit}",
            SPREAD: f"Standard deviation{unit}",
            CHANGED: "Changed (%)",
        }
        self.plot.title("left", titles[self.chart])
        self._draw_lines(band_curves(self.chart, found, before, after, model))
        self.numbers.say(band_text(self.chart, found, before, after))
        self.note.say(band_note(self.chart, found, before, after))

    def _draw_lines(self, curves: list[Curve]) -> None:
        # Their names above the plot: a legend in it would hide what it names.
        self.plot.show_lines(curves, is_pair=len(curves) > 1, is_named=False)
        words = [f"<span style='color: {c.colour}'>{'—' if c.is_after else '- -'} {c.label}</span>" for c in curves]
        self.key.say("&nbsp;&nbsp;&nbsp;".join(words) if len(words) > 1 else "")

    def _draw_here(self) -> None:
        self.plot.item.removeItem(self._here)
        if self.chart == HISTOGRAM or self._bands is None or self._band is None:
            return
        cube = self._bands[1]
        if self._band < cube.shape[0]:
            self._here.setValue(SpectrumModel((), Source(cube.name, cube)).abscissa(cube.axis)[self._band])
            self.plot.item.addItem(self._here, ignoreBounds=True)


def histogram_curves(histogram: Histogram) -> list[Curve]:
    """The outlines of both histograms."""
    edges = np.repeat(histogram.edges, 2)
    curves = []
    for label, colour, shares in (
        ("before", BEFORE_COLOUR, histogram.before),
        ("after", AFTER_COLOUR, histogram.after),
    ):
        outline = np.concatenate([[0.0], np.repeat(shares, 2), [0.0]])
        curves.append(Curve(label, colour, edges, outline, label == "after"))
    return curves


def level_text(levels: tuple[float, ...]) -> str:
    """'mean 0.213 → 0.214 · std 0.081 → 0.079 · RMS difference 0.012'."""
    mean, std, other_mean, other_std, apart = levels
    parts = [f"mean {mean:.4g} → {other_mean:.4g}", f"std {std:.4g} → {other_std:.4g}"]
    if np.isfinite(apart):
        parts.append(f"RMS difference {apart:.3g}")
    return " · ".join(parts)


def histogram_note(shown: Shown) -> str:
    """How many samples the histogram leaves out, and why; '' where it holds all."""
    parts = []
    if shown.counted < 1:
        parts.append(f"every {round(1 / shown.counted)}th pixel counted")
    if shown.histogram is not None and shown.histogram.outside > 0:
        parts.append(f"{100 * shown.histogram.outside:.2g} % lie outside the plot")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def band_curves(chart: str, found: BandComparison, before: Cube, after: Cube, model: SpectrumModel) -> list[Curve]:
    """The lines of a chart over the bands, with gaps at bad bands."""
    x = model.abscissa(before.axis)
    if chart == CHANGED:
        if found.changed is None:
            return []
        return [Curve("changed", AFTER_COLOUR, x, 100 * _good(found.changed, before))]
    field = {NOISE: "noise", MEAN: "mean", SPREAD: "std"}[chart]
    first, second = getattr(found.before, field), getattr(found.after, field)
    if chart == NOISE:
        # An even band has none, and no place on a logarithmic axis.
        first, second = (np.where(noise > 0, noise, np.nan) for noise in (first, second))
    return [
        Curve("before", BEFORE_COLOUR, x, _good(first, before)),
        Curve("after", AFTER_COLOUR, model.abscissa(after.axis), _good(second, after), True),
    ]


def band_text(chart: str, found: BandComparison, before: Cube, after: Cube) -> str:
    """The chart in one line: medians over the good bands."""
    if chart == CHANGED:
        if found.changed is None:
            return ""
        share = _good(found.changed, before)
        return "" if np.isnan(share).all() else f"{100 * np.nanmean(share):.3g} % of the samples changed"
    if chart != NOISE and before.shape[0] != after.shape[0]:
        # Of other bands other values are to be expected.
        return ""
    first, second = (_median(curve.y) for curve in band_curves(chart, found, before, after, SpectrumModel(())))
    text = f"median over the bands {first:.3g} → {second:.3g}"
    if chart == NOISE and first > 0 and second > 0:
        text += f" ({20 * np.log10(first / second):+.1f} dB)"
    return text


def band_note(chart: str, found: BandComparison, before: Cube, after: Cube) -> str:
    """What was looked at, and what stands in the way of comparing."""
    if chart == CHANGED and found.changed is None:
        return "The cubes have different sizes; changes are counted sample by sample."
    if chart == NOISE:
        text = "Noise is what the other bands cannot predict, in a window at the centre."
        if before.shape[1:] != after.shape[1:]:
            text += " The pixels differ in size, and with it their noise."
        return text
    if found.pixels < found.of_pixels:
        return f"From {found.pixels:,} of {found.of_pixels:,} pixels, in windows spread over the scene."
    return ""


def _good(values: np.ndarray, cube: Cube) -> np.ndarray:
    return np.where(cube.axis.is_bad, np.nan, np.asarray(values, dtype=float))


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")
