"""Noise, subspace and damage of a scene whose samples cannot all be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from hsi_app.methods.lowrank.complete import solve_coefficients
from hsi_app.noise import MAD_TO_STD, stuck_values
from hsi_app.subspace import Rank, Subspace, choose_rank, fit_subspace

# A whitened residual beyond this is no noise: normal noise passes it 7 times in a million.
OUTLIER_STD = 4.5
# Least noise believed, in shares of the scene's range: half a step of 15 bits. Simulated data can have none at all, and
# divided by less their component images would exceed what single precision tells apart.
LEAST_NOISE = 1.5e-5
ROUNDS = 8
# Most components that mostly missing data may claim: more cannot be told from the filling.
LARGEST_SPARSE_RANK = 16
# Samples of a band looked at for stuck values; enough to find a share of half a per cent.
STUCK_SAMPLES = 4096


@dataclass(frozen=True, eq=False)
class RobustFit:
    """Subspace found from believable samples, and how many were not.

    subspace : with noise and basis; outlier_share : (B,) share of observed samples set aside
    stuck : per band, values that mean a dead or saturated sample; NaN-padded (B, k)
    """

    subspace: Subspace
    outlier_share: np.ndarray
    stuck: np.ndarray


def find_stuck(values: torch.Tensor, valid: torch.Tensor) -> np.ndarray:
    """Values that dead, saturated or overwritten samples share: (B, k), NaN where a band has fewer.

    values, valid : (B, P) tensors of a sample of spectra.
    """
    step = max(1, values.shape[1] // STUCK_SAMPLES)
    some, seen = values[:, ::step].cpu().numpy(), valid[:, ::step].cpu().numpy()
    found = [stuck_values(band[ok]) for band, ok in zip(some, seen, strict=True)]
    table = np.full((len(found), max(len(f) for f in found)), np.nan, np.float32)
    for row, entries in zip(table, found, strict=True):
        row[: len(entries)] = entries
    return table


def is_stuck(values: torch.Tensor, stuck: np.ndarray) -> torch.Tensor:
    """Bool tensor like ``values`` (B, ...), True where a sample has one of its band's stuck values."""
    hit = torch.zeros(values.shape, dtype=torch.bool, device=values.device)
    for column in torch.as_tensor(stuck.T, device=values.device):
        hit |= values == column.reshape(-1, *[1] * (values.ndim - 1))
    return hit


def robust_fit(
    values: torch.Tensor,
    valid: torch.Tensor,
    rank: Rank,
    *,
    reject: bool,
    on_step: Callable[[float], None],
) -> RobustFit:
    """Fit noise level and subspace to spectra with gaps and, with ``reject``, with outliers.

    Each round fills what is missing or disbelieved from the current subspace, refits noise (median absolute
    residual) and subspace, and looks again at what to disbelieve. Bands full of damage get a large noise level
    and so a small say.

    Parameters
    ----------
    values : (B, P) scaled spectra of a sample, 0 where missing
    valid : (B, P) bool
    rank : number of components, see ``fit_subspace``
    reject : set outliers aside; otherwise only gaps are handled
    on_step : told the fraction done; may raise to stop

    Source: expectation-maximisation for gaps (Roweis 1998) with hard rejection of outliers, in the spirit of
    Candes et al. 2011 (low rank + sparse).
    """
    stuck = find_stuck(values, valid) if reject else np.full((len(values), 0), np.nan, np.float32)
    usable = valid & ~is_stuck(values, stuck)
    centre, spread = _band_statistics(values, usable)
    ok = usable & ((values - centre).abs() <= 8 * spread) if reject else usable
    filled = torch.where(ok, values, centre)
    noise = _first_noise(filled, ok, spread)
    subspace = _fit(filled, noise, ok, rank)
    for index in range(ROUNDS):
        on_step(index / ROUNDS)
        basis, mean, std = tensors_of(subspace, values)
        whitened = torch.where(ok, (values - mean) / std, 0.0)
        variance = prior_variance(subspace, values)
        predicted = basis @ solve_coefficients(whitened, ok, basis, variance)
        residual = (values - mean) / std - predicted
        if reject:
            ok = usable & (residual.abs() <= OUTLIER_STD)
        scale = MAD_TO_STD * _masked_median(residual.abs(), ok).double().cpu().numpy()
        # Judge a band by what the others say of it: with its own share in its prediction, a band that rules a
        # component would look ever cleaner and rule it ever more.
        scale /= 1 - leverage(subspace)
        noise = np.maximum(subspace.noise_std * np.clip(scale, 0.2, 5.0), noise_floor(noise))
        filled = torch.where(ok, values, predicted * std + mean)
        subspace = _fit(filled, noise, ok, rank)
    observed = valid.sum(dim=1).clamp_min(1)
    share = 1 - (ok.sum(dim=1) / observed).cpu().numpy()
    return RobustFit(subspace, share, stuck)


def tensors_of(subspace: Subspace, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Basis (B, r), mean (B, 1, ...) and noise std (B, 1, ...) as tensors that broadcast with ``like`` (B, ...)."""
    shape = (-1, *[1] * (like.ndim - 1))

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    return tensor(subspace.basis), tensor(subspace.mean).reshape(shape), tensor(subspace.noise_std).reshape(shape)


def prior_variance(subspace: Subspace, like: torch.Tensor) -> torch.Tensor:
    """(r,) variances of the coefficients without noise, whitened units, at least a tenth of the noise."""
    signal = np.maximum(subspace.eigenvalues[: subspace.rank] - 1, 0.1)
    return torch.as_tensor(signal, dtype=like.dtype, device=like.device)


def leverage(subspace: Subspace) -> np.ndarray:
    """(B,) share of each band in its own low-rank prediction, in [0, 0.98]."""
    return np.minimum(np.square(subspace.basis).sum(axis=1), 0.98)


def noise_floor(noise: np.ndarray) -> float:
    """Least noise level believed, scaled units: a band that seems perfect must not rule the whitening."""
    return max(1e-3 * float(np.median(noise)), LEAST_NOISE)


def _fit(filled: torch.Tensor, noise: np.ndarray, ok: torch.Tensor, rank: Rank) -> Subspace:
    spectra = filled.double()
    mean = spectra.mean(dim=1)
    centred = spectra - mean[:, None]
    covariance = (centred @ centred.T / spectra.shape[1]).cpu().numpy()
    # Filled samples carry no noise of their own: where every band is mostly filled, the noise edge lies lower.
    share = float(torch.quantile(ok.double().mean(dim=1), 0.95))
    if not isinstance(rank, int) and share < 0.9:
        weight = 1 / noise
        values = np.linalg.eigvalsh(covariance * np.outer(weight, weight))[::-1]
        found = min(choose_rank(values / max(share, 0.2), int(spectra.shape[1] * share)), LARGEST_SPARSE_RANK)
        rank = rank(found) if callable(rank) else found
    return fit_subspace(mean.cpu().numpy(), covariance, noise, spectra.shape[1], rank)


def _masked_median(values: torch.Tensor, ok: torch.Tensor) -> torch.Tensor:
    """(B,) median over believed samples; 1 for a band without any."""
    return torch.where(ok, values, torch.nan).nanmedian(dim=1).values.nan_to_num(1.0)


def _band_statistics(values: torch.Tensor, ok: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 1) median and robust spread of each band."""
    centre = torch.where(ok, values, torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num(0.0)
    spread = MAD_TO_STD * _masked_median((values - centre).abs(), ok)[:, None]
    return centre, spread.clamp_min(1e-6)


def _first_noise(filled: torch.Tensor, ok: torch.Tensor, spread: torch.Tensor) -> np.ndarray:
    """Starting noise level of each band: what its two neighbours' mean does not explain, robustly."""
    if len(filled) < 3:
        return np.maximum(spread.reshape(-1).double().cpu().numpy() * 0.3, LEAST_NOISE)
    unit = (filled - filled.mean(dim=1, keepdim=True)) / spread
    before, after = torch.roll(unit, 1, 0), torch.roll(unit, -1, 0)
    before[0], after[-1] = unit[1], unit[-2]
    difference = (unit - (before + after) / 2).abs()
    level = MAD_TO_STD * _masked_median(difference, ok) / np.sqrt(1.5)
    return np.maximum((level.clamp(1e-3, 3) * spread.reshape(-1)).double().cpu().numpy(), LEAST_NOISE)
