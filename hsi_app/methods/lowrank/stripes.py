"""Stripes: a constant added to a whole row or column of one band."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hsi_app.methods.lowrank.complete import solve_coefficients
from hsi_app.methods.lowrank.outliers import OUTLIER_STD, is_stuck, leverage, prior_variance, tensors_of
from hsi_app.noise import MAD_TO_STD
from hsi_app.scene import Scene
from hsi_app.subspace import Subspace

# A line alone is a stripe when its mean residual exceeds this many standard errors (40,000 lines of a usual
# scene hold less than one such by chance); a band is striped throughout where its typical line exceeds what
# noise allows by this factor (five standard deviations of that estimate at 100 lines).
LINE_STD = 5.0
BAND_RATIO = 1.5
# Lines on each side that a stripe must stand out from: what varies more slowly is scene.
NEIGHBOURS = 20
PASSES = 2
# A direction of the subspace is a stripe's where line means hold this share of its variance from pixel to
# pixel; noise and texture give about 1 / pixels of a line. Fewer lines than LEAST_LINES cannot tell.
STRIPED_SHARE = 0.4
LEAST_LINES = 16


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
    rows, cols = shared_stripes(scene, subspace, stuck)
    for index in range(PASSES):
        sums = [np.zeros((bands, height)), np.zeros((bands, width))]
        counts = [np.zeros((bands, height)), np.zeros((bands, width))]
        squares = np.zeros(bands)
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
            squares += kept.square().sum((1, 2)).double().cpu().numpy()
            on_step((index + (window.row + window.height) / height) / PASSES)
        # Scatter within the lines: what stripes cannot have made.
        total, between = np.maximum(counts[0].sum(1), 1), (sums[0] ** 2 / np.maximum(counts[0], 1)).sum(1)
        between += (sums[1] ** 2 / np.maximum(counts[1], 1)).sum(1) - sums[0].sum(1) ** 2 / total
        noise = np.sqrt(np.maximum(squares - between, 1e-12 * squares + 1e-30) / total)[:, None]
        # A line of one direction adds to every line of the other the same, so both are found at once.
        rows, cols = (_significant(s / np.maximum(c, 1), c, noise) for s, c in zip(sums, counts, strict=True))
    return rows, cols


def shared_stripes(scene: Scene, subspace: Subspace, stuck: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stripes that several bands share, in whitened units: (B, H) and (B, W).

    Neighbouring bands of a detector share much of a column's error, so such stripes look like a material of
    their own and enter the subspace. Of all directions in it those are sought whose line means carry the largest
    part of their pixel variance (a generalised eigenproblem of second differences); texture and noise keep far
    below one. Their line means, times their spectral pattern, are the stripes.
    """
    from scipy.linalg import eigh

    rank, (bands, height, width) = subspace.rank, scene.shape
    offsets = [np.zeros((bands, height)), np.zeros((bands, width))]
    if min(height, width) < LEAST_LINES:
        return offsets[0], offsets[1]
    sums = [np.zeros((rank, height)), np.zeros((rank, width))]
    counts = [np.zeros(height), np.zeros(width)]
    within = np.zeros((2, rank, rank))
    for window, values, valid in scene.strips():
        basis, mean, std = tensors_of(subspace, values)
        usable = valid & ~is_stuck(values, stuck)
        whitened = torch.where(usable, (values - mean) / std, 0.0).flatten(1)
        ok = _agreeing(whitened, usable.flatten(1), subspace)
        variance = prior_variance(subspace, values)
        images = solve_coefficients(torch.where(ok, whitened, 0.0), ok, basis, variance)
        images = images.reshape(rank, *values.shape[1:])
        seen = usable.any(dim=0)
        images = torch.where(seen, images, 0.0)
        for axis, part in ((0, slice(window.row, window.row + window.height)), (1, slice(None))):
            sums[axis][:, part] += images.sum(2 - axis).double().cpu().numpy()
            counts[axis][part] += seen.sum(1 - axis).double().cpu().numpy()
            differences = images.diff(n=2, dim=1 + axis).flatten(1).double()
            within[axis] += (differences @ differences.T).cpu().numpy() / (height * width)
    for axis in (0, 1):
        means = sums[axis] / np.maximum(counts[axis], 1)
        steps = np.diff(means, n=2, axis=1)
        lines = steps @ steps.T / means.shape[1]
        ridge = 1e-9 * np.trace(within[axis]) + 1e-30
        shares, filters = eigh(lines, within[axis] + ridge * np.eye(rank))
        for share, direction in zip(shares, filters.T, strict=True):
            if share > STRIPED_SHARE:
                pattern = lines @ direction / (direction @ lines @ direction)
                offsets[axis] += np.outer(subspace.basis @ pattern, _sharp((direction @ means)[None])[0])
    return offsets[0], offsets[1]


def _agreeing(whitened: torch.Tensor, usable: torch.Tensor, subspace: Subspace) -> torch.Tensor:
    """(B, P) bool: usable samples within noise of the prediction from the others."""
    basis, _, _ = tensors_of(subspace, whitened)
    ok, variance = usable, prior_variance(subspace, whitened)
    for _ in range(2):
        predicted = basis @ solve_coefficients(torch.where(ok, whitened, 0.0), ok, basis, variance)
        ok = usable & ((whitened - predicted).abs() <= OUTLIER_STD)
    return ok


def _residual(
    values: torch.Tensor, valid: torch.Tensor, subspace: Subspace, stuck: np.ndarray, offset: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Whitened residual (B, h, w) of the low-rank prediction from believable samples, and where it means anything."""
    basis, mean, std = tensors_of(subspace, values)
    usable = valid & ~is_stuck(values, stuck)
    whitened = (values - mean) / std
    corrected = torch.where(usable, whitened - offset, 0.0).flatten(1)
    ok, variance = _agreeing(corrected, usable.flatten(1), subspace), prior_variance(subspace, values)
    predicted = basis @ solve_coefficients(torch.where(ok, corrected, 0.0), ok, basis, variance)
    # Without its own share in the prediction: a stripe must not explain itself.
    alone = torch.as_tensor(1 / (1 - leverage(subspace)), dtype=values.dtype, device=values.device)
    residual = (corrected - predicted) * alone[:, None]
    return residual.reshape(values.shape) + offset, usable


def _significant(means: np.ndarray, counts: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Part of the line means (B, L) that stands out from the neighbouring lines and from noise (B, 1)."""
    sharp = _sharp(means)
    errors = np.abs(sharp) * np.sqrt(np.maximum(counts, 1)) / noise
    # A band striped throughout: its typical line is off by more than noise allows. All its lines are corrected,
    # by the share of their variance that is stripe.
    typical = MAD_TO_STD * np.median(errors, axis=1, keepdims=True)
    throughout = np.where(typical > BAND_RATIO, 1 - 1 / np.maximum(typical, 1) ** 2, 0.0)
    gain = np.where(errors > LINE_STD, 1.0, throughout)
    return np.where(counts > 0, gain * sharp, 0.0)


def _sharp(means: np.ndarray) -> np.ndarray:
    """Line means (B, L) less what varies slowly from line to line."""
    from scipy.ndimage import median_filter

    size = min(2 * NEIGHBOURS + 1, means.shape[1])
    return np.asarray(means - median_filter(means, size=(1, size), mode="mirror"))
