"""The Spectrum dock: spectra under the mouse, pinned and of regions, before and after, beside those of a library."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QVBoxLayout

from hsi_app.errors import HsiError
from hsi_napari import lineage, readout
from hsi_napari.cube_watch import watch_cubes
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.links import Dock
from hsi_napari.pin_layer import PinLayer
from hsi_napari.result_panel import ask_path
from hsi_napari.sections import MARGIN, Message, Note
from hsi_napari.spectrum_export import KINDS, SpectrumExport
from hsi_napari.spectrum_library import LibraryPanel
from hsi_napari.spectrum_model import Pin, RegionLine, Source, SpectrumModel
from hsi_napari.spectrum_mouse import on_click, on_move
from hsi_napari.spectrum_plot import SpectrumPlot
from hsi_napari.spectrum_reader import SpectrumReader
from hsi_napari.spectrum_reading import Spectra
from hsi_napari.spectrum_region_watch import RegionWatch
from hsi_napari.spectrum_regions import may_hold_regions
from hsi_napari.spectrum_tools import WIDE_PX, SpectrumTools
from hsi_napari.theme import LINE_COLOURS, theme_colours

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# The mouse reports more often than spectra can be read from a file; the last place counts.
HOVER_EVERY_MS = 40
LIBRARY_PX = 340


class SpectrumDock(Dock):
    """Follows the mouse over the image; a click pins the spectrum and marks its place."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.model = SpectrumModel(LINE_COLOURS)
        self.first_choice = LayerChoice(self.viewer, self.links, is_cube, self, follows=True)
        self.second_choice = LayerChoice(self.viewer, self.links, self._may_compare, self, nothing="nothing")
        self.region_choice = LayerChoice(self.viewer, self.links, self._may_hold_regions, self, nothing="none")
        self.tools = SpectrumTools(self.first_choice, self.second_choice, self.region_choice, self)
        self.box_choice, self.follow_mouse = self.tools.box, self.tools.follow
        self.clear_button, self.export_button = self.tools.clear, self.tools.export
        self.plot, self.library = SpectrumPlot(self), LibraryPanel(self)
        self.where, self.message = Note(), Message()
        self.pins = PinLayer(self.viewer, self.links, self._moved_pins)
        self.reader, self.regions, self._export = SpectrumReader(self), RegionWatch(self), SpectrumExport(self)
        # What was read of a cube stays while its layer lives, whichever is looked at.
        self._spectra: weakref.WeakKeyDictionary[Layer, Spectra] = weakref.WeakKeyDictionary()
        self._place: tuple[float, float] | None = None
        self._compared: weakref.ref[Layer] | None = None
        self._words = {"place": "", "reading": "", "building": "", "regions": ""}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(HOVER_EVERY_MS)
        self._lay_out()
        self._wire()
        readout.attach(self.viewer)
        self._recolour()
        self._changed_first()

    # ---- what a person does -------------------------------------------------------------------------------------

    def hover(self, y: float, x: float) -> None:
        """Show the spectrum of a place (world coordinates) for now."""
        self._place = (y, x)
        if not self._timer.isActive():
            self._timer.start()

    def pin(self, y: float, x: float) -> Pin | None:
        """Keep the spectrum of a place and mark it on the image; None outside the cube."""
        pin = self.model.pin(y, x)
        if pin is not None:
            self.pins.show(self.model.pins)
            self._draw_pins()
            self._say(place=f"pin {pin.number}: {self.model.describe(y, x)}")
        return pin

    def clear(self) -> None:
        """Drop all pins and their marks."""
        self.model.clear()
        self.pins.show([])
        self._draw_pins()

    def export_to(self, path: Path) -> None:
        """Save the spectra as CSV, or the plot as PNG or SVG, by the extension; a failure is told in the dock.

        Spectra that are still to be read are waited for beside the window.
        """
        self._export.save(path, self.model, self.plot)

    # ---- drawing ------------------------------------------------------------------------------------------------

    def _draw_pins(self) -> None:
        self.plot.show_pins(self.model)
        self.clear_button.setEnabled(bool(self.model.pins))
        self.export_button.setEnabled(self.model.first is not None)
        self.library.use_lines(self.model.measured())
        self.reader.want_pins(self.model.unread_pins())

    def _draw_hover(self) -> None:
        if self._place is None or not self.follow_mouse.isChecked():
            return
        colour = theme_colours(self.viewer.theme).text
        measured = self.model.measured_at(*self._place, "mouse", colour)
        self.plot.show_hover([self.model.view.of(curve) for curve in measured])
        if self.tools.library.isChecked():
            self.library.use_mouse(measured)
        unread = self.model.unread([self._place], needs_true=False)
        self._say(place=self.model.describe(*self._place), reading="reading…" if unread else "")
        self.reader.want_hover(unread)

    def _draw_library(self) -> None:
        curves = self.library.curves() if self.tools.library.isChecked() else []
        self.plot.show_library([self.model.view.of(curve) for curve in curves])

    def _say(self, **words: str) -> None:
        self._words.update(words)
        # A blank keeps the line's height: the plot must not jump while the mouse moves.
        self.where.setText(" · ".join(word for word in self._words.values() if word) or " ")

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _changed_first(self) -> None:
        layer = self.first_choice.layer()
        source = None if layer is None else lineage.source_of(layer)
        if source is not None and source in self.viewer.layers:
            # The restored cube was clicked: what is compared is still the observed one with it.
            self.first_choice.choose(source)
            self.second_choice.refresh()
            self.second_choice.choose(layer)
            return
        self.second_choice.refresh()
        newest = self._newest()
        if newest is not None and self.second_choice.layer() is None:
            self._compared = weakref.ref(newest)
            self.second_choice.choose(newest)
        self._changed_sources()

    def _changed_sources(self) -> None:
        self.message.say("")
        self.model.first = self._source(self.first_choice.layer())
        self.model.second = self._source(self.second_choice.layer())
        self.reader.use(source.spectra for source in self.model.sources())
        self.region_choice.refresh()
        self._changed_regions()
        self.library.use_bands(self.model.axis)
        self.plot.show_axis(self.model)
        self._draw_pins()
        self._draw_hover()
        if self.model.first is None:
            self._say(place="Open a hyperspectral cube to see spectra.", reading="")
        elif not self.model.pins and self._place is None:
            self._say(place="Move over the image; click to pin a spectrum.")

    def _changed_facts(self, event: Any) -> None:
        # Bad bands were edited.
        if event.source in (self.first_choice.layer(), self.second_choice.layer()):
            self._changed_sources()

    def _source(self, layer: Layer | None) -> Source | None:
        if layer is None:
            return None
        try:
            cube = cube_of(layer)
        except HsiError as error:
            self.message.fail(str(error))
            return None
        held, lead = weakref.ref(layer), (0.0,) * (layer.ndim - 2)

        def to_pixel(y: float, x: float) -> tuple[float, float]:
            alive = held()
            assert alive is not None, "the choice drops a removed layer"
            row, col = alive.world_to_data((*lead, y, x))[-2:]
            return float(row), float(col)

        known = self._spectra.get(layer)
        if known is None or known.cube.values is not cube.values:
            known = self._spectra[layer] = Spectra(cube)
        return Source(layer.name, cube, to_pixel, known)

    def _may_compare(self, layer: Layer) -> bool:
        return is_cube(layer) and layer is not self.first_choice.layer()

    def _may_hold_regions(self, layer: Layer) -> bool:
        return may_hold_regions(layer, self.first_choice.layer())

    def _newest(self) -> Layer | None:
        """The layer last restored from the first cube."""
        first = self.first_choice.layer()
        made = [] if first is None else lineage.restored_from(first)
        # Abundances have no spectra to compare.
        made = [layer for layer in made if layer in self.viewer.layers and is_cube(layer)]
        return made[-1] if made else None

    def _changed_layers(self, event: Any = None) -> None:
        # A run that ended adds its layer: compare with it, once; what a person chooses later stays.
        newest = self._newest()
        known = None if self._compared is None else self._compared()
        if newest is not None and newest is not known:
            self._compared = weakref.ref(newest)
            self.second_choice.choose(newest)

    def _forget(self, event: Any) -> None:
        # napari may keep a removed layer for long; a preview of 128 MiB need not stay with it.
        self._spectra.pop(event.value, None)

    def _changed_box(self) -> None:
        self.model.box = int(self.box_choice.currentData())
        self._draw_pins()
        self._draw_hover()

    def _changed_view(self) -> None:
        self.model.view = self.tools.chosen_view()
        self.plot.show_axis(self.model)
        self._draw_pins()
        self._draw_hover()
        self._draw_library()

    def _changed_regions(self) -> None:
        self.regions.watch(self.region_choice.layer(), self.model.sources())

    def _measured_regions(self, lines: list[RegionLine], note: str) -> None:
        self.model.regions = lines
        self._say(regions=note)
        self._draw_pins()

    def _measuring(self) -> None:
        self._say(regions="reading the regions…")

    def _arrived(self) -> None:
        self._draw_pins()
        self._draw_hover()

    def _building(self, words: str) -> None:
        self._say(building=words)

    def _toggled_follow(self, is_on: bool) -> None:
        if not is_on:
            self.plot.show_hover([])
            self.reader.rest()
            self._say(reading="")

    def _toggled_library(self, is_on: bool) -> None:
        self.library.setVisible(is_on)
        self._draw_library()

    def _abandon(self) -> None:
        # The dock is gone: nobody waits for anything any more.
        self._timer.stop()
        for work in (self.reader, self.regions, self.library, self._export):
            work.stop()

    def _moved_pins(self, places: dict[int, tuple[float, float]]) -> None:
        self.model.keep(places)
        for number, (y, x) in places.items():
            self.model.move(number, y, x)
        self._draw_pins()

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        self.plot.follow(colours)
        self.library.follow(colours)
        self.where.paint(colours.muted)
        self.message.follow(colours)
        self._draw_pins()

    # ---- building -----------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self._middle = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._middle.setSpacing(8)
        self._middle.addWidget(self.plot, 1)
        self._middle.addWidget(self.library)
        self.library.setVisible(False)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(MARGIN, 6, MARGIN, 6)
        rows.setSpacing(4)
        rows.addWidget(self.tools)
        rows.addLayout(self._middle, 1)
        rows.addWidget(self.where)
        rows.addWidget(self.message)
        self.where.setVisible(True)
        self.setMinimumSize(360, 270)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Puts the library beside the plot where there is room, below it beside the image."""
        super().resizeEvent(event)
        is_wide = event.size().width() >= WIDE_PX
        direction = QBoxLayout.Direction.LeftToRight if is_wide else QBoxLayout.Direction.TopToBottom
        self._middle.setDirection(direction)
        self.library.setMaximumWidth(LIBRARY_PX if is_wide else 16_777_215)
        self.library.setMinimumWidth(LIBRARY_PX if is_wide else 0)

    def _wire(self) -> None:
        self.first_choice.chosen.connect(self._changed_first)
        self.second_choice.chosen.connect(self._changed_sources)
        watch_cubes(self.links, self.viewer, self._changed_facts)
        self.region_choice.chosen.connect(self._changed_regions)
        self.box_choice.currentIndexChanged.connect(self._changed_box)
        self.tools.view.currentIndexChanged.connect(self._changed_view)
        self.tools.window_size.currentIndexChanged.connect(self._changed_view)
        self.tools.library.toggled.connect(self._toggled_library)
        self.follow_mouse.toggled.connect(self._toggled_follow)
        self.clear_button.clicked.connect(self.clear)
        self.export_button.clicked.connect(self._ask_export)
        self.library.changed.connect(self._draw_library)
        self.regions.changed.connect(self._measured_regions)
        self.regions.working.connect(self._measuring)
        self.reader.arrived.connect(self._arrived)
        self.reader.building.connect(self._building)
        self._export.told.connect(self.message.tell)
        for work in (self.library, self.regions, self.reader, self._export):
            work.failed.connect(self.message.fail)
        self._timer.timeout.connect(self._draw_hover)
        self.links.finally_(self._abandon)
        self.links.connect(self.viewer.layers.selection.events.active, self._changed_layers)
        self.links.connect(self.viewer.layers.events.removed, self._forget)
        self.links.connect(self.viewer.events.theme, self._recolour)
        self.links.mouse(self.viewer.mouse_move_callbacks, on_move(self))
        self.links.mouse(self.viewer.mouse_drag_callbacks, on_click(self))

    def _ask_export(self) -> None:
        path = ask_path(self, "Export spectra", "spectra.csv", KINDS)
        if path is not None:
            self.export_to(path)
