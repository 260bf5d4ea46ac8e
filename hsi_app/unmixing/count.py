"""How many materials there are: HySime, and the gap in the eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.noise import noise_from_covariance

# A further material must carry this many times the power of what comes after it.
GAP = 3.0
MOST = 64


@dataclass(frozen=True, eq=False)
class MaterialCount:
    """What the eigenvalues say about the number of materials.

    count : the number to use, 2 ... 64
    hysime : dimension of the signal subspace; real scenes bend, so it counts more than there are materials
    gap : last dimension, within that of HySime, after which the power falls to a third
    power : (B,) eigenvalues of the correlation matrix, descending
    noise : (B,) noise power in those directions
    """

    count: int
    hysime: int
    gap: int
    power: np.ndarray
    noise: np.ndarray


def count_materials(spectra: np.ndarray) -> MaterialCount:
    """Estimate the number of materials.

    Parameters
    ----------
    spectra : (B, N) float array, complete pixels, N > B for a noise estimate worth having

    Returns
    -------
    MaterialCount

    Source: HySime, Bioucas-Dias and Nascimento 2008 (doi:10.1109/TGRS.2008.918089), with uncorrelated noise.
    """
    bands, pixels = spectra.shape
    y = spectra.astype(np.float64)
    second = y @ y.T / pixels
    mean = y.mean(axis=1)
    variance = noise_from_covariance(second - np.outer(mean, mean), pixels) ** 2
    _, vectors = np.linalg.eigh(second - np.diag(variance))
    vectors = vectors[:, ::-1]
    along = ((second @ vectors) * vectors).sum(axis=0)
    noise = (variance[:, None] * vectors**2).sum(axis=0)
    hysime = int((2 * noise < along).sum())
    power = np.maximum(np.linalg.eigvalsh(second)[::-1], 0)
    floor = max(float(noise.min(initial=np.inf)), 1e-15 * float(power[0]), np.finfo(float).tiny)
    falls = np.maximum(power[:-1], floor) / np.maximum(power[1:], floor)
    within = falls[: max(min(hysime, MOST, len(falls)), 1)]
    steep = np.flatnonzero(within >= GAP)
    gap = int(steep[-1]) + 1 if steep.size else 1
    most = max(min(MOST, bands, pixels), 1)
    return MaterialCount(min(max(gap, 2), most), hysime, gap, power, noise)
