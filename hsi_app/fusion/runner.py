"""The run of a fusion: bring the images together, learn once, sharpen tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hsi_app import device as devices
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError, OutputError, ParameterError
from hsi_app.files import check_target
from hsi_app.fusion.choice import choose
from hsi_app.fusion.pairing import How, PairSettings, Radiometry, make_pair
from hsi_app.fusion.result import Fusion
from hsi_app.jobs import Job
from hsi_app.methods.registry import Extent, MethodSpec
from hsi_app.methods.registry import method as find_method
from hsi_app.params import Parameters
from hsi_app.plan import in_tiles_that_fit, memory_as_plan, working_budget
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.record import describe_cube, history_line, run_record
from hsi_app.scene import Scene
from hsi_app.sinks import Sink, open_sink, refuse_own_input
from hsi_app.streaming import stream_tiles
from hsi_app.tiling import Tile, Window

if TYPE_CHECKING:
    import torch

    from hsi_app.fusion.grids import Grids
    from hsi_app.fusion.pair import Pair

AUTO = "auto"
# A doubt map larger than this is only kept where a file is named for it.
_KEPT_PX = 2**26
# A Gaussian is cut at three standard deviations, 1.27 of its widths.
_PSF_REACH = 1.3


@dataclass(frozen=True)
class FusionSettings:
    """How to fuse, whatever the method.

    srf, registration, radiometry, psf_fwhm : see ``hsi_app.fusion.pairing.PairSettings``
    device, memory, seed : see ``hsi_app.Settings``
    bad_bands : 'keep' only interpolates bands marked bad, and leaves them missing where it is not known which pixel
        lies where; 'restore' sharpens them too
    tile : largest side of a tile in px of the multispectral image, or None to follow from ``memory``
    """

    srf: str | None = None
    registration: How = "auto"
    radiometry: Radiometry = "auto"
    psf_fwhm: float | None = None
    device: str = "auto"
    memory: int | None = None
    seed: int = 0
    bad_bands: Literal["keep", "restore"] = "keep"
    tile: int | None = None

    @property
    def pairing(self) -> PairSettings:
        """What is known of how the images belong together."""
        return PairSettings(self.srf, self.registration, self.radiometry, self.psf_fwhm)


def fuse(
    hsi: Cube,
    msi: Cube,
    method: str | MethodSpec = AUTO,
    options: Mapping[str, Any] | Parameters | None = None,
    settings: FusionSettings | None = None,
    *,
    mask: np.ndarray | None = None,
    out: str | Path | None = None,
    doubt: str | Path | None = None,
    overwrite: bool = False,
    job: Job | None = None,
) -> Fusion:
    """Make a sharp hyperspectral cube of a coarse one and a sharp multispectral image.

    Parameters
    ----------
    hsi : coarse hyperspectral cube; never changed
    msi : sharp multispectral image of the same or overlapping ground; never changed
    method : id of a registered method of the task 'fuse', its specification, or 'auto' to choose by bands, noise and
        registration
    options : the method's parameters by name, or its parameter model; none with 'auto'
    settings : how to run, and what is known of how the images belong together
    mask : bool (h, w) or (B, h, w) of ``hsi``, True = observed; adds to NaN, nodata and the cube's own mask
    out : file to stream the result into; without it the result is kept in memory
    doubt : file for the map of doubt
    overwrite : allow existing files to be replaced
    job : to watch, cancel and seed from outside; made from ``settings.seed`` when not given

    Returns
    -------
    Fusion

    Raises
    ------
    ParameterError, CapabilityError
        If the method or an option does not exist, they contradict each other, the spectral response is not known and
        cannot be estimated, or the method needs a registration that there is not.
    CubeError
        If one of the images has nothing to learn from.
    OutputError
        If a file is an input, exists, or cannot be written.
    PlanError
        If one tile does not fit the memory budget.
    Cancelled
        If the job was asked to stop; nothing is left behind.
    """
    settings = settings or FusionSettings()
    is_auto = method == AUTO
    if is_auto and options:
        raise ParameterError("'auto' chooses the options too; name a method to give them.")
    spec = None if is_auto else find_method(method, "fuse")
    params = None if spec is None else options if isinstance(options, Parameters) else spec.parameters.parse(options)
    for target in (out, doubt):
        if target is not None:
            refuse_own_input(hsi, Path(target))
            refuse_own_input(msi, Path(target))
            check_target(Path(target), overwrite=overwrite)
    if out is not None and doubt is not None and Path(out).resolve() == Path(doubt).resolve():
        raise OutputError("the result and the map of doubt have the same name; give each its own.")
    job = job or Job(seed=settings.seed)
    started = datetime.now(UTC)
    job.step(0.0, "reading")
    coarse, fine, budget = scenes(hsi, msi, settings, mask)
    with memory_as_plan("while the images were brought together"):
        paired = make_pair(coarse, fine, settings.pairing, job.part(0.02, 0.13))
    pair = paired.pair
    reasons: tuple[str, ...] = ()
    if spec is None or params is None:
        choice = choose(pair)
        spec, params, reasons = find_method(choice.method, "fuse"), choice.parameters(), choice.reasons
    if spec.needs_registration:
        pair.known_placement()
    run, prepare = spec.load_run(), spec.load_prepare()
    assert prepare is not None  # a MethodSpec of this kind has one
    with memory_as_plan("while the method was prepared"):
        shared = prepare(pair, params, "fuse", job.part(0.15, 0.6))  # type: ignore[arg-type]
    pipeline = _Pipeline(pair, spec, params, shared, run)
    sinks: list[Sink | None] = []

    def work(tiles: list[Tile]) -> None:
        with ExitStack() as stack:
            sharp = stack.enter_context(open_sink(out, pipeline.like, overwrite))
            keeps = doubt is not None or int(np.prod(msi.shape[1:])) <= _KEPT_PX
            map_of = stack.enter_context(open_sink(doubt, pipeline.doubt_like, overwrite)) if keeps else None
            pipeline.run_tiles(tiles, sharp, map_of, job.part(0.75, 0.25))
            # The last chance to cancel is before the files take their names.
            job.step(1.0, "done")
        sinks[:] = [sharp, map_of]

    tiles = in_tiles_that_fit(fine, pipeline.extent, budget, settings.tile, job, work)
    if pipeline.empty:
        job.note(f"{pipeline.empty} pixels have no result: a band of the multispectral image is missing there, or, for"
                 " registered methods, no hyperspectral pixel lies over them.")  # fmt: skip
    record = run_record(
        spec, params, {**asdict(settings), "task": "fuse", "seed": job.seed}, cube=hsi, scene=coarse, shared=shared,
        trace=pipeline.trace, tiles=tiles, job=job, started=started, out=out,
    )  # fmt: skip
    record |= {"msi": describe_cube(msi), "pair": dict(paired.facts), "reasons": list(reasons)}
    sharp, map_of = sinks
    assert sharp is not None
    return Fusion(
        sharp.result(), None if map_of is None else map_of.result(), hsi, msi, paired.response, record,
    )  # fmt: skip


def scenes(hsi: Cube, msi: Cube, settings: FusionSettings, mask: np.ndarray | None = None) -> tuple[Scene, Scene, int]:
    """Both images as a fusion works on them, and the bytes that it may use.

    Raises CubeError where the second has no fewer bands than the first, PlanError without memory.
    """
    device = devices.choose_device(settings.device)
    budget = working_budget(settings.memory)
    coarse, fine = (
        Scene(cube, _worked(cube, settings), device, mask=seen, budget=budget // 8, physical=True)
        for cube, seen in ((hsi, mask), (msi, None))
    )
    if fine.shape[0] >= coarse.shape[0]:
        raise CubeError(
            f"'{msi.name}' has {fine.shape[0]} bands and '{hsi.name}' {coarse.shape[0]}; give the hyperspectral image"
            " first, the multispectral one second."
        )
    return coarse, fine, budget


def _worked(cube: Cube, settings: FusionSettings) -> np.ndarray:
    """Indices of the bands that take part."""
    return cube.axis.good if settings.bad_bands == "keep" else np.arange(cube.shape[0])


class _Pipeline:
    """Runs the tiles of one fusion."""

    def __init__(
        self,
        pair: Pair,
        spec: MethodSpec,
        params: Parameters,
        shared: Shared,
        run: Callable[[Problem, Any, Job], Restoration],
    ) -> None:
        self.pair, self.spec, self.params, self.shared, self.run = pair, spec, params, shared, run
        hsi, msi = pair.hsi.cube, pair.msi.cube
        line = history_line(spec, params, "fuse")
        self._worked = pair.hsi.bands
        self._passed = np.setdiff1d(np.arange(hsi.shape[0]), self._worked)
        empty = np.broadcast_to(np.float32(np.nan), (hsi.shape[0], *msi.shape[1:]))
        self.like = replace(
            hsi, values=empty, valid=None, georef=msi.georef, name=f"{hsi.name} fused", source=None,
            history=(*hsi.history, f"{line}, with {msi.name}"),
        )  # fmt: skip
        self.doubt_like = Cube(
            empty[:1], BandAxis(1, names=("doubt",)), georef=msi.georef, name=f"{hsi.name} doubt",
            history=(f"{line}, with {msi.name}",),
        )  # fmt: skip
        self.trace: dict[str, Any] = {}
        self.empty = self._doubted = self._pixels = 0

    @property
    def extent(self) -> Extent:
        """How much of the multispectral image a tile takes, its memory reckoned from the result's bands."""
        own, pair = self.spec.extent, self.pair
        coarse = 0 if pair.placement is None else own.coarse_margin_px + ceil(_PSF_REACH * (pair.psf_fwhm or 0))
        # The result beside what the method takes: scaled, in stored units, and being written.
        result = 4 * pair.hsi.shape[0] * own.memory_factor + 12 * pair.hsi.cube.shape[0]
        return replace(
            own, margin_px=own.margin_px + ceil(coarse * pair.ratio), memory_factor=1.0,
            pixel_bytes=own.pixel_bytes + int(result),
        )  # fmt: skip

    def run_tiles(self, tiles: list[Tile], sharp: Sink, doubt: Sink | None, job: Job) -> None:
        """Sharpen every tile and hand finished windows on."""
        self.trace, self.empty, self._doubted, self._pixels = {}, 0, 0, 0

        def write(window: Window, block: np.ndarray) -> None:
            self._tally(block)
            missing = self.like.nodata
            values = block[:-1]
            if missing is not None:
                values = np.where(np.isfinite(values), values, np.float32(missing))
            sharp.write(window, values)
            if doubt is not None:
                doubt.write(window, block[-1:])

        stream_tiles(self.pair.msi, tiles, self._tile, write, job)
        pixels = max(self._pixels, 1)
        self.trace |= {"doubted_share": self._doubted / pixels, "pixels": self._pixels}

    def _tile(self, tile: Tile, values: torch.Tensor, valid: torch.Tensor, job: Job) -> np.ndarray:
        import torch

        pair, bands = self.pair, self.pair.hsi.shape[0]
        complete = valid.all(0)
        rows, cols = tile.keep.inside(tile.read)
        # All bands of the hyperspectral cube, and the doubt.
        block = np.full((len(self.like.axis.is_bad) + 1, tile.keep.height, tile.keep.width), np.nan, np.float32)
        if not bool(complete.any()):
            return block
        guide = pair.matched(values, complete.expand_as(values))
        problem = Problem(
            values.new_zeros((bands, 0, 0)), torch.ones((bands, 0, 0), dtype=torch.bool, device=values.device), "fuse",
            pair.hsi.wavelengths_nm, tile.read, shared=self.shared, guide=guide,
        )  # fmt: skip
        if pair.placement is not None:
            coarse = pair.coarse_window(tile.read)
            if coarse.pixels:
                observed, seen = pair.hsi.tensors(coarse)
                problem = replace(problem, observed=observed, valid=seen, grids=pair.grids(coarse, tile.read))
                if self._passed.size:
                    block[self._passed] = self._interpolated(coarse, problem.grids)[:, rows, cols]
            elif self.spec.needs_registration:
                return block
        with torch.no_grad(), devices.reduced_precision(values.device, self.spec.is_bf16_safe):
            found = self.run(problem, self.params, job)
        if found.values.shape != problem.shape_out or "doubt" not in found.extras:
            raise CubeError(
                f"method '{self.spec.id}' returned shape {tuple(found.values.shape)} for {problem.shape_out}, or no"
                " 'doubt'; tell its authors."
            )
        self.trace = self.trace or dict(found.trace)
        block[self._worked] = self._stored(found.values[:, rows, cols].float()).cpu().numpy()
        block[-1] = found.extras["doubt"][rows, cols].float().cpu().numpy()
        block[:, ~complete[rows, cols].cpu().numpy()] = np.nan
        return block

    def _interpolated(self, coarse: Window, grids: Grids | None) -> np.ndarray:
        """Stored values of the bands that took no part, interpolated to a tile: they get no sharper."""
        import torch

        assert grids is not None
        values, valid = self.pair.hsi.cube.block(coarse, [int(band) for band in self._passed])
        image = np.where(valid, values, np.float32(np.nan))
        found: np.ndarray = grids.to_fine(torch.from_numpy(image)).numpy()
        return found

    def _stored(self, values: torch.Tensor) -> torch.Tensor:
        """Scaled values in the stored numbers of the hyperspectral cube."""
        import torch

        scene = self.pair.hsi
        gain, offset = (
            torch.from_numpy(np.broadcast_to(np.asarray(column, np.float32), scene.cube.shape[:1])[scene.bands].copy())
            for column in (scene.cube.gain, scene.cube.offset)
        )
        physical = values * scene.scaling.span
        return (physical - offset.to(values)[:, None, None]) / gain.to(values)[:, None, None]

    def _tally(self, block: np.ndarray) -> None:
        seen = np.isfinite(block[[*self._worked, -1]]).all(axis=0)
        self.empty += int((~seen).sum())
        self._pixels += int(seen.sum())
        self._doubted += int((block[-1][seen] > 1).sum())
