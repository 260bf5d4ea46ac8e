"""A low-rank stand-in for a cube that is slow to read: a spectrum of it costs microseconds instead of seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.spectral_reading import stream
from hsi_app.tiling import Window

MOST_RANK = 16
COEFFICIENT_BYTES = 128 * 2**20
# The sample: so many pixels, of so many groups of so many rows, because chunks of a file hold rows side by side.
SAMPLE_PIXELS, SAMPLE_GROUPS, GROUP_ROWS = 16_384, 16, 4
# Components are added until so little of the sample's energy is left: less than float32 samples can hold.
ENERGY_LEFT = 1e-13
# A spectrum with fewer of its bands observed cannot be placed.
NEEDED_SHARE = 0.5
# The grid is no finer than this many components allow, for the planes that are projected take room beside them.
LEAST_COUNTED = 4
# Values of a piece that are projected at a time.
PROJECTED = 2**20


@dataclass(frozen=True, eq=False)
class Preview:
    """Spectra as ``mean + basis @ coefficients`` on a grid of every ``step``-th pixel.

    mean : (B,) float64, stored units; NaN for bands that are bad or were never observed
    basis : (B, r) float64, orthonormal columns over the other bands
    coefficients : (rows, cols, r) float32; NaN where too few bands were observed
    step : px between the grid's places, which lie in the middle of ``step`` x ``step`` blocks
    explained : share of the sample's energy around its mean that the basis holds, in [0, 1]
    """

    mean: np.ndarray
    basis: np.ndarray
    coefficients: np.ndarray
    step: int
    explained: float

    @property
    def rank(self) -> int:
        """Number of components r."""
        return int(self.basis.shape[1])

    def spectrum(self, window: Window) -> np.ndarray:
        """Mean spectrum of the grid's places nearest to a window: (B,) float64, stored units, NaN where unknown."""
        rows, cols = (
            slice(min(first // self.step, count - 1), min((first + size - 1) // self.step, count - 1) + 1)
            for first, size, count in zip(
                (window.row, window.col), (window.height, window.width), self.coefficients.shape[:2], strict=True
            )
        )
        places = self.coefficients[rows, cols].reshape(-1, self.rank)
        known = places[np.isfinite(places).all(axis=1)]
        if not len(known):
            return np.full(self.mean.size, np.nan)
        return np.asarray(self.mean + self.basis @ known.mean(axis=0, dtype=np.float64))


def build_preview(cube: Cube, job: Job | None = None, *, most_bytes: int = COEFFICIENT_BYTES) -> Preview:
    """Read a cube once, in the order in which its file holds it, and keep a low-rank stand-in.

    The basis comes from a thinned sample of about 16,000 pixels, bad bands left out; missing samples count as the mean.
    A cube of rank up to 16 (after taking the mean) is reproduced to about 1e-6 of its range where nothing is missing.

    Parameters
    ----------
    job : for progress and cancelling, at most one read of 16 MiB late
    most_bytes : memory for the coefficients; the grid becomes coarser until they fit. About as much again is in
        use while it is built

    Raises
    ------
    CubeError
        If nothing was observed in the sample.
    Cancelled
        If the job was asked to stop.

    Source: truncated singular value decomposition; coefficients by projection onto the sample's principal components.
    """
    job = job or Job()
    mean, basis, explained = _basis_of(cube, job.part(0.0, 0.15))
    _, height, width = cube.shape
    place_bytes = 4 * max(basis.shape[1], LEAST_COUNTED)
    step = max(1, math.isqrt(height * width * place_bytes // most_bytes))
    while -(-height // step) * -(-width // step) * place_bytes > most_bytes:
        step += 1
    rows, cols = (np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in (height, width))
    coefficients = np.zeros((rows.size, cols.size, basis.shape[1]), np.float32)
    seen = np.zeros((rows.size, cols.size), np.uint16)
    worked = np.flatnonzero(np.isfinite(mean))
    for piece in stream(cube, worked, rows, cols, job.part(0.15, 0.85), "reading the cube for a low-rank preview"):
        level, directions = mean[piece.bands].astype(np.float32), basis[piece.bands].astype(np.float32)
        seen[piece.rows, piece.cols] += piece.valid.sum(axis=0, dtype=np.uint16)
        target = coefficients[piece.rows, piece.cols]
        some = max(1, PROJECTED // (piece.bands.size * target.shape[1]))
        for top in range(0, target.shape[0], some):
            values, valid = piece.values[:, top : top + some], piece.valid[:, top : top + some]
            around = np.where(valid, values - level[:, None, None], np.float32(0))
            target[top : top + some] += np.tensordot(around, directions, axes=(0, 0))
    job.step(1.0, "low-rank preview ready")
    coefficients[seen < max(1.0, NEEDED_SHARE * worked.size)] = np.nan
    return Preview(mean, basis, coefficients, step, explained)


def _basis_of(cube: Cube, job: Job) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (B,), orthonormal basis (B, r) with zero rows for bands left out, and the share of energy it holds."""
    count, height, width = cube.shape
    worked = cube.axis.good
    tops = np.linspace(0, max(height - GROUP_ROWS, 0), SAMPLE_GROUPS).round().astype(int)
    rows = np.unique(np.minimum(tops[:, None] + np.arange(GROUP_ROWS), height - 1))
    apart = max(1, width * rows.size // SAMPLE_PIXELS)
    cols = np.arange(min(apart // 2, width - 1), width, apart)
    sample = np.zeros((count, rows.size, cols.size), np.float32)
    seen = np.zeros(sample.shape, bool)
    for piece in stream(cube, worked, rows, cols, job, "sampling the cube for a low-rank preview"):
        sample[piece.bands, piece.rows, piece.cols] = piece.values
        seen[piece.bands, piece.rows, piece.cols] = piece.valid
    observed = seen.sum(axis=(1, 2))
    worked = np.flatnonzero(observed)
    if not worked.size:
        raise CubeError(f"nothing was observed in the sample of '{cube.name}'; a low-rank preview needs spectra.")
    mean = np.full(count, np.nan)
    mean[worked] = sample[worked].sum(axis=(1, 2), dtype=np.float64) / observed[worked]
    # float64: a float32 Gram loses what is below 3e-4 of the largest singular value.
    around = np.where(seen[worked], sample[worked] - mean[worked, None, None], 0.0).reshape(worked.size, -1)
    energies, vectors = np.linalg.eigh(around @ around.T)
    energies = np.maximum(energies[::-1], 0.0)
    # Summed from the small end: their sum would drown in the large ones.
    left = np.append(np.cumsum(energies[::-1])[::-1][1:], 0.0) / max(float(energies.sum()), np.finfo(float).tiny)
    rank = min(int(np.count_nonzero(left > ENERGY_LEFT)) + 1, MOST_RANK, worked.size)
    basis = np.zeros((count, rank))
    basis[worked] = vectors[:, ::-1][:, :rank]
    return mean, basis, float(1 - left[rank - 1])
