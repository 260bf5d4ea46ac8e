"""Keeps the mean spectra of a layer's regions in step with what a person paints and drags."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from hsi_app.spectral_regions import RegionSpectrum
from hsi_napari.spectrum_latest import Latest
from hsi_napari.spectrum_model import RegionLine, Source
from hsi_napari.spectrum_regions import MOST_REGIONS, Cache, Image, RegionLines, measuring, regions_in
from hsi_napari.theme import LINE_COLOURS

if TYPE_CHECKING:
    from napari.layers import Layer

# A brush reports each step; the regions are looked at again at most this often.
LOOK_EVERY_MS = 120
# The edge that napari gives a shape when nobody chose a colour.
PLAIN_EDGE = "#777777"
# From the other end than pins take theirs: the first few of both differ.
COLOURS = LINE_COLOURS[::-1]


class RegionWatch(QObject):
    """Looks at the regions of one layer whenever they change; computes in a thread, the latest state wins.

    ``changed`` carries a list of RegionLine and a note ('' where there is nothing to say), ``failed`` one line;
    ``working`` tells that it may take a while.
    """

    changed = Signal(object, str)
    working = Signal()
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layer: weakref.ref[Layer] | None = None
        self._sources: list[Source] = []
        self._cache: Cache = {}
        self._work = Latest(self)
        self._work.done.connect(self._measured)
        self._work.failed.connect(self.failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LOOK_EVERY_MS)
        self._timer.timeout.connect(self._look)

    @property
    def is_busy(self) -> bool:
        """True while regions are being read or are about to be."""
        return self._work.is_busy or self._timer.isActive()

    def watch(self, layer: Layer | None, sources: Sequence[Source]) -> None:
        """Measure this layer's regions in these images from now on; None or no image: nothing."""
        before = None if self._layer is None else self._layer()
        if before is not layer:
            for emitter in () if before is None else _emitters(before):
                emitter.disconnect(self._touched)
            for emitter in () if layer is None else _emitters(layer):
                emitter.connect(self._touched)
            self._layer = None if layer is None else weakref.ref(layer)
        self._sources = [] if layer is None else list(sources)
        kept = {source.spectra for source in self._sources}
        # Another mapping: a thread may still fill the old one.
        self._cache = {key: spectrum for key, spectrum in dict(self._cache).items() if key[0] in kept}
        self._work.drop()
        if not self._sources:
            self._timer.stop()
            self.changed.emit([], "")
            return
        self._touched()

    def stop(self) -> None:
        """Look no more."""
        self.blockSignals(True)
        self.watch(None, [])

    def _touched(self, event: Any = None) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _look(self) -> None:
        layer = None if self._layer is None else self._layer()
        if layer is None or not self._sources:
            return
        images = [Image.of(source) for source in self._sources]
        if not all(source.spectra.is_quick for source in self._sources):
            self.working.emit()
        self._work.ask(measuring(regions_in(layer), images, self._cache))

    def _measured(self, lines: RegionLines) -> None:
        layer = None if self._layer is None else self._layer()
        if layer is not None:
            self.changed.emit(_named(layer, lines), _note(lines))


def _emitters(layer: Layer) -> list[Any]:
    """What a layer reports when its regions change: strokes, edits, undo, and where it lies."""
    names = ("labels_update", "data", "set_data", "scale", "translate", "affine", "rotate", "colormap", "edge_color")
    return [getattr(layer.events, name) for name in names if hasattr(layer.events, name)]


def _note(lines: RegionLines) -> str:
    parts = []
    if lines.found > MOST_REGIONS:
        parts.append(f"the first {MOST_REGIONS} of {lines.found} regions are shown")
    rows = [spectrum for row in lines.spectra.values() for spectrum in row if spectrum is not None]
    large = [spectrum for spectrum in rows if spectrum.is_thinned]
    if large:
        shares = max(spectrum.count / spectrum.read for spectrum in large)
        parts.append(f"of large regions an even sample is read, up to 1 pixel in {shares:.0f}")
    return "; ".join(parts)


def _named(layer: Layer, lines: RegionLines) -> list[RegionLine]:
    from napari.layers import Labels

    is_painted = isinstance(layer, Labels)
    colours = _label_colours(layer, lines) if is_painted else _shape_colours(layer)
    word = "label" if is_painted else "ROI"
    return [
        RegionLine(f"{word} {number}", colours.get(number, COLOURS[0]), *_pair(row))
        for number, row in lines.spectra.items()
    ]


def _pair(row: Sequence[RegionSpectrum | None]) -> tuple[RegionSpectrum | None, RegionSpectrum | None]:
    return row[0], row[1] if len(row) > 1 else None


def _label_colours(layer: Layer, lines: RegionLines) -> dict[int, str]:
    colours = {}
    for number in lines.spectra:
        colour = layer.colormap.map(number)
        colours[number] = _hex(colour) if colour[3] > 0 else COLOURS[number % len(COLOURS)]
    return colours


def _shape_colours(layer: Layer) -> dict[int, str]:
    """A colour for each shape: that of its edge where a person chose one that no other has, else one of the lines'.

    The edges get these colours, so that the eye finds the shape that belongs to a line.
    """
    edges = [_hex(colour) for colour in layer.edge_color]
    colours: list[str] = []
    for edge in edges:
        free = [colour for colour in COLOURS if colour not in colours] or COLOURS[len(colours) % len(COLOURS) :]
        colours.append(edge if edge != PLAIN_EDGE and edge not in colours else free[0])
    if colours != edges:
        layer.edge_color = colours
    return dict(enumerate(colours, 1))


def _hex(colour: Any) -> str:
    return "#" + "".join(f"{round(255 * float(channel)):02x}" for channel in colour[:3])
