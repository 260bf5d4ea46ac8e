"""Coefficient images as a three-channel prior wants them: in triples, each image spread over [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hsi_app.diffusion.prior import CHANNELS
from hsi_app.subspace import coefficient_matrix, pick_base_bands
from hsi_app.tiling import Window

# Half range of an image in standard deviations of its signal; twice or half of it serve a trained prior as well.
REACH_STD = 3.0
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
    """How r images u on the prior's scale make whitened spectra around their mean: lift @ u.

    Parameters
    ----------
    lift : (B, r), in units of each band's noise
    reach : (r,) half range of each image in units of the noise
    """

    lift: np.ndarray
    reach: np.ndarray

    @property
    def rank(self) -> int:
        """Number of images r."""
        return int(self.lift.shape[1])


def band_frame(basis: np.ndarray, eigenvalues: np.ndarray) -> Frame:
    """Images that are bands of the cube: those that strong RRQR picks, by ascending wavelength.

    Parameters
    ----------
    basis : (B, r) orthonormal, whitened
    eigenvalues : at least (r,), variances of the components over the scene, noise of one included

    Source: arXiv 2402.15865, sec. 3.2, with r beyond 3.
    """
    bands = pick_base_bands(basis)
    std = np.sqrt(np.square(basis[bands]) @ np.maximum(eigenvalues[: basis.shape[1]] - 1, 0))
    reach = np.maximum(REACH_STD * std, LEAST_REACH)
    return Frame(coefficient_matrix(basis, bands) * reach, reach)


def component_frame(basis: np.ndarray, eigenvalues: np.ndarray) -> Frame:
    """Images that mix three principal components each, so that noise stays white and all have one contrast.

    basis, eigenvalues : as for ``band_frame``; the images of a triple share one reach, and so one noise level. A rank
        that is no multiple of 3 is filled up with components that no spectrum has.
    """
    bands, rank = basis.shape
    extra = -rank % CHANNELS
    padded = np.concatenate([basis, np.zeros((bands, extra))], axis=1)
    variance = np.concatenate([eigenvalues[:rank], np.ones(extra)])
    lift, reach = np.empty_like(padded), np.empty(rank + extra)
    for first in range(0, rank + extra, CHANNELS):
        part = slice(first, first + CHANNELS)
        lift[:, part] = padded[:, part] @ _OPPONENTS.T
        reach[part] = max(REACH_STD * float(np.sqrt((np.square(_OPPONENTS) @ variance[part]).max())), LEAST_REACH)
    return Frame(lift * reach, reach)


def to_triples(images: torch.Tensor) -> torch.Tensor:
    """(r, H, W) images as (K, 3, H, W); where r is no multiple of 3 the first ones fill the last triple up."""
    rank, height, width = images.shape
    places = torch.arange(rank + -rank % CHANNELS, device=images.device) % rank
    return images[places].reshape(-1, CHANNELS, height, width)


def from_triples(triples: torch.Tensor, rank: int) -> torch.Tensor:
    """The r images of (K, 3, H, W) triples; what only filled up is dropped."""
    return triples.flatten(0, 1)[:rank]


def anchored_noise(count: int, window: Window, *seeds: int) -> torch.Tensor:
    """Standard normal noise (count, h, w) that belongs to places of the scene, so that tiles agree where they overlap.

    window : where the tile lies; seeds : of the job, and what else tells draws apart
    """
    top, left = window.row // _BLOCK, window.col // _BLOCK
    down = (window.row + window.height - 1) // _BLOCK + 1
    across = (window.col + window.width - 1) // _BLOCK + 1
    rows = []
    for row in range(top, down):
        blocks = []
        for col in range(left, across):
            rng = np.random.default_rng([*seeds, row, col])
            blocks.append(rng.standard_normal((count, _BLOCK, _BLOCK), dtype=np.float32))
        rows.append(np.concatenate(blocks, axis=2))
    field = np.concatenate(rows, axis=1)
    start_row, start_col = window.row - top * _BLOCK, window.col - left * _BLOCK
    cut = field[:, start_row : start_row + window.height, start_col : start_col + window.width]
    return torch.from_numpy(np.ascontiguousarray(cut))
