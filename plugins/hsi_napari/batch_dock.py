"""The Batch dock: choose a recipe and scenes, see what it will take, run in another process, open what came out."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QSplitter, QVBoxLayout, QWidget

from hsi_app.device import format_bytes
from hsi_app.errors import HsiError
from hsi_napari import lineage, readout
from hsi_napari.batch_foot import BatchFoot
from hsi_napari.batch_form import BatchForm
from hsi_napari.batch_process import BatchProcess
from hsi_napari.batch_request import Request, in_dock_words
from hsi_napari.batch_results import BatchResults
from hsi_napari.batch_scenes import left, span
from hsi_napari.links import Dock
from hsi_napari.placing import LayerData
from hsi_napari.sections import GAP, MARGIN, Scrolled, fill
from hsi_napari.theme import theme_colours
from hsi_napari.worker import TaskWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

SOME_FAILED = 3
# Of the height above the buttons, once there are scenes to watch.
FORM_SHARE = 0.4


class BatchDock(Dock):
    """Restores many scenes with one recipe in another process; the window only watches."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self._process: BatchProcess | None = None
        self._began = 0.0
        self._is_arranged = False
        self.form = BatchForm(self)
        self.results = BatchResults(self)
        self.foot = BatchFoot(self)
        self._lay_out()
        self.setAcceptDrops(True)
        self.foot.dry_run_wanted.connect(self.dry_run)
        self.foot.run_wanted.connect(self.run)
        self.foot.stop_wanted.connect(self.stop)
        self.form.changed.connect(self._changed_form)
        self.results.open_wanted.connect(self.open_result)
        self.links.connect(self.viewer.events.theme, self._recolour)
        self.links.finally_(self._abandon)
        readout.attach(self.viewer)
        self._recolour()
        self._changed_form()

    # ---- what a person does -------------------------------------------------------------------------------------

    def dry_run(self) -> None:
        """Show what would be done and what it takes."""
        self._start(is_dry=True)

    def run(self) -> None:
        """Restore all scenes."""
        self._start(is_dry=False)

    def stop(self) -> None:
        """Ask the batch to stop; a second time, end it at once."""
        if self._process is not None and self.foot.is_running:
            self._process.stop()
            self.foot.stopping(is_hard=self._process.stops > 1)

    def open_result(self, row: int) -> None:
        """Add a scene's result as a layer."""
        scene = self.results.model.scene(row)
        if scene is None:
            return
        if not scene.has_result:
            self.foot.message.fail(f"'{scene.name}' has no result yet.")
            return
        path, source = self.results.model.folder / scene.out, scene.source
        worker = TaskWorker(lambda: (_opened(path), source))
        worker.returned.connect(self._add)
        worker.errored.connect(self._not_opened)
        worker.start()

    def take_up(self, recipe: Path) -> None:
        """Fill in a recipe that was made elsewhere."""
        self.form.put_recipe(str(recipe))
        self.foot.message.tell("Now add the scenes and press 'Dry run' or 'Run'.")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Takes files and folders, but not while a batch runs."""
        if event.mimeData().hasUrls() and not self.foot.is_running:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Adds what was dropped; a folder on the field for results is where these go."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        field = self.form.folder
        if len(paths) == 1 and field.rect().contains(field.mapFrom(self, event.position().toPoint())):
            self.form.put_folder(paths[0])
        else:
            self.form.inputs.add(paths)
        event.acceptProposedAction()

    # ---- the run ------------------------------------------------------------------------------------------------

    def _start(self, *, is_dry: bool) -> None:
        if self.foot.is_running:
            return
        request = self.form.request()
        try:
            request.check()
            process = BatchProcess(request, is_dry=is_dry)
        except (HsiError, OSError) as error:
            self.foot.message.fail(in_dock_words(one_line(error)))
            return
        self._process, self._began = process, time.monotonic()
        self._clear(request)
        process.told.connect(self._told)
        process.ended.connect(self._ended)
        self.form.setEnabled(False)
        self._give_room()
        self.foot.begin("trying a small piece" if is_dry else "looking at the scenes")
        process.start()

    def _clear(self, request: Request) -> None:
        self.results.outlook.say("")
        self.results.model.begin((), Path(request.folder).expanduser().absolute())
        self.results.refresh()

    def _told(self, entries: list[dict[str, Any]]) -> None:
        model = self.results.model
        for entry in entries:
            if entry.get("event") == "plan":
                model.begin(entry.get("scenes") or (), model.folder)
            elif entry.get("level") == "info" and self._process is not None and not self._process.has_plan:
                self.foot.stage.say(str(entry.get("message", "")))
        told = model.apply([entry for entry in entries if entry.get("level") == "event"])
        for row in [row for row, what in told if what == "started"][-1:]:
            self.results.table.watch(row)
        if told:
            self.results.refresh()
        if model.scenes.rows and self._process is not None and not self._process.stops:
            words = (model.scenes.tally(), left(model.scenes.left_s(time.monotonic())))
            self.foot.watch(model.scenes.fraction, " · ".join(part for part in words if part))

    def _ended(self, code: int, words: str) -> None:
        process = self._process
        assert process is not None
        self.form.setEnabled(True)
        self.foot.end()
        self.results.model.settle()
        self.results.look_for_page()
        if process.is_dry:
            self._show_plan(process, code, words)
        else:
            self._tell_end(code, words, is_stopped=bool(process.stops))
        if self.results.chosen() is None:
            self.results.choose_failed()
        self.results.refresh()

    def _show_plan(self, process: BatchProcess, code: int, words: str) -> None:
        if process.stops:
            self.foot.message.tell("Stopped; nothing was written.")
            return
        try:
            plan = json.loads(process.output) if code == 0 else None
        except ValueError:
            plan = None
        if not isinstance(plan, dict):
            self.foot.message.fail(in_dock_words(words) or "the dry run ended without a word; try it again.")
            return
        self.results.model.begin(plan.get("scenes") or (), self.results.model.folder)
        self.results.outlook.say(outlook(plan))
        self.foot.message.tell("Dry run: nothing was written. 'Run' does it.")

    def _tell_end(self, code: int, words: str, *, is_stopped: bool) -> None:
        scenes, message = self.results.model.scenes, self.foot.message
        took = span(time.monotonic() - self._began)
        if is_stopped and code not in (0, SOME_FAILED):
            kept = f"{scenes.tally()}. " if scenes.rows else ""
            message.tell(f"Stopped: {kept}'Run' goes on from there." if kept else "Stopped before it began.")
        elif code == SOME_FAILED:
            message.fail(f"{scenes.tally()}, in {took}. The list and the report say why.")
        elif code == 0 and scenes.rows and scenes.counts["same"] == len(scenes.rows):
            message.tell(f"Nothing to do: all {len(scenes.rows)} results are there.")
        elif code == 0:
            message.tell(f"{scenes.tally()}, in {took}.")
        else:
            message.fail(in_dock_words(words) or "the batch ended without a word; 'Run' goes on from there.")

    def _abandon(self) -> None:
        # The dock is gone: the batch stops in order, and nobody waits for it.
        if self._process is not None:
            # At the very end of the program Qt may have taken it down already.
            with suppress(RuntimeError):
                self._process.leave()

    # ---- results ------------------------------------------------------------------------------------------------

    def _not_opened(self, error: Exception) -> None:
        self.foot.message.fail(one_line(error))

    def _add(self, found: tuple[LayerData, str]) -> None:
        from napari.layers import Layer

        (values, options, kind), source = found
        before = self._layer_of(source)
        if before is not None:
            # The eye compares: as bright as what it was made from.
            options = {**options, "contrast_limits": tuple(before.contrast_limits), "colormap": before.colormap}
        step, is_first = self.viewer.dims.current_step, not self.viewer.layers
        layer = self.viewer.add_layer(Layer.create(values, options, kind))
        if not is_first:
            self.viewer.dims.current_step = step
        if before is not None:
            lineage.remember(layer, before)
        self.foot.message.tell(f"Added '{layer.name}'.")

    def _layer_of(self, source: str) -> Layer | None:
        from hsi_napari.facts import FACTS

        for layer in self.viewer.layers:
            found = (layer.metadata.get(FACTS) or {}).get("source")
            if found and Path(found).absolute() == Path(source).absolute():
                return layer
        return None

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _changed_form(self) -> None:
        if not self.foot.is_running and not self.results.model.scenes.rows:
            folder = self.form.folder.text().strip()
            self.results.model.folder = Path(folder).expanduser().absolute() if folder else Path()
            self.results.look_for_page()

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        for part in (self.form, self.results, self.foot):
            part.follow(colours)

    def _moved_by_hand(self) -> None:
        self._is_arranged = True

    def _give_room(self) -> None:
        """From the first run on the scenes count more than what was asked, unless a person decided otherwise."""
        if not self._is_arranged:
            self._is_arranged = True
            height = self._parts.height()
            self._parts.setSizes([round(FORM_SHARE * height), round((1 - FORM_SHARE) * height)])

    # ---- building -----------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        upper = _Column(_within(self.form, stretch=True))
        self._parts = parts = QSplitter(Qt.Orientation.Vertical)
        parts.splitterMoved.connect(self._moved_by_hand)
        parts.setChildrenCollapsible(False)
        for place, part in enumerate((upper, _within(self.results))):
            parts.addWidget(part)
            parts.setStretchFactor(place, place)
        fill(self, parts, _within(self.foot), least_px=380)


class _Column(Scrolled):
    def sizeHint(self) -> QSize:
        """As high as what is in it and some notes, where there is room; Qt's own guess is a few lines."""
        return self.widget().sizeHint() + QSize(0, 3 * self.fontMetrics().height())


def _within(part: QWidget, *, stretch: bool = False) -> QWidget:
    holder = QWidget()
    column = QVBoxLayout(holder)
    column.setContentsMargins(MARGIN, GAP, MARGIN, MARGIN)
    column.addWidget(part)
    if stretch:
        column.addStretch(1)
    return holder


def _opened(path: Path) -> LayerData:
    """In a thread: where the values of a large file are sampled for the contrast, that takes a while."""
    from hsi_app.io import open_cube
    from hsi_napari.layers import cube_to_layer

    cube = open_cube(str(path))
    return cube_to_layer(cube, f"{cube.name} · restored")


def outlook(plan: dict[str, Any]) -> str:
    """The outcome of a dry run in a few lines."""
    states = [scene.get("state") for scene in plan.get("scenes") or ()]
    counts = ((states.count("to do") + states.count("check"), "to do"), (states.count("done"), "as before"),
              (states.count("failed"), "cannot be done"))  # fmt: skip
    seconds = plan.get("seconds")
    needs = (
        "Time unknown" if seconds is None else f"About {span(seconds)}" if seconds >= 1 else "A moment",
        f"up to {format_bytes(plan.get('peak_bytes') or 0)} of memory",
        f"{format_bytes(plan.get('bytes_out') or 0)} of disk",
    )  # fmt: skip
    return "\n".join((
        ", ".join(f"{count} {what}" for count, what in counts if count), " · ".join(needs),
        f"Biggest risk: {in_dock_words(str(plan.get('risk', '')))}",
    ))  # fmt: skip
