"""How the values of a cube lie in their file, and reading them in that order, whole or thinned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.io.lazy import RawValues
from hsi_app.jobs import Job
from hsi_app.tiling import Window

Shape = tuple[int, int, int]

# Stored bytes read at a time, and what several bands may take that wait to be handed out together.
PIECE_BYTES, GROUP_BYTES = 16 * 2**20, 32 * 2**20
# Rows further apart than this on the whole are read without what lies between, as far as that is not decoded anyway.
ROWS_APART = 3
# Of arrays that do not say how they are stored, so many rows are taken to lie together.
USUAL_ROWS = 64
# Of a spectrum whose bands lie apart: so many are read before the job is asked whether to go on.
BANDS_AT_ONCE = 32


def stored_piece(values: Any) -> Shape:
    """What lies together in a source: (bands, rows, cols); (1, H, W) where band follows band.

    Plain files say so by their interleave, NumPy arrays by their strides, HDF5, Zarr, GeoTIFF and dask by their chunks.
    Of anything else strips of 64 rows are taken.
    """
    bands, height, width = shape = _shape_of(values)
    if isinstance(values, RawValues):
        return _by_order(values.order, shape)
    if isinstance(values, np.ndarray):
        return _by_order(tuple(np.argsort([-abs(s) for s in values.strides], kind="stable").tolist()), shape)
    return _chunk(values, shape) or (bands, min(USUAL_ROWS, height), width)


@dataclass(frozen=True)
class BandPass:
    """What reading one whole band of a source takes.

    beside : bands that lie together, so that all are passed for any of them; 1 where bands lie apart or nobody says
    nbytes : bytes that are passed for a band, as they are once decoded
    rows : to read at a time, so that each read passes about PIECE_BYTES and no chunk is decoded twice; 0 where the
        source cannot be read in parts (a gzip stream)
    cols : of a chunk; all of them where there are no chunks
    """

    beside: int
    nbytes: int
    rows: int
    cols: int


def band_pass(values: Any) -> BandPass:
    """See BandPass. Files and dask arrays say how they are stored; of anything else bands are taken to lie apart."""
    _, height, width = shape = _shape_of(values)
    size = np.dtype(values.dtype).itemsize
    deep, high, wide = 1, 1, width
    if isinstance(values, RawValues):
        # Single bands of a file by line are sought and found.
        deep = shape[0] if values.order[2] == 0 else 1
    elif not isinstance(values, np.ndarray):
        deep, high, wide = _chunk(values, shape) or (1, 1, width)
        if (high, wide) == (height, 1):
            # By pixel without chunks: may be cut anywhere.
            high, wide = 1, width
    row_bytes = deep * width * size
    rows = max(PIECE_BYTES // row_bytes // high, 1) * high
    if isinstance(values, RawValues) and values.gzipped:
        rows = 0
    return BandPass(deep, row_bytes * height, min(rows, height), wide)


def is_quick(values: Any) -> bool:
    """True where a spectrum needs no waiting: values in memory, or a plain file in which a pixel's bands lie together.

    A memory map counts by how it lies in its file.
    """
    if isinstance(values, RawValues):
        return values.order[2] == 0 and not values.gzipped
    if isinstance(values, np.ndarray):
        return not _is_mapped(values) or values.strides[0] == values.itemsize
    return False


@dataclass(frozen=True, eq=False)
class Piece:
    """Samples at some crossings of rows and columns.

    bands : (b,) band numbers
    rows, cols : slices of the lists of rows and columns that were asked for
    values : (b, h, w) float32, 0 where missing
    valid : (b, h, w) bool
    """

    bands: np.ndarray
    rows: slice
    cols: slice
    values: np.ndarray
    valid: np.ndarray


def stream(
    cube: Cube, bands: np.ndarray, rows: np.ndarray, cols: np.ndarray, job: Job, message: str
) -> Iterator[Piece]:
    """Read the samples at all crossings of some rows and columns, in the order in which the cube is stored.

    Where band follows band, bands come in ascending order, several in a piece; else rows do. A piece takes about
    50 MiB at most, unless what is stored as one chunk is larger.

    Parameters
    ----------
    bands, rows, cols : ascending int arrays without repeats
    job, message : told how far it is before each read; that is where it can be stopped

    Raises
    ------
    Cancelled
        If the job was asked to stop.
    """
    piece = stored_piece(cube.values)
    deep, high, wide = _read_size(piece, cube)
    is_plain = isinstance(cube.values, RawValues | np.ndarray)
    if rows.size > 1 and np.diff(rows).mean() > ROWS_APART:
        high = 1 if is_plain else piece[1]
    tiles = [(down, across) for down in _groups(rows, high) for across in _groups(cols, wide)]
    if deep == 1 and cube.shape[0] > 1:
        yield from _band_by_band(cube, bands, rows, cols, tiles, job, message)
        return
    packs = _groups(bands, deep)
    done, reads = 0, len(tiles) * len(packs)
    for down, across in tiles:
        for pack in packs:
            job.step(done / reads, message)
            yield Piece(bands[pack], down, across, *_read(cube, bands[pack], rows[down], cols[across]))
            done += 1


Tile = tuple[slice, slice]


def _band_by_band(
    cube: Cube, bands: np.ndarray, rows: np.ndarray, cols: np.ndarray, tiles: list[Tile], job: Job, message: str
) -> Iterator[Piece]:
    # Several bands are handed out together: worked on one by one they cost the processor far more.
    together = max(1, GROUP_BYTES // max(rows.size * cols.size * 5, 1))
    # Other files than plain ones are slow to open, so small tiles of several bands are read at once.
    tile_bytes = max(_extent(rows[down]) * _extent(cols[across]) for down, across in tiles) * cube.dtype.itemsize
    at_once = 1 if isinstance(cube.values, RawValues | np.ndarray) else max(1, PIECE_BYTES // tile_bytes)
    for start in range(0, bands.size, together):
        pack = bands[start : start + together]
        values = np.empty((pack.size, rows.size, cols.size), np.float32)
        valid = np.empty(values.shape, bool)
        for first in range(0, pack.size, at_once):
            some = slice(first, first + at_once)
            for k, (down, across) in enumerate(tiles):
                job.step((start + first + (k / len(tiles)) * pack[some].size) / bands.size, message)
                values[some, down, across], valid[some, down, across] = _read(
                    cube, pack[some], rows[down], cols[across]
                )
        yield Piece(pack, slice(0, rows.size), slice(0, cols.size), values, valid)


def spectrum_of(cube: Cube, window: Window, job: Job) -> np.ndarray:
    """Mean spectrum of a window in physical units, as ``Cube.spectrum`` gives it: (B,) float64, NaN where missing.

    Files in which bands lie apart are read some bands at a time, and the job can be stopped between. Raises Cancelled.
    """
    count = cube.shape[0]
    deep = BANDS_AT_ONCE if stored_piece(cube.values)[0] == 1 else count
    mean = np.full(count, np.nan)
    for start in range(0, count, deep):
        job.step(start / count, "reading a spectrum")
        some = slice(start, min(start + deep, count))
        values, valid = cube.block(window, some)
        seen = valid.sum(axis=(1, 2))
        total = np.where(valid, values, 0).sum(axis=(1, 2), dtype=np.float64)
        mean[some] = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    job.step(1.0, "reading a spectrum")
    return np.asarray(mean * np.asarray(cube.gain) + np.asarray(cube.offset))


def _read(cube: Cube, bands: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and validity at the crossings, of one read of all that lies between."""
    window = Window(int(rows[0]), int(cols[0]), _extent(rows), _extent(cols))
    values, valid = cube.block(window, slice(int(bands[0]), int(bands[-1]) + 1))
    if values.shape == (bands.size, rows.size, cols.size):
        return values, valid
    picks = np.ix_(bands - bands[0], rows - rows[0], cols - cols[0])
    return values[picks], valid[picks]


def _read_size(piece: Shape, cube: Cube) -> Shape:
    """What to read at once: stored pieces side by side, then below each other, as PIECE_BYTES allow."""
    deep, high, wide = piece
    _, height, width = cube.shape
    most = max(PIECE_BYTES // cube.dtype.itemsize, 1)
    # Planes and strips of a plain file may be cut anywhere, chunks only at the cost of decoding them again.
    while high > 1 and wide == width and deep * high * wide > most:
        high = -(-high // 2)
    wide = min(wide * max(most // (deep * high * wide), 1), width)
    high = min(high * max(most // (deep * high * wide), 1), height)
    return deep, high, wide


def _groups(places: np.ndarray, size: int) -> list[slice]:
    """Cut a list of rows, columns or bands into the parts that lie in the same stretch of ``size``."""
    cuts = np.flatnonzero(np.diff(places // size)) + 1
    edges = [0, *cuts.tolist(), places.size]
    return [slice(first, stop) for first, stop in pairwise(edges) if stop > first]


def _extent(places: np.ndarray) -> int:
    return int(places[-1] - places[0]) + 1


def _shape_of(values: Any) -> Shape:
    bands, height, width = (int(n) for n in values.shape)
    return bands, height, width


def _by_order(order: tuple[int, ...], shape: Shape) -> Shape:
    """The stored piece of samples without chunks: a plane, a row of all bands, or a pixel row of spectra."""
    bands, height, width = shape
    if order[0] == 0:
        return 1, height, width
    return (bands, 1, width) if order[0] == 1 else (bands, height, 1)


def _chunk(values: Any, shape: Shape) -> Shape | None:
    """The stored piece of a source in chunks, cut to the cube; None where it does not say."""
    pieces = getattr(values, "chunksize", None) or _file_chunks(values)
    if pieces is None:
        return None
    deep, high, wide = (max(min(int(n), limit), 1) for n, limit in zip(pieces, shape, strict=True))
    return deep, high, wide


def _file_chunks(values: Any) -> tuple[int, ...] | None:
    """Chunks of the engine's lazy files, asked of the file itself; None where they do not say."""
    from hsi_app.io import geotiff, hdf5, zarr_store

    if isinstance(values, hdf5.Hdf5Values):
        with hdf5.opened(values.path) as file:
            chunks = file[values.name].chunks
        if chunks is None:
            return _by_order(tuple(np.argsort(np.argsort(values.axes)).tolist()), values.shape)
        return tuple(int(chunks[axis]) for axis in values.axes)
    if isinstance(values, zarr_store.ZarrValues):
        import zarr

        array: Any = zarr.open(values.path, mode="r", path=values.name or None)
        return tuple(int(array.chunks[axis]) for axis in values.axes)
    if isinstance(values, geotiff.RasterValues):
        with geotiff.opened(values.path) as dataset:
            high, wide = dataset.block_shapes[0]
            mode = dataset.profile.get("interleave", "band")
        return (values.shape[0] if str(mode) == "pixel" else 1), high, wide
    return None


def _is_mapped(values: np.ndarray) -> bool:
    owner: Any = values
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return True
        owner = owner.base
    return False
