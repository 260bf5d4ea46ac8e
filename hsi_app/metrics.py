"""Quality figures: against a reference, and the strength of stripes without one. Larger-than-memory cubes are fine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.tiling import strips

# Wang et al. 2004: Gaussian window of 1.5 px cut at 3.5 standard deviations, stabilisers for a range of 1.
SSIM_STD_PX, SSIM_CUT, SSIM_K1, SSIM_K2 = 1.5, 3.5, 0.01, 0.03
MAD_TO_STD = 1.4826
STRIP_ROWS = 128


@dataclass(frozen=True, eq=False)
class BandScores:
    """Figures of each band: (B,) arrays; NaN where a band has no sample valid in both cubes."""

    psnr: np.ndarray
    ssim: np.ndarray
    rmse: np.ndarray
    mean: np.ndarray


def score(
    result: Cube, reference: Cube, *, per_band: bool = False, with_bad_bands: bool = False, scale: int = 1
) -> dict[str, Any]:
    """Compare a cube with a reference.

    Only samples valid in both count; bands that the reference marks bad are left out unless asked for.

    Parameters
    ----------
    result, reference : cubes of one shape, stored units
    per_band : add 'bands', a list with each band's figures
    with_bad_bands : count bad bands too
    scale : ratio of the grids in super-resolution, for ERGAS

    Returns
    -------
    dict with 'psnr' (dB, mean over bands, peak 1 after dividing by the reference's maximum), 'ssim' (-1 ... 1),
    'sam' (degrees), 'ergas' (-), 'rmse' (stored units)

    Raises
    ------
    CubeError
        If the shapes differ or no sample is valid in both.
    """
    if result.shape != reference.shape:
        raise CubeError(f"the result has shape {result.shape}, the reference {reference.shape}; they must be equal.")
    bands = np.arange(reference.shape[0]) if with_bad_bands else reference.axis.good
    peak = _maximum(reference, bands)
    columns = [_band(result, reference, int(band), peak) for band in bands]
    table = BandScores(*(np.array(column) for column in zip(*columns, strict=True)))
    seen = np.isfinite(table.rmse)
    if not seen.any():
        raise CubeError("no sample is valid in both the result and the reference; nothing can be compared.")
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = (table.rmse[seen] / table.mean[seen]) ** 2
    figures: dict[str, Any] = {
        "psnr": float(np.mean(table.psnr[seen])),
        "ssim": float(np.nanmean(table.ssim)) if np.isfinite(table.ssim).any() else float("nan"),
        "sam": spectral_angle(result, reference, bands),
        # Wald 2000: 100 * ratio of pixel sizes * root of the mean squared relative error.
        "ergas": float(100 / scale * np.sqrt(np.mean(relative))),
        "rmse": float(np.sqrt(np.mean(table.rmse[seen] ** 2))),
    }
    if per_band:
        centres = reference.axis.centres_nm
        figures["bands"] = [
            {
                "band": int(band) + 1,
                "wavelength_nm": None if centres is None else float(centres[band]),
                "psnr": float(table.psnr[i]),
                "ssim": float(table.ssim[i]),
                "rmse": float(table.rmse[i]),
            }
            for i, band in enumerate(bands)
        ]
    return figures


def spectral_angle(result: Cube, reference: Cube, bands: np.ndarray) -> float:
    """Mean angle between spectra in degrees, over pixels whose every band is valid in both and not all zero.

    NaN if there is no such pixel. Source: Kruse et al. 1993.
    """
    total, count = 0.0, 0
    pick = None if bands.size == reference.shape[0] else [int(b) for b in bands]
    for window in strips(reference.shape[1:], STRIP_ROWS):
        found, seen = result.block(window, pick)
        truth, valid = reference.block(window, pick)
        usable = (seen & valid).all(axis=0)
        a, b = found[:, usable].astype(np.float64), truth[:, usable].astype(np.float64)
        lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
        defined = lengths > 0
        cosine = (a * b).sum(axis=0)[defined] / lengths[defined]
        total += float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).sum())
        count += int(defined.sum())
    return total / count if count else float("nan")


def structural_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two images with a range of 1; pixels that are NaN in either are left out of the mean.

    Source: Wang, Bovik, Sheikh and Simoncelli 2004, eq. 13.
    """
    from scipy.ndimage import gaussian_filter

    missing = ~(np.isfinite(a) & np.isfinite(b))
    if missing.all():
        return float("nan")
    # Both get the same neutral value where one is missing; windows that touch it are left out below.
    x, y = (np.where(missing, 0.0, image).astype(np.float64) for image in (a, b))

    def blur(image: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(image, SSIM_STD_PX, truncate=SSIM_CUT))

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    image = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    reach = int(SSIM_CUT * SSIM_STD_PX + 0.5)
    inner = (slice(reach, -reach),) * 2 if min(image.shape) > 2 * reach else (slice(None),) * 2
    weight = (blur(missing.astype(float)) < 1e-6)[inner] if missing.any() else np.ones(image[inner].shape, bool)
    return float(image[inner][weight].mean()) if weight.any() else float("nan")


def stripe_strength(image: np.ndarray, axis: int = 0) -> float:
    """How much line means scatter beyond what pixel noise explains; 1 means no stripes.

    s = std(d2 m) / (std(d2 p) / sqrt(n)), where m are the means of the lines, p the pixels along a line, n the
    pixels of a line, d2 second differences and std the robust one (MAD). The scene's own texture raises the
    figure on a raw band (to about 2 in real scenes): give the residual of the band's regression on the others
    to see stripes alone.

    Parameters
    ----------
    image : (H, W) float array, NaN where missing
    axis : 0 for rows, 1 for columns

    Returns
    -------
    float >= 0; NaN where fewer than 5 lines or 5 pixels a line are there, 1 for an image without any noise
    """
    lines = np.asarray(image, np.float64) if axis == 0 else np.asarray(image, np.float64).T
    lines = lines[np.isfinite(lines).mean(axis=1) > 0.5]
    if min(lines.shape) < 5:
        return float("nan")
    along = _second_difference_std(lines.T)
    means = np.nanmean(lines, axis=1)
    across = _second_difference_std(means[:, None])
    if not along > 0:
        return 1.0 if across <= 1e-9 * max(float(np.abs(means).max()), 1e-300) else float("inf")
    return float(across / (along / np.sqrt(np.isfinite(lines).sum(axis=1).mean())))


def _second_difference_std(columns: np.ndarray) -> float:
    """Noise level seen by second differences down the columns: sqrt(6) times it is their spread."""
    step = columns[2:] - 2 * columns[1:-1] + columns[:-2]
    step = step[np.isfinite(step)]
    if step.size == 0:
        return float("nan")
    return float(MAD_TO_STD * np.median(np.abs(step - np.median(step))) / np.sqrt(6))


def _maximum(reference: Cube, bands: np.ndarray) -> float:
    peak = -np.inf
    pick = None if bands.size == reference.shape[0] else [int(b) for b in bands]
    for window in strips(reference.shape[1:], STRIP_ROWS):
        values, valid = reference.block(window, pick)
        if valid.any():
            peak = max(peak, float(values[valid].max()))
    if not np.isfinite(peak):
        raise CubeError(f"the reference '{reference.name}' has no valid sample; nothing can be compared.")
    if peak <= 0:
        raise CubeError(f"the reference '{reference.name}' is nowhere above 0, so its PSNR has no peak to refer to.")
    return peak


def _band(result: Cube, reference: Cube, band: int, peak: float) -> tuple[float, float, float, float]:
    """PSNR (dB), SSIM, RMSE and mean of the reference of one band."""
    found, seen = result.block(bands=[band])
    truth, valid = reference.block(bands=[band])
    both = (seen & valid)[0]
    if not both.any():
        return float("nan"), float("nan"), float("nan"), float("nan")
    a, b = found[0].astype(np.float64), truth[0].astype(np.float64)
    error = float(np.mean((a[both] - b[both]) ** 2))
    # 200 dB stands for "equal": infinite figures would spoil every mean.
    psnr = min(10 * np.log10(peak**2 / error), 200.0) if error > 0 else 200.0
    ssim = structural_similarity(np.where(both, a, np.nan) / peak, np.where(both, b, np.nan) / peak)
    return float(psnr), ssim, float(np.sqrt(error)), float(b[both].mean())
