"""Sparse unmixing with a library: few of many known spectra explain a pixel."""

from __future__ import annotations

import torch

from hsi_app.jobs import Job
from hsi_app.unmixing.abundances import project_to_simplex


def sunsal(
    spectra: torch.Tensor,
    library: torch.Tensor,
    job: Job,
    *,
    sparsity: float = 0.01,
    nonnegative: bool = True,
    sum_to_one: bool = False,
    iterations: int = 300,
    tolerance: float = 1e-4,
) -> tuple[torch.Tensor, int]:
    """argmin_X 1/2 ||D X - Y||^2 + sparsity ||X||_1, with X >= 0 and columns that add to one where asked.

    Parameters
    ----------
    spectra : (B, N) float tensor Y
    library : (B, K) float tensor D
    job : for progress and cancelling
    sparsity : lam >= 0, in squared units of the data
    nonnegative, sum_to_one : the constraints
    iterations : int, at most
    tolerance : a pixel is done when both residuals, relative to its own scale, fall below it

    Returns
    -------
    (K, N) float64 tensor, and the iterations that the slowest pixel took. Pixels do not know of each other, so that
    any tiling gives the same.

    Source: SUnSAL, Bioucas-Dias and Figueiredo, WHISPERS 2010: alternating directions with one factored matrix.
    """
    d, y = library.double(), spectra.double()
    count = d.shape[1]
    gram, cross = d.T @ d, d.T @ y
    # Library spectra look alike, so the curvature that matters lies far below the mean one.
    penalty = 0.01 * float(gram.diagonal().mean())
    inverse = torch.linalg.inv(gram + penalty * torch.eye(count, dtype=d.dtype, device=d.device))
    result = torch.zeros_like(cross)
    left = torch.arange(y.shape[1], device=y.device)
    split, dual = torch.zeros_like(cross), torch.zeros_like(cross)
    iteration = 0
    for iteration in range(1, iterations + 1):
        if iteration % 10 == 1:
            job.step(iteration / iterations, f"sparse unmixing, iteration {iteration} of at most {iterations}")
        free = inverse @ (cross + penalty * (split + dual))
        before, split = split, _shrunk(free - dual, sparsity / penalty, nonnegative, sum_to_one)
        dual = dual - (free - split)
        if iteration % 10 and iteration < iterations:
            continue
        scale = torch.maximum(free.norm(dim=0), split.norm(dim=0)).clamp(min=1e-12)
        apart, moved = (free - split).norm(dim=0), (split - before).norm(dim=0)
        open_ = (apart > tolerance * scale) | (moved > tolerance * scale)
        result[:, left] = split
        if not bool(open_.any()):
            break
        left, split, dual, cross = left[open_], split[:, open_], dual[:, open_], cross[:, open_]
    return result, iteration


def _shrunk(values: torch.Tensor, threshold: float, nonnegative: bool, sum_to_one: bool) -> torch.Tensor:
    if sum_to_one and nonnegative:
        # On the simplex the 1-norm is constant, so only the projection is left.
        return project_to_simplex(values)
    shrunk = (
        (values - threshold).clamp(min=0) if nonnegative else values.sign() * (values.abs() - threshold).clamp(min=0)
    )
    return shrunk + (1 - shrunk.sum(0)) / len(shrunk) if sum_to_one else shrunk
