"""The part of the Cube dock for bands: how good they are, and which count as bad."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QVBoxLayout, QWidget

from hsi_app.band_lists import (
    format_bands,
    noisy_bands,
    parse_bands,
    read_band_list,
    water_vapour_bands,
    write_band_list,
)
from hsi_app.errors import HsiError
from hsi_app.jobs import Progress
from hsi_napari.band_edit import BadBands
from hsi_napari.band_measuring import BandMeasuring
from hsi_napari.band_plot import BandPlot
from hsi_napari.band_table import BandTable
from hsi_napari.band_tools import BandTools
from hsi_napari.cube_slider import band_at, show_band
from hsi_napari.exports import with_extension
from hsi_napari.layers import cube_of
from hsi_napari.sections import GAP, Note
from hsi_napari.settings import suggested

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_napari.theme import ThemeColours

KINDS = "Table (*.csv);;Text (*.txt)"
LOADED = "Lists of bands (*.csv *.txt *.hdr);;All files (*)"


class BandPanel(QWidget):
    """Select bands in the table, the plot, by ranges or by a rule; then mark them. ``told`` and ``failed`` carry one
    line each."""

    told = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, source: Callable[[], Layer | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._source = viewer, source
        self._edits: weakref.WeakKeyDictionary[Layer, BadBands] = weakref.WeakKeyDictionary()
        self.measuring = BandMeasuring(self)
        self.tools, self.plot, self.table, self.note = BandTools(self), BandPlot(self), BandTable(self), Note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        for widget in (self.tools.upper, self.plot, self.tools.lower, self.note):
            column.addWidget(widget)
        column.addWidget(self.table, 1)
        self._wire()

    # ---- what a person does -------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Measure the cube's bands, or stop measuring them."""
        layer = self._source()
        if self.measuring.is_running:
            self.measuring.cancel()
        elif layer is not None:
            self.measuring.start(layer)

    def select(self, bands: Iterable[int]) -> None:
        """Select bands (from 0)."""
        self.table.choose(bands)

    def select_ranges(self, text: str) -> None:
        """Select what is typed: '1-4, 103-110, 1350-1450 nm'."""
        self._select(lambda layer: parse_bands(text, cube_of(layer).axis), f"no bands in '{text.strip()}'.")

    def select_water_vapour(self) -> None:
        """Select the bands where water vapour takes the light."""
        self._select(lambda layer: water_vapour_bands(cube_of(layer).axis), "no bands lie in the water vapour.")

    def select_noisy(self) -> None:
        """Select the bands whose signal-to-noise ratio is below the box's."""
        quality, least = self.measuring.quality_of(self._source()), self.tools.least_db.value()
        if quality is not None:
            noise = quality.noise
            self._select(lambda layer: noisy_bands(noise, least), f"no band has less than {least:g} dB.")

    def select_striped(self) -> None:
        """Select the bands that were found striped."""
        quality = self.measuring.quality_of(self._source())
        if quality is not None:
            striped = np.flatnonzero(quality.is_striped)
            self._select(lambda layer: striped, "no striped bands were found.")

    def select_bad(self) -> None:
        """Select the bands that are marked bad."""
        self._select(lambda layer: np.flatnonzero(cube_of(layer).axis.is_bad), "no bands are marked bad.")

    def mark(self, bad: bool) -> None:
        """Mark the selected bands bad or good."""
        self._edit(lambda edits: edits.mark(self.table.chosen(), bad))

    def undo(self) -> None:
        """Take back the last change."""
        self._edit(lambda edits: edits.undo())

    def redo(self) -> None:
        """Do again what was undone last."""
        self._edit(lambda edits: edits.redo())

    def load_from(self, path: Path) -> None:
        """Take the bad bands from a file."""

        def load(edits: BadBands) -> None:
            edits.replace(read_band_list(path, edits.axis).tolist())
            self.told.emit(f"Bad bands as in {path.name}: {format_bands(np.flatnonzero(edits.axis.is_bad)) or 'none'}")

        self._edit(load)

    def export_to(self, path: Path) -> None:
        """Write the bad bands into a file; the dialog has asked about an existing one."""

        def export(edits: BadBands) -> None:
            self.told.emit(f"Saved {write_band_list(path, edits.axis, overwrite=True)}")

        self._edit(export)

    # ---- keeping in step ----------------------------------------------------------------------------------------

    def show_cube(self) -> None:
        """Another cube was chosen, or its facts changed."""
        layer, cube = self._source(), None
        if layer is not None:
            try:
                cube = cube_of(layer)
            except HsiError as error:
                self.failed.emit(str(error))
        self.setEnabled(cube is not None)
        quality = self.measuring.quality_of(layer)
        if cube is not None:
            self.table.bands.show(cube.axis, quality)
        self.plot.show_bands(cube, quality)
        self.tools.show_measured(quality is not None)
        edits = None if layer is None else self._edits.get(layer)
        self.tools.show_history(edits is not None and edits.can_undo, edits is not None and edits.can_redo)
        self._say(cube)
        self.show_slider()

    def show_slider(self, event: Any = None) -> None:
        """The band slider moved."""
        layer = self._source()
        self.plot.show_band(None if layer is None else band_at(self._viewer, layer))

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.plot.follow(colours)
        self.table.bands.follow(colours)
        self.note.paint(colours.muted)

    def stop(self) -> None:
        """The dock is gone."""
        self.measuring.cancel()

    def _select(self, find: Callable[[Layer], np.ndarray], none: str) -> None:
        layer = self._source()
        if layer is None:
            return
        try:
            found = find(layer)
        except HsiError as error:
            self.failed.emit(str(error))
            return
        self.select(found.tolist())
        self.told.emit("" if found.size else none[:1].upper() + none[1:])

    def _edit(self, change: Callable[[BadBands], Any]) -> None:
        layer = self._source()
        if layer is None:
            return
        try:
            change(self._edits.setdefault(layer, BadBands(layer)))
        except HsiError as error:
            self.failed.emit(str(error))

    def _say(self, cube: Any) -> None:
        if cube is None:
            self.note.say("")
            return
        bad = np.flatnonzero(cube.axis.is_bad)
        chosen = len(self.table.chosen())
        text = f"{bad.size} of {cube.axis.count} bad: {format_bands(bad)}" if bad.size else "No bands are marked bad."
        self.note.say(f"{text} · {chosen} selected" if chosen else text)

    def _changed_selection(self) -> None:
        layer = self._source()
        chosen = self.table.chosen()
        self.tools.show_selected(bool(chosen))
        self.plot.show_chosen(chosen)
        if layer is not None:
            try:
                self._say(cube_of(layer))
            except HsiError as error:
                self.failed.emit(str(error))

    def _picked(self, band: int) -> None:
        layer = self._source()
        if layer is not None:
            show_band(self._viewer, layer, band)

    def _picked_in_plot(self, band: int) -> None:
        self.select([band])
        self._picked(band)

    def _toggled(self, bands: list[int], is_bad: bool) -> None:
        self._edit(lambda edits: edits.mark(bands, is_bad))

    def _progressed(self, progress: Progress) -> None:
        self.tools.progress(progress.fraction, progress.message)

    def _measured(self) -> None:
        self.tools.show_running(self.measuring.is_running)
        self.show_cube()

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.window(), "Load bad bands", "", LOADED)
        if path:
            self.load_from(Path(path))

    def _ask_export(self) -> None:
        layer = self._source()
        name = "" if layer is None else f"{layer.name}_bad_bands.csv"
        path, kind = QFileDialog.getSaveFileName(self.window(), "Export bad bands", suggested(name), KINDS)
        if path:
            self.export_to(with_extension(path, kind))

    def _wire(self) -> None:
        tools, menu = self.tools, QMenu(self)
        menu.addAction("Water vapour, 1350–1450 and 1800–1950 nm").triggered.connect(self.select_water_vapour)
        self._striped = menu.addAction("Striped bands")
        self._striped.triggered.connect(self.select_striped)
        menu.addAction("Bands marked bad").triggered.connect(self.select_bad)
        tools.rules.setMenu(menu)
        menu.aboutToShow.connect(
            lambda: self._striped.setEnabled(self.measuring.quality_of(self._source()) is not None)
        )
        tools.measure.clicked.connect(self.measure)
        tools.ranges.returnPressed.connect(lambda: self.select_ranges(tools.ranges.text()))
        tools.noisy.clicked.connect(self.select_noisy)
        tools.bad.clicked.connect(lambda: self.mark(True))
        tools.good.clicked.connect(lambda: self.mark(False))
        tools.undo.clicked.connect(self.undo)
        tools.redo.clicked.connect(self.redo)
        tools.load.clicked.connect(self._ask_load)
        tools.export.clicked.connect(self._ask_export)
        self.table.picked.connect(self._picked)
        self.table.toggled.connect(self._toggled)
        self.table.selected.connect(self._changed_selection)
        self.plot.picked.connect(self._picked_in_plot)
        self.plot.dragged.connect(self.select)
        self.measuring.changed.connect(self._measured)
        self.measuring.progressed.connect(self._progressed)
        self.measuring.failed.connect(self.failed)
