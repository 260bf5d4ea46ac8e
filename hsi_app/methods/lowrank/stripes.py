"""Stripes: a constant added to a whole row or column of one band."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hsi_app.methods.lowrank.complete import solve_coefficients
from hsi_app.methods.lowrank.outliers import OUTLIER_STD, is_stuck, prior_variance, tensors_of
from hsi_app.scene import Scene
from hsi_app.subspace import Subspace

# A line belongs to a stripe when its mean residual exceeds this many standard errors; a band is corrected
# only where its lines scatter this many times more than noise lets them.
LINE_STD = 4.0
BAND_RATIO = 2.0
# Lines on each side that a stripe must stand out from: what varies more slowly is scene.
NEIGHBOURS = 7
PASSES = 2


def find_stripes(
    scene: Scene, subspace: Subspace, stuck: np.ndarray, on_step: Callable[[float], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of striped rows and columns, in whitened units: (B, H) and (B, W), 0 where there is none.

    The residual of a low-rank prediction is averaged along each line, samples far from the line's own mean left
    out; two passes over the scene, strip by strip.

    Parameters
    ----------
    scene : the observed scene; subspace : its robust subspace; stuck : (B, k) values of dead samples
    on_step : told the fraction done; may raise to stop
    """
    bands, height, width = scene.shape
    rows, cols = np.zeros((bands, height)), np.zeros((bands, width))
    for index in range(PASSES):
        sums = [np.zeros((bands, height)), np.zeros((bands, width))]
        counts = [np.zeros((bands, height)), np.zeros((bands, width))]
        for window, values, valid in scene.strips():
            here = slice(window.row, window.row + window.height)
            offset = torch.as_tensor(rows[:, here, None] + cols[:, None, :], dtype=values.dtype, device=values.device)
            residual, seen = _residual(values, valid, subspace, stuck, offset)
            # First pass: anything but wild samples, to catch stripes far above the noise.
            seen &= (residual - offset).abs() <= (OUTLIER_STD if index else 50 * OUTLIER_STD)
            kept = torch.where(seen, residual, 0.0)
            for axis, part in ((0, here), (1, slice(None))):
                sums[axis][:, part] += kept.sum(2 - axis).double().cpu().numpy()
                counts[axis][:, part] += seen.sum(2 - axis).double().cpu().numpy()
            on_step((index + (window.row + window.height) / height) / PASSES)
        candidates = [_significant(s / np.maximum(c, 1), c) for s, c in zip(sums, counts, strict=True)]
        # A line of one direction shows in every line of the other only as a constant, so both can be found at once.
        rows, cols = candidates
    return rows, cols


def _residual(
    values: torch.Tensor, valid: torch.Tensor, subspace: Subspace, stuck: np.ndarray, offset: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Whitened residual (B, h, w) of the low-rank prediction from believable samples, and where it means anything."""
    basis, mean, std = tensors_of(subspace, values)
    usable = valid & ~is_stuck(values, stuck)
    whitened = (values - mean) / std
    corrected = torch.where(usable, whitened - offset, 0.0).flatten(1)
    ok, variance = usable.flatten(1), prior_variance(subspace, values)
    for _ in range(2):
        predicted = basis @ solve_coefficients(torch.where(ok, corrected, 0.0), ok, basis, variance)
        ok = usable.flatten(1) & ((corrected - predicted).abs() <= OUTLIER_STD)
    return whitened - predicted.reshape(values.shape), usable


def _significant(means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Keep the part of line means (B, L) that stands out from the neighbouring lines and from noise."""
    from scipy.ndimage import median_filter

    size = min(2 * NEIGHBOURS + 1, means.shape[1])
    sharp = means - median_filter(means, size=(1, size), mode="nearest")
    error = 1 / np.sqrt(np.maximum(counts, 1))
    ratio = np.sqrt(np.mean((sharp / error) ** 2, axis=1, keepdims=True))
    strong = np.abs(sharp) > LINE_STD * error
    # In a band striped throughout every line is offset, strong or not; in others only the strong ones.
    throughout = np.median(np.abs(sharp / error), axis=1, keepdims=True) > BAND_RATIO
    chosen = (counts > 0) & (ratio > BAND_RATIO) & (strong | throughout)
    return np.where(chosen, sharp, 0.0)
