"""The pipeline every method runs in: scale, prepare once, restore tile by tile, unscale, protect, write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hsi_app import device as devices
from hsi_app.checkpoint import Checkpoint, claimed
from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.fingerprint import run_facts
from hsi_app.jobs import Job
from hsi_app.methods.registry import Extent, MethodSpec
from hsi_app.methods.registry import method as find_method
from hsi_app.optics import SCALED_TASKS, Optics, optics_of
from hsi_app.params import Parameters
from hsi_app.pipeline import Pipeline
from hsi_app.plan import budget_beside, in_tiles_that_fit, memory_as_plan, tiles_within, working_budget
from hsi_app.problem import Shared
from hsi_app.record import history_line, run_record
from hsi_app.scene import Scene
from hsi_app.sinks import Sink, open_sink, refuse_own_input
from hsi_app.tiling import Tile, Window

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Settings:
    """How to run, whatever the method.

    task : one of the method's tasks, or None for its first
    device : 'auto', 'cpu', 'cuda', 'cuda:1'
    memory : bytes of host memory the run may use, or None for three quarters of what is free
    seed : start of the random numbers
    bad_bands : 'keep' passes bands marked bad through unchanged, 'restore' works on them too
    keep_observed : True puts observed samples back unchanged; None means True for 'inpaint', False otherwise
    tile : largest side of a tile in px of the input, or None to follow from ``memory``
    scale : for the task 'sr', how many times finer the result's grid is, 2 to 16; None means 2
    psf_fwhm : full width at half maximum of the Gaussian blur in px of the result; for 'sr' None means ``scale``,
        'deblur' needs it
    program : bytes of ``memory`` that the program itself is counted as, None measures them; a fixed number makes the
        same tiles in every process
    """

    task: str | None = None
    device: str = "auto"
    memory: int | None = None
    seed: int = 0
    bad_bands: Literal["keep", "restore"] = "keep"
    keep_observed: bool | None = None
    tile: int | None = None
    scale: int | None = None
    psf_fwhm: float | None = None
    program: int | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """A restored cube and everything that happened.

    cube : restored values, float32, with the input's facts; read lazily from ``out`` if it was written there
    observed : the input; where the result's grid is finer, the input interpolated to it (cubic, worked out when read)
    extras : further images by name in stored units, (B, H, W) or (H, W); empty when streamed to a file
    record : plain values for the report: method, parameters, seed, versions, trace, notes, time, memory
    scale : how many times finer the result's grid is than the input's
    """

    cube: Cube
    observed: Cube
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    scale: int = 1

    def removed(self, window: Window | None = None) -> np.ndarray:
        """What was taken away, observed - restored: (B, h, w) float32, NaN where either is missing."""
        before, seen = self.observed.block(window)
        after, kept = self.cube.block(window)
        return np.where(seen & kept, before - after, np.float32(np.nan))


def restore(
    cube: Cube,
    method: str | MethodSpec = "lowrank",
    options: Mapping[str, Any] | Parameters | None = None,
    settings: Settings | None = None,
    *,
    mask: np.ndarray | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    job: Job | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
) -> Result:
    """Restore a cube with a method.

    Parameters
    ----------
    cube : observed cube; never changed
    method : id of a registered method, or its specification
    options : the method's parameters by name, or its parameter model
    settings : how to run
    mask : bool (H, W) or (B, H, W), True = observed; adds to NaN, nodata and the cube's own mask
    out : file to stream the result into; without it the result is kept in memory
    overwrite : allow ``out`` to replace an existing file
    job : to watch, cancel and seed from outside; made from ``settings.seed`` when not given
    checkpoint : folder that keeps the state of a long run: after an interruption of any kind the same call goes on
        from there, to the same result. Made where it is not there, emptied at a good end

    Returns
    -------
    Result

    Raises
    ------
    ParameterError, CapabilityError
        If the method, an option or the task does not exist, they contradict each other, or the task lacks one.
    CubeError
        If no sample is valid or the mask has another shape.
    OutputError
        If ``out`` is the input's own file, exists, or cannot be written.
    CheckpointError
        If ``checkpoint`` holds another run or other files, or is in use.
    PlanError
        If one tile, or a finer result that is kept in memory, does not fit the memory budget.
    Cancelled
        If the job was asked to stop; nothing is left behind but the checkpoint.
    """
    if out is not None:
        refuse_own_input(cube, Path(out))
    asked = _asked(method, options, settings)
    spec, settings, optics = asked.spec, asked.settings, asked.optics
    job = job or Job(seed=settings.seed)
    started = datetime.now(UTC)
    job.step(0.0, "reading")
    if asked.task in SCALED_TASKS and settings.scale is None:
        job.note(f"no scale was given; the result is on a grid {optics.scale} times finer.")

    budget = working_budget(settings.memory, settings.program)
    shown, like = _output_grid(cube, optics.scale, history_line(spec, asked.params, asked.task))
    if out is None and optics.scale > 1:
        budget = budget_beside(4 * int(np.prod(shown.shape, dtype=np.int64)), budget)
    with claimed(checkpoint, lambda: asked.facts(cube, mask, job), job) as kept:
        pipeline = _pipeline(asked, cube, shown, mask, budget, job, kept, shows_extras=out is None)
        begun = None if kept is None else kept.planned(settings.memory)
        if kept is not None and out is not None:
            kept.clear_unfinished(Path(out))
        sinks: list[Sink] = []

        def work(tiles: list[Tile]) -> None:
            with open_sink(out, like, overwrite) as sink:
                if kept is not None:
                    kept.begin(tiles, settings.memory, sink.unfinished)
                pipeline.run_tiles(tiles, sink, job.part(0.3, 0.7))
                # The last chance to cancel is before the file takes its name: a run either leaves it or says no.
                job.step(1.0, "done")
            sinks[:] = [sink]

        tiles = in_tiles_that_fit(
            pipeline.scene, asked.extent, budget, settings.tile, job, work, optics.scale, begun
        )  # fmt: skip
        extras = pipeline.full_extras() if out is None else {}
        record = run_record(
            spec, asked.params,
            {**asdict(settings), **asdict(optics), "task": asked.task, "seed": job.seed,
             "keep_observed": asked.keep_observed},
            cube=cube, scene=pipeline.scene, shared=pipeline.shared, trace=pipeline.trace, tiles=tiles, job=job,
            started=started, out=out,
        )  # fmt: skip
        return Result(sinks[0].result(), shown, extras, record, optics.scale)


def restore_share(
    cube: Cube,
    method: str | MethodSpec,
    options: Mapping[str, Any] | Parameters | None,
    settings: Settings,
    checkpoint: str | Path,
    share: tuple[int, int] | None,
    *,
    mask: np.ndarray | None = None,
    job: Job | None = None,
) -> int:
    """Do a share of the tiles of a restoration, for its checkpoint; ``restore`` with the same arguments finishes it.

    Several processes may each do a share at a time, once one has prepared the run.

    Parameters
    ----------
    cube, method, options, settings, mask, job : as in ``restore``, which will write to a file
    checkpoint : folder of the run
    share : (number, count): every ``count``-th tile from the one of ``number``, from 0; None prepares the run, and
        decides on the tiles

    Returns
    -------
    How many tiles the run has.

    Raises
    ------
    As ``restore``; CheckpointError too if the run was not prepared.
    """
    asked = _asked(method, options, settings)
    job = job or Job(seed=settings.seed)
    budget = working_budget(settings.memory, settings.program)
    shown, _ = _output_grid(cube, asked.optics.scale, "")
    kept = Checkpoint(checkpoint)
    held = kept.prepared_for(asked.facts(cube, mask, job), job) if share is None else kept.joined(job)
    with held:
        pipeline = _pipeline(asked, cube, shown, mask, budget, job, kept, shows_extras=False)
        tiles = kept.planned(settings.memory)
        if tiles is None:
            tiles = tiles_within(pipeline.scene, asked.extent, budget, settings.tile, asked.optics.scale)
            kept.begin(tiles, settings.memory, None)
        if share is not None:
            mine = tiles[share[0] :: share[1]]
            for number, tile in enumerate(mine):
                pipeline.keep_tile(tile, job.part(0.3 + 0.7 * number / len(mine), 0.7 / len(mine)))
        job.step(1.0, "done")
        return len(tiles)


@dataclass(frozen=True)
class _Asked:
    """What was asked, looked at and completed."""

    spec: MethodSpec
    params: Parameters
    task: str
    keep_observed: bool
    optics: Optics
    settings: Settings
    device: torch.device

    @property
    def extent(self) -> Extent:
        """What a tile must see."""
        return self.optics.widened(self.spec.extent.for_task(self.task))

    def facts(self, cube: Cube, mask: np.ndarray | None, job: Job) -> dict[str, Any]:
        """What the numbers depend on."""
        chosen = {"task": self.task, "bad_bands": self.settings.bad_bands, "keep_observed": self.keep_observed,
                  "tile": self.settings.tile}  # fmt: skip
        return run_facts(
            self.spec, self.params, {**chosen, **asdict(self.optics)}, cube=cube, mask=mask, seed=job.seed,
            device=self.device, on_strip=lambda: job.step(0.0, "reading"),
        )  # fmt: skip


def _asked(
    method: str | MethodSpec, options: Mapping[str, Any] | Parameters | None, settings: Settings | None
) -> _Asked:
    settings = settings or Settings()
    spec = find_method(method, "restore")
    params = options if isinstance(options, Parameters) else spec.parameters.parse(options)
    task = spec.check_task(settings.task)
    keep_observed = settings.keep_observed if settings.keep_observed is not None else task == "inpaint"
    if keep_observed and task != "inpaint":
        raise ParameterError(f"keep-observed leaves '{task}' nothing to change; use it with the task 'inpaint'.")
    optics = optics_of(task, settings.scale, settings.psf_fwhm)
    return _Asked(spec, params, task, keep_observed, optics, settings, devices.choose_device(settings.device))


def _pipeline(
    asked: _Asked, cube: Cube, shown: Cube, mask: np.ndarray | None, budget: int, job: Job, kept: Checkpoint | None,
    *, shows_extras: bool,
) -> Pipeline:  # fmt: skip
    """Ready for its tiles: the scene scaled, and prepared by the method."""
    run = asked.spec.load_run()
    bands = cube.axis.good if asked.settings.bad_bands == "keep" else np.arange(cube.shape[0])
    scene = Scene(cube, bands, asked.device, mask=mask, budget=budget // 4)
    shared = _prepared(scene, asked.spec, asked.params, asked.task, job.part(0.02, 0.28), kept)
    return Pipeline(
        scene, shown, asked.spec, asked.params, asked.task, asked.optics, shared, asked.keep_observed, run,
        shows_extras=shows_extras, checkpoint=kept,
    )  # fmt: skip


def _prepared(
    scene: Scene, spec: MethodSpec, params: Parameters, task: str, job: Job, kept: Checkpoint | None
) -> Shared:
    """What the method works out once for the whole scene, or worked out before an interruption."""
    prepare = spec.load_prepare()
    if prepare is None:
        return {}
    found = None if kept is None else kept.prepared()
    if found is not None:
        return found
    with memory_as_plan("while the scene was prepared"):
        shared = prepare(scene, params, task, job if kept is None else job.kept_in(kept.slot()))
    if kept is not None:
        kept.keep_prepared(shared)
    return shared


def _output_grid(cube: Cube, scale: int, line: str) -> tuple[Cube, Cube]:
    """The observed cube on the grid of the result, and the facts of the result: ``line`` is added to its history."""
    if scale == 1:
        return cube, cube.replace(cube.values, line, valid=None)
    from hsi_app.physics.resample import interpolated

    shown = interpolated(cube, scale)
    return shown, replace(shown, history=(*cube.history, line))
