"""Arrays made on demand: what napari is shown of a cube that stays on disk, or of a difference of two cubes."""

from __future__ import annotations

import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from hsi_app.cube import ArrayLike, Cube
from hsi_app.spectral_reading import band_pass
from hsi_app.tiling import Window

if TYPE_CHECKING:
    from napari.layers import Layer


@final
@dataclass(frozen=True)
class Pace:
    """How whole bands are read.

    ahead : bands that are read together when one of them is looked at
    rows : that are read at a time where a band takes long, so that reading can be stopped between; 0 where it does not
    """

    ahead: int = 1
    rows: int = 0


# (first, stop) of bands, rows and columns -> the block, always in memory.
ReadBlock = Callable[[slice, slice, slice], np.ndarray]

# Planes kept for going back and forth with the slider; a few hundred bands of a small scene, a few of a large one.
CACHE_BYTES = 256 * 2**20
# Of a file that must be passed whole for any band, so much is taken along on the way.
AHEAD_BYTES, AHEAD_BANDS = 128 * 2**20, 16
# A band that needs a longer pass than this is read beside the window: 64 MiB take 0.1 s from memory, more from a disk.
SLOW_BYTES = 64 * 2**20


@final
class PlaneArray:
    """A (B, H, W) array whose blocks are read when they are looked at; whole bands are remembered for a while.

    Parameters
    ----------
    shape : (B, H, W)
    dtype : of the blocks
    read : gives the block of three slices with step 1 inside the shape
    source : the stored values behind it, or None where it is computed
    is_kept : remember bands; not worth it where the source is in memory
    pace : how bands are read that lie together in the source

    May be read in several threads at once, as napari does where it is set to slice asynchronously. Everybody is given
    the values, with one exception: where a band takes long, napari drawing it in the main thread of a window is given
    NaN, which it leaves transparent, until the band has been read beside the window (see ``late_planes``).

    ``waiting`` says which layers wait for which band; for the main thread only.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        read: ReadBlock,
        source: ArrayLike | None = None,
        *,
        is_kept: bool = True,
        pace: Pace | None = None,
    ) -> None:
        self.shape, self.dtype, self.source = shape, np.dtype(dtype), source
        self._read, self._is_kept, self._pace = read, is_kept, pace or Pace()
        # Only these have a number that says "nothing yet".
        self._may_be_late = is_kept and self._pace.rows > 0 and self.dtype.kind == "f"
        self.waiting: weakref.WeakKeyDictionary[Layer, int] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._planes: OrderedDict[int, np.ndarray] = OrderedDict()

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :, :], dtype=dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> PlaneArray:
        # Nothing can be written into it, so a duplicate of a layer may share it.
        return self

    def __getitem__(self, key: Any) -> np.ndarray:
        given = key if isinstance(key, tuple) else (key,)
        if Ellipsis in given:
            at = given.index(Ellipsis)
            given = (*given[:at], *[slice(None)] * (4 - len(given)), *given[at + 1 :])
        given = (*given, *[slice(None)] * (3 - len(given)))
        spans, steps = zip(*(_span(k, n) for k, n in zip(given, self.shape, strict=True)), strict=True)
        if any(span.stop <= span.start for span in spans):
            return np.empty([span.stop - span.start for span in spans], self.dtype)[steps]
        return self._block(*spans)[steps]

    def _block(self, bands: slice, rows: slice, cols: slice) -> np.ndarray:
        _, height, width = self.shape
        is_plane = bands.stop - bands.start == 1 and rows == slice(0, height) and cols == slice(0, width)
        if not (is_plane and self._is_kept):
            return self._read(bands, rows, cols)
        band = bands.start
        known = self._known(band)
        if known is None and self._may_be_late and _is_drawing():
            from hsi_napari.late_planes import read_late

            if read_late(self, band):
                return np.broadcast_to(np.array(np.nan, self.dtype), (1, height, width))
        if known is None:
            known = self.keep(band, self.reader(band)())
        return known

    def _known(self, band: int) -> np.ndarray | None:
        with self._lock:
            known = self._planes.get(band)
            if known is not None:
                self._planes.move_to_end(band)
            return known

    def group(self, band: int) -> range:
        """The bands that are read with this one."""
        first = band - band % self._pace.ahead
        return range(first, min(first + self._pace.ahead, self.shape[0]))

    def reader(self, band: int) -> Callable[..., list[np.ndarray]]:
        """What reads the planes (1, H, W) of a band's group in any thread; it does not hold this object.

        It may be called with a function that is told the share done before each piece, and may raise.
        """
        group, (_, height, width), pace, read, dtype = self.group(band), self.shape, self._pace, self._read, self.dtype
        bands, cols = slice(group.start, group.stop), slice(0, width)

        def whole_planes(step: Callable[[float], None] | None = None) -> list[np.ndarray]:
            if len(group) == 1 and step is None:
                return [read(bands, slice(0, height), cols)]
            # Each a piece of its own: one that is dropped must not stay for the sake of its neighbours.
            planes = [np.empty((1, height, width), dtype) for _ in group]
            high = pace.rows or height
            for top in range(0, height, high):
                if step is not None:
                    step(top / height)
                rows = slice(top, min(top + high, height))
                for plane, piece in zip(planes, read(bands, rows, cols), strict=True):
                    plane[0, rows] = piece
            return planes

        return whole_planes

    def keep(self, band: int, planes: list[np.ndarray]) -> np.ndarray:
        """Remember what the reader of a band gave; returns that band's plane."""
        group = self.group(band)
        plane = planes[band - group.start]
        with self._lock:
            self._planes.update(zip(group, planes, strict=True))
            self._planes.move_to_end(band)
            kept = max(CACHE_BYTES // max(plane.nbytes, 1), 1)
            while len(self._planes) > kept:
                self._planes.popitem(last=False)
        return plane


def _is_drawing() -> bool:
    """True where napari asks for a plane to draw it, in the main thread, with a window or at least a toolkit.

    Whoever asks is told by the first function outside this module: nobody but napari's slicing is given NaN. Where
    napari slices otherwise in some version this is False, and the plane is read at once.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    toolkit = sys.modules.get("qtpy.QtWidgets")
    if toolkit is None or toolkit.QApplication.instance() is None:
        return False
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    asking = str(frame.f_globals.get("__name__"))
    return asking.startswith("napari.layers.") and asking.endswith("._slice")


def _span(key: Any, length: int) -> tuple[slice, Any]:
    """The stretch of an axis that must be read for ``key``, and the key that picks from that stretch."""
    if isinstance(key, slice):
        places = range(length)[key]
        if len(places) == 0:
            return slice(0, 0), slice(None)
        first, last = min(places[0], places[-1]), max(places[0], places[-1])
        return slice(first, last + 1), slice(None, None, places.step)
    place = range(length)[int(key)]
    return slice(place, place + 1), 0


def shown(values: ArrayLike) -> Any:
    """What napari should be given for a cube's values: arrays in memory as they are, others plane by plane."""
    if isinstance(values, np.ndarray | PlaneArray):
        return values

    def read(bands: slice, rows: slice, cols: slice) -> np.ndarray:
        return np.asarray(values[bands, rows, cols])

    bands, height, width = (int(n) for n in values.shape)
    dtype = np.dtype(values.dtype)
    return PlaneArray((bands, height, width), dtype, read, source=values, pace=_pace(dtype, values))


def displayed(cube: Cube) -> Any:
    """What napari should be given for a cube: its values, with missing ones as NaN, which napari leaves out.

    Where samples may be missing (a data-ignore value, a mask) the planes are float32, whatever is stored; and where a
    band takes long they are float too, so that NaN can stand for what is not read yet. ``stored`` gives back the values
    themselves.
    """
    if cube.valid is None and (cube.nodata is None or not np.isfinite(cube.nodata)):
        return _as_float(cube.values) if _is_slow(cube.values) else shown(cube.values)

    def read(bands: slice, rows: slice, cols: slice) -> np.ndarray:
        window = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        values, valid = cube.block(window, bands)
        values[~valid] = np.nan
        return values

    is_lazy, dtype = not isinstance(cube.values, np.ndarray), np.dtype(np.float32)
    pace = _pace(dtype, cube.values)
    return PlaneArray(cube.shape, dtype, read, source=cube.values, is_kept=is_lazy, pace=pace)


def _is_slow(values: ArrayLike) -> bool:
    return not isinstance(values, np.ndarray | PlaneArray) and _pace(np.dtype(values.dtype), values).rows > 0


def _as_float(values: ArrayLike) -> PlaneArray:
    """Values as float planes that hold each of them exactly (integers of 64 bits as nearly as float64 does)."""
    dtype = np.result_type(values.dtype, np.float32)

    def read(bands: slice, rows: slice, cols: slice) -> np.ndarray:
        return np.asarray(values[bands, rows, cols]).astype(dtype, copy=False)

    bands, height, width = (int(n) for n in values.shape)
    return PlaneArray((bands, height, width), dtype, read, source=values, pace=_pace(dtype, values))


def _pace(dtype: np.dtype[Any], *sources: ArrayLike) -> Pace:
    """Bands to read together: one, but several where they lie together in a source; and rows, if that takes long."""
    ahead, rows = 1, 0
    for values in sources:
        if isinstance(values, np.ndarray | PlaneArray):
            continue
        needed = band_pass(values)
        if needed.beside == 1:
            continue
        plane = int(np.prod(values.shape[1:], dtype=np.int64)) * dtype.itemsize
        ahead = max(ahead, int(np.clip(AHEAD_BYTES // plane, 1, min(AHEAD_BANDS, needed.beside))))
        if needed.nbytes > SLOW_BYTES:
            rows = max(rows, needed.rows)
    return Pace(ahead, rows)


def is_coming(layer: Layer, band: int) -> bool:
    """True while nothing is drawn of a layer's band because it is still being read."""
    return isinstance(layer.data, PlaneArray) and layer.data.waiting.get(layer) == band


def stored(data: Any) -> Any:
    """The values behind what ``shown`` or ``displayed`` made; anything else as it is."""
    return data.source if isinstance(data, PlaneArray) and data.source is not None else data


def removed(observed: Cube, restored: Cube) -> PlaneArray:
    """What a restoration took away, observed - restored: (B, H, W) float32, NaN where either is missing."""

    def read(bands: slice, rows: slice, cols: slice) -> np.ndarray:
        window = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        before, seen = observed.block(window, bands)
        after, kept = restored.block(window, bands)
        return np.where(seen & kept, before - after, np.float32(np.nan))

    dtype = np.dtype(np.float32)
    return PlaneArray(observed.shape, dtype, read, pace=_pace(dtype, observed.values, restored.values))
