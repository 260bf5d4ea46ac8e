"""Noise of real data: level of each band, values that are stuck, impulses and stripes. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.tiling import Window

# Normal distribution: standard deviation = MAD / 0.6745.
MAD_TO_STD = 1.4826


def noise_from_covariance(covariance: np.ndarray, pixels: int) -> np.ndarray:
    """Noise standard deviation of each band, by regression of the band on all others.

    What the other bands cannot predict is noise: its variance is 1 / (C^-1)_bb, which needs no pass over the
    pixels beyond the covariance.

    Parameters
    ----------
    covariance : (B, B); pixels : number of spectra behind it

    Returns
    -------
    (B,) float array > 0, in the units of the data; a band alone in its cube gets its own standard deviation

    Source: Roger and Arnold 1996; the same regression as HySime's (Bioucas-Dias and Nascimento 2008, alg. 1).
    """
    bands = len(covariance)
    level = max(float(np.trace(covariance)) / bands, np.finfo(float).tiny)
    spread = np.sqrt(np.maximum(covariance.diagonal(), 0))
    # Work on correlations: bands of very different brightness would spoil the inverse. 1e-9 keeps noise-free
    # (exactly dependent) bands solvable and stands for a noise 90 dB below the signal.
    scale = np.where(spread > 1e-7 * np.sqrt(level), spread, np.sqrt(level))
    correlation = covariance / np.outer(scale, scale) + 1e-9 * np.eye(bands)
    residual = 1 / np.linalg.inv(correlation).diagonal()
    freedom = pixels / max(pixels - bands, 1) if pixels > 2 * bands else 2.0
    return np.asarray(scale * np.sqrt(np.maximum(residual * freedom, 1e-12)))


def robust_std(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Standard deviation from the median absolute deviation; NaN is ignored."""
    centre = np.nanmedian(values, axis=axis, keepdims=True)
    return MAD_TO_STD * np.nanmedian(np.abs(values - centre), axis=axis)


def stuck_values(band: np.ndarray, *, least_share: float = 0.005, excess: float = 12.0) -> np.ndarray:
    """Values that a band takes suspiciously often: dead, saturated or overwritten samples.

    A value counts when it holds at least ``least_share`` of the samples and ``excess`` times as many as the
    values next to it in rank, so smooth histograms of integer data have none.

    Parameters
    ----------
    band : array of one band's observed values, any shape

    Returns
    -------
    float array of values, often empty
    """
    values, counts = np.unique(band, return_counts=True)
    if values.size < 16:
        return values[:0]
    common = np.flatnonzero(counts >= max(8, least_share * band.size))
    # Median count of the ten nearest distinct values on each side.
    stuck = [
        values[i]
        for i in common
        if counts[i] >= excess * np.median(np.r_[counts[max(i - 10, 0) : i], counts[i + 1 : i + 11]])
    ]
    return np.asarray(stuck, dtype=values.dtype)


@dataclass(frozen=True, eq=False)
class NoiseReport:
    """Noise of each band, measured on a sample of the cube.

    std : (B,) noise standard deviation, stored units; NaN for a band without samples
    snr_db : (B,) 20 log10(mean magnitude of the signal / std)
    missing_share, stuck_share : (B,) share of samples in [0, 1]
    stripe_rows, stripe_cols : (B,) stripe strength along rows and columns; 1 = none (metrics.stripe_strength)
    """

    std: np.ndarray
    snr_db: np.ndarray
    missing_share: np.ndarray
    stuck_share: np.ndarray
    stripe_rows: np.ndarray
    stripe_cols: np.ndarray

    def noisiest(self, count: int = 10) -> list[int]:
        """Bands with the lowest signal-to-noise ratio, worst first."""
        order = np.argsort(np.nan_to_num(self.snr_db, nan=-np.inf), kind="stable")
        return [int(b) for b in order[:count]]


def measure_noise(cube: Cube, *, pixels: int = 2**14, job: Job | None = None) -> NoiseReport:
    """Measure a cube's noise on a central window of about ``pixels`` pixels.

    Parameters
    ----------
    cube : any cube; only the window is read
    pixels : int, px
    job : to watch and cancel, asked before each band

    Returns
    -------
    NoiseReport

    Raises
    ------
    Cancelled
        If the job was asked to stop.
    """
    from hsi_app.metrics import stripe_strength

    job = job or Job()
    job.step(0.0, "reading a sample")
    bands, height, width = cube.shape
    side_rows = min(height, max(int(np.sqrt(pixels)), pixels // max(width, 1)))
    side_cols = min(width, max(pixels // side_rows, 1))
    window = Window((height - side_rows) // 2, (width - side_cols) // 2, side_rows, side_cols)
    values, valid = cube.block(window)
    flat = np.where(valid, values, np.nan).reshape(bands, -1).astype(np.float64)
    seen = valid.reshape(bands, -1)
    share = seen.mean(axis=1)
    usable = share > 0.1
    std = np.full(bands, np.nan)
    complete = seen[usable].all(axis=0)
    if usable.any() and complete.sum() > 8:
        spectra = flat[usable][:, complete]
        covariance = np.atleast_2d(np.cov(spectra))
        if spectra.shape[1] > 2 * len(spectra):
            std[usable] = noise_from_covariance(covariance, spectra.shape[1])
    alone = _unexplained(flat, usable, complete)
    stuck = np.zeros(bands)
    rows, cols = np.ones(bands), np.ones(bands)
    for band in range(bands):
        job.step(0.2 + 0.8 * band / bands, "measuring noise")
        if not usable[band]:
            rows[band] = cols[band] = np.nan
            continue
        found = stuck_values(flat[band][seen[band]])
        stuck[band] = np.isin(flat[band], found).mean()
        image = alone[band].reshape(side_rows, side_cols)
        if np.isnan(std[band]):
            # Too few complete spectra for a regression: second differences along a row are nearly scene-free.
            raw = flat[band].reshape(side_rows, side_cols)
            step = raw[:, 2:] - 2 * raw[:, 1:-1] + raw[:, :-2]
            std[band] = float(robust_std(step)) / np.sqrt(6) if np.isfinite(step).any() else np.nan
        rows[band], cols[band] = (stripe_strength(image, axis) for axis in (0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        signal = np.sqrt(np.array([np.nanmean(f**2) if u else np.nan for f, u in zip(flat, usable, strict=True)]))
        snr = 20 * np.log10(signal / std)
    return NoiseReport(std, snr, 1 - share, stuck, rows, cols)


def _unexplained(flat: np.ndarray, usable: np.ndarray, complete: np.ndarray) -> np.ndarray:
    """What each band holds that the others do not predict: (B, P), NaN where it cannot be told.

    The bands themselves where there are too few complete spectra for a regression.
    """
    spectra = flat[usable][:, complete]
    if len(spectra) < 2 or spectra.shape[1] <= 2 * len(spectra):
        return flat
    centred = spectra - spectra.mean(axis=1, keepdims=True)
    spread = np.maximum(centred.std(axis=1), np.finfo(float).tiny)
    unit = centred / spread[:, None]
    inverse = np.linalg.inv(unit @ unit.T / unit.shape[1] + 1e-9 * np.eye(len(unit)))
    residual = np.full(flat.shape, np.nan)
    place = np.ix_(np.flatnonzero(usable), np.flatnonzero(complete))
    residual[place] = (inverse @ unit) / inverse.diagonal()[:, None] * spread[:, None]
    return residual
