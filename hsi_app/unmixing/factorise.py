"""Spectra as a product of non-negative factors: RRLbS, NMF and l1/2-NMF in one loop of multiplicative updates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from hsi_app.jobs import Job

# Keeps square roots and quotients away from zero, relative to the data's scale where it has one.
_TINY = 1e-12
# Factors are held above this; p < 1 has an infinite slope at zero, so its argument is held above TAU.
FLOOR, TAU = 1e-9, 1e-4


@dataclass(frozen=True)
class Objective:
    """What is minimised: sum_l phi(||(Y - M A)_l||) + d^2 / 2 ||1 - 1^T A||^2 + lam sum_n sum_k a_kn^p_n.

    loss : 'l21' takes phi(e) = sqrt(e^2 + eps), so a bad channel counts linearly; 'frobenius' e^2 / 2
    sparsity : lam >= 0
    exponent : p in (0, 1], or None to learn it for each pixel: p_n = 1 - h_n with the guidance map h
    least_exponent : p_min in (0, 1]; h is clipped to [0, 1 - p_min]
    sum_weight : d >= 0, weight of the sum-to-one row
    renormalise : divide the channel weights by their mean, so that lam and d mean the same with and without bad
        channels; the objective then changes its scale from step to step
    """

    loss: Literal["l21", "frobenius"] = "l21"
    sparsity: float = 0.0
    exponent: float | None = 1.0
    least_exponent: float = 0.3
    sum_weight: float = 0.0
    renormalise: bool = False


@dataclass(frozen=True, eq=False)
class Factors:
    """Where a factorisation ended.

    endmembers : (B, K) M >= 0; abundances : (K, N) A >= 0
    weights : (B,) weights of the channels, 1 for the Frobenius loss
    guidance : (N,) h in [0, 1 - p_min], 0 where all materials mix evenly
    values : the objective after each iteration; iterations; stop : why it ended
    """

    endmembers: torch.Tensor
    abundances: torch.Tensor
    weights: torch.Tensor
    guidance: torch.Tensor
    values: list[float]
    iterations: int
    stop: str


def half_sparsity(spectra: torch.Tensor) -> float:
    """Weight of l1/2-NMF from the sparseness of the channels of (B, N) spectra >= 0.

    lam = 1 / sqrt(B) sum_l (sqrt N - |y_l|_1 / |y_l|_2) / sqrt(N - 1). Source: Qian et al. 2011, eq. 17.
    """
    bands, pixels = spectra.shape
    if pixels < 2:
        return 0.0
    norm = spectra.square().sum(1).sqrt()
    ratio = spectra.abs().sum(1) / norm.clamp(min=torch.finfo(spectra.dtype).tiny)
    return float(((math.sqrt(pixels) - ratio) / math.sqrt(pixels - 1))[norm > 0].sum()) / math.sqrt(bands)


def guidance_map(abundances: torch.Tensor, least_exponent: float) -> torch.Tensor:
    """Hoyer sparsity of each pixel's abundances (K, N), in [0, 1 - p_min]; 0 = evenly mixed.

    Source: Hoyer 2004; takes the place of the guidance map of arXiv 1409.0685, sec. on learned sparsity.
    """
    count = len(abundances)
    if count == 1:
        return torch.zeros_like(abundances[0])
    root = math.sqrt(count)
    ratio = abundances.sum(0) / abundances.square().sum(0).sqrt().clamp(min=FLOOR)
    return ((root - ratio) / (root - 1)).clamp(0, 1 - least_exponent)


def factorise(
    spectra: torch.Tensor,
    endmembers: torch.Tensor,
    abundances: torch.Tensor,
    objective: Objective,
    job: Job,
    *,
    iterations: int = 250,
    tolerance: float = 1e-5,
    refresh: int = 10,
    freeze: int | None = None,
) -> Factors:
    """Minimise ``objective`` from a start by multiplicative updates.

    With U = diag(weights), elementwise: A <- A (M^T U Y + d^2) / (M^T U M A + d^2 1^T A + lam p A^(p-1)) and
    M <- M (Y A^T) / (M A A^T). U scales numerator and denominator of a row of M alike, so it cancels there: bad
    channels are fitted by their own rows of M and steer A only through their small weights.

    Parameters
    ----------
    spectra : (B, N) float tensor >= 0, complete pixels
    endmembers, abundances : (B, K) and (K, N) start, >= 0
    objective : what to minimise
    job : for progress and cancelling
    iterations : int, at most
    tolerance : stop when the objective changes by less than this share over 10 iterations
    refresh, freeze : int, iterations between updates of a learned guidance map, and after which it is left alone
        (60 % of ``iterations`` when None); from there on the objective cannot rise

    Returns
    -------
    Factors

    Source: arXiv 1409.0685 (l2,1 over channels, learned sparsity); updates by majorisation as in Lee and Seung 2001.
    """
    # float64: the residual of a channel is found as a difference of products, which float32 would drown.
    y = spectra.double()
    m, a = (start.double().clamp(min=FLOOR) for start in (endmembers, abundances))
    h = guidance_map(abundances.double(), objective.least_exponent)
    energy = y.square().sum(1)
    freeze = int(0.6 * iterations) if freeze is None else freeze
    cross, gram = y @ a.T, a @ a.T
    values: list[float] = []
    stop = f"{iterations} iterations"
    weights = _weights(energy, m, cross, gram, objective)
    iteration = 0
    for iteration in range(1, iterations + 1):
        if iteration % 10 == 1:
            job.step(iteration / iterations, f"factorising, iteration {iteration} of at most {iterations}")
        if objective.exponent is None and iteration % refresh == 0 and iteration <= freeze:
            h = guidance_map(a, objective.least_exponent)
        a = _step(a, (m.T * weights) @ y, (m.T * weights) @ m, h, objective)
        cross, gram = y @ a.T, a @ a.T
        m = (m * cross / (m @ gram + _TINY)).clamp_(min=FLOOR)
        weights = _weights(energy, m, cross, gram, objective)
        values.append(_value(energy, m, cross, gram, a, h, objective))
        settled = objective.exponent is not None or iteration > freeze
        if settled and len(values) > 10 and abs(values[-11] - values[-1]) <= tolerance * abs(values[-11]):
            stop = f"objective settled to {tolerance:g} in 10 iterations"
            break
    return Factors(m, a, weights, h, values, iteration, stop)


def refine_abundances(
    spectra: torch.Tensor,
    endmembers: torch.Tensor,
    weights: torch.Tensor,
    abundances: torch.Tensor,
    objective: Objective,
    job: Job,
    *,
    iterations: int = 250,
    refresh: int = 10,
    freeze: int | None = None,
    valid: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The A-updates of ``factorise`` with endmembers and channel weights held: pixels then do not know of each other.

    Parameters
    ----------
    spectra : (B, N); endmembers : (B, K); weights : (B,); abundances : (K, N) start
    objective, job, iterations, refresh, freeze : as in ``factorise``
    valid : (B, N) bool, True = observed, or None for all

    Returns
    -------
    (K, N) float64 abundances whose columns add to one, and (N,) guidance map.
    """
    m, y = endmembers.double(), spectra.double()
    weighted = m.T * weights.double()
    gram: torch.Tensor = weighted @ m
    if valid is not None and not bool(valid.all()):
        pairs = (weighted.T[:, :, None] * m[:, None, :]).reshape(len(m), -1)
        gram = (valid.double().T @ pairs).reshape(-1, m.shape[1], m.shape[1])
        y = y * valid
    cross = weighted @ y
    a = abundances.double().clamp(min=FLOOR)
    h = guidance_map(a, objective.least_exponent)
    freeze = int(0.6 * iterations) if freeze is None else freeze
    for iteration in range(1, iterations + 1):
        if objective.exponent is None and iteration % refresh == 0 and iteration <= freeze:
            h = guidance_map(a, objective.least_exponent)
        if iteration % 10 == 1:
            job.step(iteration / iterations, "abundances")
        a = _step(a, cross, gram, h, objective)
    return a / a.sum(0).clamp(min=FLOOR), h


def _step(
    a: torch.Tensor, cross: torch.Tensor, gram: torch.Tensor, h: torch.Tensor, objective: Objective
) -> torch.Tensor:
    """One multiplicative update of the abundances."""
    push = objective.sum_weight**2
    product = gram @ a if gram.ndim == 2 else torch.einsum("nij,jn->in", gram, a)
    below = product + push * a.sum(0) + _TINY
    if objective.sparsity:
        if objective.exponent is None:
            p = 1 - h
            below += objective.sparsity * p * torch.exp((p - 1) * a.clamp(min=TAU).log())
        else:
            p_fixed = objective.exponent
            below += objective.sparsity * p_fixed * (a.clamp(min=TAU) ** (p_fixed - 1) if p_fixed != 1 else 1.0)
    return (a * (cross.clamp(min=0) + push) / below).clamp_(min=FLOOR)


def _squares(energy: torch.Tensor, m: torch.Tensor, cross: torch.Tensor, gram: torch.Tensor) -> torch.Tensor:
    """||(Y - M A)_l||^2 of each channel, without forming the residual."""
    return (energy - 2 * (m * cross).sum(1) + ((m @ gram) * m).sum(1)).clamp(min=0)


def _smoothing(energy: torch.Tensor) -> torch.Tensor:
    """eps of the smoothed norm: a residual of 1e-6 of the typical channel."""
    return _TINY * energy.mean() + torch.finfo(energy.dtype).tiny


def _weights(
    energy: torch.Tensor, m: torch.Tensor, cross: torch.Tensor, gram: torch.Tensor, objective: Objective
) -> torch.Tensor:
    if objective.loss == "frobenius":
        return torch.ones_like(energy)
    weights = (_squares(energy, m, cross, gram) + _smoothing(energy)).rsqrt()
    return weights / weights.mean() if objective.renormalise else weights


def _value(
    energy: torch.Tensor, m: torch.Tensor, cross: torch.Tensor, gram: torch.Tensor, a: torch.Tensor, h: torch.Tensor,
    objective: Objective,
) -> float:  # fmt: skip
    squares = _squares(energy, m, cross, gram)
    fit = squares.sum() / 2 if objective.loss == "frobenius" else (squares + _smoothing(energy)).sqrt().sum()
    total = fit + objective.sum_weight**2 / 2 * (1 - a.sum(0)).square().sum()
    if objective.sparsity:
        p = 1 - h if objective.exponent is None else objective.exponent
        # Below TAU the power is continued by its tangent, which is what the update descends on.
        held = a.clamp(min=TAU)
        power = held**p + p * held ** (p - 1) * (a - held)
        total = total + objective.sparsity * power.sum()
    return float(total)
