"""Which spectra of a library are most like a picked one, and how they are drawn beside it. Knows no window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.library import SpectralLibrary
from hsi_app.spectra import best_matches, scale_factor
from hsi_napari.spectrum_model import Curve

SHOWN = 5


@dataclass(frozen=True, eq=False)
class Fitted:
    """A library on the bands of a cube.

    name : of its file, for people
    spectra : (B, K) float64 on the cube's bands; NaN where not measured
    names : K strings
    axis : bands of the cube
    note : what was done to bring it there, or ''
    """

    name: str
    spectra: np.ndarray
    names: tuple[str, ...]
    axis: BandAxis
    note: str


@dataclass(frozen=True)
class Match:
    """A spectrum of the library: its number, name, and spectral angle to the picked one in degrees."""

    index: int
    name: str
    angle_deg: float


def fitted(library: SpectralLibrary, axis: BandAxis, name: str) -> Fitted:
    """A library on the bands of a cube; may take a while.

    Raises
    ------
    CubeError
        If it cannot be brought to these bands (see ``SpectralLibrary.on_bands``).
    """
    there, note = library.on_bands(axis)
    return Fitted(name, there.spectra, there.names, axis, note or "")


def matches(library: Fitted, spectrum: np.ndarray, count: int = SHOWN) -> list[Match]:
    """The spectra most like one on the same bands, best first; bands where it is NaN do not count."""
    found = best_matches(spectrum, library.spectra, count)
    return [Match(index, library.names[index], float(np.degrees(angle))) for index, angle in found]


def drawn(library: Fitted, index: int, picked: Curve, colour: str, *, is_scaled: bool) -> Curve:
    """A spectrum of the library as a line beside a picked one, bad bands as gaps.

    is_scaled : multiplied by the factor that brings it nearest (least squares); the label tells the factor
    """
    values = np.where(library.axis.is_bad, np.nan, library.spectra[:, index])
    label = library.names[index]
    if is_scaled:
        factor = scale_factor(values, picked.y)
        if np.isfinite(factor):
            values, label = values * factor, f"{label} × {factor:.3g}"
    return Curve(label, colour, picked.x, values)
