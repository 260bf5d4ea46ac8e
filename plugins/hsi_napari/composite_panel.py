"""The part of the Cube dock for colour pictures: presets, three bands, the stretch."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from hsi_app.bands import BandAxis
from hsi_app.composite import Stretch, most_different
from hsi_app.cube import Cube
from hsi_app.errors import HsiError
from hsi_app.jobs import Job
from hsi_napari.composite_live import LivePicture, told
from hsi_napari.composite_model import CUSTOM, DIFFERENT, PRESETS, Look, Preset, preset_bands, preset_note
from hsi_napari.layers import cube_of
from hsi_napari.sections import GAP, Note
from hsi_napari.spectrum_latest import Latest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_napari.theme import ThemeColours

# Told apart by their letters; the colours only help.
CHANNELS = (("R", "#e0524f"), ("G", "#3fa564"), ("B", "#4f86e0"))
Found = tuple[weakref.ref["Layer"], tuple[int, int, int]]


class WavelengthBox(QDoubleSpinBox):
    """Wavelengths are typed; its arrows go from band to band, however far apart these are."""

    stepped = Signal(int)

    def stepBy(self, steps: int) -> None:
        """Tell of arrows, wheel and keys."""
        self.stepped.emit(steps)


class ChannelRow(QWidget):
    """One band by slider, number or wavelength; ``moved`` when a person changed it."""

    moved = Signal()

    def __init__(self, letter: str, colour: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axis = BandAxis(1)
        label = QLabel(letter)
        label.setStyleSheet(f"color: {colour}; font-weight: bold;")
        label.setFixedWidth(14)
        self.slider, self.number, self.centre = QSlider(Qt.Orientation.Horizontal), QSpinBox(), WavelengthBox()
        self.number.setToolTip("Band number, from 1")
        self.centre.setToolTip("Wavelength: the good band nearest to it is taken")
        self.centre.setSuffix(" nm")
        self.centre.setDecimals(1)
        self.centre.setKeyboardTracking(False)
        self.number.setKeyboardTracking(False)
        self.number.setFixedWidth(68)
        self.centre.setFixedWidth(106)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for widget, share in ((label, 0), (self.slider, 1), (self.number, 0), (self.centre, 0)):
            row.addWidget(widget, share)
        self.slider.valueChanged.connect(self._slid)
        self.number.valueChanged.connect(self._slid)
        self.centre.valueChanged.connect(self._typed)
        self.centre.stepped.connect(self._stepped)

    @property
    def band(self) -> int:
        """Index from 0."""
        return int(self.number.value()) - 1

    def show_axis(self, axis: BandAxis) -> None:
        """Offer the bands of a cube."""
        self._axis = axis
        centres = axis.centres_nm
        for part in (self.slider, self.number, self.centre):
            part.blockSignals(True)
        self.slider.setRange(1, axis.count)
        self.number.setRange(1, axis.count)
        self.centre.setVisible(centres is not None)
        if centres is not None:
            self.centre.setRange(float(np.nanmin(centres)), float(np.nanmax(centres)))
        for part in (self.slider, self.number, self.centre):
            part.blockSignals(False)

    def choose(self, band: int) -> None:
        """Show a band without telling."""
        for part in (self.slider, self.number, self.centre):
            part.blockSignals(True)
        self.slider.setValue(band + 1)
        self.number.setValue(band + 1)
        if self._axis.centres_nm is not None:
            self.centre.setValue(float(self._axis.centres_nm[band]))
        for part in (self.slider, self.number, self.centre):
            part.blockSignals(False)

    def _slid(self, number: int) -> None:
        self.choose(number - 1)
        self.moved.emit()

    def _typed(self, centre_nm: float) -> None:
        self._slid(self._axis.nearest(centre_nm) + 1)

    def _stepped(self, steps: int) -> None:
        self.number.setValue(self.number.value() + steps)


class CompositePanel(QWidget):
    """Any change by a person shows the picture; ``failed`` carries one line."""

    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, source: Callable[[], Layer | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._source = source
        self._finding = Latest(self)
        self.live = LivePicture(viewer, self)
        self.preset, self.show_button = QComboBox(), QPushButton("Show")
        self.rows = [ChannelRow(letter, colour) for letter, colour in CHANNELS]
        self.low, self.high, self.linked = QDoubleSpinBox(), QDoubleSpinBox(), QCheckBox("Linked")
        self.note = Note()
        for preset in PRESETS:
            self.preset.addItem(preset.title, preset.name)
            self.preset.setItemData(self.preset.count() - 1, preset.explains, Qt.ItemDataRole.ToolTipRole)
        self._lay_out()
        self.preset.activated.connect(self._chose_preset)
        self.show_button.clicked.connect(self.show_picture)
        for row in self.rows:
            row.moved.connect(self._moved)
        for box in (self.low, self.high):
            box.valueChanged.connect(self._stretched)
        self.linked.toggled.connect(self._stretched)
        self.live.shown.connect(self._shown)
        self._finding.done.connect(self._found)
        for work in (self.live, self._finding):
            work.failed.connect(self.failed)

    # ---- what a person does -------------------------------------------------------------------------------------

    def look(self) -> Look:
        """What the controls say. Raises ParameterError where the stretch is upside down."""
        red, green, blue = (row.band for row in self.rows)
        return Look((red, green, blue), Stretch(self.low.value(), self.high.value(), self.linked.isChecked()))

    def choose_preset(self, name: str) -> None:
        """Choose as a person would."""
        self.preset.setCurrentIndex(self.preset.findData(name))
        self._chose_preset()

    def show_picture(self) -> None:
        """Paint what the controls say and show it, also where the picture was hidden."""
        layer = self._source()
        if layer is None:
            return
        picture = self.live.picture_of(layer)
        if picture is not None:
            picture.visible = True
        self._ask(layer)

    # ---- keeping in step ----------------------------------------------------------------------------------------

    def show_cube(self, layer: Layer | None) -> None:
        """Another cube was chosen: its own picture's bands, or those of the preset."""
        self.setEnabled(layer is not None)
        self._finding.drop()
        if layer is None:
            return
        try:
            axis = cube_of(layer).axis
        except HsiError:
            self.setEnabled(False)
            return
        for row in self.rows:
            row.show_axis(axis)
        picture, preset = self.live.picture_of(layer), self._preset()
        if picture is not None:
            red, green, blue = (int(band) - 1 for band in picture.metadata["bands"])
            self._choose_bands((red, green, blue))
            self._name_preset(axis)
            return
        if not preset.targets_nm:
            self.preset.setCurrentIndex(0)
            preset = self._preset()
        self._choose_bands(preset_bands(preset, axis))
        self.note.say(preset_note(preset, axis))

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.note.paint(colours.muted)

    def stop(self) -> None:
        """The dock is gone."""
        self.live.stop()
        self._finding.drop()

    def _preset(self) -> Preset:
        return PRESETS[self.preset.currentIndex()]

    def _choose_bands(self, bands: tuple[int, int, int]) -> None:
        for row, band in zip(self.rows, bands, strict=True):
            row.choose(band)

    def _name_preset(self, axis: BandAxis) -> None:
        """Show the preset whose bands are chosen, else Custom."""
        bands = tuple(row.band for row in self.rows)
        known = [p.name for p in PRESETS if p.targets_nm and preset_bands(p, axis) == bands]
        if self._preset().name not in known:
            self.preset.setCurrentIndex(self.preset.findData(known[0] if known else CUSTOM))

    def _chose_preset(self) -> None:
        layer, preset = self._source(), self._preset()
        if layer is None or preset.name == CUSTOM:
            return
        try:
            cube = cube_of(layer)
        except HsiError as error:
            self.failed.emit(str(error))
            return
        self._finding.drop()
        if preset.name == DIFFERENT:
            self.note.say("Comparing the bands…")
            self._finding.ask(_finding(weakref.ref(layer), cube))
            return
        self._choose_bands(preset_bands(preset, cube.axis))
        self.note.say(preset_note(preset, cube.axis))
        self._ask(layer)

    def _found(self, found: Found) -> None:
        held, bands = found
        layer = self._source()
        if layer is not None and layer is held():
            self._choose_bands(bands)
            self._ask(layer)

    def _moved(self) -> None:
        self.preset.setCurrentIndex(self.preset.findData(CUSTOM))
        self._stretched()

    def _stretched(self) -> None:
        layer = self._source()
        if layer is not None:
            self._ask(layer)

    def _ask(self, layer: Layer) -> None:
        try:
            self.live.ask(layer, self.look())
        except HsiError as error:
            self.failed.emit(str(error))

    def _shown(self, picture: Layer | None) -> None:
        layer = self._source()
        if layer is None or self.live.picture_of(layer) is not picture or picture is None:
            return
        axis = cube_of(layer).axis
        bands = tuple(int(band) - 1 for band in picture.metadata["bands"])
        note = preset_note(self._preset(), axis)
        text = told(layer, Look((bands[0], bands[1], bands[2])), picture)
        self.note.say(f"{text}. {note}" if note else text)

    def _lay_out(self) -> None:
        for box, value in ((self.low, 2.0), (self.high, 98.0)):
            box.setRange(0, 100)
            box.setDecimals(1)
            box.setSuffix(" %")
            box.setValue(value)
            box.setKeyboardTracking(False)
            box.setFixedWidth(86)
            box.setToolTip("Values at this quantile and beyond become black or full brightness")
        self.preset.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.preset.setMinimumContentsLength(12)
        self.linked.setToolTip("The same limits for the three bands: keeps their ratios. Off: each band by itself.")
        self.show_button.setToolTip("Show the picture as a layer over the cube; it follows these controls")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addLayout(_line((self.preset, 1), (self.show_button, 0)))
        for row in self.rows:
            column.addWidget(row)
        column.addLayout(_line((QLabel("Stretch"), 0), (self.low, 0), (self.high, 0), (self.linked, 1)))
        column.addWidget(self.note)


def _finding(layer: weakref.ref[Layer], cube: Cube) -> Callable[[Job], Found]:
    return lambda job: (layer, most_different(cube, job))


def _line(*parts: tuple[QWidget, int]) -> QHBoxLayout:
    """Widgets beside each other, with their shares of the room that is left."""
    line = QHBoxLayout()
    line.setSpacing(6)
    for widget, share in parts:
        line.addWidget(widget, share)
    return line
