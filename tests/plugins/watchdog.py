"""Looks whether the main thread is held up, and by which line of ours, without being fooled by a busy machine."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from qtpy.QtCore import QTimer

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(str(ROOT / part) for part in ("plugins", "hsi_app", "models"))
BEAT_MS = 10


class Watchdog:
    """While it is open, notes where the main thread was each time it worked too long without turning to its events.

    Time is the main thread's own processor time where the system tells that of another thread: waiting for the
    processor, or for a lock that another thread holds, is the machine's doing. What counts is where most looks since
    the last beat found a line of ours: Qt, laying out a resized window, asks a size of us in passing.

    Parameters
    ----------
    limit_s : longest time without a beat
    layers : the layer list of the viewer; to show one new layer (controls, textures, thumbnail) takes napari itself 0.1
        to 0.4 s with a software renderer, which is excused where nothing of ours is deeper, for one layer at a time
    """

    def __init__(self, limit_s: float = 0.1, layers: Any = None) -> None:
        self.limit_s, self.longest_s, self._inserted = limit_s, 0.0, 0
        if layers is not None:
            layers.events.inserted.connect(self._count)
        self.blocked: list[tuple[float, str]] = []
        self._timer = QTimer()
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)
        self._main = threading.main_thread().ident or 0
        self._clock = time.pthread_getcpuclockid(self._main) if hasattr(time, "pthread_getcpuclockid") else None
        self._last, self._stop = self._now(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _now(self) -> float:
        return time.monotonic() if self._clock is None else time.clock_gettime(self._clock)

    def __enter__(self) -> Watchdog:
        self._timer.start()
        self._last = self._now()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, where: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._timer.stop()

    def _count(self, event: Any) -> None:
        self._inserted += 1

    def _beat(self) -> None:
        self.longest_s = max(self.longest_s, self._now() - self._last)
        self._last, self._inserted = self._now(), 0

    def _watch(self) -> None:
        seen, looks, found, where = -1.0, 0, 0, ""
        is_told = False
        while not self._stop.wait(BEAT_MS / 1000):
            last, gap = self._last, self._now() - self._last
            if last != seen:
                seen, looks, found, is_told = last, 0, 0, False
            looks += 1
            ours = self._ours()
            if ours:
                found, where = found + 1, "\n".join(ours)
            if gap > self.limit_s and 2 * found > looks and not is_told:
                is_told = True
                self.blocked.append((gap, where))

    def _ours(self) -> list[str]:
        """The main thread's stack from our first line on; empty where there is none, or napari's excused work."""
        frame = sys._current_frames().get(self._main)
        lines = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_stack(frame)]
        ours = [index for index, line in enumerate(lines) if line.startswith(OURS)]
        if not ours or (self._inserted <= 1 and any("/napari/" in line for line in lines[ours[-1] :])):
            return []
        return lines[ours[0] :]
