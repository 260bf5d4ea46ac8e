"""Work beside the window of which only the latest wish counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari.qt.threading import WorkerBase
from qtpy.QtCore import QObject, Signal

from hsi_app.errors import Cancelled
from hsi_app.jobs import Job, Progress
from hsi_napari.worker import REPORT_EVERY_S, JobSignals, one_line


class SideWorker(WorkerBase):
    """One call in a thread that can be stopped: light work that needs none of what a run is set up with.

    ``returned`` carries what the call gives, ``errored`` the exception, ``progressed`` a Progress.

    Parameters
    ----------
    call : called in the thread with the job to report to
    """

    def __init__(self, call: Callable[[Job], Any]) -> None:
        super().__init__(SignalsClass=JobSignals)
        self.job = Job(on_progress=self._report)
        self._call = call
        self._told = -1.0

    def work(self) -> Any:
        """Call; in the thread."""
        return self._call(self.job)

    def quit(self) -> None:
        """Ask the call to stop at its next step."""
        self.job.cancel()

    def _report(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told >= REPORT_EVERY_S:
            self._told = now
            self.signals.progressed.emit(progress)


class Latest(QObject):
    """Runs one call at a time in a thread; of those asked for meanwhile the last is run next.

    ``done`` carries what a call gave, ``failed`` one line.
    """

    done = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: SideWorker | None = None
        self._next: Callable[[Job], Any] | None = None
        self._is_wanted = False

    @property
    def is_busy(self) -> bool:
        """True while an answer is wanted and has not come; what was dropped may still be ending."""
        return self._next is not None or (self._worker is not None and self._is_wanted)

    def ask(self, call: Callable[[Job], Any]) -> None:
        """Run this after what runs now, instead of anything that waits."""
        self._next = call
        if self._worker is None:
            self._start()

    def drop(self) -> None:
        """Forget what waits, stop what runs; its result does not arrive."""
        self._next, self._is_wanted = None, False
        if self._worker is not None:
            self._worker.quit()

    def _start(self) -> None:
        call, self._next = self._next, None
        if call is None:
            return
        self._is_wanted = True
        self._worker = SideWorker(call)
        self._worker.returned.connect(self._returned)
        self._worker.errored.connect(self._errored)
        self._worker.start()

    def _returned(self, result: Any) -> None:
        was_wanted, self._worker = self._is_wanted, None
        if was_wanted:
            self.done.emit(result)
        if self._worker is None:
            self._start()

    def _errored(self, error: Exception) -> None:
        was_wanted, self._worker = self._is_wanted, None
        if was_wanted and not isinstance(error, Cancelled):
            self.failed.emit(one_line(error))
        if self._worker is None:
            self._start()
