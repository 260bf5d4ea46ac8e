"""Figures against a reference that a person chooses, for those who have the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from hsi_app.errors import Cancelled, HsiError
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.score_model import FIGURES, Score, compare
from hsi_napari.sections import Note, Section
from hsi_napari.worker import JobWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.jobs import Job, Progress
    from hsi_app.runner import Result
    from hsi_napari.links import Links
    from hsi_napari.theme import ThemeColours

NOTE = "The reference is used for these figures only; no method ever sees it."


class ScorePanel(Section):
    """Choice of a reference layer of the result's size, and PSNR, SSIM, SAM, ERGAS and RMSE before and after."""

    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Score against a reference", parent)
        self._result: Result | None = None
        self._worker: JobWorker | None = None
        # Of the question that is being worked on; answers to earlier ones are dropped.
        self._number = 0
        self._colours: ThemeColours | None = None
        self.score: Score | None = None
        self.reference = LayerChoice(viewer, links, self._fits, self, nothing="choose a reference…")
        self.stop = QPushButton("Cancel")
        self.note, self.table = Note(NOTE), QWidget()
        self._grid = QGridLayout(self.table)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(14)
        self._grid.setVerticalSpacing(2)
        line = QHBoxLayout()
        line.addWidget(self.reference, 1)
        line.addWidget(self.stop)
        self.rows.addWidget(self.note)
        self.rows.addLayout(line)
        self.rows.addWidget(self.table)
        self.stop.setVisible(False)
        self.table.setVisible(False)
        self.reference.chosen.connect(self._measure)
        self.stop.clicked.connect(self._cancel)

    @property
    def is_running(self) -> bool:
        """Whether figures are being worked out."""
        return self._worker is not None

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self.note.paint(colours.muted)
        self._draw()

    def judge(self, result: Result | None) -> None:
        """Another result is to be judged, or none."""
        self.leave()
        self._result = result
        self._put(None)
        self.reference.refresh()
        if result is not None and self.reference.layer() is not None:
            self._measure()

    def leave(self) -> None:
        """Nobody waits for the figures any more."""
        worker, self._worker = self._worker, None
        self._number += 1
        if worker is not None:
            worker.quit()
        self.stop.setVisible(False)

    def _fits(self, layer: Layer) -> bool:
        if self._result is None or not is_cube(layer) or tuple(layer.data.shape) != self._result.cube.shape:
            return False
        # Neither what was restored nor what it was restored from is the truth.
        own = (self._result.cube.values, self._result.observed.values)
        return not any(layer.data is values for values in own)

    def _measure(self) -> None:
        self.leave()
        self._put(None)
        layer, result = self.reference.layer(), self._result
        if layer is None or result is None:
            return
        try:
            reference = cube_of(layer)
        except HsiError as error:
            self.failed.emit(str(error))
            return

        number = self._number

        def work(job: Job) -> tuple[int, Score]:
            return number, compare(result, reference, job)

        self._worker = JobWorker(work)
        self._worker.progressed.connect(self._progressed)
        self._worker.returned.connect(self._returned)
        self._worker.errored.connect(self._errored)
        self.stop.setVisible(True)
        self._worker.start()

    def _cancel(self) -> None:
        self.leave()
        self.note.say(NOTE)
        self.reference.choose(None)

    def _progressed(self, progress: Progress) -> None:
        if self._worker is not None:
            self.note.say(f"Comparing… {progress.fraction:.0%}")

    def _returned(self, found: Any) -> None:
        number, score = found
        if number != self._number:
            return
        self._worker = None
        self.stop.setVisible(False)
        self.note.say(NOTE)
        self._put(score)

    def _errored(self, error: Exception) -> None:
        if self._worker is None or isinstance(error, Cancelled):
            return
        self._worker = None
        self.stop.setVisible(False)
        self.note.say(NOTE)
        self.failed.emit(one_line(error))

    def _put(self, score: Score | None) -> None:
        self.score = score
        self._draw()
        self.table.setVisible(score is not None)

    def _draw(self) -> None:
        while self._grid.count():
            widget = self._grid.takeAt(0).widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        score = self.score
        if score is None:
            return
        for column, words in enumerate(("", "before", "after", "")):
            self._cell(words, 0, column, is_quiet=True)
        for row, figure in enumerate(FIGURES, 1):
            unit = score.unit if figure.key == "rmse" else figure.unit
            self._cell(f"{figure.name} ({unit})" if unit else figure.name, row, 0)
            self._cell(figure.text(score.before[figure.key]), row, 1, is_quiet=True)
            self._cell(figure.text(score.after[figure.key]), row, 2)
            better = score.is_better(figure)
            self._cell("" if better is None else "better" if better else "worse", row, 3, is_quiet=bool(better))
        self._grid.setColumnStretch(0, 1)

    def _cell(self, words: str, row: int, column: int, *, is_quiet: bool = False) -> None:
        label = QLabel(words)
        side = Qt.AlignmentFlag.AlignLeft if column in (0, 3) else Qt.AlignmentFlag.AlignRight
        label.setAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        if self._colours is not None:
            colour = (
                self._colours.warning if words == "worse" else self._colours.muted if is_quiet else self._colours.text
            )
            label.setStyleSheet(f"color: {colour};")
        self._grid.addWidget(label, row, column)
