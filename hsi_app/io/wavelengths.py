"""Wavelengths as files write them: in any unit, in band names, or without a unit at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hsi_app.errors import FormatError

_NM_PER_UNIT = {
    "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0, "nan": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "micrometer": 1e3, "micrometre": 1e3, "micron": 1e3, "mic": 1e3,
    "mm": 1e6, "millimeter": 1e6, "millimetre": 1e6,
    "cm": 1e7, "centimeter": 1e7, "centimetre": 1e7,
    "m": 1e9, "meter": 1e9, "metre": 1e9,
    "a": 0.1, "å": 0.1, "angstrom": 0.1,
}  # fmt: skip

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_IN_NAME = re.compile(rf"({_NUMBER})\s*(nanomet(?:er|re)s?|nm|micromet(?:er|re)s?|microns?|um|µm|μm)\b", re.IGNORECASE)

# Names under which a wavelength vector lies in MATLAB, HDF5, NetCDF and NumPy files.
VECTOR_NAMES = (
    "wavelengths_nm", "wavelength_nm", "wavelengths", "wavelength", "wave_length", "wavelen", "wvl", "wvls", "wl",
    "lambda", "lambdas", "centers", "centres", "band_centers", "band_centres", "center_wavelength",
    "center_wavelengths", "centre_wavelength", "centre_wavelengths", "radiation_wavelength", "waves", "wave",
    "bands_nm",
)  # fmt: skip
WIDTH_NAMES = ("fwhm_nm", "fwhm", "fwhms", "bandwidth", "bandwidths", "bandwidth_nm", "band_widths")


def nm_per_unit(unit: str | None) -> float | None:
    """Nanometres in one of the named unit, or None where the name is not one of a length."""
    if not unit:
        return None
    name = unit.strip().strip("[]()").lower()
    return _NM_PER_UNIT.get(name) or _NM_PER_UNIT.get(name.rstrip("s"))


def to_nm(values: Sequence[float] | np.ndarray, unit: str | None) -> tuple[np.ndarray | None, float]:
    """Wavelengths in nm, and the factor used.

    Without a known unit, values whose median lies below 100 are read as micrometres: no sensor of
    reflected or emitted light has bands below 100 nm, and none reaches 100 micrometres.

    Returns
    -------
    centres : float array, nm; None where the values are no wavelengths (an index unit, wavenumbers, not finite,
        not positive, or all the same)
    factor : nm per file unit; 1 where unknown
    """
    column = np.asarray(values, dtype=np.float64).reshape(-1)
    known = (unit or "").strip().lower()
    if column.size == 0 or not np.isfinite(column).all() or (column <= 0).any() or known in ("index", "band number"):
        return None, 1.0
    if known.startswith(("wavenumber", "cm-1", "1/cm", "cm^-1")):
        return 1e7 / column, 1.0
    if known in ("ghz", "mhz"):
        return 299_792_458.0 / column * (1.0 if known == "ghz" else 1e3), 1.0
    factor = nm_per_unit(unit) or (1e3 if float(np.median(column)) < 100 else 1.0)
    # Rounded to a millionth nm: 0.0069 um should read 6.9, not 6.8999999999999995.
    return np.round(column * factor, 6), factor


def from_names(names: Sequence[str | None]) -> np.ndarray | None:
    """Wavelengths in nm out of band names such as 'band 7 (0.5436 Micrometers)', or None unless all have one."""
    found = []
    for name in names:
        match = _IN_NAME.search(name or "")
        if match is None:
            return None
        found.append(float(match.group(1)) * (nm_per_unit(match.group(2)) or 1.0))
    column = np.asarray(found)
    return column if column.size and (column > 0).all() else None


def numbers(texts: Sequence[str], key: str, path: object) -> np.ndarray:
    """Texts as float64. Raises FormatError naming the first that is no number."""
    try:
        return np.array([float(text) for text in texts], dtype=np.float64)
    except ValueError as error:
        good = re.compile(rf"\s*(?:{_NUMBER}|[-+]?(?:nan|inf))\s*", re.IGNORECASE)
        bad = next((text for text in texts if not good.fullmatch(text)), "")
        raise FormatError(f"'{path}' has '{bad[:40]}' where '{key}' needs a number; correct the header.") from error
