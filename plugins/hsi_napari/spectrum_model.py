"""Spectra picked from images: pins, regions, the averaging box, before and after. Knows no window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.spectral_regions import RegionSpectrum
from hsi_napari.spectrum_reading import Spectra
from hsi_napari.spectrum_table import csv_of
from hsi_napari.spectrum_views import View

BOX_SIZES_PX = (1, 3, 5, 7)


@dataclass(frozen=True, eq=False)
class Source:
    """An image that spectra are taken from.

    name : as people know it
    cube : where the numbers come from
    to_pixel : (y, x) of the common frame -> (row, col) of this image, as floats; affine
    spectra : reads them and keeps what was read; made from the cube where not given
    """

    name: str
    cube: Cube
    to_pixel: Callable[[float, float], tuple[float, float]] = lambda y, x: (y, x)
    spectra: Spectra = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.spectra is None:
            object.__setattr__(self, "spectra", Spectra(self.cube))

    @property
    def frame(self) -> np.ndarray:
        """(2, 3) affine matrix, (y, x, 1) of the common frame -> (row, col) of this image."""
        origin, down, right = (np.asarray(self.to_pixel(*at)) for at in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
        return np.stack([down - origin, right - origin, origin], axis=1)

    def fixed(self) -> Source:
        """The same image where it lies now, for a thread that must not ask the layer."""
        frame = self.frame

        def to_pixel(y: float, x: float) -> tuple[float, float]:
            row, col = frame @ (y, x, 1.0)
            return float(row), float(col)

        return replace(self, to_pixel=to_pixel)

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
    low, high : (B,) edges of a shaded band around the line, or None
    is_preview : rebuilt from a low-rank preview, not read
    """

    label: str
    colour: str
    x: np.ndarray
    y: np.ndarray
    is_after: bool = False
    number: int | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    is_preview: bool = False


@dataclass(frozen=True, eq=False)
class RegionLine:
    """A region of interest with its spectra: name, colour '#rrggbb', those of the first and of the second image."""

    name: str
    colour: str
    first: RegionSpectrum | None
    second: RegionSpectrum | None = None

    @property
    def size(self) -> str:
        """'144 px', or '≈ 1,280,000 px, 9,000 read'; '' where no image reaches."""
        spectrum = self.first or self.second
        if spectrum is None:
            return ""
        count = f"{spectrum.count:,} px"
        return f"≈ {count}, {spectrum.read:,} read" if spectrum.is_thinned else count


# A spectrum that is not at hand: whose, row, col, box.
Unread = tuple[Spectra, int, int, int]


@dataclass
class SpectrumModel:
    """What the Spectrum dock shows; changed by its methods only.

    first : image whose spectra are shown, or None
    second : its restored twin, or None
    box : side of the averaging window, px
    view : how spectra are shown
    regions : regions of interest with their mean spectra
    """

    colours: Sequence[str]
    first: Source | None = None
    second: Source | None = None
    box: int = 1
    pins: list[Pin] = field(default_factory=list)
    view: View = field(default_factory=View)
    regions: list[RegionLine] = field(default_factory=list)
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
        """The quantity that was measured: the unit of the cube, or 'Value'."""
        unit = "" if self.first is None else self.first.cube.unit
        return (unit[:1].upper() + unit[1:]) if unit else "Value"

    def shown_title(self) -> str:
        """What the upright axis shows in this view."""
        return self.view.title(self.value_title(), self.has_wavelengths)

    def bad_spans(self) -> list[tuple[float, float]]:
        """Stretches of the abscissa to shade as bad bands."""
        if self.axis is None:
            return []
        return spans_of(np.flatnonzero(self.axis.is_bad), self.abscissa(self.axis))

    def fixed(self) -> SpectrumModel:
        """A copy of what is shown now, for a thread."""
        first, second = (None if source is None else source.fixed() for source in (self.first, self.second))
        return replace(self, first=first, second=second, pins=list(self.pins), regions=list(self.regions))

    def curves(self) -> list[Curve]:
        """The lines of all pins and regions as they are shown, before and after."""
        return [self.view.of(curve) for curve in self.measured()]

    def measured(self) -> list[Curve]:
        """The lines of all pins and regions in physical units, bad bands as gaps."""
        pins = [c for p in self.pins for c in self.measured_at(p.y, p.x, f"{p.number}", p.colour, p.number)]
        return [*pins, *(curve for region in self.regions for curve in self._of_region(region))]

    def at(self, y: float, x: float, label: str, colour: str, number: int | None = None) -> list[Curve]:
        """The lines of one place as they are shown: from the first image, and from the second where it reaches."""
        return [self.view.of(curve) for curve in self.measured_at(y, x, label, colour, number)]

    def measured_at(self, y: float, x: float, label: str, colour: str, number: int | None = None) -> list[Curve]:
        """The lines of one place in physical units, of spectra that are at hand."""
        lines = []
        for source, is_after in self._sources():
            pixel = source.pixel(y, x)
            found = None if pixel is None else source.spectra.get(*pixel, self.box)
            if found is None:
                continue
            text = self._label(label, is_after) + (" preview" if found.is_preview else "")
            line = self._line(source, text, colour, found.values, is_after)
            lines.append(replace(line, number=number, is_preview=found.is_preview))
        return lines

    def unread(self, places: Iterable[tuple[float, float]], *, needs_true: bool) -> list[Unread]:
        """The spectra of some places that must be read first; a preview will do unless true ones are needed."""
        wanted: list[Unread] = []
        for y, x in places:
            for source, _ in self._sources():
                pixel = source.pixel(y, x)
                if pixel is None or source.spectra.is_quick or (source.spectra.preview is not None and not needs_true):
                    continue
                if source.spectra.known(*pixel, self.box) is None:
                    wanted.append((source.spectra, *pixel, self.box))
        return wanted

    def unread_pins(self) -> list[Unread]:
        """The pinned spectra that must be read first."""
        return self.unread([(pin.y, pin.x) for pin in self.pins], needs_true=True)

    def sources(self) -> list[Source]:
        """The images there are, the first one first."""
        return [source for source, _ in self._sources()]

    def _sources(self) -> list[tuple[Source, bool]]:
        pairs = ((self.first, False), (self.second, True))
        return [(source, is_after) for source, is_after in pairs if source is not None]

    def _label(self, label: str, is_after: bool) -> str:
        return label if self.second is None else f"{label} {'after' if is_after else 'before'}"

    def _line(self, source: Source, label: str, colour: str, values: np.ndarray, is_after: bool) -> Curve:
        # Bad bands are measured, but not what the ground looks like: they do not stretch the plot.
        values = np.where(source.cube.axis.is_bad, np.nan, values)
        return Curve(label, colour, self.abscissa(source.cube.axis), values, is_after)

    def _of_region(self, region: RegionLine) -> list[Curve]:
        lines = []
        for source, is_after in self._sources():
            spectrum = region.second if is_after else region.first
            if spectrum is None:
                continue
            label = f"{self._label(region.name, is_after)} ({spectrum.count:,} px)"
            line = self._line(source, label, region.colour, spectrum.mean, is_after)
            lines.append(replace(line, low=line.y - spectrum.std, high=line.y + spectrum.std))
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
        """The pinned spectra and those of regions as a table; see ``csv_of``. Reads what is not at hand."""
        return csv_of(self)


def spans_of(bands: Sequence[int] | np.ndarray, x: np.ndarray) -> list[tuple[float, float]]:
    """Stretches of the abscissa that bands (from 0) take: from half-way to their neighbours, those side by side joined.

    x : (B,) places of all bands, in any order
    """
    order = np.argsort(x, kind="stable")
    place = x[order]
    half = np.diff(place)[[0, -1]] / 2 if place.size > 1 else np.array([0.5, 0.5])
    edges = np.concatenate([[place[0] - half[0]], (place[1:] + place[:-1]) / 2, [place[-1] + half[1]]])
    is_named = np.isin(order, bands).astype(np.int8)
    turns = np.flatnonzero(np.diff(np.concatenate([[0], is_named, [0]])))
    return [(float(edges[first]), float(edges[stop])) for first, stop in turns.reshape(-1, 2)]
