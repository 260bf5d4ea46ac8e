"""The Unmix dock: choose a cube, say where materials come from, run, and look at each material."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from hsi_app.cube import Cube
from hsi_napari import lineage
from hsi_napari.material_group import MaterialGroup
from hsi_napari.material_layers import map_layers, material_layer, materials_of, stem_of
from hsi_napari.material_panel import MaterialPanel
from hsi_napari.material_sources import MaterialSources
from hsi_napari.method_dock import MethodDock
from hsi_napari.placing import LayerData
from hsi_napari.sections import rule
from hsi_napari.worker import unmixing

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.runner import Settings
    from hsi_app.unmixing.result import Unmixing
    from hsi_napari.theme import ThemeColours


class UnmixDock(MethodDock):
    """Finds the materials of the chosen cube in a thread and adds a layer for each."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer, "unmix")
        self.sources = MaterialSources(self.viewer, self.form, self.cube_choice.layer, self)
        self.results = MaterialPanel(self)
        self.lay_out((self.form, rule(), self.results))
        for part in (self.sources, self.results):
            part.told.connect(self.run_panel.message.tell)
            part.failed.connect(self.run_panel.message.fail)
        self.links.finally_(self.sources.files.close)
        self.links.finally_(self.results.close_files)
        self.wire()

    def run(self) -> None:
        """Unmix the whole cube."""
        layer = self.cube_choice.layer()
        if layer is not None:
            self.start(layer, "starting", self._plan)

    def _plan(self, cube: Cube, method: str, options: dict[str, Any], settings: Settings) -> Any:
        self.sources.refresh(cube)
        return unmixing(cube, method, options, settings)

    def _take_in(self, result: Unmixing, source: Layer) -> Iterator[None]:
        self.results.put_away()
        materials, stem = materials_of(result), stem_of(source)
        others: list[Layer] = []
        layers: list[Layer] = []
        for data in map_layers(result, source, stem):
            others.append(self._add_low(data))
            yield
        # The first material comes last, so that it leads the layer list.
        for material in reversed(materials):
            layers.insert(0, self._add_low(material_layer(result, material, source, stem)))
            yield
        for layer in (*others, *layers):
            lineage.remember(layer, source)
        group = MaterialGroup(self.viewer, materials, layers, others, stem, self.results.sync)
        self.select_again(source)
        self.results.present(result, group)
        usual = self.form.options(result.record["method"])[0]
        if usual.has("endmembers"):
            usual.suggest("endmembers", len(result.names))
        # After the layout has made room for it.
        QTimer.singleShot(0, self._show_results)
        self.run_panel.message.tell(told_of(len(materials), len(result.names), ["error", *result.maps]))

    def _add_low(self, data: LayerData) -> Layer:
        """Add a layer above the pictures and below all that is painted or marked.

        napari puts the lowest visible layer on black; a layer that adds to a light canvas would vanish.
        """
        from napari.layers import Image

        layers, layer = self.viewer.layers, self.add(data)
        at = next((place for place, other in enumerate(layers) if not isinstance(other, Image)), len(layers))
        if at < layers.index(layer):
            layers.move(layers.index(layer), at)
        return layer

    def _show_results(self) -> None:
        self.bring_into_view(self.results)

    def _chose(self, layer: Layer | None) -> bool:
        return True

    def _follow(self, colours: ThemeColours) -> None:
        self.results.follow(colours)


def told_of(shown: int, found: int, hidden: list[str]) -> str:
    """'Added 3 materials. Hidden: error, guidance.' or, of many, how many are not shown."""
    first = f"Added {shown} materials" if shown == found else f"Added the {shown} largest of {found} materials"
    rest = "" if shown == found else "; saving the result keeps all"
    return f"{first}{rest}. Hidden: {', '.join(hidden)}."
