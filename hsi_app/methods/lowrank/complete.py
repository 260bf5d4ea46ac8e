"""Component images of spectra with gaps: solved pixel by pixel, then joined with the spatial denoiser."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from hsi_app.methods.lowrank.denoise import Learned, denoise_components

# Normal matrices held at a time: 2^22 float32 entries = 16 MB.
CHUNK_ENTRIES = 2**22
# Noise levels of the completion: from the strongest blur that still keeps fields apart down to the data's own.
START_LEVEL, ROUNDS = 6.0, 10
# A pixel without any observation is filled only within this distance of one, px.
FILL_REACH_PX = 32


def solve_coefficients(
    whitened: torch.Tensor,
    ok: torch.Tensor,
    basis: torch.Tensor,
    prior_variance: torch.Tensor,
    pull: torch.Tensor | None = None,
    pull_weight: float = 0.0,
) -> torch.Tensor:
    """Most probable coefficients of each pixel from its observed bands.

    Minimises ||M (y - E z)||^2 + z^T diag(1/prior) z, or with ``pull`` ||M (y - E z)||^2 + w ||z - pull||^2.

    Parameters
    ----------
    whitened : (B, P) spectra with unit noise, mean removed, 0 where not ok
    ok : (B, P) bool, entries to believe
    basis : (B, r) orthonormal
    prior_variance : (r,) variances of the coefficients over the scene
    pull : (r, P) coefficients to stay near, or None
    pull_weight : w > 0, inverse variance of ``pull``

    Returns
    -------
    (r, P) tensor
    """
    bands, rank = basis.shape
    projected = basis.T @ whitened
    complete = ok.all(dim=0)
    if pull is None:
        ridge, target = 1 / prior_variance, projected
    else:
        ridge, target = torch.full_like(prior_variance, pull_weight), projected + pull_weight * pull
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
    (half-quadratic splitting; Zhang et al. 2017, arXiv 1704.03264, with a denoiser of our own).

    Parameters
    ----------
    whitened, ok : (B, H, W), see ``solve_coefficients``
    strength : noise level of the last denoising over the data's own
    kind, learned : denoiser of the last round, see ``denoise_components``; earlier rounds use 'dct'
    on_step : told the fraction done; may raise to stop

    Returns
    -------
    (r, H, W); NaN where no observation is near
    """
    bands, height, width = whitened.shape
    flat, flat_ok = whitened.reshape(bands, -1), ok.reshape(bands, -1)
    seen = ok.any(dim=0)
    images = solve_coefficients(flat, flat_ok, basis, prior_variance).reshape(-1, height, width)
    trust = flat_ok.to(basis.dtype).mean(dim=0).reshape(height, width)
    images = _spread(images, trust)
    smooth = "none" if kind == "none" else "dct"
    for index in range(ROUNDS):
        level = max(strength, 1e-3) * START_LEVEL ** (1 - index / (ROUNDS - 1))
        guess = denoise_components(images, level, smooth)
        images = solve_coefficients(
            flat, flat_ok, basis, prior_variance, guess.reshape(len(guess), -1), 1 / level**2
        ).reshape(guess.shape)
        on_step(0.7 * (index + 1) / ROUNDS)
    images = denoise_components(images, strength, kind, lambda fraction: on_step(0.7 + 0.3 * fraction), learned)
    if bool(seen.all()):
        return images
    near = functional.max_pool2d(seen[None].to(images.dtype), 2 * FILL_REACH_PX + 1, 1, FILL_REACH_PX)[0] > 0
    return torch.where(near, images, torch.nan)


def _spread(images: torch.Tensor, trust: torch.Tensor) -> torch.Tensor:
    """Replace poorly observed pixels by the trust-weighted mean of ever wider neighbourhoods."""
    filled, weight = images * trust, trust.clone()
    result = torch.where(trust > 0.5 * trust.max(), images, torch.zeros_like(images))
    known = trust > 0.5 * trust.max()
    for reach in (1, 2, 4, 8, 16, 32):
        if bool(known.all()):
            break
        size = 2 * reach + 1
        mass = functional.avg_pool2d(weight[None], size, 1, reach)[0]
        mean = functional.avg_pool2d(filled[None], size, 1, reach)[0] / mass.clamp_min(1e-12)
        fresh = ~known & (mass > 0.05)
        result = torch.where(fresh, mean, result)
        known |= fresh
    return result
