"""Endmembers as mixtures of pixels: entropic descent archetypal analysis (EDAA), many starts at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from hsi_app.jobs import Job

# Starts run side by side while their tensors stay below this many numbers.
_BATCH_NUMBERS = 2**22
# Runs whose residual is within 5 % of the best count as equally good.
_SLACK = 1.05


@dataclass(frozen=True, eq=False)
class Archetypes:
    """What EDAA found.

    mixing : (N, K) float tensor, columns on the simplex: endmembers = spectra @ mixing
    residuals : mean absolute residual of each start, in the order they ran
    chosen : index of the start that was kept
    """

    mixing: torch.Tensor
    residuals: list[float]
    chosen: int


def archetypes(
    spectra: torch.Tensor,
    count: int,
    job: Job,
    *,
    starts: int = 50,
    rounds: int = 100,
    inner: int = 5,
    components: int | None = None,
) -> Archetypes:
    """Endmembers E = Y B that explain Y as E A, with the columns of A and B on the simplex.

    Parameters
    ----------
    spectra : (B, N) float tensor Y, complete pixels
    count : int, number of endmembers K
    job : for progress, cancelling and the starts' random numbers
    starts : int, number of random starts
    rounds, inner : int, alternations, and steps on A and then on B in each
    components : dimension of the signal subspace that the descent runs in; K + 5 when None

    Returns
    -------
    Archetypes

    Source: Zouaoui, Muhawenayo, Rasti, Chanussot and Mairal 2022 (arXiv 2209.11002): mirror descent with the
    entropy, A <- softmax(log A - eta grad), step sizes drawn from 2^-3 ... 2^3 over the largest squared singular
    value of YB, eta_B = eta_A sqrt(K / N). Here all starts advance together, in the signal subspace: its squared
    distances are those of the spectra up to the noise left out.
    """
    data = spectra.float()
    bands, pixels = data.shape
    size = min(bands, pixels, components or count + 5)
    gram = data.double() @ data.double().T
    basis = torch.linalg.eigh(gram).eigenvectors.flip(1)[:, :size].float()
    points = basis.T @ data
    batch = max(1, min(starts, _BATCH_NUMBERS // max(count * pixels, 1)))
    generator = job.generator("cpu")
    best: list[tuple[float, float, int, torch.Tensor]] = []
    residuals: list[float] = []
    for first in range(0, starts, batch):
        here = min(batch, starts - first)
        part = job.part(first / starts, here / starts)
        mixing = _descend(points, count, here, rounds, inner, generator, part)
        for k in range(here):
            own, fractions = mixing[0][k], mixing[1][k]
            endmembers = data @ own
            residual = float((data - endmembers @ fractions).abs().mean())
            residuals.append(residual)
            best.append((residual, _similarity(endmembers), first + k, own))
        limit = _SLACK * min(residual for residual, *_ in best)
        best = [entry for entry in best if entry[0] <= limit]
    _, _, chosen, mixing_kept = min(best, key=lambda entry: (entry[1], entry[2]))
    return Archetypes(mixing_kept, residuals, chosen)


def _descend(
    points: torch.Tensor, count: int, starts: int, rounds: int, inner: int, generator: torch.Generator, job: Job
) -> tuple[torch.Tensor, torch.Tensor]:
    """(S, N, K) mixing matrices and (S, K, N) abundances of ``starts`` runs side by side."""
    pixels, device = points.shape[1], points.device
    mixing = torch.softmax(0.1 * torch.rand((starts, pixels, count), generator=generator), 1).to(device)
    fractions = torch.full((starts, count, pixels), 1 / count, device=device)
    steepness = 2.0 ** (torch.randint(-3, 4, (starts,), generator=generator).to(device))
    endmembers = points @ mixing
    eta_a = (steepness / torch.linalg.matrix_norm(endmembers, 2).square())[:, None, None]
    eta_b = eta_a * math.sqrt(count / pixels)
    transposed = points.T.contiguous()
    for turn in range(rounds):
        job.step(turn / rounds, f"archetypes, round {turn + 1} of {rounds}")
        gram, cross = endmembers.mT @ endmembers, endmembers.mT @ points
        for _ in range(inner):
            fractions = _tilted(fractions, (gram @ fractions).sub_(cross), eta_a)
        gram, cross = fractions @ fractions.mT, points @ fractions.mT
        for _ in range(inner):
            mixing = _tilted(mixing, transposed @ (endmembers @ gram - cross), eta_b)
            endmembers = points @ mixing
    return mixing, fractions


def _tilted(shares: torch.Tensor, gradient: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """One mirror step: shares exp(-step gradient), columns back to a sum of one. Changes ``gradient``."""
    gradient -= gradient.amin(1, keepdim=True)
    # The floor lets a share that had all but vanished come back, as it could in exact arithmetic.
    shares = gradient.mul_(-step).exp_().mul_(shares).clamp_(min=1e-30)
    return shares.div_(shares.sum(1, keepdim=True))


def _similarity(endmembers: torch.Tensor) -> float:
    """Largest correlation between two endmembers: the fewer look alike the better."""
    if endmembers.shape[1] < 2:
        return 0.0
    correlation = torch.corrcoef(endmembers.T.double())
    correlation.fill_diagonal_(-torch.inf)
    return float(torch.nan_to_num(correlation, nan=1.0).max())
