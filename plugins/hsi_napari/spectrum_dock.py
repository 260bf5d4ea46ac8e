"""The Spectrum dock: the spectrum under the mouse, pinned spectra with their places, before and after."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from hsi_app.errors import HsiError
from hsi_napari import lineage, readout
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.links import Dock
from hsi_napari.pin_layer import PinLayer
from hsi_napari.sections import MARGIN, Message, Note
from hsi_napari.spectrum_model import BOX_SIZES_PX, Pin, Source, SpectrumModel
from hsi_napari.spectrum_plot import SpectrumPlot
from hsi_napari.theme import LINE_COLOURS, theme_colours

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# The mouse reports more often than spectra can be read from a file; the last place counts.
HOVER_EVERY_MS = 40
# A press and release this near each other is a click, not a drag of the view.
CLICK_PX = 4
# From this width on all tools fit in one line.
WIDE_PX = 820


class SpectrumDock(Dock):
    """Follows the mouse over the image; a click pins the spectrum and marks its place."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.model = SpectrumModel(LINE_COLOURS)
        self.first_choice = LayerChoice(self.viewer, self.links, is_cube, self, follows=True)
        self.second_choice = LayerChoice(self.viewer, self.links, self._may_compare, self, nothing="nothing")
        self.box_choice = QComboBox()
        for size in BOX_SIZES_PX:
            self.box_choice.addItem(f"{size} × {size}", size)
        self.box_choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.follow_mouse = QCheckBox("Follow")
        self.follow_mouse.setChecked(True)
        self.clear_button, self.export_button = QPushButton("Clear"), QPushButton("Export…")
        self.plot, self.where, self.message = SpectrumPlot(self), Note(), Message()
        self.pins = PinLayer(self.viewer, self.links, self._moved_pins)
        self._place: tuple[float, float] | None = None
        self._compared: weakref.ref[Layer] | None = None
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
            self.where.setText(f"pin {pin.number}: {self.model.describe(y, x)}")
        return pin

    def clear(self) -> None:
        """Drop all pins and their marks."""
        self.model.clear()
        self.pins.show([])
        self._draw_pins()

    def export_to(self, path: Path) -> None:
        """Write the pinned spectra as CSV; a failure is told in the dock."""
        try:
            path.write_text(self.model.to_csv(), encoding="utf-8")
        except (HsiError, OSError) as error:
            self.message.fail(str(error))
        else:
            self.message.tell(f"Saved {path}")

    # ---- drawing ------------------------------------------------------------------------------------------------

    def _draw_pins(self) -> None:
        self.plot.show_pins(self.model)
        has_pins = bool(self.model.pins)
        self.export_button.setEnabled(has_pins)
        self.clear_button.setEnabled(has_pins)

    def _draw_hover(self) -> None:
        if self._place is None or not self.follow_mouse.isChecked():
            return
        y, x = self._place
        self.plot.show_hover(self.model.at(y, x, "mouse", theme_colours(self.viewer.theme).text))
        self.where.setText(self.model.describe(y, x) or " ")

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
        self.plot.show_axis(self.model)
        self._draw_pins()
        self._draw_hover()
        if self.model.first is None:
            self.where.setText("Open a hyperspectral cube to see spectra.")
        elif not self.model.pins and self._place is None:
            self.where.setText("Move over the image; click to pin a spectrum.")

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

        return Source(layer.name, cube, to_pixel)

    def _may_compare(self, layer: Layer) -> bool:
        return is_cube(layer) and layer is not self.first_choice.layer()

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

    def _changed_box(self) -> None:
        self.model.box = int(self.box_choice.currentData())
        self._draw_pins()
        self._draw_hover()

    def _toggled_follow(self, is_on: bool) -> None:
        if not is_on:
            self.plot.show_hover([])

    def _moved_pins(self, places: dict[int, tuple[float, float]]) -> None:
        self.model.keep(places)
        for number, (y, x) in places.items():
            self.model.move(number, y, x)
        self._draw_pins()

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        self.plot.follow(colours)
        self.where.paint(colours.muted)
        self.message.follow(colours)
        self._draw_pins()

    # ---- building -----------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.first_choice.setToolTip("Cube whose spectra are shown (solid, or dashed when compared)")
        self.second_choice.setToolTip("Second cube at the same places (solid): the restored one, for example")
        self.box_choice.setToolTip("Mean over a window of so many pixels around the place")
        self.follow_mouse.setToolTip("Show the spectrum under the mouse")
        self.clear_button.setToolTip("Drop all pins")
        self.export_button.setToolTip("Save the pinned spectra as a table (CSV)")
        which, how = QHBoxLayout(), QHBoxLayout()
        for words, widget in (("Spectra of", self.first_choice), ("with", self.second_choice)):
            which.addWidget(QLabel(words))
            which.addWidget(widget, 1)
        how.addWidget(QLabel("Box"))
        for widget in (self.box_choice, self.follow_mouse, self.clear_button, self.export_button):
            how.addWidget(widget)
        self._tools = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        for line in (which, how, self._tools):
            line.setSpacing(8)
        self._tools.addLayout(which, 1)
        self._tools.addLayout(how)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(MARGIN, 6, MARGIN, 6)
        rows.setSpacing(4)
        rows.addLayout(self._tools)
        rows.addWidget(self.plot, 1)
        rows.addWidget(self.where)
        rows.addWidget(self.message)
        self.where.setVisible(True)
        self.setMinimumSize(360, 270)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Puts the tools in one line where there is room, in two beside the image."""
        super().resizeEvent(event)
        is_wide = event.size().width() >= WIDE_PX
        direction = QBoxLayout.Direction.LeftToRight if is_wide else QBoxLayout.Direction.TopToBottom
        self._tools.setDirection(direction)

    def _wire(self) -> None:
        self.first_choice.chosen.connect(self._changed_first)
        self.second_choice.chosen.connect(self._changed_sources)
        self.box_choice.currentIndexChanged.connect(self._changed_box)
        self.follow_mouse.toggled.connect(self._toggled_follow)
        self.clear_button.clicked.connect(self.clear)
        self.export_button.clicked.connect(self._ask_export)
        self._timer.timeout.connect(self._draw_hover)
        self.links.connect(self.viewer.layers.selection.events.active, self._changed_layers)
        self.links.connect(self.viewer.events.theme, self._recolour)
        self.links.mouse(self.viewer.mouse_move_callbacks, _on_move(self))
        self.links.mouse(self.viewer.mouse_drag_callbacks, _on_click(self))

    def _ask_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self.window(), "Export spectra", "spectra.csv", "Table (*.csv)")
        if path:
            self.export_to(Path(path))


def _on_move(dock: SpectrumDock) -> Callable[[Any, Any], None]:
    # The viewer keeps its callbacks alive; a weak reference keeps it from keeping the dock alive too.
    held = weakref.ref(dock)

    def moved(viewer: ViewerModel, event: Any) -> None:
        dock = held()
        if dock is not None and dock.isVisible() and viewer.dims.ndisplay == 2:
            dock.hover(float(event.position[-2]), float(event.position[-1]))

    return moved


def _on_click(dock: SpectrumDock) -> Callable[[Any, Any], Iterator[None]]:
    held = weakref.ref(dock)

    def clicked(viewer: ViewerModel, event: Any) -> Iterator[None]:
        start, place = event.pos, event.position
        yield
        while event.type == "mouse_move":
            yield
        dock = held()
        if dock is None or not dock.isVisible() or viewer.dims.ndisplay != 2 or event.button != 1:
            return
        active = viewer.layers.selection.active
        # Only while the view is being moved: painting and drawing keep their clicks.
        is_free = active is None or str(active.mode) == "pan_zoom"
        if is_free and abs(event.pos - start).max() <= CLICK_PX:
            dock.pin(float(place[-2]), float(place[-1]))

    return clicked
