"""The run of an unmixing method: materials once, abundances tile by tile, the error of every pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app import device as devices
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError, ParameterError
from hsi_app.jobs import Job
from hsi_app.library import SpectralLibrary
from hsi_app.methods.registry import MethodSpec
from hsi_app.methods.registry import method as find_method
from hsi_app.params import Parameters
from hsi_app.plan import in_tiles_that_fit, memory_as_plan, working_budget
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.record import history_line, run_record
from hsi_app.runner import Settings
from hsi_app.scene import Scene
from hsi_app.sinks import Sink, open_sink
from hsi_app.streaming import stream_tiles
from hsi_app.tiling import Tile, Window
from hsi_app.unmixing.model import Model
from hsi_app.unmixing.result import ERROR_BANDS, Channels, Unmixing, check_folder, new_folder, write_tables

if TYPE_CHECKING:
    import torch


def unmix(
    cube: Cube,
    method: str | MethodSpec = "rrlbs",
    options: Mapping[str, Any] | Parameters | None = None,
    settings: Settings | None = None,
    *,
    mask: np.ndarray | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    job: Job | None = None,
) -> Unmixing:
    """Find the materials of a cube and their fractions in every pixel.

    Parameters
    ----------
    cube : observed cube; never changed
    method : id of a registered method of the task 'unmix', or its specification
    options : the method's parameters by name, or its parameter model
    settings : how to run; bands marked bad are left out unless ``bad_bands`` is 'restore'
    mask : bool (H, W) or (B, H, W), True = observed; adds to NaN, nodata and the cube's own mask
    out : folder to keep the result in (``write_unmixing`` says what is in it), its images streamed there; without it
        the result is kept in memory
    overwrite : allow ``out`` to replace an earlier result
    job : to watch, cancel and seed from outside; made from ``settings.seed`` when not given

    Returns
    -------
    Unmixing

    Raises
    ------
    ParameterError, CapabilityError
        If the method or an option does not exist, or they contradict each other.
    CubeError, SubspaceError
        If there is nothing to unmix, or the data do not hold as many materials.
    OutputError
        If ``out`` is taken or cannot be written.
    PlanError
        If one tile does not fit the memory budget.
    Cancelled
        If the job was asked to stop; nothing is left behind.
    """
    settings = settings or Settings()
    spec = find_method(method, "unmix")
    params = options if isinstance(options, Parameters) else spec.parameters.parse(options)
    if settings.keep_observed:
        raise ParameterError("keep-observed is for filling gaps; leave it out of unmixing.")
    if out is not None:
        check_folder(out, overwrite=overwrite)
    job = job or Job(seed=settings.seed)
    started = datetime.now(UTC)
    job.step(0.0, "reading")

    device = devices.choose_device(settings.device)
    budget = working_budget(settings.memory)
    bands = cube.axis.good if settings.bad_bands == "keep" else np.arange(cube.shape[0])
    run, prepare = spec.load_run(), spec.load_prepare()
    assert prepare is not None  # a MethodSpec of this kind has one
    scene = Scene(cube, bands, device, mask=mask, budget=budget // 4, physical=True)
    with memory_as_plan("while the materials were sought"):
        shared = prepare(scene, params, "unmix", job.part(0.02, 0.58))
    pipeline = _Pipeline(scene, spec, params, shared, run)

    with ExitStack() as stack:
        folder = None if out is None else stack.enter_context(new_folder(out, overwrite=overwrite))
        cubes: dict[str, Cube] = {}

        def work(tiles: list[Tile]) -> None:
            cubes.update(pipeline.run_tiles(tiles, folder, job.part(0.6, 0.38)))

        tiles = in_tiles_that_fit(scene, spec.extent, budget, settings.tile, job, work)
        if pipeline.blank:
            job.note(f"{pipeline.blank} pixels got no abundances: nothing, or too few bands, were observed there.")
        record = run_record(
            spec, params, {**asdict(settings), "task": "unmix", "seed": job.seed}, cube=cube, scene=scene,
            shared=shared, trace=pipeline.trace, tiles=tiles, job=job, started=started, out=out,
        )  # fmt: skip
        result = pipeline.result(cubes, record)
        if folder is not None:
            from hsi_app.report.unmixing import write_unmixing_report

            write_tables(result, folder)
            write_unmixing_report(result, folder / "report.html")
        job.step(1.0, "done")
    return result if out is None else _reopened(result, Path(out))


class _Pipeline:
    """Runs the tiles of one unmixing."""

    def __init__(
        self,
        scene: Scene,
        spec: MethodSpec,
        params: Parameters,
        shared: Shared,
        run: Callable[[Problem, Any, Job], Restoration],
    ) -> None:
        self.scene, self.spec, self.params, self.shared, self.run = scene, spec, params, shared, run
        self.model = Model.from_shared(shared)
        self.count = len(self.model.names)
        self.blank = 0
        self._sums = np.zeros(self.count)
        self._largest = np.zeros(self.count)
        self._prevails = np.zeros(self.count, np.int64)
        self._pixels = 0
        self._squares, self._powers = 0.0, 0.0

    def run_tiles(self, tiles: list[Tile], folder: Path | None, job: Job) -> dict[str, Cube]:
        """Unmix every tile; the images by the stem of their file, in memory or in ``folder``."""
        self.blank = self._pixels = 0
        self._sums[:], self._largest[:], self._prevails[:] = 0, -np.inf, 0
        self._squares = self._powers = 0.0
        likes = {stem: self._like(stem, names) for stem, names in self._stack().items()}
        with ExitStack() as stack:
            sinks: dict[str, Sink] = {
                stem: stack.enter_context(open_sink(None if folder is None else folder / f"{stem}.hdr", like, True))
                for stem, like in likes.items()
            }

            def write(window: Window, block: np.ndarray) -> None:
                self._tally(block)
                first = 0
                for stem, like in likes.items():
                    sinks[stem].write(window, block[first : first + like.shape[0]])
                    first += like.shape[0]

            stream_tiles(self.scene, tiles, self._unmix_tile, write, job)
        return {stem: sink.result() for stem, sink in sinks.items()}

    def _stack(self) -> dict[str, tuple[str, ...]]:
        """Band names of each image, in the order they are stacked in a tile's block."""
        return {
            "abundances": self.model.names, "error": ERROR_BANDS, **{name: (name,) for name in self.model.maps},
        }  # fmt: skip

    def _like(self, stem: str, names: tuple[str, ...]) -> Cube:
        """A cube with the facts of an image that is still to be made."""
        cube = self.scene.cube
        shape = (len(names), *cube.shape[1:])
        return Cube(
            np.broadcast_to(np.float32(np.nan), shape),
            BandAxis(len(names), names=names),
            georef=cube.georef,
            unit=cube.unit if stem == "error" else "",
            name=f"{cube.name} {stem}",
            history=(*cube.history, history_line(self.spec, self.params, "unmix")),
        )

    def _unmix_tile(self, tile: Tile, values: torch.Tensor, valid: torch.Tensor, job: Job) -> np.ndarray:
        import torch

        problem = Problem(values, valid, "unmix", self.scene.wavelengths_nm, tile.read, shared=self.shared)
        with torch.no_grad(), devices.reduced_precision(values.device, self.spec.is_bf16_safe):
            found = self.run(problem, self.params, job)
        expected = (self.count, *values.shape[1:])
        if found.abundances is None or found.abundances.shape != expected or found.values.shape != values.shape:
            got = None if found.abundances is None else tuple(found.abundances.shape)
            raise CubeError(f"method '{self.spec.id}' returned abundances {got} for {expected}; tell its authors.")
        rows, cols = tile.keep.inside(tile.read)
        error = _errors(values, valid, found.values, self.scene.scaling.span)
        images = [found.abundances, error, *(found.extras[name][None] for name in self.model.maps)]
        block: np.ndarray = torch.cat([image.float() for image in images])[:, rows, cols].cpu().numpy()
        return block

    def _tally(self, block: np.ndarray) -> None:
        abundances = block[: self.count].reshape(self.count, -1)
        seen = np.isfinite(abundances).all(axis=0)
        self.blank += int((~seen).sum())
        if not seen.any():
            return
        there = abundances[:, seen]
        self._pixels += there.shape[1]
        self._sums += there.sum(axis=1, dtype=np.float64)
        self._largest = np.maximum(self._largest, there.max(axis=1))
        self._prevails += np.bincount(there.argmax(axis=0), minlength=self.count)
        rms, relative = block[self.count : self.count + 2].reshape(2, -1)[:, seen].astype(np.float64)
        fitted = relative > 0
        self._squares += float(rms[fitted] @ rms[fitted])
        self._powers += float(np.square(rms[fitted] / relative[fitted]).sum())

    @property
    def trace(self) -> dict[str, Any]:
        """How it went: shares of the materials, the fit, and what the method left behind."""
        pixels = max(self._pixels, 1)
        details = self.model.details
        kept = {key: np.asarray(value).tolist() for key, value in details.items() if np.size(value) <= 512}
        return {
            "materials": [
                {
                    "name": name,
                    "mean_abundance": float(self._sums[k] / pixels),
                    "largest_abundance": float(self._largest[k]) if self._pixels else None,
                    "prevails_in_pixels": int(self._prevails[k]),
                }
                for k, name in enumerate(self.model.names)
            ],
            "unmixed_pixels": self._pixels,
            "blank_pixels": self.blank,
            "rms_error": float(np.sqrt(self._squares / pixels)),
            "relative_error": float(np.sqrt(self._squares / self._powers)) if self._powers else None,
            "normalise": self.model.normalise,
            "channels_kept": int(self.model.kept.sum()),
            **kept,
        }

    def result(self, cubes: dict[str, Cube], record: Mapping[str, Any]) -> Unmixing:
        """Everything together."""
        cube, worked, model = self.scene.cube, self.scene.bands, self.model
        axis = cube.axis.select(worked)
        spectra = model.endmembers * model.scales * self.scene.scaling.span
        library = SpectralLibrary(
            np.where(model.live[:, None], spectra, np.nan), model.names, axis.centres_nm, axis.fwhm_nm, cube.unit,
        )  # fmt: skip

        def on_all(column: np.ndarray, missing: Any) -> np.ndarray:
            full = np.full(cube.shape[0], missing, np.result_type(column, type(missing)))
            full[worked] = column
            return full

        weights = model.weights / max(float(model.weights.max()), np.finfo(float).tiny)
        channels = Channels(
            on_all(model.kept, False), on_all(model.live, False), on_all(model.agreement, np.nan),
            on_all(weights, np.nan),
        )  # fmt: skip
        maps = {name: cubes[name] for name in model.maps}
        return Unmixing(cubes["abundances"], library, cubes["error"], maps, channels, cube, record)


def _errors(observed: torch.Tensor, valid: torch.Tensor, rebuilt: torch.Tensor, span: float) -> torch.Tensor:
    """(2, h, w): rms of observed - rebuilt over the bands both have, in physical units; and relative to the pixel."""
    import torch

    both = valid & torch.isfinite(rebuilt)
    count = both.sum(0)
    residual = torch.where(both, observed - rebuilt, 0.0).square().sum(0)
    power = torch.where(both, observed, 0.0).square().sum(0)
    rms = (residual / count.clamp(min=1)).sqrt() * span
    relative = (residual / power.clamp(min=torch.finfo(power.dtype).tiny)).sqrt()
    return torch.where(count > 0, torch.stack([rms, relative]), torch.nan)


def _reopened(result: Unmixing, folder: Path) -> Unmixing:
    """The result with its images read from where they lie now."""
    from hsi_app.io import open_cube

    cubes = {stem: open_cube(folder / f"{stem}.hdr") for stem in result.cubes}
    return replace(
        result, abundances=cubes.pop("abundances"), error=cubes.pop("error"), maps=cubes,
        endmembers=replace(result.endmembers, source=str(folder / "endmembers.sli")),
    )  # fmt: skip
