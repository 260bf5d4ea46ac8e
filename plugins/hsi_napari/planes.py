"""Arrays made on demand: what napari is shown of a cube that stays on disk, or of a difference of two cubes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, final

import numpy as np

from hsi_app.cube import ArrayLike, Cube
from hsi_app.io.lazy import INTERLEAVES
from hsi_app.tiling import Window

# (first, stop) of bands, rows and columns -> the block, always in memory.
ReadBlock = Callable[[slice, slice, slice], np.ndarray]

# Planes kept for going back and forth with the slider; a few hundred bands of a small scene, a few of a large one.
CACHE_BYTES = 256 * 2**20
# Of a file that must be passed whole for any band, so much is taken along on the way.
AHEAD_BYTES, AHEAD_BANDS = 128 * 2**20, 16


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
    ahead : bands that are read together when one of them is looked at

    May be read in several threads at once, as napari does where it is set to slice asynchronously.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        read: ReadBlock,
        source: ArrayLike | None = None,
        *,
        is_kept: bool = True,
        ahead: int = 1,
    ) -> None:
        self.shape, self.dtype, self.source = shape, np.dtype(dtype), source
        self._read, self._is_kept, self._ahead = read, is_kept, ahead
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
        with self._lock:
            known = self._planes.get(band)
            if known is not None:
                self._planes.move_to_end(band)
                return known
        first = band - band % self._ahead
        group = slice(first, min(first + self._ahead, self.shape[0]))
        read = self._read(group, rows, cols)
        with self._lock:
            # Each a piece of its own: one that is dropped must not stay for the sake of its neighbours.
            for k in range(group.start, group.stop):
                self._planes[k] = read if self._ahead == 1 else read[k - first : k - first + 1].copy()
            self._planes.move_to_end(band)
            kept = max(CACHE_BYTES // max(self._planes[band].nbytes, 1), 1)
            while len(self._planes) > kept:
                self._planes.popitem(last=False)
            return self._planes[band]


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
    return PlaneArray((bands, height, width), dtype, read, source=values, ahead=_ahead(values, dtype))


def displayed(cube: Cube) -> Any:
    """What napari should be given for a cube: its values, with missing ones as NaN, which napari leaves out.

    Where samples may be missing (a data-ignore value, a mask) the planes are float32, whatever is stored; ``stored``
    gives back the values themselves.
    """
    if cube.valid is None and (cube.nodata is None or not np.isfinite(cube.nodata)):
        return shown(cube.values)

    def read(bands: slice, rows: slice, cols: slice) -> np.ndarray:
        window = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        values, valid = cube.block(window, bands)
        values[~valid] = np.nan
        return values

    is_lazy, dtype = not isinstance(cube.values, np.ndarray), np.dtype(np.float32)
    ahead = _ahead(cube.values, dtype)
    return PlaneArray(cube.shape, dtype, read, source=cube.values, is_kept=is_lazy, ahead=ahead)


def _ahead(values: ArrayLike, dtype: np.dtype[Any]) -> int:
    """Bands to read together: one, but several of a file where the samples of a pixel lie side by side."""
    if getattr(values, "order", None) != INTERLEAVES["bip"]:
        return 1
    plane = int(np.prod(values.shape[1:], dtype=np.int64)) * dtype.itemsize
    return int(np.clip(AHEAD_BYTES // plane, 1, AHEAD_BANDS))


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

    return PlaneArray(observed.shape, np.dtype(np.float32), read)
