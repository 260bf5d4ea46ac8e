"""Keeps the expected time and memory of a run in step with the form, without holding the window up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from hsi_app.forecast import Forecast, Pace, forecast, run_kind
from hsi_napari.worker import TaskWorker

if TYPE_CHECKING:
    from hsi_app.cube import Cube
    from hsi_app.recipe import Recipe
    from hsi_app.runner import Settings

# After the last change of the form.
DELAY_MS = 250


class ForecastWatch(QObject):
    """Works a forecast out in a thread a moment after the last question; ``told`` carries its words, '' for none."""

    told = Signal(str)

    def __init__(self, pace: Pace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pace = pace
        self._asked: tuple[Cube, Recipe, Settings] | None = None
        self._number = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.timeout.connect(self._work)

    def ask(self, cube: Cube, recipe: Recipe, settings: Settings) -> None:
        """Say soon what this would take; an earlier question is forgotten."""
        self._asked = cube, recipe, settings
        self._number += 1
        self._timer.start()

    def forget(self) -> None:
        """There is nothing to say."""
        self._asked = None
        self._number += 1
        self._timer.stop()
        self.told.emit("")

    def leave(self) -> None:
        """The dock is gone."""
        self._asked = None
        self._number += 1

    def _work(self) -> None:
        if self._asked is None:
            return
        (cube, recipe, settings), number = self._asked, self._number
        self._asked = None
        seconds = self._pace.seconds(run_kind(recipe, settings.device), int(np.prod(cube.shape, dtype=np.int64)))
        worker = TaskWorker(lambda: (number, forecast(cube, recipe, memory=settings.memory, seconds=seconds)))
        worker.returned.connect(self._tell)
        # What cannot be foreseen is not said; the run itself will tell what is wrong.
        worker.errored.connect(_ignore)
        worker.start()

    def _tell(self, found: Any) -> None:
        number, said = found
        if number == self._number:
            self.told.emit(words_of(said))


def words_of(said: Forecast) -> str:
    """'about 40 s · 1.2 GiB', or that it does not fit."""
    return "does not fit the memory" if said.problem else str(said)


def _ignore(error: Exception) -> None:
    pass
