"""Measures the bands of cubes beside the window, and remembers what was found of each."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from hsi_app.band_quality import BandQuality, measure_bands
from hsi_app.cube import ArrayLike
from hsi_app.errors import Cancelled, HsiError
from hsi_app.jobs import Job, Progress
from hsi_napari.layers import cube_of
from hsi_napari.worker import JobWorker, one_line

if TYPE_CHECKING:
    from napari.layers import Layer


class BandMeasuring(QObject):
    """One measurement at a time. ``changed`` when it began or ended, ``progressed`` carries a Progress, ``failed`` one
    line."""

    changed = Signal()
    progressed = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: JobWorker | None = None
        self._measured: weakref.ref[Layer] | None = None
        # With the values that were measured: a layer's data may be replaced.
        self._known: weakref.WeakKeyDictionary[Layer, tuple[ArrayLike, BandQuality]] = weakref.WeakKeyDictionary()

    @property
    def is_running(self) -> bool:
        """True while bands are measured."""
        return self._worker is not None

    def quality_of(self, layer: Layer | None) -> BandQuality | None:
        """What is known of a cube's bands."""
        known = None if layer is None else self._known.get(layer)
        if layer is None or known is None:
            return None
        try:
            return known[1] if cube_of(layer).values is known[0] else None
        except HsiError:
            return None

    def start(self, layer: Layer) -> None:
        """Measure a cube; a measurement that runs is given up."""
        self.cancel()
        try:
            cube = cube_of(layer)
        except HsiError as error:
            self.failed.emit(str(error))
            return
        held = weakref.ref(layer)

        def measure(job: Job) -> tuple[weakref.ref[Layer], ArrayLike, BandQuality]:
            return held, cube.values, measure_bands(cube, job)

        self._worker, self._measured = JobWorker(measure), held
        self._worker.progressed.connect(self._progressed)
        self._worker.returned.connect(self._returned)
        self._worker.errored.connect(self._errored)
        self._worker.start()
        self.changed.emit()

    def cancel(self) -> None:
        """Stop; what was found before stays."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.quit()
            self.changed.emit()

    def _progressed(self, progress: Progress) -> None:
        if self._worker is not None:
            self.progressed.emit(progress)

    def _returned(self, found: tuple[weakref.ref[Layer], ArrayLike, BandQuality]) -> None:
        held, values, quality = found
        # Of a measurement that was given up nobody waits for the end.
        if self._worker is None or held is not self._measured:
            return
        self._worker, layer = None, held()
        if layer is not None:
            self._known[layer] = values, quality
        self.changed.emit()

    def _errored(self, error: Exception) -> None:
        if isinstance(error, Cancelled) or self._worker is None:
            return
        self._worker = None
        self.failed.emit(one_line(error))
        self.changed.emit()
