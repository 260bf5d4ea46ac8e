"""The Cube dock: what a cube is, how it is shown in colour, and which of its bands are good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QWidget

from hsi_app.errors import HsiError
from hsi_napari import readout
from hsi_napari.band_panel import BandPanel
from hsi_napari.composite_panel import CompositePanel
from hsi_napari.cube_facts import CubeFacts
from hsi_napari.cube_tint import is_tinted, tint_missing
from hsi_napari.cube_watch import watch_cubes
from hsi_napari.facts import facts_line
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.links import Dock
from hsi_napari.sections import Heading, Message, Note, Scrolled, Section, column_of, fill, rule
from hsi_napari.theme import theme_colours

if TYPE_CHECKING:
    from napari.components import ViewerModel

NO_CUBE = "Open a hyperspectral cube, or one of File ▸ Open Sample ▸ Hyperspectral."


class CubeDock(Dock):
    """Looks at the cube that is chosen in the layer list; changes how it is shown and its facts, never its values."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.cube_choice = LayerChoice(self.viewer, self.links, is_cube, self, follows=True)
        self.line, self.message = Note(), Message()
        self.tint = QCheckBox("Tint missing samples")
        self.picture = CompositePanel(self.viewer, self.cube_choice.layer, self)
        self.bands = BandPanel(self.viewer, self.cube_choice.layer, self)
        self.facts = CubeFacts(self.cube_choice.layer, self)
        self._lay_out()
        self._wire()
        readout.attach(self.viewer)
        self._recolour()
        self._changed_cube()

    def _changed_cube(self) -> None:
        self.message.say("")
        self.picture.show_cube(self.cube_choice.layer())
        self._changed_colours()
        self._changed_facts()

    def _changed_facts(self, event: Any = None) -> None:
        layer = self.cube_choice.layer()
        if event is not None and event.source is not layer:
            return
        try:
            self.line.say(NO_CUBE if layer is None else facts_line(cube_of(layer)))
        except HsiError as error:
            self.line.say(str(error))
        self.bands.show_cube()
        self.facts.show_cube()

    def _changed_colours(self, event: Any = None) -> None:
        layer = self.cube_choice.layer()
        self.tint.setEnabled(layer is not None)
        self.tint.blockSignals(True)
        self.tint.setChecked(layer is not None and is_tinted(layer))
        self.tint.blockSignals(False)

    def _tinted(self, is_on: bool) -> None:
        layer = self.cube_choice.layer()
        if layer is not None:
            tint_missing(layer, is_on)

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        self.line.paint(colours.muted)
        self.message.follow(colours)
        for part in (self.picture, self.bands, self.facts):
            part.follow(colours)

    def _stop(self) -> None:
        for part in (self.picture, self.bands, self.facts):
            part.stop()

    def _wire(self) -> None:
        self.cube_choice.chosen.connect(self._changed_cube)
        self.tint.toggled.connect(self._tinted)
        for part in (self.picture, self.bands, self.facts):
            part.failed.connect(self.message.fail)
        for part in (self.bands, self.facts):
            part.told.connect(self.message.tell)
        self.links.finally_(self._stop)
        self.links.connect(self.viewer.events.theme, self._recolour)
        self.links.connect(self.viewer.dims.events.current_step, self.bands.show_slider)
        watch_cubes(self.links, self.viewer, self._changed_facts)

    def _lay_out(self) -> None:
        self.tint.setToolTip("Give missing samples a colour; otherwise one sees through them to the layers below")
        body = QWidget()
        rows = column_of(body)
        for widget in (Heading("Cube"), self.cube_choice, self.line, self.tint, rule()):
            rows.addWidget(widget)
        for title, part, is_open in (
            ("Colour picture", self.picture, True), ("Bands", self.bands, True), ("Facts", self.facts, False),
        ):  # fmt: skip
            section = Section(title, is_open=is_open)
            section.rows.addWidget(part)
            rows.addWidget(section)
        rows.addStretch(1)
        fill(self, Scrolled(body), self.message)
