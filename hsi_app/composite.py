"""Colour pictures of cubes: which three bands, and how their values become red, green and blue."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError, ParameterError
from hsi_app.jobs import Job
from hsi_app.noise import noise_from_covariance
from hsi_app.report.sampling import spread_windows
from hsi_app.tiling import Window

# Short-wave infrared as red, near infrared as green, red light as blue: burnt and bare ground red, vegetation green
# (Landsat 8 bands 7, 5, 4). Centres of display bands, nm.
SHORTWAVE_NM = (2200.0, 860.0, 650.0)
# A band farther from what was asked for does not stand for it.
REACH_NM = 60.0
# Samples read at once, between two looks at the job.
_STRIP_SAMPLES = 2**20
# Bands kept while a person tries stretches and neighbours: 20 MB each of four million pixels.
_KEPT_BANDS = 6
# A band counts as informative where its scene varies at least so many times more than its noise (10 dB), ...
_LEAST_SNR = 10.0
# ... and if fewer than this many do, the least noisy ones are taken.
_LEAST_BANDS = 12


@dataclass(frozen=True)
class Stretch:
    """Which stored values become dark and which bright.

    low, high : quantiles in percent, 0 <= low < high <= 100
    is_linked : one pair of limits for the three channels, which keeps the ratios of the bands

    Raises
    ------
    ParameterError
        If the quantiles are out of range or order.
    """

    low: float = 2.0
    high: float = 98.0
    is_linked: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise ParameterError(
                f"the stretch goes from {self.low:g} % to {self.high:g} %; choose 0 <= low < high <= 100."
            )

    def limits(self, values: np.ndarray) -> tuple[float, float]:
        """The values at both quantiles, always increasing; (0, 1) where there are none."""
        if values.size == 0:
            return 0.0, 1.0
        low, high = (float(q) for q in np.percentile(values, (self.low, self.high)))
        return increasing(low, high)


def increasing(low: float, high: float) -> tuple[float, float]:
    """The same two numbers, the second moved up a little where it is not the larger one."""
    return (low, high) if high > low else (low, low + max(abs(low) * 1e-3, 1e-6))


@dataclass(frozen=True, eq=False)
class Picture:
    """A colour picture.

    rgba : (h, w, 4) uint8; transparent where one of the three bands is missing
    step : px of the cube between neighbouring pixels, 1 where it is not thinned
    """

    rgba: np.ndarray
    step: int


def thinning(shape: tuple[int, int], most_pixels: int) -> int:
    """Every how many rows and columns of an image are kept so that no more than about ``most_pixels`` are."""
    return max(int(np.ceil(np.sqrt(shape[0] * shape[1] / most_pixels))), 1)


class ThinBands:
    """Bands of a cube as a picture needs them: every n-th row and column. The last ones read are kept.

    Parameters
    ----------
    most_pixels : a larger image is thinned; not at all when None

    For one thread at a time.
    """

    def __init__(self, cube: Cube, most_pixels: int | None = None) -> None:
        self.cube = cube
        self.step = 1 if most_pixels is None else thinning(cube.shape[1:], most_pixels)
        self._kept: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def picture(self, bands: Sequence[int], stretch: Stretch | None = None, job: Job | None = None) -> Picture:
        """Show three bands as red, green and blue; see ``composite``."""
        count = self.cube.shape[0]
        if len(bands) != 3 or not all(0 <= b < count for b in bands):
            raise CubeError(f"bands {[int(b) + 1 for b in bands]} of {count}; choose three bands from 1 to {count}.")
        stretch, job = stretch or Stretch(), job or Job()
        read = [self._band(int(b), job.part(k / 3, 1 / 3)) for k, b in enumerate(bands)]
        # One sees the same ground in all channels.
        seen = np.logical_and.reduce([valid for _, valid in read])
        limits = [stretch.limits(values[seen]) for values, _ in read]
        if stretch.is_linked:
            limits = [stretch.limits(np.concatenate([values[seen] for values, _ in read]))] * 3
        rgba = np.zeros((*seen.shape, 4), np.uint8)
        for channel, ((values, _), (low, high)) in enumerate(zip(read, limits, strict=True)):
            rgba[..., channel] = stretched(values, low, high)
        rgba[~seen] = 0
        rgba[..., 3] = np.where(seen, 255, 0)
        return Picture(rgba, self.step)

    def _band(self, band: int, job: Job) -> tuple[np.ndarray, np.ndarray]:
        """Values (h, w) float32 and validity."""
        if band not in self._kept:
            self._kept[band] = self._read(band, job)
        self._kept.move_to_end(band)
        while len(self._kept) > _KEPT_BANDS:
            self._kept.popitem(last=False)
        return self._kept[band]

    def _read(self, band: int, job: Job) -> tuple[np.ndarray, np.ndarray]:
        _, height, width = self.cube.shape
        values, valid = [], []
        for first, stop in _strips(height, width, self.step):
            job.step(first / height, "reading bands")
            block, seen = self.cube.block(Window(first, 0, stop - first, width), [band])
            values.append(block[0, :, :: self.step])
            valid.append(seen[0, :, :: self.step])
        return np.concatenate(values), np.concatenate(valid)


def composite(
    cube: Cube, bands: Sequence[int], stretch: Stretch | None = None, *, most_pixels: int | None = None,
    job: Job | None = None,
) -> Picture:  # fmt: skip
    """Show three bands as red, green and blue.

    Parameters
    ----------
    bands : three indices from 0; a band may be named twice
    stretch : 2 % to 98 % of each channel when not given
    most_pixels : a larger image is thinned: every n-th row and column is read
    job : to watch and cancel, asked every 2**20 samples

    Raises
    ------
    CubeError
        If there are not three bands or one is not in the cube.
    Cancelled
        If the job was asked to stop.
    """
    return ThinBands(cube, most_pixels).picture(bands, stretch, job)


def stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Finite values as uint8: ``low`` and below is 0, ``high`` and above 255."""
    scale = np.float32(255 / (high - low))
    return np.clip((values - np.float32(low)) * scale, 0, 255).astype(np.uint8)


def _strips(height: int, width: int, step: int) -> Iterator[tuple[int, int]]:
    """(first row, stop) of what is read at once: many rows, or single ones that are ``step`` rows apart."""
    rows = 1 if step > 1 else max(_STRIP_SAMPLES // width, 1)
    yield from ((row, min(row + rows, height)) for row in range(0, height, max(rows, step)))


def reaches(axis: BandAxis, targets_nm: Sequence[float]) -> bool:
    """True where the cube has a band, not marked bad, within 60 nm of each target."""
    if axis.centres_nm is None:
        return False
    return all(abs(float(axis.centres_nm[axis.nearest(target)]) - target) <= REACH_NM for target in targets_nm)


def most_different(cube: Cube, job: Job | None = None) -> tuple[int, int, int]:
    """Three bands that show the most of a scene: those whose correlation matrix has the largest determinant.

    Measured on windows spread over the scene. Noise resembles nothing, so bands where the scene stands out of the
    noise by less than 10 dB are left out, and bad bands always. The longest wavelength comes first (red).

    Raises
    ------
    CubeError
        If fewer than three bands can be told apart.
    Cancelled
        If the job was asked to stop.

    Source: Sheffield 1985, Selecting band combinations from multispectral data (the determinant; of correlations
    here, because each channel is stretched by itself).
    """
    job = job or Job()
    good = cube.axis.good
    windows = spread_windows(*cube.shape[1:])
    pieces = []
    for n, window in enumerate(windows):
        job.step(0.9 * n / len(windows), "comparing bands")
        values, valid = cube.block(window)
        pieces.append(np.where(valid[good], values[good], np.nan).reshape(good.size, -1))
    spectra = np.concatenate(pieces, axis=1).astype(np.float64)
    # A band that is missing altogether must not take all pixels with it.
    known = np.isfinite(spectra).mean(axis=1) > 0.5
    good, spectra = good[known], spectra[known]
    spectra = spectra[:, np.isfinite(spectra).all(axis=0)]
    varies = spectra.std(axis=1) > 0 if spectra.shape[1] > 1 else np.zeros(good.size, bool)
    good, spectra = good[varies], spectra[varies]
    if good.size < 3:
        raise CubeError(f"'{cube.name}' has {good.size} bands that vary over the scene; a picture needs three.")
    picked = _informative(spectra)
    job.step(0.95, "comparing bands")
    triple = good[picked[_largest_determinant(np.corrcoef(spectra[picked]))]]
    centres = cube.axis.centres_nm
    red, green, blue = sorted(triple.tolist(), key=lambda b: b if centres is None else centres[b], reverse=True)
    return red, green, blue


def _informative(spectra: np.ndarray) -> np.ndarray:
    """Indices of bands (B, P) with much more scene than noise; all where it cannot be told."""
    bands, pixels = spectra.shape
    if pixels <= 2 * bands:
        return np.arange(bands)
    covariance = np.cov(spectra)
    ratio = covariance.diagonal() / noise_from_covariance(covariance, pixels) ** 2
    clear = np.flatnonzero(ratio >= _LEAST_SNR)
    least = min(_LEAST_BANDS, bands)
    return clear if clear.size >= least else np.sort(np.argsort(-ratio, kind="stable")[:least])


def _largest_determinant(correlation: np.ndarray) -> np.ndarray:
    """The three rows of a correlation matrix whose 3 x 3 part has the largest determinant; all triples are tried."""
    best, found = -np.inf, np.arange(3)
    for first in range(len(correlation) - 2):
        near, rest = correlation[first, first + 1 :], correlation[first + 1 :, first + 1 :]
        determinant = 1 + 2 * np.outer(near, near) * rest - near[:, None] ** 2 - near[None] ** 2 - rest**2
        # The diagonal names a band twice.
        np.fill_diagonal(determinant, -np.inf)
        place = int(np.argmax(determinant))
        if determinant.flat[place] > best:
            best = float(determinant.flat[place])
            pair = np.array(np.unravel_index(place, determinant.shape)) + first + 1
            found = np.array([first, *np.sort(pair)])
    return found
