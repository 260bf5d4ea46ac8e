"""Spectral libraries: named spectra of materials, and how they look to a sensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.errors import CubeError, ParameterError

# Producers mark what was not measured by numbers no reflectance takes, such as -1.23e34.
FILL = 1e30
# Bands whose centres differ by less than this are the same, nm.
SAME_NM = 0.5
# Not taken from hsi_app.physics, which needs torch.
FWHM_TO_STD = 1 / (2 * math.sqrt(2 * math.log(2)))
# No line is drawn across a hole of this many spacings: it was not measured.
HOLE_SPACINGS = 10
# A Gaussian mean needs this share of the response on measured samples; nearer an end or a hole it leans to one side.
NEEDED_RESPONSE = 0.9


@dataclass(frozen=True, eq=False)
class SpectralLibrary:
    """Named spectra.

    Parameters
    ----------
    spectra : (B, K) float array, one column a material; NaN where not measured
    names : K strings
    centres_nm : (B,) float array of band centres in nm, or None
    fwhm_nm : (B,) float array of full widths at half maximum in nm, or None
    unit : of the spectra ('reflectance', ''), free text
    source : path it was read from, or None

    Raises
    ------
    CubeError
        If the arrays do not fit together, or there is no spectrum.
    """

    spectra: np.ndarray
    names: tuple[str, ...]
    centres_nm: np.ndarray | None = None
    fwhm_nm: np.ndarray | None = None
    unit: str = ""
    source: str | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        given = np.asarray(self.spectra)
        if given.dtype.kind not in "buif":
            raise CubeError(f"spectra of {given.dtype}; a library needs real numbers.")
        spectra = np.array(given, dtype=np.float64)
        if spectra.ndim != 2 or 0 in spectra.shape:
            raise CubeError(f"a library of shape {spectra.shape}; give (bands, spectra), at least one of each.")
        spectra[np.abs(spectra) >= FILL] = np.nan
        spectra.setflags(write=False)
        put(self, "spectra", spectra)
        names = tuple(str(name) for name in self.names)
        if len(names) != spectra.shape[1]:
            raise CubeError(f"{spectra.shape[1]} spectra but {len(names)} names; give one name a spectrum.")
        put(self, "names", names)
        axis = BandAxis(spectra.shape[0], self.centres_nm, self.fwhm_nm)
        put(self, "centres_nm", axis.centres_nm)
        put(self, "fwhm_nm", axis.fwhm_nm)

    @property
    def bands(self) -> int:
        """Number of bands B."""
        return int(self.spectra.shape[0])

    @property
    def count(self) -> int:
        """Number of spectra K."""
        return int(self.spectra.shape[1])

    def select(self, wanted: Sequence[int] | Sequence[str]) -> SpectralLibrary:
        """The spectra of the given numbers (from 0) or names, in that order.

        A name counts in any case, and its beginning is enough where that is clear. Raises ParameterError if there is
        no such spectrum.
        """
        index = [self._find(item) if isinstance(item, str) else int(item) for item in wanted]
        wrong = [i for i in index if not 0 <= i < self.count]
        if wrong or not index:
            raise ParameterError(f"spectra {wrong or list(wanted)} of a library of {self.count}; count from 0.")
        return replace(self, spectra=self.spectra[:, index], names=tuple(self.names[i] for i in index))

    def _find(self, name: str) -> int:
        wanted = name.casefold()
        folded = [other.casefold() for other in self.names]
        for found in (
            [i for i, other in enumerate(folded) if other == wanted],
            [i for i, other in enumerate(folded) if other.startswith(wanted)],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                same = ", ".join(self.names[i] for i in found[:4])
                raise ParameterError(f"'{name}' could be {len(found)} spectra of the library ({same}); say which.")
        raise ParameterError(f"no spectrum '{name}' in the library of {self.count} ({', '.join(self.names[:4])} ...).")

    def renamed(self, names: Sequence[str]) -> SpectralLibrary:
        """The same spectra under other names."""
        return replace(self, names=tuple(names))

    def resampled(self, centres_nm: np.ndarray, fwhm_nm: np.ndarray | None = None) -> SpectralLibrary:
        """The library as a sensor would see it.

        Each band is the mean under a Gaussian response where its width is known and wider than the library's spacing
        there, else the value on the line between the two nearest samples. The value on the line also stands for bands
        at an end or a hole of the library that lose more than a tenth of their response to it.

        Parameters
        ----------
        centres_nm : (b,) float array of the sensor's band centres, nm
        fwhm_nm : (b,) float array of its full widths at half maximum, nm, or None

        Returns
        -------
        SpectralLibrary of b bands; NaN where the library was not measured: more than one spacing beyond its ends, or
        in a hole of more than ten spacings

        Raises
        ------
        CubeError
            If the library has no wavelengths, there is not one width for each centre, or the library covers fewer
            than two, or than half, of the bands.
        """
        if self.centres_nm is None:
            raise CubeError("the library has no wavelengths, so it cannot be brought to other bands; add them to it.")
        target = np.array(centres_nm, np.float64).reshape(-1)
        axis = BandAxis(target.size, target, fwhm_nm)
        widths = np.zeros(target.size) if axis.fwhm_nm is None else np.nan_to_num(axis.fwhm_nm)
        order = np.argsort(self.centres_nm, kind="stable")
        order = order[np.isfinite(self.centres_nm[order])]
        x, y = self.centres_nm[order], self.spectra[order]
        result = np.full((target.size, self.count), np.nan)
        # Spectra measured at the same wavelengths share one matrix.
        patterns, group = np.unique(np.isfinite(y), axis=1, return_inverse=True)
        for number, seen in enumerate(patterns.T):
            if seen.sum() >= 2:
                columns = group.reshape(-1) == number
                weights, reached = _weights(x[seen], target, widths)
                result[:, columns] = np.where(reached[:, None], weights @ y[np.ix_(seen, columns)], np.nan)
        covered = np.isfinite(result).any(axis=1)
        if covered.sum() < 2 or 2 * covered.sum() < target.size:
            raise CubeError(
                f"the library spans {_span(x)} nm and covers {covered.sum()} of {target.size} bands"
                f" ({_span(target)} nm); at least two and half must be: choose another library."
            )
        return replace(self, spectra=result, centres_nm=target, fwhm_nm=axis.fwhm_nm)

    def on_bands(self, axis: BandAxis) -> tuple[SpectralLibrary, str | None]:
        """The library on a cube's bands, and what was done in one line; None where the bands agree already.

        Without wavelengths on one side the number of bands must agree; they are then taken for the same.

        Raises CubeError as ``resampled`` does, and if the number of bands differs.
        """
        if self.centres_nm is None or axis.centres_nm is None:
            if self.bands != axis.count:
                lacking = "library" if self.centres_nm is None else "cube"
                raise CubeError(
                    f"the library has {self.bands} bands, the cube {axis.count}, and the {lacking} no wavelengths to"
                    " match them by; add them."
                )
            return self, f"the {self.bands} bands of the library were taken for those of the cube: no wavelengths."
        if self.bands == axis.count and np.abs(self.centres_nm - axis.centres_nm).max() < SAME_NM:
            return self, None
        found = self.resampled(axis.centres_nm, axis.fwhm_nm)
        spacing = np.median(np.diff(np.sort(self.centres_nm)))
        is_wide = axis.fwhm_nm is not None and bool((axis.fwhm_nm > spacing).any())
        how = "averaged over" if is_wide else "read at"
        return found, f"the library's {self.bands} bands were {how} the cube's {axis.count}."


def _span(centres_nm: np.ndarray) -> str:
    known = centres_nm[np.isfinite(centres_nm)]
    return f"{known.min():.0f}-{known.max():.0f}" if known.size else "unknown"


def _weights(x: np.ndarray, target: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each sample counts in each band, and which bands are reached.

    Parameters
    ----------
    x : (n,) ascending wavelengths of the samples, n >= 2, nm
    target, widths : (b,) centres and full widths at half maximum, nm; width 0 reads at the centre

    Returns
    -------
    weights : (b, n) float64, rows add to one
    reached : (b,) bool
    """
    gaps = np.diff(x)
    # Sensors whose detectors overlap have wavelengths twice.
    is_hole = gaps > HOLE_SPACINGS * (np.median(gaps[gaps > 0]) if gaps.any() else 0.0)
    left = np.clip(np.searchsorted(x, target) - 1, 0, x.size - 2)
    gap, past = gaps[left], target - x[left]
    reached = (target >= x[0] - gaps[0]) & (target <= x[-1] + gaps[-1])
    reached &= ~(is_hole[left] & (past > 0) & (past < gap))
    share = np.clip(np.divide(past, gap, out=np.zeros_like(past), where=gap > 0), 0.0, 1.0)
    weights = np.zeros((target.size, x.size))
    rows = np.arange(target.size)
    weights[rows, left], weights[rows, left + 1] = 1.0 - share, share
    wide = np.flatnonzero(reached & (widths > gap))
    if wide.size:
        std = widths[wide, None] * FWHM_TO_STD
        # Each sample stands for half the way to its neighbours, and for nothing of a hole.
        way = np.where(is_hole, 0.0, gaps) / 2
        cell = np.concatenate([way, [0.0]]) + np.concatenate([[0.0], way])
        response = np.exp(-0.5 * ((x[None, :] - target[wide, None]) / std) ** 2) * cell
        total = response.sum(axis=1)
        enough = total >= NEEDED_RESPONSE * math.sqrt(2 * math.pi) * std[:, 0]
        weights[wide[enough]] = response[enough] / total[enough, None]
    return weights, reached
