"""The width of a blur, found from the image itself."""

from __future__ import annotations

import itertools

import numpy as np
import torch

# Widths that are tried, standard deviations in px, and slopes of the power spectrum that natural images have.
STDS, SLOPES, USUAL_SLOPE, SLOPE_WEIGHT = np.arange(0, 5.05, 0.05), np.arange(1.5, 4.01, 0.25), 2.5, 0.02
LOWEST, RINGS = 0.04, 23
# Power below this share of the strongest is the window's leakage; below this many times the noise it is noise.
LEAKAGE, ABOVE_NOISE, LEAST_RINGS = 2e-6, 3.0, 4
LEAST_SIDE_PX = 24


def blur_std(images: torch.Tensor, noise_std: float = 1.0) -> float:
    """Standard deviation in px of the Gaussian blur that explains how the power of images falls with frequency.

    Sharp natural images have a power spectrum of about f^-2.5; a Gaussian blur of standard deviation s multiplies it by
    exp(-(2 pi s f)^2). Both are fitted to the logarithm of ring means, with the noise added.

    Parameters
    ----------
    images : (n, H, W) float tensor, the more structure the better
    noise_std : of white noise in them

    Returns
    -------
    0 to 5; sharp images have about 0 to 0.6. NaN where no image is large or strong enough to tell.
    """
    height, width = images.shape[1:]
    if min(height, width) < LEAST_SIDE_PX:
        return float("nan")
    frequencies, power = _rings(images)
    cost = np.zeros((len(STDS), len(SLOPES)))
    told = False
    shape = -SLOPES[None, :, None] * np.log(frequencies) - (2 * np.pi * STDS[:, None, None] * frequencies) ** 2
    for ring in power:
        noise = max(noise_std**2, LEAKAGE * float(ring[0]))
        good = ring > ABOVE_NOISE * noise
        if good.sum() < LEAST_RINGS:
            continue
        told = True
        # The model's height is matched where the image stands above the noise.
        level = (np.log(ring[good] - noise) - shape[..., good]).mean(-1, keepdims=True)
        model = np.exp(np.minimum(level + shape, 700)) + noise
        misfit = (np.log(ring) - np.log(model)) ** 2
        cost += misfit.mean(-1)
    if not told:
        return float("nan")
    cost += SLOPE_WEIGHT * (SLOPES - USUAL_SLOPE) ** 2 * len(power)
    return float(STDS[cost.min(1).argmin()])


def _rings(images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean frequency of rings (k,) in cycles / px and power in them (n, k)."""
    height, width = images.shape[1:]
    # Squared: the edges of a blurred image leak less than what the blur leaves.
    window = torch.outer(*(torch.hann_window(side, periodic=False) ** 2 for side in (height, width))).to(images)
    centred = images - images.mean((1, 2), keepdim=True)
    power = torch.fft.rfft2(centred * window).abs().square() / window.square().sum()
    rows, cols = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    frequency = torch.hypot(rows[:, None], cols[None])
    ends = torch.linspace(LOWEST, 0.5, RINGS + 1)
    inside = [(frequency >= low) & (frequency < high) for low, high in itertools.pairwise(ends)]
    inside = [ring for ring in inside if int(ring.sum()) >= 3]
    means = torch.stack([power[:, ring].mean(1) for ring in inside], 1).double().cpu().numpy()
    return np.array([float(frequency[ring].mean()) for ring in inside]), means
