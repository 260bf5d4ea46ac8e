"""Compare settings: an option, some values, and a sheet of small pictures to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLineEdit, QProgressBar, QPushButton

from hsi_app.errors import Cancelled, HsiError
from hsi_app.params import Option
from hsi_napari.forms import label_of
from hsi_napari.ground import ground_of
from hsi_napari.layers import cube_of
from hsi_napari.sections import Note, Section
from hsi_napari.sweep_model import Trial, can_sweep, carry_out, suggested, values_of, words
from hsi_napari.sweep_sheet import SweepSheet
from hsi_napari.worker import JobWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget

    from hsi_app.jobs import Job, Progress
    from hsi_app.recipe import Recipe
    from hsi_app.runner import Settings
    from hsi_app.tiling import Window
    from hsi_napari.links import Links
    from hsi_napari.method_form import MethodForm
    from hsi_napari.theme import ThemeColours

# After the last move of the band slider.
REDRAW_MS = 60


@dataclass(frozen=True)
class SweepRequest:
    """An option of the chosen method and the values to try."""

    option: Option
    values: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Tried:
    """A trial with where it belongs, to be added as a layer."""

    trial: Trial
    option: str
    ground: Layer
    window: Window


class SweepPanel(Section):
    """``wanted`` carries a SweepRequest, ``taken`` the name and value that were clicked, ``layer_wanted`` a Tried."""

    wanted = Signal(object)
    taken = Signal(str, object)
    layer_wanted = Signal(object)
    told = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, links: Links, form: MethodForm, parent: QWidget | None = None) -> None:
        super().__init__("Compare settings", parent)
        self._viewer, self._form = viewer, form
        self._worker: JobWorker | None = None
        # Of the sheet that is being made; pictures of earlier ones are dropped.
        self._number = 0
        self._place: tuple[Layer, Window, str] | None = None
        self._options: list[Option] = []
        self.option_choice, self.values = QComboBox(), QLineEdit()
        self.option_choice.setMinimumContentsLength(8)
        self.option_choice.setToolTip("Option of the chosen method to vary; all others stay as the form has them.")
        self.values.setPlaceholderText("1, 2, 4 or 1..4 / 4")
        self.values.setToolTip("Up to 12 values: a list such as 1, 2, 4, or a range such as 0.5..2 / 4 (four values).")
        self.start, self.stop = QPushButton("Try on the region"), QPushButton("Cancel")
        self.start.setToolTip("Restore the drawn region, or the visible part, once with each value.")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.colour = QCheckBox("true colour")
        self.colour.setToolTip("Show three bands in natural colours instead of the band on the slider.")
        self.add_layer = QPushButton("Add as layer")
        self.add_layer.setToolTip("Put the chosen picture over its region.")
        self.note = Note()
        self.sheet = SweepSheet(self)
        entry, run, foot = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        entry.addWidget(self.option_choice, 2)
        entry.addWidget(self.values, 3)
        run.addWidget(self.start, 1)
        run.addWidget(self.bar, 1)
        run.addWidget(self.stop)
        foot.addWidget(self.colour)
        foot.addStretch(1)
        foot.addWidget(self.add_layer)
        for line in (entry, run):
            line.setSpacing(6)
            self.rows.addLayout(line)
        self.rows.addWidget(self.sheet)
        self.rows.addWidget(self.note)
        self.rows.addLayout(foot)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(REDRAW_MS)
        self._redraw.timeout.connect(self._draw)
        self.option_choice.activated.connect(self._suggest)
        self.start.clicked.connect(self._ask)
        self.values.returnPressed.connect(self._ask)
        self.stop.clicked.connect(self.leave)
        self.colour.toggled.connect(self._draw)
        self.add_layer.clicked.connect(self._add)
        self.sheet.picked.connect(self._pick)
        form.method_choice.currentIndexChanged.connect(self.refresh)
        form.task_changed.connect(self.refresh)
        links.connect(viewer.dims.events.current_step, self._moved)
        self.refresh()
        self._show_running(False)

    @property
    def is_running(self) -> bool:
        """Whether values are being tried."""
        return self._worker is not None

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.note.paint(colours.muted)
        self.sheet.follow(colours)

    def refresh(self, index: int = 0) -> None:
        """List the options of the method that the form shows."""
        offered = [option for form in self._form.options() for option in form.options if can_sweep(option)]
        if [option.name for option in offered] == [option.name for option in self._options]:
            return
        self._options = offered
        self.option_choice.clear()
        self.option_choice.addItems([label_of(option) for option in offered])
        self.start.setEnabled(bool(offered))
        self._suggest()

    def choose(self, name: str, text: str | None = None) -> None:
        """Choose an option as a person would, and values."""
        self.option_choice.setCurrentIndex([option.name for option in self._options].index(name))
        self._suggest()
        if text is not None:
            self.values.setText(text)

    def begin(
        self, layer: Layer, recipe: Recipe, settings: Settings, mask: np.ndarray | None, window: Window,
        request: SweepRequest,
    ) -> None:  # fmt: skip
        """Try the values on a window of a layer's cube. Raises CubeError if the layer shows something else."""
        cube = cube_of(layer)
        self.leave()
        self._place = ground_of(layer), window, request.option.name
        self.sheet.clear()
        self.add_layer.setEnabled(False)
        number, name, values = self._number, request.option.name, request.values

        def work(job: Job) -> tuple[int, int]:
            def give(trial: Trial) -> None:
                worker.give((number, trial))

            return number, carry_out(cube, window, mask, recipe, settings, name, values, job, give)

        worker = self._worker = JobWorker(work, settings.seed)
        worker.progressed.connect(self._progressed)
        worker.gave.connect(self._gave)
        worker.returned.connect(self._returned)
        worker.errored.connect(self._errored)
        self._show_running(True)
        self.note.say("starting")
        worker.start()

    def leave(self) -> None:
        """Stop trying; what is there stays."""
        worker, self._worker = self._worker, None
        self._number += 1
        if worker is not None:
            worker.quit()
            self._say_what_it_means()
        self._show_running(False)

    def _option(self) -> Option | None:
        index = self.option_choice.currentIndex()
        return self._options[index] if 0 <= index < len(self._options) else None

    def _suggest(self, index: int = 0) -> None:
        option = self._option()
        if option is None:
            self.values.clear()
            return
        entries = {name: value for form in self._form.options() for name, value in form.entries().items()}
        self.values.setText(suggested(option, entries.get(option.name)))
        self.values.setCursorPosition(0)

    def _ask(self) -> None:
        option = self._option()
        if option is None or self.is_running:
            return
        try:
            values = values_of(option, self.values.text())
        except HsiError as error:
            self.failed.emit(str(error))
            return
        self.wanted.emit(SweepRequest(option, tuple(values)))

    def _progressed(self, progress: Progress) -> None:
        if self._worker is not None:
            self.bar.setValue(round(progress.fraction * 1000))

    def _gave(self, found: Any) -> None:
        number, trial = found
        if number == self._number:
            self.sheet.add(trial)
            self._draw()

    def _returned(self, found: Any) -> None:
        number, worked = found
        if number != self._number:
            return
        self._worker = None
        self._show_running(False)
        self._say_what_it_means()
        if not worked:
            problems = [trial.problem for trial in self.sheet.trials if trial.problem]
            self.failed.emit(problems[0] if problems else "no value could be tried.")

    def _errored(self, error: Exception) -> None:
        if self._worker is None or isinstance(error, Cancelled):
            return
        self._worker = None
        self._show_running(False)
        self.note.say("")
        self.failed.emit(one_line(error))

    def _say_what_it_means(self) -> None:
        loses = any(trial.loses_scene for trial in self.sheet.trials)
        warning = " ⚠ looks like the scene or like stripes." if loses else ""
        self.note.say(
            f"Under each: share of the signal that was taken away · how alike neighbours in it are (0 is grain)."
            f"{warning} Click one to put its value into the form."
            if len(self.sheet.trials) > 1
            else ""
        )

    def _show_running(self, is_running: bool) -> None:
        self.bar.setValue(0)
        self.bar.setVisible(is_running)
        self.stop.setVisible(is_running)
        self.start.setVisible(not is_running)
        has_pictures = bool(self.sheet.trials) or is_running
        self.colour.setVisible(has_pictures)
        self.add_layer.setVisible(has_pictures)

    def _pick(self, trial: Trial) -> None:
        self.add_layer.setEnabled(trial.result is not None)
        if self._place is not None and trial.value is not None:
            name = self._place[2]
            self.taken.emit(name, trial.value)
            self.told.emit(f"{name.replace('_', ' ')} is {words(trial.value)} now.")

    def _add(self) -> None:
        trial = self.sheet.picked_trial()
        if trial is not None and trial.result is not None and self._place is not None:
            ground, window, name = self._place
            self.layer_wanted.emit(Tried(trial, name, ground, window))

    def _moved(self, event: Any = None) -> None:
        if self.sheet.trials and not self.colour.isChecked():
            self._redraw.start()

    def _draw(self, checked: bool = False) -> None:
        self.sheet.draw(None if self.colour.isChecked() else int(self._viewer.dims.current_step[0]))
