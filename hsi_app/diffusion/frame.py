"""Coefficient images as a three-channel prior wants them: in triples, each image spread over [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hsi_app.diffusion.prior import CHANNELS
from hsi_app.subspace import coefficient_matrix, pick_base_bands
from hsi_app.tiling import Window

# Values between these quantiles fill the prior's range; a few glints may lie beyond it.
LOW, HIGH = 0.002, 0.998
# Least half range in units of the noise: an image that is all noise must not be blown up to full contrast.
LEAST_REACH = 0.5
_BLOCK = 64

# Orthonormal, so white noise stays white: one component becomes the brightness that three channels share, the others
# their differences, as in colour images (this is the cosine transform of length 3).
_OPPONENTS = np.array([
    [1 / np.sqrt(3), 1 / np.sqrt(2), 1 / np.sqrt(6)],
    [1 / np.sqrt(3), 0.0, -2 / np.sqrt(6)],
    [1 / np.sqrt(3), -1 / np.sqrt(2), 1 / np.sqrt(6)],
])  # fmt: skip


@dataclass(frozen=True, eq=False)
class Frame:
    """How r images u on the prior's scale make whitened spectra: lift @ u + centre.

    Parameters
    ----------
    lift : (B, r); centre : (B,), both in units of each band's noise
    reach : (r,) half range of each image in units of the noise
    """

    lift: np.ndarray
    centre: np.ndarray
    reach: np.ndarray

    @property
    def rank(self) -> int:
        """Number of images r."""
        return int(self.lift.shape[1])


def band_frame(basis: np.ndarray, spectra: np.ndarray) -> Frame:
    """Images that are bands of the cube: those that strong RRQR picks, by ascending wavelength.

    Parameters
    ----------
    basis : (B, r) orthonormal, whitened
    spectra : (B, P) low-rank estimates of a sample of whitened spectra, for the range of each image

    Source: arXiv 2402.15865, sec. 3.2, with r beyond 3.
    """
    bands = pick_base_bands(basis)
    low, high = np.quantile(spectra[bands], (LOW, HIGH), axis=1)
    reach = np.maximum((high - low) / 2, LEAST_REACH)
    coefficients = coefficient_matrix(basis, bands)
    return Frame(coefficients * reach, coefficients @ ((low + high) / 2), reach)


def component_frame(basis: np.ndarray, spectra: np.ndarray) -> Frame:
    """Images that mix three principal components each, so that noise stays white and all have one contrast.

    basis, spectra : as for ``band_frame``; the images of a triple share one reach, and so one noise level
    """
    rank = basis.shape[1]
    turn = np.eye(rank)
    for first in range(0, rank - rank % CHANNELS, CHANNELS):
        turn[first : first + CHANNELS, first : first + CHANNELS] = _OPPONENTS
    lift = basis @ turn.T
    images = lift.T @ spectra
    middle = np.median(images, axis=1)
    reach = np.empty(rank)
    for first in range(0, rank, CHANNELS):
        part = slice(first, first + CHANNELS)
        spread = np.abs(images[part] - middle[part, None])
        reach[part] = max(float(np.quantile(spread, HIGH)), LEAST_REACH)
    return Frame(lift * reach, lift @ middle, reach)


def to_triples(images: torch.Tensor) -> torch.Tensor:
    """(r, H, W) images as (K, 3, H, W); where r is no multiple of 3 the first ones fill the last triple up."""
    rank, height, width = images.shape
    places = torch.arange(rank + -rank % CHANNELS, device=images.device) % rank
    return images[places].reshape(-1, CHANNELS, height, width)


def from_triples(triples: torch.Tensor, rank: int) -> torch.Tensor:
    """The r images of (K, 3, H, W) triples; what only filled up is dropped."""
    return triples.flatten(0, 1)[:rank]


def anchored_noise(count: int, window: Window, seed: int) -> torch.Tensor:
    """Standard normal noise (count, h, w) that belongs to places of the scene, so that tiles agree where they overlap.

    window : where the tile lies; seed : of the job
    """
    top, left = window.row // _BLOCK, window.col // _BLOCK
    down = (window.row + window.height - 1) // _BLOCK + 1
    across = (window.col + window.width - 1) // _BLOCK + 1
    rows = []
    for row in range(top, down):
        blocks = []
        for col in range(left, across):
            rng = np.random.default_rng([seed, row, col])
            blocks.append(rng.standard_normal((count, _BLOCK, _BLOCK), dtype=np.float32))
        rows.append(np.concatenate(blocks, axis=2))
    field = np.concatenate(rows, axis=1)
    start_row, start_col = window.row - top * _BLOCK, window.col - left * _BLOCK
    cut = field[:, start_row : start_row + window.height, start_col : start_col + window.width]
    return torch.from_numpy(np.ascontiguousarray(cut))
