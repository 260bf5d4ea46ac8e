"""Quadratic spectral transfer: spectra regressed on their own broad bands, then read off the multispectral pixels."""

from __future__ import annotations

import torch

from hsi_app.fusion.pair import Pair
from hsi_app.fusion.regression import Regression, fit_ridge
from hsi_app.jobs import Job
from hsi_app.methods.fusion.doubt import Doubt, find_doubt
from hsi_app.methods.fusion.spec import RidgeParameters
from hsi_app.problem import Problem, Restoration, Shared

# Numbers held for one pixel's features and spectrum are bounded by working on so many pixels at a time.
CHUNK_PX = 2**15


def prepare(pair: Pair, params: RidgeParameters, task: str, job: Job) -> Shared:
    """Learn the transfer on the hyperspectral image."""
    job.step(0.0, "learning how spectra follow from the broad bands")
    spectra = pair.spectra
    broad = pair.mixed_bands() @ spectra
    centre, spread = broad.mean(1), broad.std(1).clamp(min=1e-12)
    features = polynomial((broad - centre[:, None]) / spread[:, None], params.degree)
    job.step(0.2, "learning how spectra follow from the broad bands")
    found = fit_ridge(features, spectra, strength=params.strength, robust=params.robust)
    return {
        **found.to_shared("transfer"),
        "standard": torch.stack([centre, spread]).cpu().numpy(),
        **find_doubt(broad).to_shared(),
    }


def fuse_tile(problem: Problem, params: RidgeParameters, job: Job) -> Restoration:
    """Spectra of a tile of the multispectral image."""
    assert problem.guide is not None
    job.step(0.0, "spectra from broad bands")
    device = problem.device
    transfer = Regression.from_shared(problem.shared, "transfer", device)
    centre, spread = torch.from_numpy(problem.shared["standard"]).to(device)
    ordinary = Doubt.from_shared(problem.shared, device)
    bands, height, width = problem.shape_out
    pixels = problem.guide.reshape(problem.guide.shape[0], -1)
    values = pixels.new_empty((bands, pixels.shape[1]))
    doubt = pixels.new_empty(pixels.shape[1])
    for start in range(0, pixels.shape[1], CHUNK_PX):
        job.step(start / pixels.shape[1], "spectra from broad bands")
        here = slice(start, start + CHUNK_PX)
        features = polynomial((pixels[:, here] - centre[:, None]) / spread[:, None], params.degree)
        values[:, here] = transfer.predict(features)
        doubt[here] = ordinary.of(pixels[:, here])
    return Restoration(
        values.reshape(bands, height, width),
        extras={"doubt": doubt.reshape(height, width)},
        trace={"strength": transfer.strength, "explained": transfer.explained},
    )


def polynomial(bands: torch.Tensor, degree: int) -> torch.Tensor:
    """(p, N) features of standardised (b, N) bands: themselves, for degree 2 their squares and products too."""
    if degree == 1:
        return bands
    first, second = torch.triu_indices(len(bands), len(bands), device=bands.device)
    return torch.cat([bands, bands[first] * bands[second]])
