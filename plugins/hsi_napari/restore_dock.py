"""The Restore dock: choose a cube and a task, set the method's options, preview, run, compare, save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, HsiError
from hsi_app.jobs import Progress
from hsi_app.tiling import Window
from hsi_napari import lineage, readout
from hsi_napari.colour_button import ColourButton
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import cube_of, is_cube, result_layers
from hsi_napari.links import Dock
from hsi_napari.mask_panel import MaskPanel
from hsi_napari.method_form import MethodForm
from hsi_napari.region import region_layer, region_of
from hsi_napari.result_panel import ResultPanel
from hsi_napari.run_panel import RunPanel
from hsi_napari.sections import GAP, MARGIN, Heading, Note, rule
from hsi_napari.theme import theme_colours
from hsi_napari.worker import RestoreWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.runner import Result


class RestoreDock(Dock):
    """Restores the chosen cube in a thread and adds what it gives as layers."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self._worker: RestoreWorker | None = None
        self._source: Layer | None = None
        self._window: Window | None = None
        self.cube_choice = LayerChoice(self.viewer, self.links, is_cube, self, follows=True)
        self.colour = ColourButton(self.viewer, self.cube_choice.layer, self)
        self.facts = Note()
        self.form = MethodForm(self)
        self.mask = MaskPanel(self.viewer, self.links, self.cube_choice.layer, self)
        self.run_panel = RunPanel(self)
        self.results = ResultPanel(self)
        self._lay_out()
        self._wire()
        readout.attach(self.viewer)
        self._recolour()
        self._changed_cube()

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

    def cancel(self) -> None:
        """Ask the run to stop."""
        if self._worker is not None:
            self.run_panel.stopping()
            self._worker.quit()

    # ---- the run ------------------------------------------------------------------------------------------------

    def _start(self, layer: Layer, window: Window | None, what: str) -> None:
        if self._worker is not None:
            return
        try:
            cube = cube_of(layer)
            method, options, settings = self.form.chosen()
            mask = self.mask.observed(cube.shape) if self.form.task() == "inpaint" else None
            worker = RestoreWorker(cube, method, options, settings, mask, window)
        except HsiError as error:
            self.run_panel.message.fail(str(error))
            return
        self._worker, self._source, self._window = worker, layer, window
        worker.progressed.connect(self._progressed)
        worker.returned.connect(self._returned)
        worker.errored.connect(self._errored)
        self.run_panel.begin(what)
        worker.start()

    def _progressed(self, progress: Progress) -> None:
        self.run_panel.watch(progress)

    def _returned(self, result: Result) -> None:
        source = self._finish()
        if self._window is not None:
            self._add_preview(result, source, self._window)
        else:
            self._add_result(result, source)

    def _errored(self, error: Exception) -> None:
        self._finish()
        if isinstance(error, Cancelled):
            self.run_panel.message.tell("Cancelled; nothing was changed.")
        else:
            self.run_panel.message.fail(one_line(error))

    def _finish(self) -> Layer:
        source, self._worker, self._source = self._source, None, None
        assert source is not None
        self.run_panel.end()
        return source

    def _add_preview(self, result: Result, source: Layer, window: Window) -> None:
        name = f"{source.name} · preview"
        for old in [layer for layer in self.viewer.layers if layer.name == name]:
            self.viewer.layers.remove(old)
        data, options, kind = result_layers(result, source, (window.row, window.col))[-1]
        layer = self._add((data, {**options, "name": name}, kind))
        layer.bounding_box.visible = True
        layer.bounding_box.points = False
        layer.bounding_box.line_color = "#e8871e"
        lineage.remember(layer, source)
        self._select_again(source)
        size = f"{window.height} × {window.width} px at row {window.row}, col {window.col}"
        self.run_panel.message.tell(
            f"Preview of {size} in {result.record['seconds']:.1f} s. 'Run' does the whole cube."
        )

    def _add_result(self, result: Result, source: Layer) -> None:
        layers = [self._add(data) for data in result_layers(result, source, name=source.name)]
        lineage.remember(layers[-1], source)
        for layer in [layer for layer in self.viewer.layers if layer.name == f"{source.name} · preview"]:
            layer.visible = False
        self._select_again(source)
        self.results.present(result, layers[-1])
        # After the layout has made room for it.
        QTimer.singleShot(0, self._show_results)
        self.run_panel.message.tell(f"Added '{layers[-1].name}' and what was removed.")

    def _show_results(self) -> None:
        self._scroll.ensureWidgetVisible(self.results, 0, 0)

    def _add(self, data: Any) -> Layer:
        from napari.layers import Layer

        # A new layer may not move the band slider or the view: the eye compares what stays in place.
        step = self.viewer.dims.current_step
        layer = self.viewer.add_layer(Layer.create(*data))
        self.viewer.dims.current_step = step
        return layer

    def _select_again(self, source: Layer) -> None:
        """Keep the observed cube as the one to work on, unless it was removed meanwhile."""
        if source in self.viewer.layers:
            self.viewer.layers.selection.active = source

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _changed_cube(self) -> None:
        layer = self.cube_choice.layer()
        self.mask.layer_choice.refresh()
        self.run_panel.allow(False)
        self.colour.setEnabled(layer is not None)
        if layer is None:
            self.facts.say("Open a hyperspectral cube, or one of File ▸ Open Sample ▸ Hyperspectral.")
            return
        try:
            self.facts.say(facts_line(cube_of(layer)))
        except HsiError as error:
            self.facts.say(str(error))
            return
        self.run_panel.allow(True)

    def _changed_task(self) -> None:
        self.mask.setVisible(self.form.task() == "inpaint")

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        self.facts.paint(colours.muted)
        self.form.follow(colours)
        self.run_panel.follow(colours)
        self.results.follow(colours)

    # ---- building -----------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        body = QWidget()
        rows = QVBoxLayout(body)
        rows.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        rows.setSpacing(GAP)
        choice = QHBoxLayout()
        choice.setSpacing(6)
        choice.addWidget(self.cube_choice, 1)
        choice.addWidget(self.colour)
        rows.addWidget(Heading("Cube"))
        rows.addLayout(choice)
        for widget in (self.facts, rule(), self.form, self.mask, rule(), self.results):
            rows.addWidget(widget)
        rows.addStretch(1)
        self._scroll = scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(body)
        foot = QWidget()
        column = QVBoxLayout(foot)
        column.setContentsMargins(MARGIN, GAP, MARGIN, MARGIN)
        column.addWidget(self.run_panel)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(scroll, 1)
        whole.addWidget(rule())
        whole.addWidget(foot)
        self.setMinimumWidth(360)

    def _wire(self) -> None:
        self.colour.failed.connect(self.run_panel.message.fail)
        self.cube_choice.chosen.connect(self._changed_cube)
        self.form.task_changed.connect(self._changed_task)
        self.run_panel.region_wanted.connect(self._draw_region)
        self.run_panel.preview_wanted.connect(self.preview)
        self.run_panel.run_wanted.connect(self.run)
        self.run_panel.cancel_wanted.connect(self.cancel)
        self.results.told.connect(self.run_panel.message.tell)
        self.results.failed.connect(self.run_panel.message.fail)
        self.links.connect(self.viewer.events.theme, self._recolour)
        self.links.finally_(self._abandon)
        self._changed_task()

    def _draw_region(self) -> None:
        region_layer(self.viewer)
        self.run_panel.message.tell("Drag a rectangle on the image, then press Preview.")

    def _abandon(self) -> None:
        # The dock is gone: nobody waits for the result any more.
        if self._worker is not None:
            self._worker.quit()


def facts_line(cube: Cube) -> str:
    """'90 bands, 405-2436 nm, 7 bad · 96 × 80 px · int16 · EPSG:32633'."""
    bands, height, width = cube.shape
    spectral = f"{bands} bands"
    if cube.axis.centres_nm is not None:
        spectral += f", {cube.axis.centres_nm.min():.0f}–{cube.axis.centres_nm.max():.0f} nm"
    if cube.axis.is_bad.any():
        spectral += f", {int(cube.axis.is_bad.sum())} bad"
    parts = [spectral, f"{height} × {width} px", str(cube.dtype)]
    if cube.georef is not None:
        parts.append(cube.georef.crs_name())
    return " · ".join(parts)
