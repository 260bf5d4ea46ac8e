"""Ways to look at a spectrum: continuum removed, derivatives, and its likeness to the spectra of a library."""

from __future__ import annotations

import numpy as np

from hsi_app.errors import CubeError, ParameterError
from hsi_app.library import HOLE_SPACINGS

# A quadratic has three coefficients; a window of three bands passes through its samples.
LEAST_WINDOW = 3
# Fewer shared bands than this share of a spectrum's own say little about what it is.
NEEDED_SHARE = 0.5


def continuum(x: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """The straight lines that lie over a spectrum like a stretched band: its upper convex hull.

    Parameters
    ----------
    x : (B,) float array, wavelengths in nm or band numbers, in any order
    spectrum : (B,) float array; NaN where missing

    Returns
    -------
    (B,) float64, >= the spectrum; NaN where the spectrum is, and everywhere where fewer than two samples are left

    Raises
    ------
    CubeError
        If the lengths differ.

    Source: Clark and Roush 1984, "Reflectance spectroscopy: quantitative analysis techniques for remote sensing
    applications". The hull is the upper half of Andrew's monotone chain.
    """
    x, y = _pair(x, spectrum)
    result = np.full(y.size, np.nan)
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if usable.size < 2:
        return result
    # Detectors that overlap have wavelengths twice: the brighter sample is the one that the lines rest on.
    order = usable[np.lexsort((-y[usable], x[usable]))]
    _, first = np.unique(x[order], return_index=True)
    hull: list[int] = []
    for k in order[first]:
        while len(hull) >= 2 and _lies_under(x, y, hull[-2], hull[-1], k):
            hull.pop()
        hull.append(int(k))
    lines = np.interp(x[order], x[hull], y[hull])
    # Where the hull touches, rounding must not put it below the spectrum.
    result[order] = np.maximum(lines, y[order])
    return result


def continuum_removed(x: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """A spectrum divided by its continuum, which brings absorptions of unlike surfaces to one scale.

    Parameters and errors as for ``continuum``. Give bad bands as NaN: they neither hold the hull up nor are they
    bridged.

    Returns
    -------
    (B,) float64, at most 1, and 1 where the continuum rests on the spectrum; NaN where the spectrum is missing or the
    continuum is not positive (a dark sample below zero has no absorption depth)

    >>> continuum_removed(np.array([400.0, 500.0, 600.0]), np.array([1.0, 0.5, 1.0])).tolist()
    [1.0, 0.5, 1.0]
    """
    over = continuum(x, spectrum)
    values = np.asarray(spectrum, np.float64).reshape(-1)
    return np.divide(values, over, out=np.full(values.size, np.nan), where=over > 0)


def derivative(x: np.ndarray, spectrum: np.ndarray, order: int = 1, window: int = LEAST_WINDOW) -> np.ndarray:
    """Derivative of a spectrum with respect to x, by local quadratics fitted to the bands around each band.

    The spacing may be unequal. Near an end, and beside a gap, the window is the nearest one that fits, so the quadratic
    is read off its centre. Nothing is fitted across a missing sample, or across a step of more than ten usual spacings,
    where bands were taken out.

    Parameters
    ----------
    x : (B,) float array, wavelengths in nm or band numbers, in any order
    spectrum : (B,) float array; NaN where missing or bad
    order : 1 or 2
    window : odd int >= 3, number of bands; 3 passes through the samples, more smooth

    Returns
    -------
    (B,) float64, in units of the spectrum per unit of x (or its square); NaN where the spectrum is missing, and in
    stretches of fewer than three bands between gaps

    Raises
    ------
    CubeError
        If the lengths differ.
    ParameterError
        If the order is not 1 or 2, or the window is even or below 3.

    Source: Savitzky and Golay 1964, here on any spacing; three bands give the formula of ``numpy.gradient``.

    >>> derivative(np.array([0.0, 1.0, 3.0, 4.0]), np.array([0.0, 1.0, 9.0, 16.0])).round(6).tolist()
    [0.0, 2.0, 6.0, 8.0]
    """
    if order not in (1, 2):
        raise ParameterError(f"derivative of order {order}; choose 1 or 2.")
    if window < LEAST_WINDOW or window % 2 == 0:
        raise ParameterError(f"a window of {window} bands; give an odd number of at least {LEAST_WINDOW}.")
    x, y = _pair(x, spectrum)
    result = np.full(y.size, np.nan)
    for run in _runs(x, y):
        wide = min(window, run.size - (1 - run.size % 2))
        if wide < LEAST_WINDOW:
            continue
        first = np.clip(np.arange(run.size) - wide // 2, 0, run.size - wide)
        around = run[first[:, None] + np.arange(wide)]
        away = x[around] - x[run, None]
        # In units of the window's reach: powers of nanometres would spoil the fit.
        reach = np.abs(away).max(axis=1, keepdims=True)
        powers = (away / reach)[..., None] ** np.arange(3)
        fitted = np.linalg.pinv(powers) @ y[around][..., None]
        factor = 1.0 if order == 1 else 2.0
        result[run] = factor * fitted[:, order, 0] / reach[:, 0] ** order
    return result


def scale_factor(spectrum: np.ndarray, target: np.ndarray) -> float:
    """The number that brings a spectrum nearest to another one, least squares over their common bands.

    Parameters
    ----------
    spectrum, target : (B,) float arrays, NaN where missing

    Returns
    -------
    float; NaN where they share no band, or the spectrum is zero
    """
    both = np.isfinite(spectrum) & np.isfinite(target)
    energy = float(np.sum(np.square(spectrum[both], dtype=np.float64)))
    return float(np.sum(spectrum[both] * target[both]) / energy) if energy > 0 else float("nan")


def angles_to(spectrum: np.ndarray, library: np.ndarray) -> np.ndarray:
    """Spectral angle between one spectrum and each of a library, over the bands that both have.

    Parameters
    ----------
    spectrum : (B,) float array; library : (B, K) float array; NaN where missing

    Returns
    -------
    (K,) float64, radians in [0, pi]; NaN where a spectrum of the library has fewer than half of the spectrum's bands,
    or either is zero there

    Raises
    ------
    CubeError
        If the numbers of bands differ.

    Source: spectral angle, Kruse et al. 1993; half-distance form, as in ``hsi_app.unmixing.matching``.
    """
    spectrum, library = np.asarray(spectrum, np.float64), np.asarray(library, np.float64)
    if library.ndim != 2 or spectrum.shape != library.shape[:1]:
        raise CubeError(f"a spectrum of {spectrum.size} bands against a library of shape {library.shape}.")
    own = np.isfinite(spectrum)
    both = own[:, None] & np.isfinite(library)
    # Each pair has bands of its own, so each has lengths of its own.
    a, b = np.where(both, spectrum[:, None], 0.0), np.where(both, library, 0.0)
    a_length, b_length = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0)
    is_told = (both.sum(axis=0) >= max(2.0, NEEDED_SHARE * own.sum())) & (a_length > 0) & (b_length > 0)
    angles = np.full(library.shape[1], np.nan)
    a, b = a[:, is_told] / a_length[is_told], b[:, is_told] / b_length[is_told]
    angles[is_told] = 2 * np.arctan2(np.linalg.norm(a - b, axis=0), np.linalg.norm(a + b, axis=0))
    return angles


def best_matches(spectrum: np.ndarray, library: np.ndarray, count: int = 5) -> list[tuple[int, float]]:
    """The spectra of a library that are most like one: at most ``count`` pairs (index, angle in radians), best first.

    Parameters and errors as for ``angles_to``; spectra that cannot be compared are left out.
    """
    angles = angles_to(spectrum, library)
    order = np.argsort(angles, kind="stable")[: max(count, 0)]  # NaN sorts last
    return [(int(k), float(angles[k])) for k in order if np.isfinite(angles[k])]


def _pair(x: np.ndarray, spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, np.float64).reshape(-1), np.asarray(spectrum, np.float64).reshape(-1)
    if x.size != y.size:
        raise CubeError(f"{x.size} wavelengths for a spectrum of {y.size} bands; give one for each band.")
    return x, y


def _lies_under(x: np.ndarray, y: np.ndarray, left: int, middle: int, right: int) -> bool:
    """True where the middle sample lies on or under the line between the outer two."""
    return bool((y[middle] - y[left]) * (x[right] - x[left]) <= (y[right] - y[left]) * (x[middle] - x[left]))


def _runs(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Indices of the stretches without a gap, each by ascending x; of samples at one wavelength the first counts."""
    order = np.flatnonzero(np.isfinite(x))
    order = order[np.argsort(x[order], kind="stable")]
    order = order[np.concatenate([[True], np.diff(x[order]) > 0])] if order.size else order
    if order.size < 2:
        return []
    steps = np.diff(x[order])
    is_hole = steps > HOLE_SPACINGS * np.median(steps)
    seen = np.isfinite(y[order])
    runs = np.split(order, np.flatnonzero(is_hole | ~seen[1:] | ~seen[:-1]) + 1)
    return [run for run in runs if np.isfinite(y[run]).all()]
