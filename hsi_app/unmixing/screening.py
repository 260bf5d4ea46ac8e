"""Bad channels, told from their neighbours: spectra are smooth, so a channel that goes its own way holds noise."""

from __future__ import annotations

import numpy as np

# A channel stays whose two best correlations with the three neighbours on each side average 0.7.
REACH, LEAST_AGREEMENT = 3, 0.7


def agreement(covariance: np.ndarray, reach: int = REACH) -> np.ndarray:
    """How well each channel goes with its neighbours.

    Parameters
    ----------
    covariance : (B, B) of the channels, in spectral order
    reach : int, neighbours looked at on each side

    Returns
    -------
    (B,) float array in [0, 1]: mean of the two largest |correlation| with the neighbours; 0 for a constant channel
    """
    bands = len(covariance)
    spread = np.sqrt(np.maximum(covariance.diagonal(), 0))
    alive = spread > 1e-9 * max(float(spread.max(initial=0)), np.finfo(float).tiny)
    scale = np.where(alive, spread, 1.0)
    correlation = np.abs(covariance / np.outer(scale, scale)) * np.outer(alive, alive)
    found = np.zeros(bands)
    for band in range(bands):
        near = [n for n in range(max(band - reach, 0), min(band + reach + 1, bands)) if n != band]
        best = np.sort(correlation[band, near])[-2:]
        found[band] = best.mean() if best.size else 1.0
    return np.minimum(found, 1.0)


def screen_channels(covariance: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Which channels to trust, by ``judge`` of their agreement."""
    return judge(agreement(covariance))


def judge(agreed: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Which channels to trust, from the (B,) ``agreement`` of each.

    Returns
    -------
    kept : (B,) bool; all True where the rule would drop more than half or the channels are fewer than 8, because then
        it is the sensor that has no neighbours alike, not the channels that are bad
    note : what a user should know, or None
    """
    bands = len(agreed)
    kept = agreed >= LEAST_AGREEMENT
    if kept.all():
        return kept, None
    if bands < 8 or kept.sum() * 2 < bands:
        note = f"{bands - kept.sum()} of {bands} channels do not go with their neighbours; all were kept."
        return np.ones(bands, bool), note
    return kept, f"{bands - kept.sum()} of {bands} channels do not go with their neighbours and were screened out."
