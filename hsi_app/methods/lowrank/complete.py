"""Component images of spectra with gaps: solved pixel by pixel, then joined with the spatial denoiser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from hsi_app.methods.lowrank.denoise import Learned, denoise_components

# Normal matrices held at a time: 2^22 float32 entries = 16 MB.
CHUNK_ENTRIES = 2**22
# Least weight of the prior against samples of unit noise.
LEAST_RIDGE = 3e-7
# How far the denoised images are trusted in each round, in standard deviations of each component: from not at all to
# the finest that rounds still bring closer; chosen on the training scenes.
FIRST_TRUST, LAST_TRUST, ROUNDS = 1.0, 0.03, 8
# A pixel without any observation is filled only within this distance of one, px.
FILL_REACH_PX = 32


def solve_coefficients(
    whitened: torch.Tensor,
    ok: torch.Tensor,
    basis: torch.Tensor,
    prior_variance: torch.Tensor,
    pull: torch.Tensor | None = None,
    pull_weight: float | torch.Tensor = 0.0,
) -> torch.Tensor:
    """Most probable coefficients of each pixel from its observed bands.

    Minimises ||M (y - E z)||^2 + z^T diag(1/prior) z, or with ``pull`` ||M (y - E z)||^2 + |z - pull|^2 w.

    Parameters
    ----------
    whitened : (B, P) spectra with unit noise, mean removed, 0 where not ok
    ok : (B, P) bool, entries to believe
    basis : (B, r) orthonormal
    prior_variance : (r,) variances of the coefficients over the scene
    pull : (r, P) coefficients to stay near, or None
    pull_weight : w > 0, inverse variance of ``pull``, one for all or (r,)

    Returns
    -------
    (r, P) tensor
    """
    bands, rank = basis.shape
    projected = basis.T @ whitened
    complete = ok.all(dim=0)
    ridge = 1 / prior_variance if pull is None else torch.as_tensor(pull_weight).to(prior_variance).expand(rank)
    # What single precision cannot tell from nothing is left to the prior.
    ridge = ridge.clamp_min(LEAST_RIDGE)
    target = projected if pull is None else projected + ridge[:, None] * pull
    # Where nothing is missing E^T E = I, and the answer needs no solving.
    out = target / (1 + ridge)[:, None] if pull is not None else projected.clone()
    gaps = torch.nonzero(~complete).reshape(-1)
    pairs = (basis[:, :, None] * basis[:, None, :]).reshape(bands, rank * rank)
    chunk = max(1, CHUNK_ENTRIES // rank**2)
    for begin in range(0, len(gaps), chunk):
        index = gaps[begin : begin + chunk]
        normal = (ok[:, index].to(basis.dtype).T @ pairs).reshape(-1, rank, rank) + torch.diag(ridge)
        out[:, index] = torch.linalg.solve(normal, target[:, index].T).T
    return out


def complete(
    whitened: torch.Tensor,
    ok: torch.Tensor,
    basis: torch.Tensor,
    prior_variance: torch.Tensor,
    *,
    strength: float,
    kind: str,
    on_step: Callable[[float], None],
    learned: Learned | None = None,
) -> torch.Tensor:
    """Fill and denoise component images where many samples are missing.

    Alternates the per-pixel solution with the spatial denoiser while the trust in the latter's output grows
    (half-quadratic splitting; Zhang et al. 2017, arXiv 1704.03264, with a denoiser of our own). Trust is measured in
    the spread of each component: gaps leave errors in proportion to it, not to the noise of the data.

    Parameters
    ----------
    whitened, ok : (B, H, W), see ``solve_coefficients``
    strength : noise level of the finest denoising over the data's own
    kind, learned : denoiser, see ``denoise_components``; a learned one looks once, at the end
    on_step : told the fraction done; may raise to stop

    Returns
    -------
    (r, H, W); NaN where no observation is near
    """
    bands, height, width = whitened.shape
    flat, flat_ok = whitened.reshape(bands, -1), ok.reshape(bands, -1)
    seen = ok.any(dim=0)
    images = solve_coefficients(flat, flat_ok, basis, prior_variance, torch.zeros_like(flat[:1]), 1 / prior_variance)
    images = fill_from_sides(images.reshape(-1, height, width), seen)
    rounds = 0 if kind == "none" else ROUNDS
    for index in range(rounds):
        trust = FIRST_TRUST * (LAST_TRUST / FIRST_TRUST) ** (index / (rounds - 1))
        level = (trust * prior_variance.sqrt()).clamp_min(max(strength, 1e-3))
        unit = images / level[:, None, None]
        smooth = "collaborative" if kind == "prior" else kind
        guess = denoise_components(unit, 1.0, smooth, partial(_told, on_step, index, rounds))
        pull = guess.reshape(len(guess), -1) * level[:, None]
        images = solve_coefficients(flat, flat_ok, basis, prior_variance, pull, 1 / level.square()).reshape(guess.shape)
    if kind == "prior":
        images = denoise_components(images, strength, kind, learned=learned)
    on_step(1.0)
    if bool(seen.all()):
        return images
    near = functional.max_pool2d(seen[None].to(images.dtype), 2 * FILL_REACH_PX + 1, 1, FILL_REACH_PX)[0] > 0
    return torch.where(near, images, torch.nan)


def _told(on_step: Callable[[float], None], index: int, count: int, fraction: float) -> None:
    on_step((index + fraction) / count)


def fill_from_sides(images: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Fill pixels from the nearest known one on each of their four sides, near ones counting more.

    Across a missing line that is linear interpolation, in a hole a mixture of both directions.

    Parameters
    ----------
    images : (r, H, W)
    known : (H, W) bool

    Returns
    -------
    (r, H, W); 0 where none of the four is within FILL_REACH_PX
    """
    total, mass = torch.zeros_like(images), images.new_zeros(known.shape)
    for axis in (0, 1):
        length = known.shape[axis]
        place = torch.arange(length, device=images.device)
        place = (place[:, None] if axis == 0 else place[None]).expand(known.shape)
        before = torch.where(known, place, -1).cummax(axis).values
        after = torch.where(known, place, length).flip(axis).cummin(axis).values.flip(axis)
        for nearest in (before, after):
            away = (place - nearest).abs()
            weight = torch.where(
                (nearest >= 0) & (nearest < length) & (away <= FILL_REACH_PX), 1 / away.clamp_min(1), 0.0
            )
            side = torch.gather(images, axis + 1, nearest.clamp(0, length - 1).expand(images.shape))
            total += weight * side
            mass += weight
    return torch.where(known, images, total / mass.clamp_min(1e-12))
