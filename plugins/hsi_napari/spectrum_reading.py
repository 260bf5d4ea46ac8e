"""Spectra of one cube as the viewer asks for them: at once where that is quick, else read beside the window. No Qt."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hsi_app.cube import Cube
from hsi_app.io.lazy import RawValues
from hsi_app.jobs import Job
from hsi_app.preview import Preview, build_preview
from hsi_app.spectral_reading import is_quick, spectrum_of
from hsi_app.tiling import Window

# A read that takes longer makes hovering lag.
SLOW_S = 0.05
# A plain file of this size is in the system's cache after the first look.
SMALL_BYTES = 16 * 2**20
# Spectra kept, 500 of 500 bands in 2 MB.
KEPT = 512


@dataclass(frozen=True, eq=False)
class Found:
    """A spectrum: (B,) float64 in physical units, NaN where missing; read, or rebuilt from a low-rank preview."""

    values: np.ndarray
    is_preview: bool = False


class Spectra:
    """The spectra of a cube; ``get`` never waits for a file.

    preview : a low-rank stand-in, once one was built
    cost_s : seconds of the quickest true read so far, None before the first
    """

    def __init__(self, cube: Cube) -> None:
        self.cube = cube
        self.preview: Preview | None = None
        self.cost_s: float | None = None
        # A preview that failed is not tried again.
        self.has_failed = False
        self._known: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def is_quick(self) -> bool:
        """True where every spectrum may be read in the window's own thread."""
        values = self.cube.values
        is_small = isinstance(values, RawValues) and not values.gzipped and self.cube.nbytes <= SMALL_BYTES
        return is_small or is_quick(values)

    @property
    def wants_preview(self) -> bool:
        """True once reading has turned out to be slow and nothing stands in yet."""
        is_slow = self.cost_s is not None and self.cost_s > SLOW_S
        return is_slow and self.preview is None and not self.has_failed

    def get(self, row: int, col: int, box: int) -> Found | None:
        """The spectrum of a pixel, or of the box around it, if it is at hand; a true one rather than a preview."""
        true = self.known(row, col, box)
        if true is not None:
            return Found(true)
        if self.preview is None:
            return None
        stored = self.preview.spectrum(self._window(row, col, box))
        return Found(stored * np.asarray(self.cube.gain) + np.asarray(self.cube.offset), is_preview=True)

    def known(self, row: int, col: int, box: int) -> np.ndarray | None:
        """The true spectrum if it is at hand."""
        if self.is_quick:
            return self.cube.spectrum(row, col, box=box)
        with self._lock:
            found = self._known.get((row, col, box))
            if found is not None:
                self._known.move_to_end((row, col, box))
        return found

    def read(self, row: int, col: int, box: int, job: Job | None = None) -> np.ndarray:
        """The true spectrum, read where it is not at hand; in any thread. Raises Cancelled."""
        found = self.known(row, col, box)
        if found is not None:
            return found
        start = time.perf_counter()
        found = spectrum_of(self.cube, self._window(row, col, box), job or Job())
        cost = time.perf_counter() - start
        with self._lock:
            self.cost_s = cost if self.cost_s is None else min(cost, self.cost_s)
            self._known[row, col, box] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found

    def build(self, job: Job) -> None:
        """Read the whole cube once for a preview; in any thread. Raises Cancelled and the engine's errors."""
        self.preview = build_preview(self.cube, job)

    def _window(self, row: int, col: int, box: int) -> Window:
        return Window(row, col, 1, 1).grown(box // 2, self.cube.shape[1:])
