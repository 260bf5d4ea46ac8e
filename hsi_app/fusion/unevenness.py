"""What misregistration no shift and turn can mend: a smooth field of small displacements left between two images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.fusion.placement import Placement
from hsi_app.fusion.registration import Match

# Standard deviation of the window that a displacement is found in, coarse px: about 50 pixels decide two numbers.
_WINDOW_PX = 2.0
_STEADY = 0.01


@dataclass(frozen=True)
class Unevenness:
    """Displacements left.

    rms_px : their root mean square where the image has contrast, coarse px; noise makes it a tenth at least
    share : of the coarse image's variance that they explain beyond chance
    """

    rms_px: float
    share: float


def find_unevenness(coarse: np.ndarray, fine: np.ndarray, placement: Placement) -> Unevenness:
    """Smooth displacements between a coarse image and a sharp one made as coarse.

    coarse : (h, w), fine : (H, W), of the same light up to gain and offset, NaN where missing

    Source: Lucas and Kanade 1981, a local least-squares fit of the difference to the gradient.
    """
    from scipy.ndimage import gaussian_filter

    match = Match(np.asarray(coarse, float), np.asarray(fine, float), placement)
    grid = np.stack(np.meshgrid(*map(np.arange, coarse.shape), indexing="ij"), -1).reshape(-1, 2).astype(float)
    seen = match.sampled(placement, grid).reshape(coarse.shape)
    both = np.isfinite(seen) & np.isfinite(coarse)
    if both.sum() < 9 or min(coarse.shape) < 3:
        return Unevenness(0.0, 0.0)
    x, y = seen[both] - seen[both].mean(), coarse[both] - coarse[both].mean()
    power = float(y @ y)
    if power <= 0 or float(x @ x) <= 0:
        return Unevenness(0.0, 0.0)
    like = (seen - seen[both].mean()) * float(x @ y) / float(x @ x) + coarse[both].mean()
    middle = np.where(both, (like + coarse) / 2, coarse[both].mean())
    down, across = np.gradient(middle)
    left = np.where(both, coarse - like, 0.0)

    def near(image: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(image * both, _WINDOW_PX))

    steady = _STEADY * float((near(down**2) + near(across**2)).mean())
    rr, rc, cc = near(down**2) + steady, near(down * across), near(across**2) + steady
    determinant = np.maximum(rr * cc - rc**2, 1e-300)

    def field(difference: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Displacements along rows and columns, and the share of the difference that they explain."""
        br, bc = near(down * difference), near(across * difference)
        rows, cols = (cc * br - rc * bc) / determinant, (rr * bc - rc * br) / determinant
        remains = (difference - rows * down - cols * across)[both]
        return rows, cols, 1 - float((remains**2).sum()) / max(float((difference[both] ** 2).sum()), 1e-300)

    rows, cols, explained = field(left)
    # What the same difference, mirrored, has in common with gradients that it does not belong to is chance.
    chance = float(np.mean([field(np.flip(left, axes) * both)[2] for axes in ((0,), (1,), (0, 1))]))
    contrast = (down**2 + across**2) * both
    rms = np.sqrt(float(((rows**2 + cols**2) * contrast).sum()) / max(float(contrast.sum()), 1e-300))
    beyond = max(0.0, (explained - chance) / max(1 - chance, 1e-9))
    return Unevenness(float(rms), beyond * float((left[both] ** 2).sum()) / power)
