"""DDS2M on one cube or tile."""

from __future__ import annotations

from typing import Any

import torch

from hsi_app.bands import BandAxis
from hsi_app.diffusion.ddrm import Mixing, Tied
from hsi_app.diffusion.running import Running
from hsi_app.jobs import Job
from hsi_app.methods.dds2m.fit import Fitted, Run, Watch
from hsi_app.methods.dds2m.generator import Generator
from hsi_app.methods.dds2m.held_out import Judge, choose_bands, choose_entries
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.methods.dds2m.start import Lesson, estimate
from hsi_app.methods.lowrank.denoise import DCT_SIDE
from hsi_app.methods.lowrank.observation import Whitened, whiten
from hsi_app.physics.operator import LinearOperator
from hsi_app.physics.spatial import Identity, Mask, Separable
from hsi_app.problem import Problem, Restoration

# The forming cube is shown every so many updates.
SHOW_EVERY = 10
# See ``Judge``, where whole pixels are filled.
GAP_SLACK = 1.0
# Share of the progress that the first estimate takes.
FIRST = 0.1


def restore(problem: Problem, params: Dds2mParameters, job: Job) -> Restoration:
    """Estimate, hold samples out, and fit the generator to the chain.

    Parameters
    ----------
    problem : see Problem
    params : options of the method
    job : told the progress, with the forming cube as a preview; may raise Cancelled

    Returns
    -------
    Restoration with the extra image 'spread' (B, H, W): the standard deviation over the runs where there are several,
    over the last outputs of the network otherwise
    """
    data = whiten(problem, lambda fraction: job.step(0.03 * fraction, "projection"))
    setting = _Setting(problem, params, data, job)
    if min(problem.shape_out[1:]) < DCT_SIDE:
        # Too few pixels for a network to learn from.
        return setting.restoration(
            setting.whole, torch.zeros_like(setting.whole), {"stopped": "too small to learn from"}
        )
    samples = Running(0, torch.zeros_like(setting.start), torch.zeros_like(setting.start))
    shown = _Picture(problem, data, setting.half)
    trace: dict[str, Any] = {}
    spread = torch.zeros_like(setting.start)
    kept = job.kept()
    if kept is not None:
        samples = Running(int(kept["index"]), *(kept[name].to(setting.start) for name in ("mean", "power of runs")))
        job.went_on()
    for index in range(samples.count, params.samples):
        part = job.part(FIRST + (1 - FIRST) * index / params.samples, (1 - FIRST) / params.samples)
        name = f"run {index + 1} of {params.samples}, " if params.samples > 1 else ""

        def watch(update: int, guess: torch.Tensor, text: str, part: Job = part, name: str = name) -> None:
            preview = shown.of(guess) if update % SHOW_EVERY == 0 else None
            part.step(
                update / params.updates, f"{name}update {update} of {params.updates}, {text}", preview, problem.place
            )

        beside = {
            "index": torch.tensor(index),
            "mean": torch.as_tensor(samples.mean),
            "power of runs": torch.as_tensor(samples.power),
        }
        found, share = setting.run(index, part, watch, kept, beside)
        kept = None
        samples.add(setting.with_held_out(found.cube, share) if setting.has_estimate else found.cube)
        trace, spread = _trace(found, setting, share), found.spread
    if params.samples > 1:
        spread = torch.as_tensor(samples.variance).sqrt()
    return setting.restoration(torch.as_tensor(samples.mean), spread, trace)


class _Setting:
    """What all runs on a problem share, in half ranges of the scene."""

    def __init__(self, problem: Problem, params: Dds2mParameters, data: Whitened, job: Job) -> None:
        self.problem, self.params, self.data, self.job = problem, params, data, job
        self.half = float(problem.shared["half"])
        bands, height, width = problem.shape_out
        device = problem.device
        self.has_estimate = params.start == "estimate"
        entries, kept = None, torch.arange(bands, device=device)
        held = torch.zeros(bands, dtype=torch.bool, device=device)
        ok = data.ok
        if problem.operator is None:
            entries = choose_entries(problem, data, params.hold_out, job.seed)
            ok = data.ok & ~entries
        else:
            held[choose_bands(bands, params.hold_out)] = True
            kept = kept[~held]
            ok = data.ok & ~held[:, None, None]
        first = job.part(0.03, FIRST - 0.03)
        self.maps = self._estimate(ok, first.part(0.0, 0.5))
        self.far = torch.isnan(self.maps[0])
        self.maps = self.maps.nan_to_num(0.0) / self.half
        self.start = self._lifted(self.maps)
        self.operator: LinearOperator
        if problem.operator is None:
            self.operator = Identity(tuple(ok.shape)) if bool(ok.all()) else Mask(ok)  # type: ignore[arg-type]
            observed = data.believed / self.half
            truth = observed[entries]
        else:
            assert isinstance(problem.operator, Separable)
            # Samples that are missing on the coarse grid, and stay so, are filled for the decomposition.
            filled = data.believed / self.half
            if not bool(data.ok.all()):
                filled = torch.where(data.ok, filled, problem.operator.forward(self.start))
            self.operator = Separable(len(kept), problem.operator.rows, problem.operator.cols)
            observed, truth = filled[kept], filled[held].reshape(-1)
        # Only where gaps are to be filled they matter: elsewhere they stay.
        fills = problem.task == "inpaint"
        slack = GAP_SLACK if entries is not None and fills and not bool(data.ok.any(0).all()) else 0.0
        self.judge_of = lambda: Judge(truth, entries, problem.operator, held, params.patience, slack)
        self.observed, self.kept, self.entries = observed, kept, entries
        # From all samples, for the end.
        self.whole = self.start
        if not torch.equal(ok, data.ok):
            maps = self._estimate(data.ok, first.part(0.5, 0.5))
            self.far = torch.isnan(maps[0])
            self.whole = self._lifted(maps.nan_to_num(0.0) / self.half)
        self.seen = ok.any(0) if fills else torch.ones(height, width, dtype=torch.bool, device=device)

    def run(
        self,
        index: int,
        job: Job,
        watch: Watch,
        kept: dict[str, torch.Tensor] | None = None,
        beside: dict[str, torch.Tensor] | None = None,
    ) -> tuple[Fitted, float]:
        """The fit with the random numbers of that index, and how far to go from the estimate to what it found.

        kept : where an earlier one of that index was, or None; beside : what else a checkpoint shall keep
        """
        # The estimate before, this, and the first update, which warms the libraries up, take a good second together.
        job.step(0.0, "making the network")
        place, params = self.problem.place, self.params
        draws = job.generator(self.problem.device, place.row, place.col, index)
        size = self._size()
        floor = -(self.data.mean / self.data.std)[:, 0, 0] / self.half
        generator = Generator(params, self.data.basis, size, floor, draws)
        lesson = Lesson(self.maps, size[:, None, None], self.seen) if self.has_estimate else None
        images = None if self.has_estimate else generator.noise_images(self.seen.shape[0], self.seen.shape[1], draws)
        noise_std = 1 / self.half
        tied = Tied(self.operator, self.observed, noise_std, Mixing(params.eta, params.eta_b))
        judge = self.judge_of()
        start = self.start if self.has_estimate else torch.zeros_like(self.start)
        fit = Run(params, generator, tied, self.kept, lesson, images, start, judge, noise_std, draws)
        if kept is not None:
            fit.load_state_dict(kept)
        job.step(0.0, "beginning to fit")
        found = fit.fitted(job, watch, beside or {})
        return found, judge.share_of(self.start, found.cube) if self.has_estimate else 1.0

    def with_held_out(self, found: torch.Tensor, share: float) -> torch.Tensor:
        """The estimate from all samples, moved as far as that from the fitted ones was moved.

        What was held out has served its end. Where whole pixels were, there is nothing left to guess.
        """
        given_back = self.data.ok.any(0) & ~self.seen if self.problem.scale == 1 else ~self.seen
        return self.whole + share * (found - self.start) * ~given_back

    def restoration(self, cube: torch.Tensor, spread: torch.Tensor, trace: dict[str, Any]) -> Restoration:
        """Back in scaled units."""
        data = self.data
        values = cube * self.half * data.std + data.mean
        if bool(self.far.any()):
            values = torch.where(self.far, torch.nan, values)
        return Restoration(values, None, {"spread": spread * self.half * data.std}, trace=trace)

    def _estimate(self, ok: torch.Tensor, job: Job) -> torch.Tensor:
        seed = self.job.seed
        return estimate(self.problem, self.data, ok, seed, lambda f: job.step(f, "low-rank estimate"))

    def _lifted(self, maps: torch.Tensor) -> torch.Tensor:
        return (self.data.basis @ maps.flatten(1)).reshape(-1, *maps.shape[1:])

    def _size(self) -> torch.Tensor:
        """(R,) standard deviations of the maps over the scene, the same for all tiles."""
        return (self.data.variance.sqrt() / self.half).clamp_min(1e-4)


class _Picture:
    """Three bands of a forming cube in scaled units, for people to watch."""

    def __init__(self, problem: Problem, data: Whitened, half: float) -> None:
        self._shown = list(BandAxis(len(data.basis), problem.wavelengths_nm).composite())
        self._mean, self._std = data.mean[self._shown], data.std[self._shown] * half

    def of(self, cube: torch.Tensor) -> torch.Tensor:
        """(3, H, W), red first."""
        return cube[self._shown] * self._std + self._mean


def _trace(found: Fitted, setting: _Setting, share: float) -> dict[str, Any]:
    return {
        "rank": setting.data.basis.shape[1],
        "updates": found.updates,
        "kept_update": found.kept,
        "stopped": found.reason,
        "share_of_fit": round(share, 3) if found.kept else 0.0,
        "curve": [[round(value, 6) for value in row] for row in found.curve],
    }
