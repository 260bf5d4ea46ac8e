"""Values that stay in their file: opened for each read, and only what was asked for is read.

No memory map is kept. Pages of a map count as resident memory once touched, which would break a memory budget;
a read here costs the block it returns and at most ``BLOCK_BYTES`` more.
"""

from __future__ import annotations

import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index as as_index
from typing import IO, Any, final

import numpy as np

from hsi_app.errors import FormatError

BLOCK_BYTES = 16 * 2**20
# Bytes cheaper to read and drop than to seek over.
SEEK_GAP_BYTES = 16 * 2**10

Span = tuple[int, int]


def _axis_index(key: Any, length: int) -> tuple[np.ndarray, bool]:
    """Indices that ``key`` picks from an axis, and whether the axis vanishes."""
    if isinstance(key, slice):
        return np.arange(*key.indices(length)), False
    given = np.asarray(key)
    if given.ndim == 1:
        if given.dtype == bool and given.size != length:
            raise IndexError(f"{given.size} flags for an axis of length {length}")
        picks = np.flatnonzero(given) if given.dtype == bool else given.astype(np.intp)
        if picks.size and (picks.min() < -length or picks.max() >= length):
            raise IndexError(f"indices {picks.min()} ... {picks.max()} on an axis of length {length}")
        return picks % length, False
    at = as_index(key)
    if not -length <= at < length:
        raise IndexError(f"index {at} on an axis of length {length}")
    return np.array([at % length]), True


class LazyValues(ABC):
    """Base of values left in a file, in the order (band, row, col), handed out as native-endian copies.

    Subclasses are frozen dataclasses of a path and numbers, so they pickle to other processes, and they say how to
    read a block. Each axis takes an int, a slice, or a list of indices; lists pick from their axes independently.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    @abstractmethod
    def read_block(self, bands: Sequence[int], rows: Span, cols: Span) -> np.ndarray:
        """Samples (len(bands), rows, cols) of the given bands and of the rows and columns start ... stop-1."""

    @property
    @final
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    @final
    def nbytes(self) -> int:
        """Bytes of all values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @final
    def __len__(self) -> int:
        return self.shape[0]

    @final
    def __getitem__(self, key: Any) -> np.ndarray:
        keys = list(key) if isinstance(key, tuple) else [key]
        if any(k is Ellipsis for k in keys):
            at = next(i for i, k in enumerate(keys) if k is Ellipsis)
            keys[at : at + 1] = [slice(None)] * (4 - len(keys))
        keys += [slice(None)] * (3 - len(keys))
        if len(keys) != 3:
            raise IndexError(f"{len(keys)} indices for the axes (band, row, col)")
        picks, gone = zip(*(_axis_index(k, n) for k, n in zip(keys, self.shape, strict=True)), strict=True)
        block = self._gather(*picks)
        return block[tuple(0 if g else slice(None) for g in gone)]

    @final
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the values lie in a file; an array of them is always a copy")
        values = self[:, :, :]
        return values if dtype is None else values.astype(dtype, copy=False)

    @final
    def _gather(self, bands: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        native = self.dtype.newbyteorder("=")
        if not (bands.size and rows.size and cols.size):
            return np.empty((bands.size, rows.size, cols.size), native)
        picked = [int(b) for b in bands]
        span = int(cols.min()), int(cols.max()) + 1
        if _is_run(rows) and _is_run(cols):
            block = self.read_block(picked, (int(rows[0]), int(rows[-1]) + 1), span)
            return np.ascontiguousarray(block, native)
        # Every n-th row of a large scene: a piece at a time, so that a thumbnail does not cost the scene.
        out = np.empty((bands.size, rows.size, cols.size), native)
        row_bytes = max(bands.size * (span[1] - span[0]) * native.itemsize, 1)
        step = max(BLOCK_BYTES // row_bytes, 1)
        for group in _groups(rows, step):
            low, high = int(rows[group].min()), int(rows[group].max()) + 1
            block = self.read_block(picked, (low, high), span)
            out[:, group] = block[:, rows[group] - low][:, :, cols - span[0]]
        return out


def _is_run(picks: np.ndarray) -> bool:
    return bool((np.diff(picks) == 1).all())


def _groups(rows: np.ndarray, reach: int) -> list[slice]:
    """Cut a list of rows into pieces that each span at most ``reach`` rows of the file."""
    if _is_run(rows):
        return [slice(start, min(start + reach, rows.size)) for start in range(0, rows.size, reach)]
    pieces, start, listed = [], 0, rows.tolist()
    low = high = listed[0]
    for k, row in enumerate(listed):
        low, high = min(low, row), max(high, row)
        if high - low >= reach:
            pieces.append(slice(start, k))
            start, low, high = k, row, row
    return [*pieces, slice(start, rows.size)]


# Which of the axes (band, row, col) is stored first, second and last.
INTERLEAVES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


@dataclass(frozen=True)
class RawValues(LazyValues):
    """Plain binary samples (ENVI, .npy) in any order of axes and bytes.

    Parameters
    ----------
    path : data file
    shape : (B, H, W)
    dtype : number type with byte order, as stored
    order : which of the axes (band, row, col) lies first, second and last in the file; see INTERLEAVES
    offset : bytes before the first sample
    gzipped : the whole file is a gzip stream; reads far into it are slow
    """

    path: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    order: tuple[int, ...] = (0, 1, 2)
    offset: int = 0
    gzipped: bool = False

    def read_block(self, bands: Sequence[int], rows: Span, cols: Span) -> np.ndarray:
        """See LazyValues. Raises FormatError where the file has become shorter than its header says."""
        order = self.order
        stored = tuple(self.shape[axis] for axis in order)
        asked = (np.asarray(bands), np.arange(*rows), np.arange(*cols))
        outer, middle, inner = (asked[axis] for axis in order)
        out = np.empty(tuple(len(a) for a in asked), self.dtype.newbyteorder("="))
        # A view of the result whose axes lie as in the file.
        view = out.transpose(order)
        try:
            with gzip.open(self.path) if self.gzipped else open(self.path, "rb", buffering=0) as file:
                for k, first in enumerate(outer):
                    self._read_plane(file, int(first), middle, inner, stored, view[k])
        except FormatError:
            raise
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(f"'{self.path}' could not be read ({error}); fetch it again.") from error
        return out

    def _read_plane(
        self,
        file: IO[bytes] | gzip.GzipFile,
        first: int,
        middle: np.ndarray,
        inner: np.ndarray,
        stored: tuple[int, ...],
        view: np.ndarray,
    ) -> None:
        low, high = int(inner.min()), int(inner.max()) + 1
        size = self.dtype.itemsize
        if (stored[2] - (high - low)) * size > SEEK_GAP_BYTES:
            for k, second in enumerate(middle):
                start = (first * stored[1] + int(second)) * stored[2] + low
                view[k] = self._samples(file, start, high - low)[inner - low]
            return
        step = max(BLOCK_BYTES // (stored[2] * size), 1)
        for group in _groups(middle, step):
            top, bottom = int(middle[group].min()), int(middle[group].max()) + 1
            start = (first * stored[1] + top) * stored[2]
            block = self._samples(file, start, (bottom - top) * stored[2]).reshape(bottom - top, stored[2])
            rows, cols = middle[group] - top, inner
            if not _is_run(cols):
                view[group] = block[np.ix_(rows, cols)]
            else:
                view[group] = (block if _is_run(rows) else block[rows])[:, low:high]

    def _samples(self, file: IO[bytes] | gzip.GzipFile, start: int, count: int) -> np.ndarray:
        buffer = np.empty(count, self.dtype)
        room = buffer.view(np.uint8).data
        file.seek(self.offset + start * self.dtype.itemsize)
        done = 0
        while done < room.nbytes:
            got = file.readinto(room[done:])  # type: ignore[union-attr]
            if not got:
                raise FormatError(
                    f"'{self.path}' ends at byte {self.offset + start * self.dtype.itemsize + done},"
                    " before the samples its header promises; fetch it again."
                )
            done += got
        return buffer
