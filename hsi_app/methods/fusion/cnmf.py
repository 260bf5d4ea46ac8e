"""Coupled non-negative matrix factorisation: spectra from the one image, abundances from the other, in turns."""

from __future__ import annotations

import torch

from hsi_app.errors import CubeError
from hsi_app.fusion.pair import Pair
from hsi_app.jobs import Job
from hsi_app.methods.fusion.doubt import Doubt, find_doubt
from hsi_app.methods.fusion.spec import CnmfParameters
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.tiling import Window
from hsi_app.unmixing.vertices import vca

# Side of the part of the hyperspectral image that the endmembers are learned on; smaller images are taken whole.
LEARNED_SIDE_PX = 64
# Endmembers when their number is not given.
MOST = 30
# Updates end when the misfit falls by less than this share in ten of them.
TOLERANCE = 1e-4
_LEAST = 1e-9


def prepare(pair: Pair, params: CnmfParameters, task: str, job: Job) -> Shared:
    """Learn the endmembers in turns on the part of the images that both show.

    Source: Yokoya, Yairi and Iwasaki 2012, sec. III: VCA, then multiplicative updates (Lee and Seung 1999) of
    abundances and endmembers, with W_m = R W and H_h = H_m seen by the hyperspectral sensor.
    """
    job.step(0.0, "finding endmembers")
    spectra = pair.spectra
    count = params.endmembers or min(pair.signal.back.shape[1], MOST)
    count = max(min(count, len(spectra), spectra.shape[1]), 2)
    _, found = vca(spectra.cpu(), count, job.generator("cpu"))
    endmembers = found.float().clamp(min=_LEAST).to(pair.device)
    coarse, fine = _learned(pair)
    values, valid = pair.hsi.tensors(coarse)
    guide, complete = pair.guide(fine)
    grids = pair.grids(coarse, fine)
    seen = valid.all(0) & torch.isfinite(grids.to_coarse(guide[:1], complete[None])[0])
    if int(seen.sum()) < count:
        raise CubeError(
            f"{int(seen.sum())} hyperspectral pixels lie wholly on the multispectral image; CNMF with {count}"
            " endmembers needs as many. Check that the two overlap."
        )
    mixed = pair.mixed_bands()
    hsi, msi = values[:, seen].clamp(min=0), guide[:, complete].clamp(min=0)
    weight = params.sum_weight * float(hsi.square().mean().sqrt())
    abundances = _unmixed(hsi, endmembers, weight, params.iterations, job.part(0.05, 0.1))
    image = values.new_full((count, *values.shape[1:]), torch.nan)
    image[:, seen] = abundances
    sharp = _start(grids.to_fine(image)[:, complete])
    losses = []
    for turn in range(params.rounds):
        part = job.part(0.15 + 0.85 * turn / params.rounds, 0.85 / params.rounds)
        sharp = _abundances(msi, mixed @ endmembers, sharp, weight, params.iterations, part.part(0.0, 0.6))
        whole = guide.new_zeros((count, *guide.shape[1:]))
        whole[:, complete] = sharp
        abundances = grids.to_coarse(whole, complete.expand_as(whole))[:, seen].clamp(min=_LEAST)
        endmembers, abundances = _factors(hsi, endmembers, abundances, weight, params.iterations, part.part(0.6, 0.4))
        losses.append(float((hsi - endmembers @ abundances).square().mean().sqrt()))
    left = mixed @ (hsi - endmembers @ abundances)
    return {
        "endmembers": endmembers.cpu().numpy(),
        "mixed": (mixed @ endmembers).cpu().numpy(),
        **find_doubt(mixed @ hsi, left).to_shared(),
        "weight": torch.tensor(weight).numpy(),
        "misfits": torch.tensor(losses).numpy(),
    }


def fuse_tile(problem: Problem, params: CnmfParameters, job: Job) -> Restoration:
    """Abundances of a tile, from those of the coarse image as a start, times the endmembers."""
    assert problem.guide is not None
    assert problem.grids is not None
    endmembers, mixed = (torch.from_numpy(problem.shared[key]).to(problem.device) for key in ("endmembers", "mixed"))
    weight = float(problem.shared["weight"])
    bands, height, width = problem.shape_out
    coarse = problem.observed.reshape(bands, -1)
    image = _unmixed(coarse.clamp(min=0), endmembers, weight, params.iterations, job.part(0.0, 0.1))
    image[:, ~problem.valid.all(0).reshape(-1)] = torch.nan
    covered = problem.grids.to_fine(image.reshape(len(image), *problem.observed.shape[1:]))
    pixels = problem.guide.reshape(len(mixed), -1).clamp(min=0)
    start = covered.reshape(len(image), -1)
    abundances = _abundances(pixels, mixed, _start(start), weight, params.iterations, job.part(0.1, 0.9))
    values = torch.where(torch.isfinite(start[:1]), endmembers @ abundances, torch.nan)
    doubt = Doubt.from_shared(problem.shared, problem.device).of(pixels, pixels - mixed @ abundances)
    trace = {"endmembers": len(image), "misfits": problem.shared["misfits"].tolist()}
    return Restoration(
        values.reshape(bands, height, width), extras={"doubt": doubt.reshape(height, width)}, trace=trace
    )


def _learned(pair: Pair) -> tuple[Window, Window]:
    """The middle of the hyperspectral image and what it shows of the multispectral image."""
    height, width = pair.hsi.shape[1:]
    side = min(height, LEARNED_SIDE_PX), min(width, LEARNED_SIDE_PX)
    coarse = Window((height - side[0]) // 2, (width - side[1]) // 2, *side)
    return coarse, pair.fine_window(coarse)


def _start(abundances: torch.Tensor) -> torch.Tensor:
    """Interpolated abundances as a start: what multiplies must be above zero, and be there."""
    return abundances.nan_to_num(1 / len(abundances)).clamp(min=1e-4)


def _unmixed(spectra: torch.Tensor, endmembers: torch.Tensor, weight: float, iterations: int, job: Job) -> torch.Tensor:
    """(K, N) abundances from a start that favours none."""
    even = spectra.new_full((endmembers.shape[1], spectra.shape[1]), 1 / endmembers.shape[1])
    return _abundances(spectra, endmembers, even, weight, iterations, job)


def _abundances(
    spectra: torch.Tensor, endmembers: torch.Tensor, start: torch.Tensor, weight: float, iterations: int, job: Job
) -> torch.Tensor:
    """(K, N) abundances >= 0 whose sums are drawn to one, by multiplicative updates."""
    gram = endmembers.T @ endmembers + weight**2
    cross = endmembers.T @ spectra + weight**2
    power = spectra.square().sum(0) + weight**2
    abundances, before = start, torch.inf
    for turn in range(iterations):
        product = gram @ abundances
        if turn % 10 == 0:
            job.step(turn / iterations, "abundances")
            loss = float((power - 2 * (cross * abundances).sum(0) + (product * abundances).sum(0)).double().sum())
            if before - loss < TOLERANCE * abs(before):
                break
            before = loss
        abundances = abundances * cross.clamp(min=0) / product.clamp(min=_LEAST)
    return abundances


def _factors(
    spectra: torch.Tensor, endmembers: torch.Tensor, abundances: torch.Tensor, weight: float, iterations: int, job: Job
) -> tuple[torch.Tensor, torch.Tensor]:
    """Endmembers first, as the abundances come from the sharper image, then both in turns."""
    before = torch.inf
    for turn in range(iterations):
        if turn % 10 == 0:
            job.step(turn / iterations, "endmembers")
            loss = float((spectra - endmembers @ abundances).square().sum())
            if before - loss < TOLERANCE * abs(before):
                break
            before = loss
        square = abundances @ abundances.T
        endmembers = endmembers * (spectra @ abundances.T) / (endmembers @ square).clamp(min=_LEAST)
        gram, cross = endmembers.T @ endmembers + weight**2, endmembers.T @ spectra + weight**2
        abundances = abundances * cross.clamp(min=0) / (gram @ abundances).clamp(min=_LEAST)
    return endmembers, abundances
