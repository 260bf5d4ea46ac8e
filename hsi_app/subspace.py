"""Spectral subspaces: streamed second moments, noise-whitened basis and rank, strong RRQR band choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.errors import SubspaceError

if TYPE_CHECKING:
    import torch

# A number of components, None to find it, or what to make of the number found (a multiple of three, say).
Rank = int | Callable[[int], int] | None

# Pixels converted to float64 at a time: 200 bands x 8192 x 8 B = 13 MB stays near the processor.
CHUNK_PX = 8192
# Eigenvalues must exceed the edge of pure noise by this factor: the noise level itself is an estimate.
EDGE_MARGIN = 1.05
MAX_RANK = 64


class Moments:
    """Mean and covariance of spectra, gathered piece by piece in float64.

    Missing samples are left out pair by pair, so a gap in one band costs the others nothing.

    Parameters
    ----------
    bands : int, number of bands B
    """

    def __init__(self, bands: int) -> None:
        self._products = np.zeros((bands, bands))
        self._sums = np.zeros((bands, bands))
        self._counts = np.zeros((bands, bands))
        self._complete_sum = np.zeros(bands)
        self._complete_count = 0

    def add(self, values: torch.Tensor, valid: torch.Tensor | None = None) -> None:
        """Take in spectra.

        Parameters
        ----------
        values : (B, ...) float32 or float64 tensor on any device, 0 where missing
        valid : bool tensor of the same shape, True = observed, or None for all
        """
        flat = values.reshape(values.shape[0], -1)
        seen = None if valid is None or bool(valid.all()) else valid.reshape(flat.shape)
        on_host = flat.device.type == "cpu"
        for start in range(0, flat.shape[1], CHUNK_PX):
            part, here = flat[:, start : start + CHUNK_PX], None if seen is None else seen[:, start : start + CHUNK_PX]
            if on_host:
                # NumPy's product x x^T is BLAS's symmetric one, half the work of a general one; all in NumPy,
                # because two pools of waiting threads (torch's and BLAS's) slow each other down threefold.
                self._take(part.numpy(), None if here is None else here.numpy())
            else:
                self._take_on_device(part, here)

    def _take(self, part: np.ndarray, here: np.ndarray | None) -> None:
        # float64: a float32 Gram loses directions below 3e-4 of the largest singular value.
        part = part.astype(np.float64, order="C")
        if here is None:
            self._products += part @ part.T
            self._complete_sum += part.sum(axis=1)
            self._complete_count += part.shape[1]
        else:
            weight = here.astype(np.float64, order="C")
            part *= weight
            self._products += part @ part.T
            self._counts += weight @ weight.T
            self._sums += part @ weight.T

    def _take_on_device(self, part: torch.Tensor, here: torch.Tensor | None) -> None:
        part = part.double()
        if here is None:
            self._products += (part @ part.T).cpu().numpy()
            self._complete_sum += part.sum(1).cpu().numpy()
            self._complete_count += part.shape[1]
        else:
            weight = here.double()
            part = part * weight
            for total, product in (
                (self._products, part @ part.T),
                (self._counts, weight @ weight.T),
                (self._sums, part @ weight.T),
            ):
                total += product.cpu().numpy()

    @property
    def pixels(self) -> int:
        """Number of spectra behind the best observed band."""
        return int(self._complete_count + self._counts.diagonal().max(initial=0))

    @property
    def observed(self) -> np.ndarray:
        """(B,) number of samples of each band."""
        return self._complete_count + self._counts.diagonal()

    @property
    def mean(self) -> np.ndarray:
        """(B,) mean spectrum; 0 for a band without any sample."""
        return (self._complete_sum + self._sums.diagonal()) / np.maximum(self.observed, 1)

    @property
    def covariance(self) -> np.ndarray:
        """(B, B) covariance; symmetric, made positive semi-definite where gaps had spoiled that.

        Raises SubspaceError if fewer than two spectra were seen.
        """
        if self.pixels < 2:
            raise SubspaceError(f"{self.pixels} spectra were observed; a covariance needs at least two.")
        counts = np.maximum(self._complete_count + self._counts, 1)
        sums = self._complete_sum[:, None] + self._sums
        covariance = self._products / counts - (sums / counts) * (sums.T / counts)
        covariance = (covariance + covariance.T) / 2
        if self._complete_count == counts.max():
            return covariance
        values, vectors = np.linalg.eigh(covariance)
        return (vectors * np.maximum(values, 0)) @ vectors.T


@dataclass(frozen=True, eq=False)
class Subspace:
    """Where the signal of a scene lives, seen with all bands' noise brought to one.

    mean : (B,) mean spectrum, scaled units
    noise_std : (B,) noise standard deviation of each band, scaled units, > 0
    basis : (B, r) orthonormal columns in whitened units, strongest first, signs by ``fix_signs``
    eigenvalues : (B,) of the whitened covariance, descending; noise alone has about 1
    """

    mean: np.ndarray
    noise_std: np.ndarray
    basis: np.ndarray
    eigenvalues: np.ndarray

    @property
    def rank(self) -> int:
        """Number of components r."""
        return int(self.basis.shape[1])


def fit_subspace(
    mean: np.ndarray, covariance: np.ndarray, noise_std: np.ndarray, pixels: int, rank: Rank = None
) -> Subspace:
    """Signal subspace of noise-whitened spectra.

    Parameters
    ----------
    mean : (B,); covariance : (B, B); noise_std : (B,), all in one scaling
    pixels : number of spectra behind the covariance
    rank : number of components, or None to find it with ``choose_rank``, or a function of what that finds

    Returns
    -------
    Subspace with 1 <= rank <= B

    Raises
    ------
    SubspaceError
        If ``rank`` exceeds the number of bands.

    Source: eigenvectors of the whitened Gram matrix instead of an SVD of the unfolded cube; the two span the
    same space (Golub and Van Loan 2013, sec. 8.6).
    """
    bands = mean.size
    if isinstance(rank, int) and rank > bands:
        raise SubspaceError(f"rank {rank} was asked for, the data have {bands} bands; ask for at most {bands}.")
    weight = 1 / noise_std
    values, vectors = np.linalg.eigh(covariance * np.outer(weight, weight))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    count = rank if isinstance(rank, int) else choose_rank(values, pixels)
    count = rank(count) if callable(rank) else count
    return Subspace(mean, noise_std, fix_signs(vectors[:, :count]), values)


def choose_rank(eigenvalues: np.ndarray, pixels: int) -> int:
    """Number of whitened eigenvalues that noise alone would not reach; at least 1, at most 64.

    Parameters
    ----------
    eigenvalues : (B,) of the whitened covariance, descending
    pixels : number of spectra

    Source: edge (1 + sqrt(B/N))^2 of Marchenko and Pastur 1967 for unit noise.
    """
    edge = EDGE_MARGIN * (1 + np.sqrt(eigenvalues.size / max(pixels, 1))) ** 2
    return int(np.clip((eigenvalues > edge).sum(), 1, min(MAX_RANK, eigenvalues.size)))


def fix_signs(basis: np.ndarray) -> np.ndarray:
    """Flip columns so that each one's entry of largest size is positive; makes bases comparable.

    basis : (B, r) array; returns a new contiguous one.
    """
    peak = np.abs(basis).argmax(axis=0)
    signs = np.sign(basis[peak, np.arange(basis.shape[1])])
    return np.ascontiguousarray(basis * np.where(signs == 0, 1.0, signs))


def pick_base_bands(basis: np.ndarray, count: int | None = None, *, swap_gain: float = 1.2) -> np.ndarray:
    """Choose the bands that best represent a spectral subspace.

    Bands are swapped in while a swap enlarges the chosen block's volume by more than ``swap_gain``.

    Parameters
    ----------
    basis : (B, r) float array with independent columns
    count : int in [1, r]; r when not given
    swap_gain : float > 1, dimensionless; nearer 1 is closer to the best choice and slower

    Returns
    -------
    (count,) int array, ascending band indices. With count = r every entry of
    ``coefficient_matrix(basis, bands)`` is at most ``swap_gain`` in size.

    Raises
    ------
    SubspaceError
        If ``count`` is out of range or ``basis`` has fewer than ``count`` independent rows.

    Source: Gu and Eisenstat 1996, algorithm 4; used as in arXiv 2402.15865, sec. 3.2.

    >>> pick_base_bands(np.eye(4)[:, :2], 2).tolist()
    [0, 1]
    """
    from scipy.linalg import qr

    matrix = np.asarray(basis, np.float64).T
    rank, bands = matrix.shape
    count = rank if count is None else count
    if not 1 <= count <= min(rank, bands):
        raise SubspaceError(f"{count} base bands were asked for; a basis of shape {basis.shape} offers 1 to {rank}.")
    _, triangle, order = qr(matrix, mode="economic", pivoting=True)
    if abs(triangle[count - 1, count - 1]) <= 1e-12 * abs(triangle[0, 0]):
        raise SubspaceError(f"the basis has fewer than {count} independent rows; ask for fewer base bands.")
    while True:
        triangle = np.asarray(np.linalg.qr(matrix[:, order])[1])
        inverse = np.linalg.inv(triangle[:count, :count])
        ratio = np.abs(inverse @ triangle[:count, count:])
        rest = np.linalg.norm(triangle[count:, count:], axis=0)
        volume = np.hypot(ratio, np.linalg.norm(inverse, axis=1)[:, None] * rest[None, :])
        if volume.size == 0 or volume.max() <= swap_gain:
            return np.asarray(np.sort(order[:count]))
        inside, outside = np.unravel_index(volume.argmax(), volume.shape)
        order[inside], order[count + outside] = order[count + outside], order[inside]


def coefficient_matrix(basis: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Matrix E (B, r) with E[bands] = I that spans the same space as ``basis`` (B, r).

    With it the coefficient images are the base bands themselves (arXiv 2402.15865, eq. 5).
    """
    matrix = np.linalg.solve(basis[bands].T, basis.T).T
    matrix[bands] = np.eye(len(bands))
    return matrix
