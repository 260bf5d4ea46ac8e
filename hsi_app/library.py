"""Spectral libraries: named spectra of materials, and how they look to a sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.errors import CubeError, ParameterError

# Producers mark what was not measured by numbers no reflectance takes, such as -1.23e34.
FILL = 1e30
# Bands whose centres differ by less than this are the same, nm.
SAME_NM = 0.5


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
        spectra = np.array(self.spectra, dtype=np.float64)
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
        there, else the value on the line between the two nearest samples.

        Parameters
        ----------
        centres_nm : (b,) float array of the sensor's band centres, nm
        fwhm_nm : (b,) float array of its full widths at half maximum, nm, or None

        Returns
        -------
        SpectralLibrary of b bands; NaN where the library was not measured

        Raises
        ------
        CubeError
            If the library has no wavelengths, or covers fewer than two, or than half, of the bands.
        """
        if self.centres_nm is None:
            raise CubeError("the library has no wavelengths, so it cannot be brought to other bands; add them to it.")
        target = np.asarray(centres_nm, np.float64)
        order = np.argsort(self.centres_nm, kind="stable")
        x, y = self.centres_nm[order], self.spectra[order]
        spacing = np.interp(target, x, np.gradient(x)) if x.size > 1 else np.full(target.shape, np.inf)
        widths = np.zeros(target.size) if fwhm_nm is None else np.nan_to_num(np.asarray(fwhm_nm, np.float64))
        result = np.full((target.size, self.count), np.nan)
        for k in range(self.count):
            seen = np.isfinite(y[:, k])
            if seen.sum() < 2:
                continue
            result[:, k] = _resampled(x[seen], y[seen, k], target, np.where(widths > spacing, widths, 0.0))
        covered = np.isfinite(result).any(axis=1)
        if covered.sum() < 2 or 2 * covered.sum() < target.size:
            raise CubeError(
                f"the library spans {x[0]:.0f}-{x[-1]:.0f} nm and covers {covered.sum()} of {target.size} bands"
                f" ({target.min():.0f}-{target.max():.0f} nm); at least half must be: choose another library."
            )
        return replace(self, spectra=result, centres_nm=target, fwhm_nm=fwhm_nm)

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
        how = "averaged over" if axis.fwhm_nm is not None else "read at"
        return found, f"the library's {self.bands} bands were {how} the cube's {axis.count}."


def _resampled(x: np.ndarray, y: np.ndarray, target: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """One spectrum on other bands; width 0 reads it at the centre."""
    reach = np.gradient(x)
    inside = (target >= x[0] - reach[0]) & (target <= x[-1] + reach[-1])
    # A hole wider than ten spacings was not measured; no line is drawn across it.
    left = np.clip(np.searchsorted(x, target) - 1, 0, x.size - 2)
    hole = (x[left + 1] - x[left] > 10 * np.median(np.diff(x))) & (target > x[left]) & (target < x[left + 1])
    values = np.where(inside & ~hole, np.interp(target, x, y), np.nan)
    wide = (widths > 0) & np.isfinite(values)
    if wide.any():
        from hsi_app.physics.spectral import gaussian_response

        values[wide] = gaussian_response(target[wide], widths[wide], x) @ y
    return values
