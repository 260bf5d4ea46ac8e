"""Components too faint to be told from noise pixel by pixel, which neighbours and similar places still show."""

from __future__ import annotations

import torch

from hsi_app.methods.lowrank.denoise import DCT_SIDE, GUIDE_COMPONENTS, filter_groups, shrink_dct

# Size of the probe that measures how much noise an estimate lets through, in units of the noise.
PROBE = 0.2
# An estimate counts when its share of signal passes this many standard deviations of what noise alone would give.
CERTAIN = 4.0


def rescue_faint(images: torch.Tensor, guide: torch.Tensor, probe: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Denoise component images below the noise edge, each held down to the share of it that is signal.

    Principal components of noise have more than their share of it, so the level of each image is measured on its
    own diagonal differences. The estimate e of image y is scaled by (<e, y> - N div e) / <e, e>, the best factor
    by Stein's unbiased risk estimate, with the divergence measured by a random probe; pure noise comes out as zero.

    Parameters
    ----------
    images : (k, H, W) component images that follow the strongest ones
    guide : (r, H, W) the strongest component images, denoised, at unit noise; patches are compared on these
    probe : (k, H, W) standard normal noise

    Returns
    -------
    (k, H, W) estimates, 0 where nothing certain is found, and the factors (k,) in [0, 1]

    Source: Stein 1981; Ramani, Blu and Unser 2008 (Monte-Carlo divergence).
    """
    if len(images) == 0 or min(images.shape[1:]) < DCT_SIDE:
        return torch.zeros_like(images), images.new_zeros(len(images))
    level = noise_level(images)[:, None, None]
    unit = images / level
    unit = unit - unit.mean((1, 2), keepdim=True)
    # Images are filtered one by one, so the probed ones may share the search for similar patches.
    both = torch.cat([unit, unit + PROBE * probe])
    filtered = filter_groups(both, shrink_dct(both), guide=guide[:GUIDE_COMPONENTS])
    estimate, probed = filtered.split(len(unit))
    divergence = (probe * (probed - estimate)).mean((1, 2)) / PROBE
    power = estimate.square().mean((1, 2)).clamp_min(1e-12)
    signal = (estimate * unit).mean((1, 2)) - divergence
    certain = signal > CERTAIN * (power / unit[0].numel()).sqrt()
    factor = torch.where(certain, (signal / power).clamp(0, 1), 0.0)
    return estimate * factor[:, None, None] * level, factor


def noise_level(images: torch.Tensor) -> torch.Tensor:
    """(k,) standard deviation of white noise in images (k, H, W) that have little else at the pixel's scale.

    Root mean square of the mixed second difference, to which content smooth along rows or columns adds nothing.
    """
    mixed = images[:, 1:, 1:] - images[:, :-1, 1:] - images[:, 1:, :-1] + images[:, :-1, :-1]
    return mixed.square().mean((1, 2)).sqrt().div(2).clamp_min(1e-6)
