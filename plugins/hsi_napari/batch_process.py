"""A batch in another process: what it tells arrives in small portions, so that the window never waits for it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, QProcess, QProcessEnvironment, QTimer, Signal

from hsi_napari.batch_request import Request
from hsi_napari.batch_scenes import parsed

# So many lines are taken in at a time, and for so long at most; between two portions the window draws and listens.
PORTION, PORTION_S, PAUSE_MS = 400, 0.01, 15
# One that plans, or only reckons, has nothing to keep: it is ended if it does not stop by itself. Another one is asked
# again until it says that it heard: while Python starts, a signal may be lost.
PATIENCE_MS = 1500
# When the program ends, a batch has this long to write down where it is.
QUIT_MS = 5000

# Those whose dock has gone and that are still stopping.
_leaving: set[BatchProcess] = set()


class BatchProcess(QObject):
    """``hsi-app batch`` on its way.

    ``told`` carries entries of its log in a list, ``ended`` its exit code and its last words. What it printed, as the
    plan of a dry run, is ``output``.

    Parameters
    ----------
    is_dry : only say what would be done
    """

    told = Signal(list)
    ended = Signal(int, str)

    def __init__(self, request: Request, *, is_dry: bool = False) -> None:
        super().__init__()
        self.is_dry = is_dry
        self.stops = 0
        self.output = b""
        self.has_plan = self._has_heard = False
        self._scratch = TemporaryDirectory(prefix="hsi-app-batch-", ignore_cleanup_errors=True)
        self._torn, self._lines = b"", deque[bytes]()
        self._words = ""
        self._code: int | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._take)
        self._guard = QTimer(self)
        self._guard.setSingleShot(True)
        self._guard.setInterval(PATIENCE_MS)
        self._guard.timeout.connect(self._insist)
        self._process = QProcess(self)
        self._process.setProgram(sys.executable)
        self._process.setArguments(request.arguments(Path(self._scratch.name), is_dry=is_dry))
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONIOENCODING", "utf-8")
        self._process.setProcessEnvironment(environment)
        self._process.setWorkingDirectory(self._scratch.name)
        self._process.readyReadStandardError.connect(self._read)
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(self._erred)

    def start(self) -> None:
        """Begin; what cannot be started ends at once."""
        QCoreApplication.instance().aboutToQuit.connect(self._quit)
        self._process.start()
        self._process.closeWriteChannel()

    @property
    def is_running(self) -> bool:
        """True until it has ended, whatever it was asked."""
        return bool(self._process.state() != QProcess.ProcessState.NotRunning)

    def stop(self) -> None:
        """Ask it to stop in order; a second time, end it at once."""
        self.stops += 1
        if not self.is_running:
            return
        if self.stops > 1:
            self._process.kill()
        else:
            self._ask()

    def leave(self) -> None:
        """Nobody listens any more: stop in order, and stay until that is done."""
        self.blockSignals(True)
        if self.is_running:
            _leaving.add(self)
            if not self.stops:
                self.stop()

    # ---- what it tells ------------------------------------------------------------------------------------------

    def feed(self, received: bytes) -> None:
        """Take bytes of its log; lines are passed on a portion at a time."""
        first, *others = received.split(b"\n")
        if not others:
            self._torn += first
            return
        self._lines.append(self._torn + first)
        self._lines.extend(others[:-1])
        self._torn = others[-1]
        if not self._timer.isActive():
            self._timer.start()

    def _read(self) -> None:
        self.feed(bytes(self._process.readAllStandardError()))

    def _take(self) -> None:
        began = time.monotonic()
        entries: list[dict[str, Any]] = []
        while self._lines and len(entries) < PORTION and time.monotonic() - began < PORTION_S:
            line = self._lines.popleft().decode("utf-8", "replace").strip()
            entry = parsed(line)
            if entry is not None:
                self.has_plan = self.has_plan or entry.get("event") == "plan"
                self._has_heard = self._has_heard or entry.get("event") == "stopping"
                entries.append(entry)
            elif line and not (self._words.startswith("error:") and not line.startswith("error:")):
                self._words = line
        if entries:
            self.told.emit(entries)
        if self._lines:
            self._timer.start()
        elif self._code is not None:
            self._end(self._code)

    # ---- how it ends --------------------------------------------------------------------------------------------

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self.output = bytes(self._process.readAllStandardOutput())
        if self._torn:
            self.feed(b"\n")
        is_crash = status == QProcess.ExitStatus.CrashExit
        if is_crash:
            self._words = f"the process of the batch was ended (signal {code})."
        self._code = -1 if is_crash else code
        if not self._timer.isActive():
            self._timer.start()

    def _erred(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._words = f"'{sys.executable}' cannot be started: {self._process.errorString()}."
            self._code = -1
            self._timer.start()

    def _end(self, code: int) -> None:
        self._code = None
        self._timer.stop()
        self._guard.stop()
        self._scratch.cleanup()
        # Later: the last hold on it must not go while it is at work here.
        QTimer.singleShot(0, lambda: _leaving.discard(self))
        self.ended.emit(code, self._words.removeprefix("error:").strip())

    def _ask(self) -> None:
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.kill(int(self._process.processId()), signal.SIGINT)
        else:
            # A process without a window hears nothing there; what it did is kept tile by tile.
            self._process.terminate()
        self._guard.start()

    def _insist(self) -> None:
        if not self.is_running:
            return
        if self.is_dry or not self.has_plan or os.name != "posix":
            self._process.kill()
        elif not self._has_heard:
            self._ask()

    def _quit(self) -> None:
        """The program ends, its windows are closed: now there is nothing that waiting could freeze."""
        if self.is_running:
            if not self.stops:
                self.stop()
            if not self._process.waitForFinished(QUIT_MS):
                self._process.kill()
                self._process.waitForFinished(QUIT_MS)
