"""Samples formed in a chain of steps: the prior guesses the images, the data correct the guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from hsi_app.bands import BandAxis
from hsi_app.diffusion.data_term import data_term
from hsi_app.diffusion.frame import anchored_noise, band_frame, component_frame, from_triples, to_triples
from hsi_app.diffusion.prior import VIEWS, Prior
from hsi_app.diffusion.running import Running
from hsi_app.diffusion.sample import sample
from hsi_app.diffusion.schedule import chain
from hsi_app.jobs import Job
from hsi_app.methods.hirdiff.guidance import Guidance
from hsi_app.methods.hirdiff.spec import HirDiffParameters
from hsi_app.methods.lowrank.observation import Whitened
from hsi_app.problem import Problem

# From here on a chain starts from noise alone: what the first estimate adds is below a twentieth of it.
PURE_NOISE = 20.0


@dataclass(frozen=True, eq=False)
class Formed:
    """What came of the samples, in units of each band's noise.

    values : (B, H, W), their mean; spread : their standard deviation, or None for a single one
    wavering : (r, H, W) variance of the guesses for each image along the chain and (B, r) what lifts images, or None
    trace : plain values for the report
    """

    values: torch.Tensor
    spread: torch.Tensor | None
    wavering: tuple[torch.Tensor, torch.Tensor] | None = None
    trace: dict[str, Any] = field(default_factory=dict)


def form(
    problem: Problem, params: HirDiffParameters, data: Whitened, prior: Prior, start: torch.Tensor, job: Job
) -> Formed:
    """Run the chain once for each sample, each through another view of the prior.

    start : (r, H, W) first estimate of the component images, on the grid of the result
    """
    basis = data.basis.double().cpu().numpy()
    frame = (band_frame if params.images == "bands" else component_frame)(
        basis, np.asarray(problem.shared["eigenvalues"])
    )
    lift = torch.as_tensor(frame.lift, dtype=start.dtype, device=start.device)
    turn = torch.as_tensor(np.linalg.pinv(frame.lift) @ basis, dtype=start.dtype, device=start.device)
    images = (turn @ start.flatten(1)).reshape(-1, *start.shape[1:])
    guidance = Guidance(data_term(lift, data.believed, data.ok, problem.operator), images, frame.reach, params)
    clean, pure = to_triples(images), params.start >= PURE_NOISE
    bars = chain(params.schedule, params.steps, params.rate, None if pure else params.start).tolist()
    picture = _Picture(problem, data, lift)
    count, window = params.samples or 1, problem.place.scaled(problem.scale)
    total, wavering, samples = torch.zeros_like(images), torch.zeros_like(images), Running()
    for index in range(count):
        settling = _Settling(params.steps)

        def fresh(step: int, index: int = index) -> torch.Tensor:
            return to_triples(anchored_noise(len(images), window, job.seed, index, step).to(images))

        def told(step: int, guess: torch.Tensor, index: int = index, settling: _Settling = settling) -> None:
            guess = from_triples(guess, len(images))
            settling.add(step, guess)
            done = f"step {step} of {params.steps}" + (f", sample {index + 1} of {count}" if count > 1 else "")
            job.step((index + step / params.steps) / count, done, preview=picture.of(guess), place=problem.place)

        state = bars[0] ** 0.5 * (0 * clean if pure else clean) + (1 - bars[0]) ** 0.5 * fresh(params.steps)
        last = sample(
            partial(prior.noise, view=index % VIEWS), state, bars, fresh=fresh, renewal=params.renewal,
            correct=guidance.correct, push=guidance.push, reach=guidance.reach, on_step=told,
        )  # fmt: skip
        found = from_triples(last, len(images))
        total += found
        wavering += settling.variance
        if count > 1:
            samples.add((lift @ found.flatten(1)).reshape(len(lift), *found.shape[1:]))
    mean = total / count
    values = (lift @ mean.flatten(1)).reshape(len(lift), *mean.shape[1:])
    spread = torch.as_tensor(samples.variance).sqrt() if count > 1 else None
    trace = {
        "kappa": round(guidance.kappa, 3),
        "samples": count,
        "residual_rms": round(guidance.misfit(mean) / max(int(data.ok.sum()), 1) ** 0.5, 4),
    }
    return Formed(values, spread, (wavering / count, lift), trace)


class _Settling:
    """Variance of the guesses over the second half of a chain, when they should have settled."""

    def __init__(self, steps: int) -> None:
        self._first, self._guesses = steps // 2, Running()

    def add(self, step: int, images: torch.Tensor) -> None:
        if step > self._first:
            self._guesses.add(images)

    @property
    def variance(self) -> torch.Tensor | float:
        return self._guesses.variance


class _Picture:
    """Three bands of a forming sample in scaled units, for people to watch."""

    def __init__(self, problem: Problem, data: Whitened, lift: torch.Tensor) -> None:
        shown = list(BandAxis(len(lift), problem.wavelengths_nm).composite())
        self._lift, self._mean, self._std = lift[shown], data.mean[shown], data.std[shown]

    def of(self, images: torch.Tensor) -> torch.Tensor:
        """(3, H, W), red first."""
        return (self._lift @ images.flatten(1)).reshape(-1, *images.shape[1:]) * self._std + self._mean
