"""What a restoration will take, before it is begun: memory from the plan, time from a small piece or earlier runs."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.device import format_bytes
from hsi_app.errors import Cancelled, HsiError, PlanError
from hsi_app.jobs import Job
from hsi_app.methods.registry import method as find_method
from hsi_app.optics import optics_of
from hsi_app.plan import tiles_within, working_budget
from hsi_app.recipe import Recipe, run_recipe
from hsi_app.tiling import Window

if TYPE_CHECKING:
    from hsi_app.cube import Cube

PIECE_PX = 64
# A piece that takes longer than this tells of a slow method, not how slow.
PATIENCE_S = 20.0
# Sizes of runs that are further apart than this tell what a run takes before its first sample.
_APART = 2.0


@dataclass(frozen=True)
class Needs:
    """What a recipe needs of the machine.

    tiles : pieces of the step with the most
    peak_bytes : of the work, without the program itself
    bytes_out : of the result, as float32
    """

    tiles: int
    peak_bytes: int
    bytes_out: int


def needs(cube: Cube, recipe: Recipe, memory: int | None = None, program: int | None = None) -> Needs:
    """What the steps of a recipe need at once, from the plan; nothing of the cube is read.

    Parameters
    ----------
    memory : bytes that the process may take, None for three quarters of what is free
    program : bytes of them that the program itself is counted as, None measures them

    Raises
    ------
    PlanError
        If a step cannot be done within ``memory``.
    ParameterError, CapabilityError
        If a step does not exist.
    """
    from hsi_app.scene import held_bytes

    budget, shape = working_budget(memory, program), cube.shape
    most, peak = 1, 0
    for step in recipe.steps:
        spec = find_method(step.method, "restore")
        task = spec.check_task(step.task)
        optics = optics_of(task, **recipe.optics(task))
        worked = cube.axis.good.size if recipe.bad_bands == "keep" else shape[0]
        held = held_bytes((worked, *shape[1:]), cube.dtype.itemsize)
        scene: Any = SimpleNamespace(
            shape=(worked, *shape[1:]), cube=SimpleNamespace(dtype=cube.dtype, shape=shape),
            holds_whole=held <= budget // 4,
        )  # fmt: skip
        extent = optics.widened(spec.extent.for_task(task))
        tiles = tiles_within(scene, extent, budget, recipe.tile, optics.scale)
        most = max(most, len(tiles))
        pixels = max(tile.read.pixels for tile in tiles)
        per_pixel = worked * (cube.dtype.itemsize + 5 + 4 * extent.memory_factor * optics.scale**2)
        peak = max(peak, int(pixels * per_pixel) + (held if scene.holds_whole else 0))
        shape = (shape[0], shape[1] * optics.scale, shape[2] * optics.scale)
    return Needs(most, peak, 4 * int(np.prod(shape, dtype=np.int64)))


def seconds_per_sample(
    cube: Cube, recipe: Recipe, job: Job, *, device: str = "cpu", patience_s: float = PATIENCE_S
) -> float | None:
    """Restore the middle of a cube in memory and look at the clock, twice: the first time pays for what is loaded.

    Parameters
    ----------
    job : to cancel; it is told how far the pieces are
    device : as in ``runner.Settings``
    patience_s : a piece that takes longer is given up

    Returns
    -------
    Seconds for each sample (band and pixel) of the input; None where the piece could not be restored in time.

    Raises
    ------
    Cancelled
        If the job was asked to stop.
    """
    height, width = (min(PIECE_PX, length) for length in cube.shape[1:])
    window = Window((cube.shape[1] - height) // 2, (cube.shape[2] - width) // 2, height, width)
    # A job of its own: giving up the piece must not stop the caller's.
    inner = Job(seed=recipe.seed, on_progress=lambda progress: job.step(progress.fraction, "timing a small piece"))
    timer = threading.Timer(patience_s, inner.cancel)
    timer.daemon = True
    try:
        piece = cube.crop(window)
        timer.start()
        taken = 0.0
        for _ in range(2):
            began = time.monotonic()
            run_recipe(piece, recipe, device=device, job=inner.part(0.0, 1.0))
            taken = time.monotonic() - began
            if taken > patience_s / 4:
                break
    except Cancelled:
        if job.is_cancelled:
            raise
        return None
    except (HsiError, OSError, MemoryError):
        return None
    finally:
        timer.cancel()
    return taken / (cube.shape[0] * window.pixels)


class Pace:
    """How long runs took, to say how long the next one will; each kind of run is judged by its own."""

    def __init__(self) -> None:
        self._taken: dict[str, dict[int, float]] = {}

    def note(self, kind: str, samples: int, seconds: float) -> None:
        """Remember a run; of two of one size the later counts."""
        if samples > 0 and seconds > 0:
            self._taken.setdefault(kind, {})[samples] = seconds

    def seconds(self, kind: str, samples: int) -> float | None:
        """What a run over so many samples will take; None where no run of its kind was seen.

        Of two sizes the straight line through the smallest and the largest: what a run takes before its first sample
        would make small previews say too much. A line that falls is noise; then the largest run's rate counts.
        """
        taken = self._taken.get(kind)
        if not taken:
            return None
        small, large = min(taken), max(taken)
        if large >= _APART * small:
            slope = (taken[large] - taken[small]) / (large - small)
            start = taken[small] - slope * small
            if slope > 0 and start > 0:
                return start + slope * samples
        return taken[large] / large * samples


def run_kind(recipe: Recipe, device: str = "auto") -> str:
    """Runs of one kind take times that go with their size: same steps, options, grid and device."""
    steps = []
    for step in recipe.steps:
        spec = find_method(step.method, "restore")
        steps.append([spec.id, spec.check_task(step.task), spec.parameters.parse(step.params).plain()])
    return json.dumps([steps, recipe.bad_bands, recipe.scale, recipe.psf_fwhm, device], sort_keys=True)


@dataclass(frozen=True)
class Forecast:
    """What a run will take: seconds and bytes at once, None where nobody can say; problem: why it cannot be done."""

    seconds: float | None = None
    peak_bytes: int | None = None
    problem: str = ""

    def __str__(self) -> str:
        """'about 40 s · 1.2 GiB more', more than the program holds now; empty where nothing is known."""
        parts = [] if self.seconds is None else [f"about {duration(self.seconds)}"]
        if self.peak_bytes is not None:
            parts.append(f"{format_bytes(self.peak_bytes)} more")
        return " · ".join(parts)


def forecast(cube: Cube, recipe: Recipe, *, memory: int | None = None, seconds: float | None = None) -> Forecast:
    """What restoring a cube in memory will take, the result included; the problem is a line where it does not fit."""
    try:
        found = needs(cube, recipe, memory)
    except PlanError as error:
        return Forecast(seconds, None, str(error))
    except HsiError:
        return Forecast(seconds)
    return Forecast(seconds, found.peak_bytes + found.bytes_out)


def duration(seconds: float) -> str:
    """'40 s', '12 min' or '3.4 h'."""
    if 0 < seconds < 1:
        return "1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
