"""Reads spectra beside the window: what is wanted now comes first, and slow cubes get a low-rank preview."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qtpy.QtCore import QObject, QThreadPool, Signal

from hsi_app.errors import Cancelled
from hsi_app.jobs import Job, Progress
from hsi_napari.spectrum_latest import SideWorker
from hsi_napari.spectrum_model import Unread
from hsi_napari.spectrum_reading import Spectra
from hsi_napari.worker import one_line

# These threads wait for a disk, not for a processor: with as many as there are cores, a run and a preview would keep
# a click waiting on a small machine.
LEAST_THREADS = 8


class SpectrumReader(QObject):
    """One thread that reads the spectra asked for, the latest wish first, and one that builds previews.

    ``arrived`` tells that something is at hand that was not before, ``failed`` carries one line, ``building`` what is
    being built, or '' when that ended.
    """

    arrived = Signal()
    failed = Signal(str)
    building = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pins: list[Unread] = []
        self._hover: list[Unread] = []
        self._in_use: list[weakref.ref[Spectra]] = []
        self._reading: tuple[SideWorker, Unread] | None = None
        self._builder: tuple[SideWorker, Spectra] | None = None
        self._may_build = False
        pool = QThreadPool.globalInstance()
        pool.setMaxThreadCount(max(pool.maxThreadCount(), LEAST_THREADS))

    @property
    def is_reading(self) -> bool:
        """True while a spectrum is being read."""
        return self._reading is not None

    @property
    def is_building(self) -> bool:
        """True while a preview is being built."""
        return self._builder is not None

    def use(self, cubes: Iterable[Spectra]) -> None:
        """These cubes are looked at now; whatever is done for others stops."""
        now = list(cubes)
        self._in_use = [weakref.ref(spectra) for spectra in now]
        self._pins = [ask for ask in self._pins if ask[0] in now]
        self._hover = [ask for ask in self._hover if ask[0] in now]
        if self._reading is not None and self._reading[1][0] not in now:
            self._reading[0].quit()
        if self._builder is not None and self._builder[1] not in now:
            self._builder[0].quit()

    def want_pins(self, asks: Sequence[Unread]) -> None:
        """Read these spectra, before any that the mouse wants; instead of those asked for earlier."""
        self._pins = self._used(asks)
        if self._pins and self._reading is not None and self._reading[1] not in self._pins:
            # A click must not wait for a place that the mouse has left.
            self._reading[0].quit()
        self._go_on()

    def want_hover(self, asks: Sequence[Unread], *, may_build: bool = True) -> None:
        """Read these spectra when nothing else is to be read; instead of those asked for earlier.

        may_build : a preview may be started where reading has turned out to be slow
        """
        self._hover, self._may_build = self._used(asks), may_build
        self._go_on()
        if may_build:
            self._build_where_slow()

    def rest(self) -> None:
        """The mouse is not followed any more: no reads for it, and no preview."""
        self._hover, self._may_build = [], False
        if self._builder is not None:
            self._builder[0].quit()

    def stop(self) -> None:
        """Read nothing more, until other cubes are used."""
        self.use([])

    def _used(self, asks: Sequence[Unread]) -> list[Unread]:
        used = [held() for held in self._in_use]
        return [ask for ask in asks if ask[0] in used]

    # ---- reading ------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._reading is not None:
            return
        for asks in (self._pins, self._hover):
            while asks:
                ask = asks.pop(0)
                if ask[0].known(*ask[1:]) is None:
                    self._reading = self._start(_reading(ask), self._read, self._failed_read), ask
                    return

    def _read(self, values: Any) -> None:
        self._reading = None
        self.arrived.emit()
        self._go_on()
        if self._may_build:
            self._build_where_slow()

    def _failed_read(self, error: Exception) -> None:
        self._reading = None
        if not isinstance(error, Cancelled):
            self.failed.emit(one_line(error))
        self._go_on()

    # ---- previews -----------------------------------------------------------------------------------------------

    def _build_where_slow(self) -> None:
        if self._builder is not None:
            return
        for held in self._in_use:
            spectra = held()
            if spectra is not None and spectra.wants_preview:
                worker = self._start(spectra.build, self._built, self._failed_build, self._progressed)
                self._builder = worker, spectra
                return

    def _progressed(self, progress: Progress) -> None:
        if self._builder is not None:
            name = self._builder[1].cube.name
            self.building.emit(f"building a low-rank preview of '{name}': {progress.fraction:.0%}")

    def _built(self, nothing: Any) -> None:
        self._builder = None
        self.building.emit("")
        self.arrived.emit()
        if self._may_build:
            self._build_where_slow()

    def _failed_build(self, error: Exception) -> None:
        assert self._builder is not None
        (_, spectra), self._builder = self._builder, None
        self.building.emit("")
        if not isinstance(error, Cancelled):
            spectra.has_failed = True
            self.failed.emit(one_line(error))

    def _start(
        self,
        run: Callable[[Job], Any],
        returned: Callable[[Any], None],
        errored: Callable[[Exception], None],
        progressed: Callable[[Progress], None] | None = None,
    ) -> SideWorker:
        worker = SideWorker(run)
        worker.returned.connect(returned)
        worker.errored.connect(errored)
        if progressed is not None:
            worker.progressed.connect(progressed)
        worker.start()
        return worker


def _reading(ask: Unread) -> Callable[[Job], Any]:
    spectra, row, col, box = ask

    def run(job: Job) -> Any:
        return spectra.read(row, col, box, job)

    return run
