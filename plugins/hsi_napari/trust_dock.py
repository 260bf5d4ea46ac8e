"""The Trust dock: what a restoration removed, which bands are still noisy, whether a target is still found."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, HsiError
from hsi_app.jobs import Job, Progress
from hsi_napari import lineage
from hsi_napari.exports import with_extension
from hsi_napari.ground import ground_of
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import is_cube
from hsi_napari.links import Dock
from hsi_napari.placing import LayerData
from hsi_napari.sections import GAP, MARGIN, Message, Note, Scrolled, column_of, fill, rule
from hsi_napari.settings import suggested
from hsi_napari.theme import main_button_style, theme_colours
from hsi_napari.trust_layers import MakeTarget, cubes_of, may_follow, target_layers
from hsi_napari.trust_plot import REMOVED, SNR, STRIPES, TrustPlot
from hsi_napari.trust_table import TrustTable
from hsi_napari.trust_target import TargetSection
from hsi_napari.worker import JobWorker, TaskWorker, one_line, time_left

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.trust.assessment import Assessment
    from hsi_app.trust.targets import Detector

_STEPS = 1000


def checking(
    before: Cube, after: Cube | None, make: MakeTarget | None, detector: Detector
) -> Callable[[Job], Assessment]:
    """What a worker does to judge a cube or a pair."""

    def run(job: Job) -> Assessment:
        from hsi_app.trust.assessment import assess

        return assess(before, after, None if make is None else make(before), detector=detector, job=job)

    return run


class TrustDock(Dock):
    """Judges a cube, or one before and after, without a reference."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.found: Assessment | None = None
        self._worker: JobWorker | None = None
        self._judged: weakref.ref[Layer] | None = None
        self._ground: Layer | None = None
        self._made: list[weakref.ref[Layer]] = []
        self.before_choice = LayerChoice(self.viewer, self.links, is_cube, self, follows=True)
        self.after_choice = LayerChoice(
            self.viewer, self.links, lambda layer: may_follow(layer, self.before_choice.layer()), self,
            nothing="nothing: judge one cube",
        )  # fmt: skip
        self.target = TargetSection(self.viewer, self.links, self.before_choice.layer, self)
        self.check_button, self.cancel_button = QPushButton("Check"), QPushButton("Cancel")
        self.report_button = QPushButton("Report…")
        self.bar, self.stage, self.message = QProgressBar(), Note(), Message()
        self.results = QWidget()
        self.chart_choice, self.plot, self.table = QComboBox(), TrustPlot(), TrustTable()
        self.hint = Note("Signal to noise in dB, noisiest band first. Click a row to see the band.")
        self._verdicts = QVBoxLayout()
        self._lay_out()
        self._wire()
        self._recolour()
        self._changed_before()

    # ---- what a person does -------------------------------------------------------------------------------------

    def check(self) -> None:
        """Judge the chosen cubes in a thread."""
        before, after = self.before_choice.layer(), self.after_choice.layer()
        if before is None or self._worker is not None:
            return
        self.message.say("")
        try:
            make = self.target.target(before)
            first, second = cubes_of(before, after)
        except HsiError as error:
            self.message.fail(str(error))
            return
        self._judged, self._ground = weakref.ref(before), ground_of(before)
        self._worker = JobWorker(checking(first, second, make, self.target.how()))
        self._worker.progressed.connect(self._progressed)
        self._worker.returned.connect(self._returned)
        self._worker.errored.connect(self._errored)
        self._show_running(True)
        self._worker.start()

    def cancel(self) -> None:
        """Ask the check to stop."""
        if self._worker is not None:
            self.cancel_button.setEnabled(False)
            self._worker.quit()

    def save_report(self, path: Path) -> None:
        """Write the page and its figures in a thread; what happened is told in the dock."""
        found = self.found
        if found is None:
            return

        def write() -> Path:
            from hsi_app.report.qa import write_qa_report

            return write_qa_report(found, path, overwrite=True)[0]

        self.report_button.setEnabled(False)
        worker = TaskWorker(write)
        worker.returned.connect(self._saved)
        worker.errored.connect(self._not_saved)
        worker.start()

    def go_to(self, band: int) -> None:
        """Show a band of the cube that was judged."""
        layer = None if self._judged is None else self._judged()
        if layer is not None and layer in self.viewer.layers:
            for made in (held() for held in self._made):
                if made is not None and made.ndim == 2 and made.name.endswith(("target before", "target after")):
                    made.visible = False  # or it would hide the band
            place = layer.data_to_world((band, 0, 0))[0]
            self.viewer.dims.set_point(self.viewer.dims.ndim - layer.ndim, place)

    @property
    def is_running(self) -> bool:
        """True while a check goes on."""
        return self._worker is not None

    # ---- the check ----------------------------------------------------------------------------------------------

    def _progressed(self, progress: Progress) -> None:
        if self._worker is not None:
            self.bar.setValue(round(progress.fraction * _STEPS))
            self.stage.say(" · ".join(part for part in (progress.message, time_left(progress)) if part))

    def _returned(self, found: Assessment) -> None:
        if self._worker is None:
            return  # the dock was closed meanwhile
        self._worker, self.found = None, found
        self._show_running(False)
        self._show_results()
        layer = None if self._judged is None else self._judged()
        if found.target is not None and layer is not None and layer in self.viewer.layers and self._ground is not None:
            self._replace_layers(target_layers(found.target, self._ground, layer.name))
        for note in found.notes():
            self.message.tell(f"Note: {note}")

    def _errored(self, error: Exception) -> None:
        if self._worker is None:
            return
        self._worker = None
        self._show_running(False)
        if isinstance(error, Cancelled):
            self.message.tell("Cancelled.")
        else:
            self.message.fail(one_line(error))

    def _abandon(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.quit()

    def _saved(self, path: object) -> None:
        self.report_button.setEnabled(True)
        self.message.tell(f"Saved {path}")

    def _not_saved(self, error: Exception) -> None:
        self.report_button.setEnabled(True)
        self.message.fail(one_line(error))

    def _replace_layers(self, made: list[LayerData]) -> None:
        """Put the maps of this check in the place of those of the last one; slider and choice stay as they are."""
        from napari.layers import Layer

        for held in self._made:
            old = held()
            if old is not None and old in self.viewer.layers:
                self.viewer.layers.remove(old)
        step, chosen = self.viewer.dims.current_step, self.viewer.layers.selection.active
        self._made = [weakref.ref(self.viewer.add_layer(Layer.create(*data))) for data in made]
        self.viewer.dims.current_step = step
        self.viewer.layers.selection.active = chosen

    # ---- showing ------------------------------------------------------------------------------------------------

    def _show_results(self) -> None:
        found = self.found
        assert found is not None, "shown after a check"
        charts = [REMOVED, SNR, STRIPES] if found.removed is not None else [SNR, STRIPES]
        chosen = self.chart_choice.currentText()
        self.chart_choice.blockSignals(True)
        self.chart_choice.clear()
        self.chart_choice.addItems(charts)
        self.chart_choice.setCurrentText(chosen if chosen in charts else charts[0])
        self.chart_choice.blockSignals(False)
        self._show_verdicts()
        self._show_chart()
        self.table.show_bands(found)
        self.results.setVisible(True)

    def _show_verdicts(self) -> None:
        while self._verdicts.count():
            widget = self._verdicts.takeAt(0).widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        colours = theme_colours(self.viewer.theme)
        for words, is_good in [] if self.found is None else self.found.verdicts():
            note = Note(words)
            edge = colours.muted if is_good is None else colours.accent if is_good else colours.warning
            note.setStyleSheet(f"color: {colours.text}; border-left: 3px solid {edge}; padding: 2px 0 2px 8px;")
            self._verdicts.addWidget(note)

    def _show_chart(self, *_: Any) -> None:
        if self.found is not None:
            self.plot.show_chart(self.found, self.chart_choice.currentText())
            self._mark_band()

    def _mark_band(self, event: Any = None) -> None:
        layer = None if self._judged is None else self._judged()
        if self.found is not None and layer is not None and layer in self.viewer.layers:
            dims = self.viewer.dims
            point = layer.world_to_data(dims.point[dims.ndim - layer.ndim :])
            self.plot.mark(round(float(point[0])))

    def _show_running(self, is_running: bool) -> None:
        for widget in (self.bar, self.cancel_button):
            widget.setVisible(is_running)
        self.bar.setValue(0)
        self.stage.say("")
        self.cancel_button.setEnabled(True)
        self.check_button.setEnabled(not is_running and self.before_choice.layer() is not None)
        self.report_button.setEnabled(not is_running and self.found is not None)

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _changed_before(self) -> None:
        layer = self.before_choice.layer()
        source = None if layer is None else lineage.source_of(layer)
        if source is not None and source in self.viewer.layers and may_follow(layer, source):
            # The restored cube was clicked: it is judged against what it was made from.
            self.before_choice.choose(source)
            self.after_choice.refresh()
            self.after_choice.choose(layer)
            return
        self.after_choice.refresh()
        self._prefer_newest()
        self.target.refresh()
        if not self.is_running:
            self._show_running(False)
        if layer is None:
            self.message.tell("Open a hyperspectral cube, or one of File ▸ Open Sample ▸ Hyperspectral.")
        elif not self.message.is_error:
            self.message.say("")

    def _prefer_newest(self, event: Any = None) -> None:
        """Choose what was last restored from the first cube, unless something is chosen."""
        before = self.before_choice.layer()
        if before is None or self.after_choice.layer() is not None:
            return
        made = [layer for layer in lineage.restored_from(before) if layer in self.viewer.layers]
        made = [layer for layer in made if may_follow(layer, before)]
        if made:
            self.after_choice.refresh()
            self.after_choice.choose(made[-1])

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        self.check_button.setStyleSheet(main_button_style(colours))
        self.message.follow(colours)
        self.stage.paint(colours.muted)
        self.hint.paint(colours.muted)
        self.target.follow(colours)
        self.plot.follow(colours)
        self.table.follow(colours)
        if self.found is not None:
            self._show_verdicts()
            self._show_chart()
            self.table.show_bands(self.found)

    # ---- building -----------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.before_choice.setToolTip("The cube to judge, as it was")
        self.after_choice.setToolTip("The same cube restored, by any program, on the same grid")
        self.check_button.setToolTip("Measure noise and what was removed on samples of the scene. Nothing is changed.")
        self.report_button.setToolTip("Save a page with pictures, charts and all figures (HTML, and JSON beside it)")
        body = QWidget()
        rows = column_of(body)
        choices = QGridLayout()
        choices.setColumnStretch(1, 1)
        for row, (words, widget) in enumerate((("Before", self.before_choice), ("After", self.after_choice))):
            choices.addWidget(QLabel(words), row, 0)
            choices.addWidget(widget, row, 1)
        rows.addLayout(choices)
        rows.addWidget(self.target)
        rows.addWidget(rule())
        inside = QVBoxLayout(self.results)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(GAP)
        self._verdicts.setSpacing(6)
        inside.addLayout(self._verdicts)
        for part in (self.chart_choice, self.plot, self.hint, self.table):
            inside.addWidget(part)
        self.results.setVisible(False)
        rows.addWidget(self.results)
        rows.addStretch(1)
        foot = QWidget()
        column = QVBoxLayout(foot)
        column.setContentsMargins(MARGIN, GAP, MARGIN, MARGIN)
        column.setSpacing(GAP)
        buttons, watch = QHBoxLayout(), QHBoxLayout()
        for button, stretch in ((self.check_button, 2), (self.report_button, 1)):
            button.setMinimumHeight(28)
            buttons.addWidget(button, stretch)
        watch.addWidget(self.bar, 1)
        watch.addWidget(self.cancel_button)
        self.bar.setRange(0, _STEPS)
        column.addLayout(buttons)
        column.addLayout(watch)
        column.addWidget(self.stage)
        column.addWidget(self.message)
        fill(self, Scrolled(body), foot)

    def _wire(self) -> None:
        self.before_choice.chosen.connect(self._changed_before)
        self.target.failed.connect(self.message.fail)
        self.check_button.clicked.connect(self.check)
        self.cancel_button.clicked.connect(self.cancel)
        self.report_button.clicked.connect(self._ask_report)
        self.chart_choice.currentTextChanged.connect(self._show_chart)
        self.table.chosen.connect(self.go_to)
        self.links.connect(self.viewer.layers.selection.events.active, self._prefer_newest)
        self.links.connect(self.viewer.dims.events.current_step, self._mark_band)
        self.links.connect(self.viewer.events.theme, self._recolour)
        self.links.finally_(self._abandon)

    def _ask_report(self) -> None:
        offered = "qa.html" if self.found is None else f"{self.found.before.name} qa.html"
        path, kind = QFileDialog.getSaveFileName(
            self.window(), "Save the report", suggested(offered), "Web page (*.html)"
        )
        if path:
            self.save_report(with_extension(path, kind))
