"""Responses and numbers that are not known: found from what two images say of the same ground."""

from __future__ import annotations

import numpy as np

from hsi_app.errors import ParameterError

# A band sees nothing further from its centre than this, nm.
REACH_NM = 150.0
# Weights of the smoothness tried, in units of the mean power of a band.
SMOOTHNESS = tuple(float(10.0**power) for power in np.arange(-4, 3.5, 1.0))
_FOLDS, _ROUNDS, _OUTLYING, _JUDGED_PX = 4, 3, 2.5, 2000
# Numbers within this factor are of one unit: calibrations of the same pixels differ by some per cent; medians of
# different ground may differ twofold; units differ by powers of ten.
SAME_PIXELS, SAME_GROUND = 1.3, 2.5
_LOW, _HIGH = 0.1, 0.9
# Variation that is but the rounding of float32 averages, over the largest number.
_FLAT = 1e-6


def estimate_response(
    hsi: np.ndarray,
    msi: np.ndarray,
    *,
    centres_nm: np.ndarray | None = None,
    at_nm: np.ndarray | None = None,
    with_offset: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectral response from pixels that both images show.

    Non-negative least squares with a penalty on second differences along the bands, which are too alike to be told
    apart by the data alone; its weight by cross-validation, pixels that fit badly count less (Huber 1964).

    Parameters
    ----------
    hsi : (B, N) spectra; msi : (b, N) multispectral pixels averaged to the same
    centres_nm, at_nm : (b,) and (B,) wavelengths where known: a band sees nothing beyond 150 nm of its centre
    with_offset : let the numbers of ``msi`` begin elsewhere than at zero

    Returns
    -------
    matrix : (b, B) >= 0, rows add to one; gain (b,) > 0 and offset (b,): msi ~ gain * (matrix @ hsi) + offset

    Raises
    ------
    ParameterError
        If a band does not follow from the spectra at all.
    """
    bands = len(hsi)
    matrix, gain, offset = np.zeros((len(msi), bands)), np.zeros(len(msi)), np.zeros(len(msi))
    for band, target in enumerate(msi):
        allowed = np.ones(bands, bool)
        if centres_nm is not None and at_nm is not None:
            allowed = np.abs(at_nm - centres_nm[band]) <= REACH_NM
            allowed = allowed if allowed.any() else np.ones(bands, bool)
        weights = np.ones(hsi.shape[1])
        found, level = np.zeros(int(allowed.sum())), 0.0
        smoothness = _chosen_smoothness(hsi[allowed], target, with_offset)
        for _ in range(_ROUNDS):
            found, level = _solve(hsi[allowed], target, weights, smoothness, with_offset)
            left = np.abs(target - found @ hsi[allowed] - level)
            limit = _OUTLYING * 1.4826 * max(float(np.median(left)), 1e-12)
            weights = np.minimum(1.0, limit / np.maximum(left, 1e-300))
        gain[band], offset[band] = found.sum(), level
        if gain[band] <= 0 or _is_flat(target) or _is_flat(hsi[allowed]):
            raise ParameterError(
                f"band {band + 1} of the multispectral image does not follow from the hyperspectral one where they"
                " overlap; check that they show the same ground, or name a sensor or a table with --srf."
            )
        matrix[band, allowed] = found / gain[band]
    return matrix, gain, offset


def _chosen_smoothness(hsi: np.ndarray, target: np.ndarray, with_offset: bool) -> float:
    """The weight whose fits predict pixels best that they did not see."""
    step = -(-hsi.shape[1] // _JUDGED_PX)
    hsi, target = hsi[:, ::step], target[::step]
    fold = np.arange(hsi.shape[1]) % _FOLDS
    best = (np.inf, SMOOTHNESS[-1])
    for smoothness in SMOOTHNESS:
        left = np.empty(hsi.shape[1])
        for k in range(_FOLDS):
            seen = fold != k
            found, level = _solve(hsi[:, seen], target[seen], np.ones(int(seen.sum())), smoothness, with_offset)
            left[~seen] = target[~seen] - found @ hsi[:, ~seen] - level
        # The mean of lengths, not of squares: a few changed pixels must not choose.
        best = min(best, (float(np.abs(left).mean()), smoothness))
    return best[1]


def _solve(
    hsi: np.ndarray, target: np.ndarray, weights: np.ndarray, smoothness: float, with_offset: bool
) -> tuple[np.ndarray, float]:
    """(B,) response >= 0 and offset of one band."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import nnls

    share = weights / weights.sum()
    centre = hsi @ share if with_offset else np.zeros(len(hsi))
    level = float(target @ share) if with_offset else 0.0
    away, aim = hsi - centre[:, None], target - level
    gram = (away * share) @ away.T
    power = max(float(np.trace(gram)) / len(gram), 1e-300)
    bend = np.diff(np.eye(len(hsi)), 2, axis=0) if len(hsi) > 2 else np.zeros((1, len(hsi)))
    system = gram + smoothness * power * bend.T @ bend + 1e-7 * power * np.eye(len(hsi))
    upper = cholesky(system)
    found, _ = nnls(upper, solve_triangular(upper, away @ (share * aim), trans="T"), maxiter=30 * len(hsi))
    return found, level - float(found @ centre)


def radiometric_match(projected: np.ndarray, msi: np.ndarray, *, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset that bring multispectral numbers to those of projected spectra.

    Parameters
    ----------
    projected : (b, N); msi : (b, M), of the same pixels where ``paired``, else of much the same ground
    paired : robust regression over pixels, or medians and distances of the 10 and 90 % quantiles of distributions

    Returns
    -------
    gain (b,) > 0 and offset (b,): gain * msi + offset ~ projected.
    """
    wide, mid = _spread(projected)
    narrow, own = _spread(msi)
    # Quantiles that are one, as of a band that is mostly water, tell of no gain.
    is_flat = narrow <= _FLAT * np.abs(msi).max(axis=1)
    gain = np.where(is_flat, 1.0, wide / narrow)
    offset = mid - gain * own
    if not paired:
        return gain, offset
    for band in range(len(msi)):
        if _is_flat(msi[band]):
            continue
        for _ in range(_ROUNDS + 2):
            # From the match of the distributions on, and with the square: least squares would follow a few clouds,
            # which lie far out in ``msi``, and never let go of them.
            left = np.abs(projected[band] - gain[band] * msi[band] - offset[band])
            limit = _OUTLYING * 1.4826 * max(float(np.median(left)), 1e-12)
            weights = np.minimum(1.0, limit / np.maximum(left, 1e-300)) ** 2
            share = weights / weights.sum()
            x, y = msi[band] - msi[band] @ share, projected[band] - projected[band] @ share
            slope = float((share * x) @ y) / max(float((share * x) @ x), 1e-300)
            if slope <= 0:
                break
            gain[band], offset[band] = slope, projected[band] @ share - slope * (msi[band] @ share)
    return gain, offset


def same_radiometry(projected: np.ndarray, msi: np.ndarray, *, paired: bool) -> bool:
    """True where (b, N) projected spectra and (b, M) multispectral pixels seem to be in one unit.

    In most bands the medians agree: within a factor of 1.3 where they are of the same pixels (``paired``), of 2.5 where
    the images may show different ground.
    """
    within = SAME_PIXELS if paired else SAME_GROUND
    ratio = _spread(msi)[1] / np.where(np.abs(mid := _spread(projected)[1]) > 1e-12, mid, np.nan)
    return bool(np.nanmedian(np.abs(np.log(np.clip(np.nan_to_num(ratio, nan=1.0), 1e-6, None)))) <= np.log(within))


def _is_flat(pixels: np.ndarray) -> bool:
    """True where no band of (..., N) pixels varies."""
    return bool(pixels.std(axis=-1).max() <= _FLAT * np.abs(pixels).max())


def _spread(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(b,) distance of the 10 and 90 % quantiles, and median."""
    low, mid, high = np.quantile(pixels, [_LOW, 0.5, _HIGH], axis=1)
    return np.maximum(high - low, 1e-12), mid
