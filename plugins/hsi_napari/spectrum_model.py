"""Spectra picked from images: pins, the averaging box, before and after, and their export. Knows no window."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError

BOX_SIZES_PX = (1, 3, 5, 7)


@dataclass(frozen=True, eq=False)
class Source:
    """An image that spectra are taken from.

    name : as people know it
    cube : where the numbers come from
    to_pixel : (y, x) of the common frame -> (row, col) of this image, as floats
    """

    name: str
    cube: Cube
    to_pixel: Callable[[float, float], tuple[float, float]] = lambda y, x: (y, x)

    def pixel(self, y: float, x: float) -> tuple[int, int] | None:
        """The pixel under a position, or None outside the image."""
        row, col = (int(np.floor(p + 0.5)) for p in self.to_pixel(y, x))
        _, height, width = self.cube.shape
        return (row, col) if 0 <= row < height and 0 <= col < width else None


@dataclass(frozen=True)
class Pin:
    """A place whose spectrum is kept: number from 1, position in the common frame, colour '#rrggbb'."""

    number: int
    y: float
    x: float
    colour: str


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of the plot.

    x : (B,) wavelengths in nm, or band numbers from 1
    y : (B,) float64, NaN where nothing was observed (a gap)
    is_after : True for the second image (solid); False for the first, dashed where a second is shown
    """

    label: str
    colour: str
    x: np.ndarray
    y: np.ndarray
    is_after: bool = False
    number: int | None = None


@dataclass
class SpectrumModel:
    """What the Spectrum dock shows; changed by its methods only.

    first : image whose spectra are shown, or None
    second : its restored twin, or None
    box : side of the averaging window, px
    """

    colours: Sequence[str]
    first: Source | None = None
    second: Source | None = None
    box: int = 1
    pins: list[Pin] = field(default_factory=list)
    _next: int = 1

    def pin(self, y: float, x: float) -> Pin | None:
        """Keep the place's spectrum; None outside the image."""
        if self.first is None or self.first.pixel(y, x) is None:
            return None
        pin = Pin(self._next, float(y), float(x), self.colours[(self._next - 1) % len(self.colours)])
        self._next += 1
        self.pins.append(pin)
        return pin

    def move(self, number: int, y: float, x: float) -> None:
        """Put a pin elsewhere; its number and colour stay."""
        self.pins = [replace(p, y=float(y), x=float(x)) if p.number == number else p for p in self.pins]

    def keep(self, numbers: Iterable[int]) -> None:
        """Drop every pin but these."""
        kept = set(numbers)
        self.pins = [p for p in self.pins if p.number in kept]

    def clear(self) -> None:
        """Drop all pins and count from 1 again."""
        self.pins, self._next = [], 1

    @property
    def axis(self) -> BandAxis | None:
        """Band axis of the first image."""
        return None if self.first is None else self.first.cube.axis

    @property
    def has_wavelengths(self) -> bool:
        """True where the abscissa is in nm; otherwise it counts bands from 1."""
        return self.axis is not None and self.axis.centres_nm is not None

    def abscissa(self, axis: BandAxis) -> np.ndarray:
        """(B,) positions of the bands of an axis on the plot."""
        if self.has_wavelengths and axis.centres_nm is not None:
            return np.asarray(axis.centres_nm)
        return np.arange(1, axis.count + 1, dtype=float)

    def axis_title(self) -> str:
        """'Wavelength (nm)' or 'Band'."""
        return "Wavelength (nm)" if self.has_wavelengths else "Band"

    def value_title(self) -> str:
        """The quantity: the unit of the cube, or 'Value'."""
        unit = "" if self.first is None else self.first.cube.unit
        return (unit[:1].upper() + unit[1:]) if unit else "Value"

    def bad_spans(self) -> list[tuple[float, float]]:
        """Stretches of the abscissa to shade as bad bands: from half-way to the neighbours, runs joined."""
        if self.axis is None:
            return []
        x, bad = self.abscissa(self.axis), self.axis.is_bad
        order = np.argsort(x, kind="stable")
        x, bad = x[order], bad[order]
        half = np.diff(x) / 2 if x.size > 1 else np.array([0.5])
        left = x - np.concatenate([half[:1], half])[: x.size]
        right = x + np.concatenate([half, half[-1:]])[: x.size]
        spans: list[tuple[float, float]] = []
        for index in np.flatnonzero(bad):
            if spans and np.isclose(spans[-1][1], left[index]):
                spans[-1] = (spans[-1][0], float(right[index]))
            else:
                spans.append((float(left[index]), float(right[index])))
        return spans

    def curves(self) -> list[Curve]:
        """The lines of all pins, pin by pin, before and after."""
        return [curve for pin in self.pins for curve in self.at(pin.y, pin.x, f"{pin.number}", pin.colour, pin.number)]

    def at(self, y: float, x: float, label: str, colour: str, number: int | None = None) -> list[Curve]:
        """The lines of one place: from the first image, and from the second where it reaches."""
        lines = []
        for source, is_after in ((self.first, False), (self.second, True)):
            pixel = None if source is None else source.pixel(y, x)
            if source is None or pixel is None:
                continue
            values = source.cube.spectrum(*pixel, box=self.box)
            where = self.abscissa(source.cube.axis)
            text = label if self.second is None else f"{label} {'after' if is_after else 'before'}"
            # Bad bands are measured, but not what the ground looks like: they do not stretch the plot.
            values = np.where(source.cube.axis.is_bad, np.nan, values)
            lines.append(Curve(text, colour, where, values, is_after, number))
        return lines

    def describe(self, y: float, x: float) -> str:
        """'row 12, col 40 · 400324.0 E 5799900.0 N' in words of the first image; '' outside."""
        pixel = None if self.first is None else self.first.pixel(y, x)
        if self.first is None or pixel is None:
            return ""
        text = f"row {pixel[0]}, col {pixel[1]}"
        georef = self.first.cube.georef
        if georef is not None:
            east, north = georef.xy(*pixel)
            text += f" · x {east:.10g}, y {north:.10g}"
        return text

    def to_csv(self) -> str:
        """A table: a line a band, a column a spectrum; comment lines say where each pin lies.

        Spectra are in physical units (gain and offset applied), bad bands included and flagged; empty cells are
        missing. The second image has columns of its own where it shares the first one's bands.

        Raises
        ------
        CubeError
            If there is no image or no pin.
        """
        if self.first is None or not self.pins:
            raise CubeError("there are no pinned spectra to export; click on the image to pin one.")
        axis = self.first.cube.axis
        sources = [self.first]
        if self.second is not None and self.second.cube.axis.count == axis.count:
            sources.append(self.second)
        titles, columns, notes = [], [], []
        for pin in self.pins:
            notes.append(f"# pin {pin.number}: {self.describe(pin.y, pin.x)}")
            for source in sources:
                pixel = source.pixel(pin.y, pin.x)
                if pixel is not None:
                    titles.append(f"pin {pin.number} {source.name}")
                    columns.append(source.cube.spectrum(*pixel, box=self.box))
        out = io.StringIO()
        out.write("\n".join([*notes, f"# mean of {self.box} x {self.box} px; values: {self.value_title()}"]) + "\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["band", "wavelength_nm", "bad", *titles])
        for band in range(axis.count):
            centre = "" if axis.centres_nm is None else f"{axis.centres_nm[band]:.10g}"
            cells = ["" if np.isnan(column[band]) else f"{column[band]:.9g}" for column in columns]
            writer.writerow([band + 1, centre, int(axis.is_bad[band]), *cells])
        return out.getvalue()
