"""Long work beside the window: a run in a thread, with progress, cancel and one line if it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import WorkerBase, WorkerBaseSignals
from qtpy.QtCore import Signal

from hsi_app.cube import Cube
from hsi_app.errors import HsiError
from hsi_app.jobs import Job, Progress
from hsi_app.tiling import Window
from hsi_napari.settings import threads, torch_threads

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_app.fusion.result import Fusion
    from hsi_app.recipe import Recipe
    from hsi_app.runner import Result, Settings
    from hsi_app.unmixing.result import Unmixing
    from hsi_napari.placing import LayerData

# The window is told at most this often; a method may report a thousand tiles a second.
REPORT_EVERY_S = 0.05


class JobSignals(WorkerBaseSignals):
    """Signals of a run; all arrive in the thread of who listens."""

    progressed = Signal(object)
    gave = Signal(object)


class JobWorker(WorkerBase):
    """One run of the engine in a thread.

    ``returned`` carries what the run gives, ``errored`` the exception (Cancelled when it was stopped), ``progressed``
    a Progress, ``gave`` what the run hands over on the way. ``quit`` asks the job to stop, so closing napari stops a
    run at its next step.

    Parameters
    ----------
    run : called in the thread with the job to report to
    seed : start of the random numbers
    """

    def __init__(self, run: Callable[[Job], Any], seed: int = 0) -> None:
        super().__init__(SignalsClass=JobSignals)
        self.job = Job(seed=seed, on_progress=self._report)
        self._run = run
        self._threads = threads()
        self._told = -1.0

    def work(self) -> Any:
        """Run; in the thread."""
        with torch_threads(self._threads):
            return self._run(self.job)

    def give(self, piece: Any) -> None:
        """Hand over a part of what the run makes; called by the run, in its thread."""
        self.signals.gave.emit(piece)

    def quit(self) -> None:
        """Ask the run to stop at its next step."""
        self.job.cancel()

    def _report(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.fraction >= 1 or progress.preview is not None or now - self._told >= REPORT_EVERY_S:
            self._told = now
            self.signals.progressed.emit(progress)


@dataclass(frozen=True, eq=False)
class Restored:
    """What a restoring worker gives: the result with its layers ready to be added, for making them takes a while.

    layers : bottom to top, the restored cube last
    window : the part that was restored, None for the whole cube
    samples, seconds : how much was done in how long, without what is loaded at first
    """

    result: Result
    layers: list[LayerData]
    window: Window | None
    samples: int
    seconds: float


def restoring(
    cube: Cube,
    recipe: Recipe,
    settings: Settings,
    ground: Layer,
    mask: np.ndarray | None = None,
    window: Window | None = None,
) -> Callable[[Job], Restored]:
    """What a worker does to restore a cube, or with ``window`` only that part of cube and mask.

    Parameters
    ----------
    recipe : the steps; one step runs by ``settings``, several by what the recipe says of each
    settings : of the first step; device and memory count for every step
    ground : the layer that shows the cube, as it is now (see ``ground``)
    """

    def run(job: Job) -> Restored:
        # Here, not at the top: this is where torch is paid for, and the window stays alive meanwhile.
        from hsi_app.methods.registry import method
        from hsi_app.recipe import run_recipe
        from hsi_app.runner import restore
        from hsi_napari.layers import result_layers

        for step in recipe.steps:
            method(step.method, "restore").load_run()
        began = time.monotonic()
        # Cut in the thread: a region of a band-interleaved file may take a while to read.
        part = cube if window is None else cube.crop(window)
        seen = mask if mask is None or window is None else mask[(..., *window.slices)]
        if len(recipe.steps) == 1:
            result = restore(part, recipe.steps[0].method, recipe.steps[0].params, settings, mask=seen, job=job)
        else:
            result = run_recipe(part, recipe, device=settings.device, memory=settings.memory, mask=seen, job=job)
        seconds = time.monotonic() - began
        offset = (0, 0) if window is None else (window.row, window.col)
        layers = result_layers(result, ground, offset, name=ground.name)
        return Restored(result, layers, window, int(np.prod(part.shape, dtype=np.int64)), seconds)

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
