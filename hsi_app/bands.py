"""The spectral axis of a cube: band centres, widths, names and the bad-band list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hsi_app.errors import CubeError

# Centres of natural-colour and colour-infrared display bands, nm.
TRUE_COLOUR_NM = (640.0, 550.0, 465.0)
INFRARED_NM = (860.0, 650.0, 550.0)


def _column(values: object, count: int, what: str) -> np.ndarray | None:
    if values is None:
        return None
    # A copy: the axis must not follow what the caller does to the array later.
    column = np.array(values, dtype=np.float64).reshape(-1)
    if column.size != count:
        raise CubeError(f"{count} bands but {column.size} {what}; correct the header, or open the file without {what}.")
    column.setflags(write=False)
    return column


def band_indices(bands: Sequence[int] | np.ndarray) -> np.ndarray:
    """Indices of bands given by number or by a flag for each band."""
    given = np.asarray(bands).reshape(-1)
    return np.flatnonzero(given) if given.dtype == bool else given.astype(np.intp)


@dataclass(frozen=True, eq=False)
class BandAxis:
    """What is known about each band of a cube.

    Parameters
    ----------
    count : int, number of bands B
    centres_nm : (B,) float array of band centres in nm, or None
    fwhm_nm : (B,) float array of full widths at half maximum in nm, or None
    bad : (B,) bool array, True where the producer or the user marked the band as bad
        Bad bands are kept and marked, never dropped silently.
    names : B strings, or None

    Raises
    ------
    CubeError
        If a column has another length than ``count``.
    """

    count: int
    centres_nm: np.ndarray | None = None
    fwhm_nm: np.ndarray | None = None
    bad: np.ndarray | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "centres_nm", _column(self.centres_nm, self.count, "wavelengths"))
        put(self, "fwhm_nm", _column(self.fwhm_nm, self.count, "band widths"))
        bad = np.zeros(self.count, bool) if self.bad is None else np.array(self.bad, bool).reshape(-1)
        if bad.size != self.count:
            raise CubeError(f"{self.count} bands but {bad.size} entries in the bad-band list; correct the header.")
        bad.setflags(write=False)
        put(self, "bad", bad)
        if self.names is not None:
            names = tuple(str(name) for name in self.names)
            if len(names) != self.count:
                raise CubeError(f"{self.count} bands but {len(names)} band names; correct the header.")
            put(self, "names", names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BandAxis):
            return NotImplemented

        def same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
            return (a is None and b is None) or (a is not None and b is not None and np.allclose(a, b, atol=1e-3))

        return (
            self.count == other.count
            and same(self.centres_nm, other.centres_nm)
            and same(self.fwhm_nm, other.fwhm_nm)
            and bool(np.array_equal(self.is_bad, other.is_bad))
            and self.names == other.names
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_bad(self) -> np.ndarray:
        """(B,) bool, True at bad bands."""
        assert self.bad is not None
        return self.bad

    @property
    def good(self) -> np.ndarray:
        """Indices of the bands not marked bad, ascending."""
        return np.flatnonzero(~self.is_bad)

    def select(self, indices: Sequence[int] | np.ndarray) -> BandAxis:
        """The axis of a cube made of the given bands, in the given order; or of the bands flagged True."""
        index = band_indices(indices)
        return BandAxis(
            count=index.size,
            centres_nm=None if self.centres_nm is None else self.centres_nm[index],
            fwhm_nm=None if self.fwhm_nm is None else self.fwhm_nm[index],
            bad=self.is_bad[index],
            names=None if self.names is None else tuple(self.names[i] for i in index),
        )

    def marked(self, indices: Sequence[int] | np.ndarray, bad: bool = True) -> BandAxis:
        """The same axis with the given bands marked bad (or good)."""
        flags = self.is_bad.copy()
        flags[np.asarray(indices, dtype=np.intp)] = bad
        return replace(self, bad=flags)

    def nearest(self, centre_nm: float) -> int:
        """Index of the good band whose centre is nearest to ``centre_nm``.

        Raises CubeError if the wavelengths are unknown.
        """
        if self.centres_nm is None:
            raise CubeError(f"no wavelengths are known, so no band lies at {centre_nm:g} nm; attach them first.")
        distance = np.abs(self.centres_nm - centre_nm)
        if not self.is_bad.all():
            distance = np.where(self.is_bad, np.inf, distance)
        return int(np.argmin(distance))

    def composite(self, targets_nm: Sequence[float] = TRUE_COLOUR_NM) -> tuple[int, int, int]:
        """Three bands for a red-green-blue picture.

        By wavelength where known and where the sensor covers the targets to 60 nm; else spread over the
        good bands (long wavelengths red).
        """
        good = self.good if self.good.size else np.arange(self.count)
        if self.centres_nm is not None:
            near = [self.nearest(t) for t in targets_nm]
            if all(abs(self.centres_nm[n] - t) <= 60 for n, t in zip(near, targets_nm, strict=True)):
                return near[0], near[1], near[2]
        picks = good[np.round(np.array([0.75, 0.45, 0.15]) * (good.size - 1)).astype(int)]
        return int(picks[0]), int(picks[1]), int(picks[2])

    def label(self, index: int) -> str:
        """How a person would name a band: '103 (1283.4 nm, bad)', counting from 1."""
        parts = []
        if self.centres_nm is not None:
            parts.append(f"{self.centres_nm[index]:.1f} nm")
        elif self.names is not None:
            parts.append(self.names[index])
        if self.is_bad[index]:
            parts.append("bad")
        return f"{index + 1}" + (f" ({', '.join(parts)})" if parts else "")
