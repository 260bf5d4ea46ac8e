"""Requests of which only the newest counts, answered in a thread one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from hsi_napari.worker import TaskWorker


class Newest(QObject):
    """Answers the newest request; those that it overtakes are not begun, and late answers are dropped.

    ``answered`` carries what the call gave, ``failed`` the exception.
    """

    answered = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: TaskWorker | None = None
        self._next: Callable[[], Any] | None = None
        self._is_dropped = False

    @property
    def is_busy(self) -> bool:
        """True while an answer is wanted and has not come."""
        return self._next is not None or (self._worker is not None and not self._is_dropped)

    def ask(self, call: Callable[[], Any]) -> None:
        """Answer this, after what is being answered now, instead of what waits."""
        self._next = call
        if self._worker is None:
            self._begin()

    def drop(self) -> None:
        """Nothing asked so far is wanted any more."""
        self._next, self._is_dropped = None, True

    def _begin(self) -> None:
        call, self._next, self._is_dropped = self._next, None, False
        assert call is not None, "called only while something waits"
        self._worker = worker = TaskWorker(call)
        worker.returned.connect(self._returned)
        worker.errored.connect(self._errored)
        worker.start()

    def _returned(self, answer: Any) -> None:
        if not self._end():
            self.answered.emit(answer)
        self._go_on()

    def _errored(self, error: Exception) -> None:
        if not self._end():
            self.failed.emit(error)
        self._go_on()

    def _end(self) -> bool:
        """The call has ended; True where nobody wants its answer."""
        self._worker = None
        return self._is_dropped

    def _go_on(self) -> None:
        # Whoever was told may have asked again and so begun.
        if self._next is not None and self._worker is None:
            self._begin()
