"""Ways to show a spectrum: its values, without its continuum, or its derivatives. Knows no window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from hsi_app.spectra import LEAST_WINDOW, continuum_removed, derivative

if TYPE_CHECKING:
    from hsi_napari.spectrum_model import Curve

Kind = Literal["values", "continuum", "first", "second"]

TITLES: dict[Kind, str] = {
    "values": "Values",
    "continuum": "Continuum removed",
    "first": "First derivative",
    "second": "Second derivative",
}
# Bands of the local quadratic; 3 passes through the samples.
WINDOWS = (LEAST_WINDOW, 5, 7, 11, 15, 21)


@dataclass(frozen=True)
class View:
    """How spectra are shown; what is measured and exported stays as it is.

    kind : which way
    window : bands that a derivative is smoothed over, odd
    """

    kind: Kind = "values"
    window: int = LEAST_WINDOW

    @property
    def is_derivative(self) -> bool:
        """True where the window matters."""
        return self.kind in ("first", "second")

    def of(self, curve: Curve) -> Curve:
        """The curve as it is shown; a region's spread belongs to its values and to no other view."""
        if self.kind == "values":
            return curve
        if self.kind == "continuum":
            shown = continuum_removed(curve.x, curve.y)
        else:
            shown = derivative(curve.x, curve.y, 1 if self.kind == "first" else 2, self.window)
        return replace(curve, y=shown, low=None, high=None)

    def title(self, quantity: str, has_wavelengths: bool) -> str:
        """The title of the upright axis, units included: 'd reflectance / d nm'.

        quantity : 'Reflectance', 'Value'
        """
        if self.kind in ("values", "continuum"):
            return quantity if self.kind == "values" else TITLES["continuum"]
        # 'W m-2 sr-1 um-1' keeps its capitals; a word loses its first.
        word = quantity if " " in quantity else quantity[:1].lower() + quantity[1:]
        per = "nm" if has_wavelengths else "band"
        return f"d {word} / d {per}" if self.kind == "first" else f"d² {word} / d {per}²"
