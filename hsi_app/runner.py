"""The pipeline every method runs in: scale, prepare once, restore tile by tile, unscale, protect, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hsi_app import device as devices
from hsi_app.cube import Cube
from hsi_app.errors import CubeError, ParameterError
from hsi_app.jobs import Job
from hsi_app.methods.registry import MethodSpec
from hsi_app.methods.registry import method as find_method
from hsi_app.params import Parameters
from hsi_app.plan import in_tiles_that_fit, memory_as_plan, working_budget
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.record import history_line, run_record
from hsi_app.scene import Scene
from hsi_app.sinks import Sink, open_sink, refuse_own_input
from hsi_app.streaming import stream_tiles
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
    tile : largest side of a tile in px, or None to follow from ``memory``
    """

    task: str | None = None
    device: str = "auto"
    memory: int | None = None
    seed: int = 0
    bad_bands: Literal["keep", "restore"] = "keep"
    keep_observed: bool | None = None
    tile: int | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """A restored cube and everything that happened.

    cube : restored values, float32, with the input's facts; read lazily from ``out`` if it was written there
    observed : the input
    extras : further images by name in stored units, (B, H, W) or (H, W); empty when streamed to a file
    record : plain values for the report: method, parameters, seed, versions, trace, notes, time, memory
    """

    cube: Cube
    observed: Cube
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

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

    Returns
    -------
    Result

    Raises
    ------
    ParameterError, CapabilityError
        If the method, an option or the task does not exist, or they contradict each other.
    CubeError
        If no sample is valid or the mask has another shape.
    OutputError
        If ``out`` is the input's own file, exists, or cannot be written.
    PlanError
        If one tile does not fit the memory budget.
    Cancelled
        If the job was asked to stop; nothing is left behind.
    """
    settings = settings or Settings()
    spec = find_method(method, "restore")
    params = options if isinstance(options, Parameters) else spec.parameters.parse(options)
    task = spec.check_task(settings.task)
    keep_observed = settings.keep_observed if settings.keep_observed is not None else task == "inpaint"
    if keep_observed and task != "inpaint":
        raise ParameterError(f"keep-observed leaves '{task}' nothing to change; use it with the task 'inpaint'.")
    if out is not None:
        refuse_own_input(cube, Path(out))
    job = job or Job(seed=settings.seed)
    started = datetime.now(UTC)
    job.step(0.0, "reading")

    device = devices.choose_device(settings.device)
    budget = working_budget(settings.memory)
    bands = cube.axis.good if settings.bad_bands == "keep" else np.arange(cube.shape[0])
    run = spec.load_run()
    scene = Scene(cube, bands, device, mask=mask, budget=budget // 4)
    prepare = spec.load_prepare()
    shared: Shared = {}
    if prepare is not None:
        with memory_as_plan("while the scene was prepared"):
            shared = prepare(scene, params, task, job.part(0.02, 0.28))

    pipeline = _Pipeline(scene, spec, params, task, shared, keep_observed, run)
    like = cube.replace(cube.values, history_line(spec, params, task), valid=None)
    sinks: list[Sink] = []

    def work(tiles: list[Tile]) -> None:
        with open_sink(out, like, overwrite) as sink:
            pipeline.run_tiles(tiles, sink, job.part(0.3, 0.7))
            # The last chance to cancel is before the file takes its name: a run either leaves it or says no.
            job.step(1.0, "done")
        sinks[:] = [sink]

    tiles = in_tiles_that_fit(scene, spec.extent, budget, settings.tile, job, work)
    extras = pipeline.full_extras() if out is None else {}
    record = run_record(
        spec, params, {**asdict(settings), "task": task, "seed": job.seed, "keep_observed": keep_observed},
        cube=cube, scene=scene, shared=shared, trace=pipeline.trace, tiles=tiles, job=job, started=started, out=out,
    )  # fmt: skip
    return Result(sinks[0].result(), cube, extras, record)


class _Pipeline:
    """Runs the tiles of one restoration: the next is read and the last is written while one is computed."""

    def __init__(
        self,
        scene: Scene,
        spec: MethodSpec,
        params: Parameters,
        task: str,
        shared: Shared,
        keep_observed: bool,
        run: Callable[[Problem, Any, Job], Restoration],
    ) -> None:
        self.scene, self.spec, self.params, self.task = scene, spec, params, task
        self.shared, self.keep_observed, self.run = shared, keep_observed, run
        self.trace: dict[str, Any] = {}
        self.extras: dict[str, np.ndarray] = {}

    def run_tiles(self, tiles: list[Tile], sink: Sink, job: Job) -> None:
        """Restore every tile and hand finished windows to ``sink``."""
        self.trace, self.extras = {}, {}
        stream_tiles(
            self.scene, tiles, self._restore_tile,
            lambda window, block: sink.write(window, self._protected(window, block)), job,
        )  # fmt: skip

    def _restore_tile(self, tile: Tile, values: torch.Tensor, valid: torch.Tensor, job: Job) -> np.ndarray:
        height, width = values.shape[1:]
        if not bool(valid.any()):
            return np.full((values.shape[0], tile.keep.height, tile.keep.width), np.nan, np.float32)
        problem = Problem(
            _padded(values, self.spec.extent.multiple_of),
            _padded(valid, self.spec.extent.multiple_of),
            self.task,
            self.scene.wavelengths_nm,
            tile.read,
            shared=self.shared,
        )
        import torch

        with torch.no_grad(), devices.reduced_precision(values.device, self.spec.is_bf16_safe):
            restoration: Restoration = self.run(problem, self.params, job)
        if restoration.values.shape != problem.observed.shape:
            raise CubeError(
                f"method '{self.spec.id}' returned shape {tuple(restoration.values.shape)} for"
                f" {tuple(problem.observed.shape)}; tell its authors."
            )
        if not self.trace:
            self.trace = dict(restoration.trace)
        rows, cols = tile.keep.inside(tile.read)
        scaling = self.scene.scaling
        self._keep_extras(restoration, tile, height, width)
        kept = restoration.values[:, :height, :width][:, rows, cols].float()
        restored = (kept * scaling.span + scaling.offset).cpu().numpy()
        if restoration.untouched is not None:
            # Scaling there and back costs the last bits; what a method left alone comes back exactly.
            same = restoration.untouched[:, :height, :width][:, rows, cols].cpu().numpy()
            restored[same] = self.scene.cube.block(tile.keep)[0][self.scene.bands][same]
        return restored

    def _keep_extras(self, restoration: Restoration, tile: Tile, height: int, width: int) -> None:
        rows, cols = tile.keep.inside(tile.read)
        for name, image in restoration.extras.items():
            piece = (image[..., :height, :width][..., rows, cols].float() * self.scene.scaling.span).cpu().numpy()
            if name not in self.extras:
                # Extras are shown, not streamed: a scene too large for memory goes without them.
                if piece.ndim == 3 and not self.scene.holds_whole:
                    continue
                self.extras[name] = np.zeros((*piece.shape[:-2], *self.scene.shape[1:]), np.float32)
            target = self.extras[name][(..., *tile.keep.slices)]
            target += piece * tile.weight

    def full_extras(self) -> dict[str, np.ndarray]:
        """The extras on the cube's whole band axis; NaN in bands that were not worked on."""
        full, worked = {}, self.scene.bands
        for name, image in self.extras.items():
            if image.ndim == 3 and image.shape[0] == worked.size < self.scene.cube.shape[0]:
                spread = np.full((self.scene.cube.shape[0], *image.shape[1:]), np.nan, np.float32)
                spread[worked] = image
                image = spread
            full[name] = image
        return full

    def _protected(self, window: Window, restored: np.ndarray) -> np.ndarray:
        """The full-axis output of a window: bad bands and protected samples as they were."""
        cube, scene = self.scene.cube, self.scene
        stored, valid = cube.block(window)
        with np.errstate(over="ignore"):  # a nodata beyond float32 becomes infinite, which is missing as well
            missing = np.float32(np.nan if cube.nodata is None else cube.nodata)
        if scene.mask is not None:
            rows, cols = window.slices
            valid &= scene.mask[..., rows, cols]
        out = np.where(valid, stored, missing)
        new, seen = restored, valid[scene.bands]
        if self.task != "inpaint":
            new = np.where(seen, new, missing)
        elif self.keep_observed:
            new = np.where(seen, stored[scene.bands], new)
        out[scene.bands] = np.where(np.isfinite(new), new, missing)
        return out


def _padded(tensor: torch.Tensor, multiple: int) -> torch.Tensor:
    """Grow rows and columns to a multiple by repeating the last ones in reverse (reflection)."""
    if multiple == 1:
        return tensor
    import torch

    for axis in (1, 2):
        length = tensor.shape[axis]
        extra = -length % multiple
        if extra:
            index = torch.arange(length + extra, device=tensor.device)
            period = max(2 * (length - 1), 1)
            index = index % period
            index = torch.where(index >= length, period - index, index)
            tensor = tensor.index_select(axis, index)
    return tensor
