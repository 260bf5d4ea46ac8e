"""Numbers of the degradation, measured on the whole scene: the second prompt, and what blind use goes by."""

from __future__ import annotations

import numpy as np
import torch

from hsi_app.optics import Optics
from hsi_app.problem import Shared

COUNT = 8
# Noise of a hazy scene that is called none, in shares of its range.
LEAST_NOISE = 1e-4
# Noise in shares of the scene's range from which on it is noise; the clean scenes of the training have 0.0003 to 0.004.
NOISY = 0.006


def measured_prompt(shared: Shared, optics: Optics) -> torch.Tensor:
    """(8,) noise, its spread over the bands, missing, doubted, stripes, blur, grid, and 0 for haze; of about unit size.

    shared : see ``survey``; optics : what was told or found of blur and grid
    """
    noise = np.log10(np.maximum(np.asarray(shared["noise_std"], float), 1e-6))
    numbers = [
        _noise_number(float(np.median(noise))),
        float(noise.std()),
        float(shared["missing_share"]),
        float(np.mean(shared["outlier_share"])) * 3,
        float(np.log1p(stripe_rms(shared))),
        (optics.psf_fwhm or 0.0) / 4,
        float(np.log2(optics.scale)) / 2,
        0.0,
    ]
    return torch.tensor(numbers, dtype=torch.float32)


def is_noisy(shared: Shared) -> bool:
    """True where the noise is more than that of a clean scene."""
    return float(np.median(shared["noise_std"])) > NOISY


def stripe_rms(shared: Shared) -> float:
    """Root mean square of the stripes over the noise, 0 where none were looked for."""
    lines = [np.asarray(shared[key], float) for key in ("stripe_rows", "stripe_cols") if key in shared]
    return float(np.sqrt(sum(np.square(part).mean() for part in lines)))


def haze_prompt(shared: Shared, *, is_noisy: bool) -> torch.Tensor:
    """(8,) what is told beside the spectrum of a hazy scene: its noise, where there is any, and how hazy it looks."""
    noise = max(float(np.median(shared["noise_std"])), LEAST_NOISE) if is_noisy else LEAST_NOISE
    numbers = torch.zeros(COUNT)
    numbers[0] = _noise_number(float(np.log10(noise)))
    numbers[-1] = float(shared["mean_thickness"])
    return numbers


def lost_bands_prompt(share: float) -> torch.Tensor:
    """(8,) what is told where a share of the bands is lost."""
    numbers = torch.zeros(COUNT)
    numbers[2] = share
    return numbers


def _noise_number(log10_std: float) -> float:
    return log10_std / 2 + 1
