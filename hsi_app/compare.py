"""Two cubes of the same ground side by side in figures: levels, noise, what changed. Needs no reference; NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.noise import measure_noise
from hsi_app.report.sampling import spread_windows
from hsi_app.tiling import Window

# Histograms leave out the outermost thousandth at each end: one outlier would squeeze the rest into a bin.
TAIL_PERCENT = 0.1
# Samples differ when they do so by more than float32 rounds: half a unit in the last place of each, and of a sum.
ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Histogram:
    """Two sets of samples on common bins.

    edges : (n + 1,) increasing
    before, after : (n,) share of each set's samples in a bin, percent
    outside : share of all samples left of the first or right of the last edge, in [0, 1]
    """

    edges: np.ndarray
    before: np.ndarray
    after: np.ndarray
    outside: float


def common_histogram(before: np.ndarray, after: np.ndarray, bins: int = 96) -> Histogram | None:
    """Histograms of two sets of samples over the range that holds all but the outermost thousandth of each.

    Parameters
    ----------
    before, after : arrays of any shape; NaN is ignored
    bins : int >= 1

    Returns
    -------
    Histogram, or None where neither has a finite sample
    """
    sets = [np.asarray(values)[np.isfinite(values)] for values in (before, after)]
    ranges = [np.percentile(values, (TAIL_PERCENT, 100 - TAIL_PERCENT)) for values in sets if values.size]
    if not ranges:
        return None
    low, high = (float(reach) for reach in (np.min(ranges), np.max(ranges)))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts = [np.histogram(values, edges)[0] for values in sets]
    inside = sum(int(count.sum()) for count in counts)
    shares = [100 * count / max(values.size, 1) for count, values in zip(counts, sets, strict=True)]
    return Histogram(edges, shares[0], shares[1], 1 - inside / sum(values.size for values in sets))


def matching_band(band: int, of: BandAxis, among: BandAxis) -> int:
    """The band of ``among`` to set beside a band of ``of``: nearest in wavelength, else the one of the same number.

    Equal axes give the same number. A number beyond the last band gives the last.
    """
    if of.centres_nm is not None and among.centres_nm is not None and of != among:
        same = among.count == of.count and np.allclose(of.centres_nm, among.centres_nm)
        if not same:
            return int(np.argmin(np.abs(np.asarray(among.centres_nm) - float(of.centres_nm[band]))))
    return min(band, among.count - 1)


@dataclass(frozen=True, eq=False)
class BandStatistics:
    """One cube, band by band, in physical units (gain and offset applied).

    mean, std : (B,) over the observed samples of the sample; NaN for a band without any
    noise : (B,) noise standard deviation (noise.measure_noise)
    """

    mean: np.ndarray
    std: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True, eq=False)
class BandComparison:
    """Two cubes, band by band.

    before, after : BandStatistics, each on the bands of its own cube
    changed : (B,) share of samples that differ by more than float32 rounds, in [0, 1], over those observed in both;
        None for cubes of different shapes
    pixels, of_pixels : number of pixels looked at in ``before``, and the number it has
    """

    before: BandStatistics
    after: BandStatistics
    changed: np.ndarray | None
    pixels: int
    of_pixels: int


def compare_bands(before: Cube, after: Cube, *, job: Job | None = None) -> BandComparison:
    """Measure two cubes on windows spread over the scene: the same ground of both where their grids are the same.

    The noise is measured on one central window, as ``measure_noise`` does.

    Parameters
    ----------
    before, after : any two cubes; only cubes of the same shape are compared sample by sample
    job : asked to stop between windows

    Returns
    -------
    BandComparison

    Raises
    ------
    Cancelled
        If someone asked the job to stop.
    """
    job = job or Job()
    is_same = before.shape == after.shape
    sums = [_Sums(before), _Sums(after)]
    windows = spread_windows(*before.shape[1:])
    differing, common = np.zeros(before.shape[0]), np.zeros(before.shape[0])
    others = windows if is_same else spread_windows(*after.shape[1:])
    # 40 % of the bar for the windows, the rest for the noise.
    steps = len(windows) + (0 if is_same else len(others))
    for index, window in enumerate(windows):
        job.step(0.4 * index / steps, "levels")
        values, seen = sums[0].add(window)
        if is_same:
            restored, kept = sums[1].add(window)
            both = seen & kept
            differing += np.where(both, _differ(values, restored), False).sum(axis=(1, 2))
            common += both.sum(axis=(1, 2))
    if not is_same:
        for index, window in enumerate(others, len(windows)):
            job.step(0.4 * index / steps, "levels")
            sums[1].add(window)
    found = []
    for index, (cube, total) in enumerate(zip((before, after), sums, strict=True)):
        found.append(total.statistics(measure_noise(cube, job=job.part(0.4 + 0.3 * index, 0.3)).std))
    job.step(1.0, "done")
    with np.errstate(invalid="ignore", divide="ignore"):
        changed = differing / common if is_same else None
    looked_at = sum(window.pixels for window in windows)
    return BandComparison(found[0], found[1], changed, looked_at, before.shape[1] * before.shape[2])


def physical(values: np.ndarray, cube: Cube, band: int) -> np.ndarray:
    """Stored values of one band with gain and offset applied."""
    gain, offset = gain_of(cube, band)
    return values if (gain, offset) == (1.0, 0.0) else values * values.dtype.type(gain) + values.dtype.type(offset)


def gain_of(cube: Cube, band: int) -> tuple[float, float]:
    """Gain and offset of one band."""
    gain, offset = (np.broadcast_to(column, cube.shape[0])[band] for column in (cube.gain, cube.offset))
    return float(gain), float(offset)


def _differ(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.abs(after - before) > ROUNDING * np.maximum(np.abs(before), np.abs(after))


class _Sums:
    """Sums over the windows of one cube, from which mean and standard deviation follow."""

    def __init__(self, cube: Cube) -> None:
        self._cube, bands = cube, cube.shape[0]
        self._count, self._first, self._second = np.zeros(bands), np.zeros(bands), np.zeros(bands)
        # Sums of squares about a value near the mean: about zero they would cancel for bright, even bands.
        self._centre: np.ndarray | None = None
        self._gain = np.broadcast_to(np.asarray(cube.gain, dtype=float), bands)
        self._offset = np.broadcast_to(np.asarray(cube.offset, dtype=float), bands)

    def add(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Take in a window and give it back in physical units, with its validity: both (B, h, w)."""
        stored, seen = self._cube.block(window)
        values = stored * self._gain[:, None, None] + self._offset[:, None, None]
        count = seen.sum(axis=(1, 2))
        if self._centre is None:
            self._centre = np.where(seen, values, 0).sum(axis=(1, 2)) / np.maximum(count, 1)
        apart = np.where(seen, values - self._centre[:, None, None], 0)
        self._count += count
        self._first += apart.sum(axis=(1, 2))
        self._second += (apart**2).sum(axis=(1, 2))
        return values, seen

    def statistics(self, noise: np.ndarray) -> BandStatistics:
        """The figures; ``noise`` is in stored units."""
        assert self._centre is not None, "an image has at least one window"
        with np.errstate(invalid="ignore", divide="ignore"):
            shift = self._first / self._count
            spread = np.sqrt(np.maximum(self._second / self._count - shift**2, 0))
        return BandStatistics(self._centre + shift, spread, noise * np.abs(self._gain))
