"""Haze as a veil whose optical thickness falls with the wavelength: airlight, a first thickness, and its removal.

Model (arXiv 2503.09131, after the cirrus band): y_b = x_b t_b + A_b (1 - t_b) with t_b = exp(-tau a_b), where
a_b = lambda_1 / lambda_b and tau (H, W) >= 0 is the optical thickness at the shortest wavelength. With u_b =
-log(1 - y_b / A_b), which is ``depth`` here, it adds up: u_b = -log(1 - x_b / A_b) + a_b tau. Fine detail of u is
that of the ground, for haze is smooth; so is the filter over the bands that passes a and suppresses the ground (as the
haze optimised transform of Zhang, Guindon and Cihlar 2002 does for two bands).
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

# Share of the brightest pixels of a band that give its airlight, at least one.
BRIGHT_SHARE = 1e-4
# Means over the spectrum that the thickness is judged from.
BINS = 32
# Side of the means that detail is detail against, px, and what keeps the filter from following noise: a share of the
# mean variance. Chosen on the training scenes, as all of these.
FINE_PX, RIDGE = 15, 1e-5
# Standard deviation of smooth shading that is suppressed, in shares of the light, and brightness from which on it is as
# of this one.
SHADE_STD, SHADED = 0.017, 0.9
# Brightness over airlight that is cut: nothing is known of what is as bright.
DARKEST, BRIGHTEST = -0.5, 0.98
# Power of cirrus falls with frequency to this power; frequencies (cycles / px) that show it, and that show the rest of
# the ground; weight of the rest.
CLOUD_SLOPE, CLOUD_BELOW, GROUND_ABOVE, GROUND_WEIGHT = 3.0, 0.1, 0.25, 1.5
# Mean over median of a power spectrum's samples, which are of one degree of freedom.
MEAN_OVER_MEDIAN = 1 / 0.455
# Where no wavelengths are known, those of a visible and near infrared camera.
ASSUMED_NM = (400.0, 1000.0)
THICKEST = 5.0


def exponents(wavelengths_nm: np.ndarray | None, bands: int) -> torch.Tensor:
    """(B,) a_b, 1 at the shortest wavelength and less beyond."""
    centres = np.linspace(*ASSUMED_NM, bands) if wavelengths_nm is None else np.asarray(wavelengths_nm, float)
    return torch.as_tensor(centres.min() / centres, dtype=torch.float32)


def airlight(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """(B,) brightness of a veil that nothing is seen through: that of the brightest pixels.

    values : (B, H, W); valid : (B, H, W) bool
    """
    flat = torch.where(valid, values, -torch.inf).flatten(1)
    count = max(1, int(BRIGHT_SHARE * flat.shape[1]))
    brightest = flat.topk(count, dim=1).values
    found = torch.where(brightest.isfinite(), brightest, 0.0).sum(1) / brightest.isfinite().sum(1).clamp_min(1)
    return found.clamp_min(1e-3)


def veiled(values: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """(B, H, W) in units of the airlight."""
    return values / light[:, None, None]


def depth(relative: torch.Tensor) -> torch.Tensor:
    """u of the model, to which haze adds. relative : (B, H, W), see ``veiled``."""
    return -torch.log1p(-relative.clamp(DARKEST, BRIGHTEST))


def ground_covariance(relative: torch.Tensor) -> torch.Tensor:
    """(B, B) float64 mean square of what is ground in ``depth``: its fine detail, where haze has none, and shading.

    Light and shade on slopes are as smooth as haze; in ``depth`` they follow x / (1 - x).

    relative : (B, H, W), see ``veiled``
    """
    depths, reach = depth(relative), FINE_PX // 2
    padded = functional.pad(depths[None], (reach,) * 4, "replicate")
    fine = (depths - functional.avg_pool2d(padded, FINE_PX, 1)[0]).flatten(1).double()
    seen = relative.flatten(1).median(1).values.double().clamp(0, SHADED)
    shading = seen / (1 - seen)
    return fine @ fine.T / fine.shape[1] + SHADE_STD**2 * torch.outer(shading, shading)


def haze_filter(covariance: torch.Tensor, falls: torch.Tensor) -> torch.Tensor:
    """(B,) w with w^T a = 1 and the least ground: w = C^-1 a / (a^T C^-1 a)."""
    eye = torch.eye(len(covariance), dtype=torch.float64, device=covariance.device)
    ridge = (RIDGE * covariance.diagonal().mean()).clamp_min(1e-12)
    passed = falls.double()
    solved = torch.linalg.solve(covariance + ridge * eye, passed)
    return (solved / (passed @ solved)).float()


class Thickness(NamedTuple):
    """What is known of the haze before a scene.

    values : (H, W) float32 in [0, THICKEST], above that of the clearest place
    varies : standard deviation of its smooth part over the scene
    error : expected standard deviation of ``values``
    """

    values: np.ndarray
    varies: float
    error: float


def smooth_thickness(raw: np.ndarray) -> Thickness:
    """The part of a thickness that clouds explain.

    Wiener filter between a power spectrum f^-3, as cirrus has, and a flat one of what the filter left of the ground,
    both fitted to the image itself.

    raw : (H, W) float array, filter over the bands applied to ``depth``
    """
    from scipy.fft import dctn, idctn

    height, width = raw.shape
    transform = dctn(raw.astype(np.float64), norm="ortho")
    frequency = np.hypot(np.arange(height)[:, None] / (2 * height), np.arange(width) / (2 * width))
    frequency[0, 0] = np.inf
    power = transform**2
    fine, coarse = power[np.isfinite(frequency) & (frequency > GROUND_ABOVE)], frequency < CLOUD_BELOW
    if not coarse.any() or not fine.size:
        return Thickness(np.zeros(raw.shape, np.float32), 0.0, 0.0)
    ground = max(float(np.median(fine)) * MEAN_OVER_MEDIAN, 1e-12)
    cloud = float(np.mean(np.maximum(power[coarse] - ground, 0) * frequency[coarse] ** CLOUD_SLOPE))
    frequency[0, 0] = 0.0
    gain = cloud / (cloud + GROUND_WEIGHT * ground * frequency**CLOUD_SLOPE + 1e-300)
    smooth = idctn(transform * gain, norm="ortho")
    values = np.clip(smooth - smooth.min(), 0, THICKEST).astype(np.float32)
    # What a Wiener filter leaves: the gain's share of the ground.
    return Thickness(values, float(smooth.std()), math.sqrt(float(gain.mean()) * GROUND_WEIGHT * ground))


def first_thickness(relative: torch.Tensor, falls: torch.Tensor) -> Thickness:
    """The thickness of a whole scene held in memory. relative : (B, H, W), see ``veiled``; falls : (B,)."""
    weights = haze_filter(ground_covariance(relative), falls)
    return smooth_thickness(torch.tensordot(weights.to(relative), depth(relative), 1).cpu().numpy())


def clear(relative: torch.Tensor, thickness: torch.Tensor, falls: torch.Tensor) -> torch.Tensor:
    """What lies behind the veil, in units of the airlight.

    relative : (..., B, H, W); thickness : (..., H, W); falls : (..., B)
    """
    return 1 - (1 - relative) * torch.exp(thickness[..., None, :, :] * falls[..., None, None])


def most_thickness(relative: torch.Tensor, falls: torch.Tensor, black: torch.Tensor) -> torch.Tensor:
    """(..., H, W) the haze that leaves a pixel's darkest band black, as nothing sends less than no light.

    relative : (..., B, H, W); falls : (..., B)
    black : (..., B) what no light at all is in units of the airlight, -inf where nobody knows
    """
    room = torch.log1p(-black.clamp(max=BRIGHTEST))[..., None, None] - torch.log1p(-relative.clamp(max=BRIGHTEST))
    return (room / falls[..., None, None]).amin(-3).clamp_min(0)


def bin_edges(bands: int, groups: int) -> list[tuple[int, int]]:
    """Runs of bands (first, behind last) that make ``groups`` means over the whole spectrum; few bands are repeated."""
    pairs = itertools.pairwise(np.linspace(0, bands, groups + 1).tolist())
    if bands < groups:
        return [(int(first), max(math.ceil(behind), int(first) + 1)) for first, behind in pairs]
    return [(round(first), round(behind)) for first, behind in pairs]


def in_bins(values: torch.Tensor, edges: list[tuple[int, int]]) -> torch.Tensor:
    """(G, ...) means over runs of the first axis."""
    return torch.stack([values[a:b].mean(0) for a, b in edges])
