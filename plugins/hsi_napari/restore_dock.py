"""The Restore dock: what is wrong, task and method, options, preview, compare settings, run, look, score, save."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from hsi_app.errors import HsiError
from hsi_app.forecast import PIECE_PX, run_kind
from hsi_app.recipe import Recipe, step_settings
from hsi_app.tiling import Window
from hsi_napari import lineage
from hsi_napari.forming import Forming
from hsi_napari.ground import ground_of
from hsi_napari.layers import cube_of, result_layers
from hsi_napari.mask_panel import MaskPanel
from hsi_napari.method_dock import MethodDock
from hsi_napari.preview_layers import PreviewLayers
from hsi_napari.proposal_card import ProposalCard
from hsi_napari.proposal_forecast import ForecastWatch
from hsi_napari.proposal_model import recipe_of
from hsi_napari.region import region_layer, region_of
from hsi_napari.result_group import ResultGroup
from hsi_napari.result_panel import ResultPanel
from hsi_napari.sections import rule
from hsi_napari.sweep_model import words
from hsi_napari.sweep_panel import SweepPanel, SweepRequest, Tried
from hsi_napari.worker import Restored, restoring

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.jobs import Job, Progress
    from hsi_app.runner import Settings
    from hsi_napari.proposal_model import Proposal
    from hsi_napari.queue_model import Order
    from hsi_napari.theme import ThemeColours


class RestoreDock(MethodDock):
    """Restores the chosen cube in a thread and adds what it gives as layers."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer, "restore")
        self._forming: Forming | None = None
        self._previews = PreviewLayers(self.viewer, self.links, self.add)
        self.mask = MaskPanel(self.viewer, self.links, self.cube_choice.layer, self)
        self.proposal = ProposalCard(self)
        self.sweep = SweepPanel(self.viewer, self.links, self.form, self)
        self.results = ResultPanel(self.viewer, self.links, self)
        self.forecasts = ForecastWatch(self.queue.pace, self)
        self.lay_out((self.proposal, rule(), self.form, self.mask, self.sweep, rule(), self.results))
        self.form.task_changed.connect(self._changed_task)
        self.form.changed.connect(self._forecast)
        self.run_panel.region_wanted.connect(self._draw_region)
        self.run_panel.preview_wanted.connect(self.preview)
        self.forecasts.told.connect(self.run_panel.forecast.say)
        self.proposal.measure_wanted.connect(self.find_faults)
        self.proposal.proposed.connect(self._learn)
        self.proposal.used.connect(self._use)
        self.proposal.preview_wanted.connect(self._preview_proposal)
        self.proposal.run_wanted.connect(self.run_proposal)
        self.sweep.wanted.connect(self.compare_settings)
        self.sweep.taken.connect(self._take_value)
        self.sweep.layer_wanted.connect(self._add_trial)
        for part in (self.results, self.sweep):
            part.told.connect(self.run_panel.message.tell)
        for part in (self.results, self.sweep, self.proposal):
            part.failed.connect(self.run_panel.message.fail)
        self.results.batch_wanted.connect(self._open_batch)
        for part in (self.proposal, self.sweep, self.results, self.forecasts):
            self.links.finally_(part.leave)
        self._changed_task()
        self.wire()

    # ---- what a person does -------------------------------------------------------------------------------------

    def find_faults(self) -> None:
        """Measure what is wrong with the chosen cube and propose what to do."""
        layer = self.cube_choice.layer()
        if layer is not None:
            self._tries(lambda: self.proposal.measure(layer, self.form.chosen()[2], has_mask=self.mask.is_chosen))

    def preview(self) -> None:
        """Restore the drawn region or the visible part."""
        asked = self._asked()
        if asked is not None:
            self._preview(*asked)

    def run(self) -> None:
        """Restore the whole cube, or queue that."""
        asked = self._asked()
        if asked is not None:
            self._order_run(*asked)

    def run_proposal(self) -> None:
        """Run all steps of the proposal on the whole cube."""
        asked = self._asked(self.proposal.recipe())
        if asked is not None:
            self._order_run(*asked)

    def compare_settings(self, request: SweepRequest) -> None:
        """Try several values of an option on the region."""
        asked = self._asked()
        if asked is not None:
            layer, recipe, settings, mask = asked
            window, _ = region_of(self.viewer, layer)
            self._tries(lambda: self.sweep.begin(layer, recipe, settings, mask, window, request))

    # ---- the run ------------------------------------------------------------------------------------------------

    def _tries(self, call: Any) -> None:
        try:
            call()
        except HsiError as error:
            self.run_panel.message.fail(str(error))

    def _asked(self, proposed: Recipe | None = None) -> tuple[Layer, Recipe, Settings, Any] | None:
        """Layer, recipe (what the form shows, or a proposed one), settings and mask; None, and why is told, else."""
        layer = self.cube_choice.layer()
        if layer is None:
            return None
        try:
            method, options, settings = self.form.chosen()
            cube = cube_of(layer)
            recipe = recipe_of(method, options, settings) if proposed is None else proposed
            if proposed is not None:
                # Of the form only device and memory count for it.
                settings = step_settings(
                    recipe, recipe.steps[0], device=settings.device, memory=settings.memory, seed=recipe.seed
                )
            fills = any(step.task == "inpaint" for step in recipe.steps)
            return layer, recipe, settings, self.mask.observed(cube.shape) if fills else None
        except HsiError as error:
            self.run_panel.message.fail(str(error))
            return None

    def _order_run(self, layer: Layer, recipe: Recipe, settings: Settings, mask: Any) -> None:
        title = ", ".join(f"{step.task} with {step.method}" for step in recipe.steps)
        work = self._work(layer, recipe, settings, mask, None)
        self.enqueue(layer, title, "starting", work, settings.seed)

    def _preview(self, layer: Layer, recipe: Recipe, settings: Settings, mask: Any) -> None:
        window, origin = region_of(self.viewer, layer)
        what = f"preview of the {origin}, {window.height} × {window.width} px"
        work = self._work(layer, recipe, settings, mask, window)
        offset = (window.row, window.col)
        self.enqueue(layer, "preview", what, work, settings.seed, offset=offset, is_short=True)

    def _work(self, layer: Layer, recipe: Recipe, settings: Settings, mask: Any, window: Window | None) -> Any:
        restore = restoring(cube_of(layer), recipe, settings, ground_of(layer), mask, window)
        kind = run_kind(recipe, settings.device)

        def work(job: Job) -> tuple[str, Restored]:
            return kind, restore(job)

        return work

    def _begin(self, order: Order) -> None:
        self._forming = Forming(self.viewer, order.ground, order.offset)
        super()._begin(order)

    def _progressed(self, progress: Progress) -> None:
        super()._progressed(progress)
        if self._forming is not None and self.run_panel.is_running:
            self._forming.show(progress)

    def _finish(self) -> Order | None:
        self._end_forming()
        return super()._finish()

    def _end_forming(self) -> None:
        if self._forming is not None:
            self._forming.end()
            self._forming = None

    def _take_in(self, found: tuple[str, Restored], source: Layer) -> Iterator[None]:
        kind, made = found
        self._end_forming()
        self.queue.pace.note(kind, made.samples, made.seconds)
        self._forecast()
        if made.window is not None:
            beside = self.run_panel.beside.isChecked()
            for layer in self._previews.show(made, source, made.window, beside=beside):
                lineage.remember(layer, source)
                yield
            self.select_again(source)
            size = f"{made.window.height} × {made.window.width} px at row {made.window.row}, col {made.window.col}"
            self.run_panel.message.tell(f"Preview of {size} in {made.seconds:.1f} s. 'Run' does the whole cube.")
        else:
            yield from self._add_result(made, source)

    def _add_result(self, made: Restored, source: Layer) -> Iterator[None]:
        layers = []
        for data in made.layers:
            layers.append(self.add(data))
            yield
        lineage.remember(layers[-1], source)
        self._previews.hide(source.name)
        self.select_again(source)
        yield
        names = [*made.result.extras, "removed", "restored"]
        group = ResultGroup(self.viewer, dict(zip(names, layers, strict=True)), source)
        self.results.present(made.result, group)
        # After the layout has made room for it.
        QTimer.singleShot(0, self._show_results)
        gone = (
            "" if source in self.viewer.layers else f" '{source.name}' was removed meanwhile; it lies where that was."
        )
        self.run_panel.message.tell(f"Added '{layers[-1].name}' and what was removed.{gone}")

    def _show_results(self) -> None:
        self.bring_into_view(self.results)

    # ---- proposal, trials, forecast -----------------------------------------------------------------------------

    def _use(self, step: int) -> None:
        recipe = self.proposal.recipe()
        if recipe is not None:
            self._tries(lambda: self.form.take_up(recipe, step))

    def _preview_proposal(self) -> None:
        asked = self._asked(self.proposal.recipe())
        if asked is not None:
            self._preview(*asked)

    def _learn(self, proposal: Proposal) -> None:
        """The piece that was timed tells how long a run of the same steps takes."""
        layer = self.cube_choice.layer()
        self.proposal.look_at(layer)
        if proposal.rate is None or layer is None:
            return
        bands, height, width = layer.data.shape
        samples = bands * min(height, PIECE_PX) * min(width, PIECE_PX)
        self.queue.pace.note(run_kind(proposal.recipe, proposal.device), samples, samples * proposal.rate)
        self._forecast()

    def _forecast(self) -> None:
        """Say what a run would take, a moment later."""
        layer = self.cube_choice.layer()
        if layer is None:
            self.forecasts.forget()
            return
        try:
            method, options, settings = self.form.chosen()
            self.forecasts.ask(cube_of(layer), recipe_of(method, options, settings), settings)
        except HsiError:
            # The run says what is wrong with an entry.
            self.forecasts.forget()

    def _take_value(self, name: str, value: Any) -> None:
        for form in self.form.options():
            if form.has(name):
                form.put({name: value})

    def _add_trial(self, tried: Tried) -> None:
        trial, window = tried.trial, tried.window
        assert trial.result is not None, "only what worked can be added"
        name = f"{tried.ground.name} · {tried.option.replace('_', ' ')} {words(trial.value)}"
        offset = (window.row, window.col)
        data, options, kind = result_layers(trial.result, tried.ground, offset, name=name)[-1]
        chosen = self.viewer.layers.selection.active
        self.add((data, {**options, "name": name}, kind))
        self.viewer.layers.selection.active = chosen
        self.run_panel.message.tell(f"Added '{name}'.")

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _chose(self, layer: Layer | None) -> bool:
        self.mask.layer_choice.refresh()
        self.proposal.look_at(layer)
        self.proposal.ask.setEnabled(layer is not None)
        self._forecast()
        return True

    def _changed_task(self) -> None:
        self.mask.setVisible(self.form.task() == "inpaint")

    def _follow(self, colours: ThemeColours) -> None:
        for part in (self.proposal, self.sweep, self.results):
            part.follow(colours)

    def _open_batch(self, recipe: Path) -> None:
        place, batch = self.viewer.window.add_plugin_dock_widget("hsi-app", "Batch", tabify=True)
        place.show()
        place.raise_()
        batch.take_up(recipe)

    def _draw_region(self) -> None:
        region_layer(self.viewer)
        self.run_panel.message.tell("Drag a rectangle on the image, then press Preview.")
