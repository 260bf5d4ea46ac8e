"""Haze as a veil whose optical thickness falls with the wavelength: airlight, a first thickness, and its removal.

Model (arXiv 2503.09131, after the cirrus band): y_b = x_b t_b + A_b (1 - t_b) with t_b = exp(-tau a_b), where
a_b = lambda_1 / lambda_b and tau (H, W) >= 0 is the optical thickness at the shortest wavelength.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch.nn import functional

# Share of the brightest pixels of a band that give its airlight, at least one.
BRIGHT_SHARE = 1e-4
# Side of the window in which something dark is expected, and of the means that make the thickness smooth, px.
DARK_PX, SMOOTH_PX = 7, 15
# Share of the veil that the darkest pixels show: nothing is quite black.
TRUST = 0.9
# Where no wavelengths are known, those of a visible and near infrared camera.
ASSUMED_NM = (400.0, 1000.0)
THICKEST = 4.0
# Means over the spectrum that the thickness is judged from.
BINS = 32


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


def dark_thickness(relative: torch.Tensor, falls: torch.Tensor) -> torch.Tensor:
    """(H, W) optical thickness such that nothing behind the veil is darker than black.

    In every neighbourhood some band of some pixel is nearly black; what it shows is veil (He, Sun and Tang 2009, dark
    channel, with a thickness that depends on the wavelength).

    relative : (B, H, W), see ``veiled``; falls : (B,), see ``exponents``
    """
    bound = -torch.log1p(-relative.clamp(0, 0.98)) / falls[:, None, None]
    dark = -functional.max_pool2d(_edged(-bound.amin(0), DARK_PX), DARK_PX, 1)[0, 0]
    return functional.avg_pool2d(_edged(dark, SMOOTH_PX), SMOOTH_PX, 1)[0, 0]


def first_thickness(relative: torch.Tensor, falls: torch.Tensor, least: float | None = None) -> torch.Tensor:
    """(H, W) a first thickness: the dark one less what the whole scene has in common, which is its own.

    least : the smallest of the scene; that of ``relative`` when not given
    """
    dark = dark_thickness(relative, falls)
    return TRUST * (dark - (dark.min() if least is None else least)).clamp(0, THICKEST)


def clear(relative: torch.Tensor, thickness: torch.Tensor, falls: torch.Tensor) -> torch.Tensor:
    """What lies behind the veil, in units of the airlight.

    relative : (..., B, H, W); thickness : (..., H, W); falls : (..., B)
    """
    return 1 - (1 - relative) * torch.exp(thickness[..., None, :, :] * falls[..., None, None])


def _edged(image: torch.Tensor, side: int) -> torch.Tensor:
    return functional.pad(image[None, None], (side // 2,) * 4, "replicate")


def bin_edges(bands: int, groups: int) -> list[tuple[int, int]]:
    """Runs of bands (first, behind last) that make ``groups`` means over the whole spectrum; few bands are repeated."""
    pairs = itertools.pairwise(np.linspace(0, bands, groups + 1).tolist())
    if bands < groups:
        return [(int(first), max(math.ceil(behind), int(first) + 1)) for first, behind in pairs]
    return [(round(first), round(behind)) for first, behind in pairs]


def in_bins(values: torch.Tensor, edges: list[tuple[int, int]]) -> torch.Tensor:
    """(G, ...) means over runs of the first axis."""
    return torch.stack([values[a:b].mean(0) for a, b in edges])
