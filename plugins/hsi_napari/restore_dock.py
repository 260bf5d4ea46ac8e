"""The Restore dock: choose a cube and a task, set the method's options, preview, run, compare, save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from hsi_app.cube import Cube
from hsi_app.tiling import Window
from hsi_napari import lineage
from hsi_napari.forming import Forming
from hsi_napari.layers import result_layers
from hsi_napari.mask_panel import MaskPanel
from hsi_napari.method_dock import MethodDock
from hsi_napari.region import region_layer, region_of
from hsi_napari.result_panel import ResultPanel
from hsi_napari.sections import rule
from hsi_napari.worker import restoring

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.jobs import Progress
    from hsi_app.runner import Result, Settings
    from hsi_napari.theme import ThemeColours


class RestoreDock(MethodDock):
    """Restores the chosen cube in a thread and adds what it gives as layers."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer, "restore")
        self._window: Window | None = None
        self._forming: Forming | None = None
        self.mask = MaskPanel(self.viewer, self.links, self.cube_choice.layer, self)
        self.results = ResultPanel(self)
        self.lay_out((self.form, self.mask, rule(), self.results))
        self.form.task_changed.connect(self._changed_task)
        self.run_panel.region_wanted.connect(self._draw_region)
        self.run_panel.preview_wanted.connect(self.preview)
        self.results.told.connect(self.run_panel.message.tell)
        self.results.failed.connect(self.run_panel.message.fail)
        self.results.batch_wanted.connect(self._open_batch)
        self._changed_task()
        self.wire()

    # ---- what a person does -------------------------------------------------------------------------------------

    def preview(self) -> None:
        """Restore the drawn region or the visible part."""
        layer = self.cube_choice.layer()
        if layer is not None:
            window, origin = region_of(self.viewer, layer)
            where = f"{origin}, {window.height} × {window.width} px"
            self._start(layer, window, f"preview of the {where}")

    def run(self) -> None:
        """Restore the whole cube."""
        layer = self.cube_choice.layer()
        if layer is not None:
            self._start(layer, None, "starting")

    # ---- the run ------------------------------------------------------------------------------------------------

    def _start(self, layer: Layer, window: Window | None, what: str) -> None:
        def plan(cube: Cube, method: str, options: dict[str, Any], settings: Settings) -> Any:
            mask = self.mask.observed(cube.shape) if settings.task == "inpaint" else None
            return restoring(cube, method, options, settings, mask, window)

        if self.start(layer, what, plan):
            self._window = window
            self._forming = Forming(self.viewer, layer, (window.row, window.col) if window else (0, 0))

    def _progressed(self, progress: Progress) -> None:
        super()._progressed(progress)
        if self._forming is not None and self.run_panel.is_running:
            self._forming.show(progress)

    def _finish(self) -> Layer:
        if self._forming is not None:
            self._forming.end()
            self._forming = None
        return super()._finish()

    def _take_in(self, result: Result, source: Layer) -> None:
        if self._window is not None:
            self._add_preview(result, source, self._window)
        else:
            self._add_result(result, source)

    def _add_preview(self, result: Result, source: Layer, window: Window) -> None:
        name = f"{source.name} · preview"
        for old in [layer for layer in self.viewer.layers if layer.name == name]:
            self.viewer.layers.remove(old)
        data, options, kind = result_layers(result, source, (window.row, window.col))[-1]
        layer = self.add((data, {**options, "name": name}, kind))
        layer.bounding_box.visible = True
        layer.bounding_box.points = False
        layer.bounding_box.line_color = "#e8871e"
        lineage.remember(layer, source)
        self.select_again(source)
        size = f"{window.height} × {window.width} px at row {window.row}, col {window.col}"
        self.run_panel.message.tell(
            f"Preview of {size} in {result.record['seconds']:.1f} s. 'Run' does the whole cube."
        )

    def _add_result(self, result: Result, source: Layer) -> None:
        layers = [self.add(data) for data in result_layers(result, source, name=source.name)]
        lineage.remember(layers[-1], source)
        for layer in [layer for layer in self.viewer.layers if layer.name == f"{source.name} · preview"]:
            layer.visible = False
        self.select_again(source)
        self.results.present(result, layers[-1])
        # After the layout has made room for it.
        QTimer.singleShot(0, self._show_results)
        self.run_panel.message.tell(f"Added '{layers[-1].name}' and what was removed.")

    def _show_results(self) -> None:
        self.bring_into_view(self.results)

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _chose(self, layer: Layer | None) -> bool:
        self.mask.layer_choice.refresh()
        return True

    def _changed_task(self) -> None:
        self.mask.setVisible(self.form.task() == "inpaint")

    def _follow(self, colours: ThemeColours) -> None:
        self.results.follow(colours)

    def _open_batch(self, recipe: Path) -> None:
        place, batch = self.viewer.window.add_plugin_dock_widget("hsi-app", "Batch", tabify=True)
        place.show()
        place.raise_()
        batch.take_up(recipe)

    def _draw_region(self) -> None:
        region_layer(self.viewer)
        self.run_panel.message.tell("Drag a rectangle on the image, then press Preview.")
