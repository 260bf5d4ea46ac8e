"""A fold of a dock from which results are saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal

from hsi_napari.sections import Section
from hsi_napari.worker import TaskWorker, one_line


class ExportSection(Section):
    """Saves in a thread; ``told`` and ``failed`` carry one line each for the dock's message."""

    told = Signal(str)
    failed = Signal(str)

    def export(self, call: Callable[[], Any], done: Callable[[Any], None] | None = None) -> None:
        """Call in a thread what writes a file and gives its path; ``done`` is called with that path afterwards."""
        worker = TaskWorker(call)
        worker.returned.connect(self._saved)
        worker.errored.connect(self._not_saved)
        if done is not None:
            worker.returned.connect(done)
        worker.start()

    def _saved(self, path: object) -> None:
        self.told.emit(f"Saved {path}")

    def _not_saved(self, error: Exception) -> None:
        self.failed.emit(one_line(error))
