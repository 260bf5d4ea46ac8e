"""The Fuse dock: choose a coarse and a sharp image, say what is known of them, run, compare, see the doubt, save."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from hsi_app.cube import Cube
from hsi_app.errors import HsiError
from hsi_napari import lineage
from hsi_napari.fusion_layers import fusion_layers
from hsi_napari.fusion_panel import FusionPanel
from hsi_napari.layers import cube_of
from hsi_napari.method_dock import MethodDock
from hsi_napari.pair_form import PairForm
from hsi_napari.pairs import most_bands
from hsi_napari.registration_layer import laying_over, overlay_layer, overlay_name
from hsi_napari.sections import rule
from hsi_napari.sharp_panel import SharpPanel
from hsi_napari.worker import fusing

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.fusion.overlay import Overlay
    from hsi_app.fusion.result import Fusion
    from hsi_app.runner import Settings
    from hsi_napari.theme import ThemeColours


class FuseDock(MethodDock):
    """Sharpens the chosen cube with a finer image in a thread and adds the sharp cube and its doubt as layers."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer, "fuse", prefers=most_bands)
        self.sharp = SharpPanel(self.viewer, self.links, self.cube_choice.layer, self)
        self.pair = PairForm(self)
        self.results = FusionPanel(self)
        parts = (self.sharp, rule(), self.form, rule(), self.pair, rule(), self.results)
        self.lay_out(parts, heading="Hyperspectral image")
        for part in (self.sharp, self.results):
            part.told.connect(self.run_panel.message.tell)
            part.failed.connect(self.run_panel.message.fail)
        self.sharp.chosen.connect(self._changed_cube)
        self.pair.overlay_wanted.connect(self.show_registration)
        self.wire()

    def run(self) -> None:
        """Sharpen the whole cube."""
        layer = self.cube_choice.layer()
        if layer is not None:
            self.start(layer, "starting", self._plan)

    def show_registration(self) -> None:
        """Lay the sharp image over the other one, as a run would, and add the picture of it."""
        layer = self.cube_choice.layer()
        if layer is None:
            return
        try:
            _, _, settings = self.form.chosen()
            work = laying_over(cube_of(layer), self.sharp.cube(), settings, self.pair.known())
        except HsiError as error:
            self.run_panel.message.fail(str(error))
            return
        self.enqueue(layer, "registration", "seeing whether the images line up", work, is_short=True)

    def _plan(self, cube: Cube, method: str, options: dict[str, Any], settings: Settings) -> Any:
        finer = self.sharp.choice.layer()
        fuse = fusing(cube, self.sharp.cube(), method, options, settings, self.pair.known())
        # The result lies where the sharp image lies, also when that was removed or another one chosen meanwhile.
        return lambda job: (fuse(job), finer)

    def _take_in(self, found: tuple[Fusion, Layer] | Overlay, source: Layer) -> Iterator[None]:
        if not isinstance(found, tuple):
            self._add_overlay(found, source)
            return
        result, finer = found
        made: list[Layer] = []
        for data in fusion_layers(result, source, finer):
            made.append(self.add(data))
            yield
        for layer in made:
            lineage.remember(layer, source)
        self.select_again(source)
        self.results.present(result, made[0], made[1] if len(made) > 1 else None)
        # After the layout has made room for it.
        QTimer.singleShot(0, self._show_results)
        hidden = "".join(f" Hidden: '{layer.name}'." for layer in made[1:])
        self.run_panel.message.tell(f"Added '{made[0].name}'.{hidden}")

    def _add_overlay(self, found: Overlay, source: Layer) -> None:
        for old in [layer for layer in self.viewer.layers if layer.name == overlay_name(source)]:
            self.viewer.layers.remove(old)
        self.add(overlay_layer(found, source))
        self.select_again(source)
        self.run_panel.message.tell("\n".join((*found.lines, "Red and cyan fringes are what does not line up.")))

    def _show_results(self) -> None:
        self.bring_into_view(self.results)

    def _chose(self, layer: Layer | None) -> bool:
        is_pair = self.sharp.refresh()
        self.pair.overlay.setEnabled(is_pair)
        return is_pair

    def _follow(self, colours: ThemeColours) -> None:
        self.sharp.follow(colours)
        self.results.follow(colours)
