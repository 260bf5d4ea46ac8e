"""Long work beside the window: a run in a thread, with progress, cancel and one line if it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import WorkerBase, WorkerBaseSignals
from qtpy.QtCore import Signal

from hsi_app.cube import Cube
from hsi_app.errors import HsiError
from hsi_app.jobs import Job, Progress
from hsi_app.tiling import Window

if TYPE_CHECKING:
    from hsi_app.fusion.result import Fusion
    from hsi_app.runner import Result, Settings
    from hsi_app.unmixing.result import Unmixing

# The window is told at most this often; a method may report a thousand tiles a second.
REPORT_EVERY_S = 0.05


class JobSignals(WorkerBaseSignals):
    """Signals of a run; all arrive in the thread of who listens."""

    progressed = Signal(object)


class JobWorker(WorkerBase):
    """One run of the engine in a thread.

    ``returned`` carries what the run gives, ``errored`` the exception (Cancelled when it was stopped), ``progressed``
    a Progress. ``quit`` asks the job to stop, so closing napari stops a run at its next step.

    Parameters
    ----------
    run : called in the thread with the job to report to
    seed : start of the random numbers
    """

    def __init__(self, run: Callable[[Job], Any], seed: int = 0) -> None:
        super().__init__(SignalsClass=JobSignals)
        self.job = Job(seed=seed, on_progress=self._report)
        self._run = run
        self._told = -1.0

    def work(self) -> Any:
        """Run; in the thread."""
        return self._run(self.job)

    def quit(self) -> None:
        """Ask the run to stop at its next step."""
        self.job.cancel()

    def _report(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.fraction >= 1 or progress.preview is not None or now - self._told >= REPORT_EVERY_S:
            self._told = now
            self.signals.progressed.emit(progress)


def restoring(
    cube: Cube,
    method: str,
    options: dict[str, Any],
    settings: Settings,
    mask: np.ndarray | None = None,
    window: Window | None = None,
) -> Callable[[Job], Result]:
    """What a worker does to restore a cube, or with ``window`` only that part of cube and mask."""

    def run(job: Job) -> Result:
        # Here, not at the top: this is where torch is paid for, and the window stays alive meanwhile.
        from hsi_app.runner import restore

        # Cut in the thread: a region of a band-interleaved file may take a while to read.
        part = cube if window is None else cube.crop(window)
        seen = mask if mask is None or window is None else mask[(..., *window.slices)]
        return restore(part, method, options, settings, mask=seen, job=job)

    return run


def unmixing(cube: Cube, method: str, options: dict[str, Any], settings: Settings) -> Callable[[Job], Unmixing]:
    """What a worker does to find the materials of a cube."""

    def run(job: Job) -> Unmixing:
        from hsi_app.unmixing.runner import unmix

        return unmix(cube, method, options, settings, job=job)

    return run


def fusing(
    hsi: Cube, msi: Cube, method: str, options: dict[str, Any], settings: Settings, known: Mapping[str, Any]
) -> Callable[[Job], Fusion]:
    """What a worker does to sharpen a cube; ``known`` are the settings of how the images belong together."""

    def run(job: Job) -> Fusion:
        from hsi_app.fusion.runner import FusionSettings, fuse

        how = FusionSettings(
            device=settings.device, memory=settings.memory, seed=settings.seed, bad_bands=settings.bad_bands,
            tile=settings.tile, **known,
        )  # fmt: skip
        return fuse(hsi, msi, method, options, how, job=job)

    return run


class TaskWorker(WorkerBase):
    """Any other slow call in a thread (saving, a report); ``returned`` carries what it gives back."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call

    def work(self) -> Any:
        """Call; runs in the thread."""
        return self._call()


def one_line(error: BaseException) -> str:
    """What a person is told of a failure: the program's own line, or the kind and words of an unforeseen one."""
    if isinstance(error, HsiError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"unexpected {type(error).__name__}: {first}".rstrip(": ")


def time_left(progress: Progress) -> str:
    """'about 40 s left', 'about 3 min left', or '' while nobody can say."""
    left = progress.remaining_s
    if left is None:
        return ""
    if left < 90:
        return f"about {max(round(left), 1)} s left"
    return f"about {round(left / 60)} min left"
