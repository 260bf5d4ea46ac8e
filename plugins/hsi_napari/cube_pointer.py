"""What lies under the pointer: 'scene · row 12, col 40 · x 400324, y 5799900 (EPSG:32633) · 0.231 reflectance'."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.compare import gain_of
from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef
from hsi_app.lonlat import LonLat, fit_lonlat, is_geographic
from hsi_napari.layers import cube_of
from hsi_napari.planes import is_coming

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.cube import Cube

# Map frames of so many images are remembered.
_KEPT = 64
_DATA_DIGITS = 4


@dataclass(frozen=True, eq=False)
class MapFrame:
    """How places of one image are told.

    name : of the reference system
    is_geographic : its coordinates are longitude and latitude
    lonlat : gives these where they are not, or None where it cannot be told
    """

    name: str
    is_geographic: bool
    lonlat: LonLat | None


class MapFrames:
    """Looks up map frames in a thread: asking PROJ for the first time takes half a second."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[GeoRef, tuple[int, int]], MapFrame | None] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, georef: GeoRef, size: tuple[int, int]) -> MapFrame | None:
        """The frame of an image of (rows, cols); None until it has been looked up, which the first call begins."""
        key = georef, size
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            self._known[key] = None
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        threading.Thread(target=self._look_up, args=key, name="map frame", daemon=True).start()
        return None

    def _look_up(self, georef: GeoRef, size: tuple[int, int]) -> None:
        lonlat, knows_already = None, is_geographic(georef)
        if georef.crs and not knows_already:
            # A local grid has no longitude; its own coordinates are still told.
            with contextlib.suppress(CubeError):
                lonlat = fit_lonlat(georef, size)
        with self._lock:
            self._known[georef, size] = MapFrame(georef.crs_name(), knows_already, lonlat)


_frames = MapFrames()


def pointer_text(layer: Layer, viewer: ViewerModel, frames: MapFrames = _frames) -> str:
    """What is told of the place under the viewer's pointer in a cube layer; empty beside the image.

    The value is that of the band which is shown, in physical units; no file is read for it.
    """
    world = viewer.cursor.position
    if viewer.dims.ndisplay != 2 or len(world) < layer.ndim:
        return ""
    band, row, col = (int(np.floor(p + 0.5)) for p in layer.world_to_data(world[-layer.ndim :]))
    try:
        cube = cube_of(layer)
    except CubeError:
        return ""
    count, height, width = cube.shape
    if not (0 <= band < count and 0 <= row < height and 0 <= col < width):
        return ""
    value = layer.get_value(
        world, view_direction=None, dims_displayed=list(viewer.dims.displayed), world=True
    )  # from the plane that is drawn
    parts = [layer.name, f"row {row}, col {col}"]
    if cube.georef is not None:
        parts.append(map_text(cube.georef, row, col, frames.of(cube.georef, (height, width))))
    parts.append("reading…" if is_coming(layer, band) else value_text(cube, band, value))
    return " · ".join(part for part in parts if part)


def map_text(georef: GeoRef, row: int, col: int, frame: MapFrame | None) -> str:
    """'x 400324.0, y 5799900.0 (EPSG:32633) · 13.53612° E, 52.34268° N' of a pixel's centre."""
    x, y = georef.xy(row, col)
    if frame is not None and frame.is_geographic:
        return f"{degrees(x, y)} ({frame.name})"
    # A tenth of a pixel.
    digits = int(np.clip(np.ceil(-np.log10(max(min(georef.pixel_size), 1e-9))) + 1, 0, 9))
    text = f"x {x:.{digits}f}, y {y:.{digits}f}"
    if frame is None:
        return text
    text += f" ({frame.name})"
    return text if frame.lonlat is None else f"{text} · {degrees(*frame.lonlat.at(row, col))}"


def degrees(lon: float, lat: float) -> str:
    """'13.53612° E, 52.34268° N': a metre on the ground."""
    return f"{abs(lon):.5f}° {'W' if lon < 0 else 'E'}, {abs(lat):.5f}° {'S' if lat < 0 else 'N'}"


def value_text(cube: Cube, band: int, value: Any) -> str:
    """'0.2311 reflectance (stored 2311)', 'missing', or '' where no plane is drawn."""
    if value is None:
        return ""
    # Planes are drawn with NaN for missing samples; an array that a person put in place of them may hold the number.
    if not np.isfinite(value) or value == cube.nodata:
        return "missing"
    gain, offset = gain_of(cube, band)
    unit = f" {cube.unit}" if cube.unit else ""
    if (gain, offset) == (1.0, 0.0):
        return f"{_number(value)}{unit}"
    return f"{gain * float(value) + offset:.{_DATA_DIGITS}g}{unit} (stored {_number(value)})"


def _number(value: Any) -> str:
    return f"{value:.7g}" if np.asarray(value).dtype.kind == "f" else str(value)
